//! One frame after the other of a segment, whatever has happened to it.

use std::io;
use std::sync::Arc;

use crate::frame::{ALIGNMENT, FrameHeader, HEADER_BYTES};
use crate::segment::SEGMENT_HEADER_BYTES;
use crate::storage::StorageFile;

/// What is read at a time, bytes.
const WINDOW_BYTES: u64 = 256 << 10;

/// Reads the frames of one segment in their order.
///
/// Between two frames there may be zeros (each group of records begins on a page of its own), or anything where the disk was damaged. A
/// frame is what has an unharmed header with the segment's nonce at a multiple of [`ALIGNMENT`]: nobody who sends records can guess that.
#[derive(Debug)]
pub(crate) struct Scanner<F> {
    file: Arc<F>,
    nonce: u64,
    offset: u64,
    window: Vec<u8>,
    window_offset: u64,
}

impl<F: StorageFile> Scanner<F> {
    /// From the first frame on.
    pub(crate) fn new(file: Arc<F>, nonce: u64) -> Self {
        Self { file, nonce, offset: SEGMENT_HEADER_BYTES as u64, window: Vec::new(), window_offset: 0 }
    }

    /// Where the next frame is looked for, or was found.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The header of the next frame that begins before `limit`; it stays the next one.
    pub(crate) fn header(&mut self, limit: u64) -> io::Result<Option<FrameHeader>> {
        while self.offset.saturating_add(HEADER_BYTES as u64) <= limit {
            let (nonce, offset) = (self.nonce, self.offset);
            let bytes = self.window(HEADER_BYTES as u64, limit)?;
            if bytes.len() < HEADER_BYTES {
                break;
            }
            match candidate(bytes, nonce) {
                Some((0, header)) => return Ok(Some(header)),
                Some((ahead, _)) => self.offset = offset + ahead as u64,
                // Of the last bytes only those are left that may be the begin of a header.
                None => {
                    let seen = (bytes.len() - HEADER_BYTES) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
                    self.offset = offset + seen as u64;
                }
            }
        }
        Ok(None)
    }

    /// The payload of the frame whose header was just found; none if it is not what was written.
    pub(crate) fn payload(&mut self, header: &FrameHeader, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let begin = self.offset + HEADER_BYTES as u64;
        let length = u64::from(header.length);
        if begin.saturating_add(length) > limit {
            return Ok(None);
        }
        let payload = if length <= WINDOW_BYTES / 2 {
            let bytes = self.window(HEADER_BYTES as u64 + length, limit)?;
            let Some(payload) = bytes.get(HEADER_BYTES..HEADER_BYTES + header.length as usize) else { return Ok(None) };
            payload.to_vec()
        } else {
            let mut payload = vec![0; header.length as usize];
            if self.file.read_at(&mut payload, begin)? < payload.len() {
                return Ok(None);
            }
            payload
        };
        Ok((crc32c::crc32c(&payload) == header.payload_crc).then_some(payload))
    }

    /// Goes behind the frame whose header was just found.
    pub(crate) fn skip(&mut self, header: &FrameHeader) {
        self.offset = self.offset.saturating_add(header.frame_bytes());
    }

    /// What lies from the present offset on: so many bytes or more, less only at the end of the file or at `limit`.
    fn window(&mut self, needed: u64, limit: u64) -> io::Result<&[u8]> {
        let has = self.window_offset + self.window.len() as u64;
        let wanted_end = self.offset.saturating_add(needed).min(limit);
        if self.offset < self.window_offset || wanted_end > has {
            let bytes = (limit - self.offset).min(WINDOW_BYTES.max(needed));
            // Nothing is kept of what could not be read.
            self.window.clear();
            self.window_offset = self.offset;
            let mut window = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
            let count = self.file.read_at(&mut window, self.offset)?;
            window.truncate(count);
            self.window = window;
        }
        let from = (self.offset - self.window_offset) as usize;
        let to = self.window.len().min(from + (limit - self.offset) as usize);
        Ok(self.window.get(from..to).unwrap_or_default())
    }
}

/// The first header in these bytes, and how far it is.
fn candidate(bytes: &[u8], nonce: u64) -> Option<(usize, FrameHeader)> {
    let starts = (0..=bytes.len().checked_sub(HEADER_BYTES)?).step_by(ALIGNMENT);
    starts.into_iter().find_map(|at| Some((at, FrameHeader::decode(&bytes[at..], nonce)?)))
}
