//! The end of the last segment, after nobody knows what.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::frame::FrameHeader;
use crate::scan::Scanner;
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::storage::{Storage, StorageFile};

/// What is written again at a time, bytes.
const PIECE_BYTES: u64 = 4 << 20;

/// What the last segment holds.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Header of the newest frame; its payload may be damaged.
    pub(crate) newest: Option<FrameHeader>,
    /// Length of the segment, now.
    pub(crate) bytes: u64,
    pub(crate) torn_bytes: u64,
}

/// Reads the last segment through, of which so many bytes are there, makes durable what it holds, and cuts off what is behind. A header that was
/// damaged is as it should be then.
///
/// Writing a page again with what it holds does no harm however it is torn.
pub(crate) fn recover<S: Storage>(storage: &S, bytes: u64, header: &SegmentHeader) -> Result<Tail> {
    let name = header.id.name();
    let file = Arc::new(storage.open(&name).map_err(Error::io("open", &name))?);
    let (frames, newest) = frames(&file, bytes, header).map_err(Error::io("read", &name))?;
    let begin = SEGMENT_HEADER_BYTES as u64;
    let end = frames.last().map_or(begin, |frame| frame.end);
    let torn_bytes = last_byte(&*file, end, bytes).map_err(Error::io("read", &name))? - end;
    file.write_all_at(&header.encode(), 0).map_err(Error::io("write", &name))?;
    for piece in pieces(frames) {
        write_again(&*file, piece).map_err(Error::io("write", &name))?;
    }
    if end < bytes {
        file.set_len(end).map_err(Error::io("cut off", &name))?;
    }
    file.sync_data().map_err(Error::io("sync", &name))?;
    Ok(Tail { newest, bytes: end, torn_bytes })
}

/// Where the frames lie, and the newest.
fn frames<F: StorageFile>(
    file: &Arc<F>,
    bytes: u64,
    header: &SegmentHeader,
) -> io::Result<(Vec<Range<u64>>, Option<FrameHeader>)> {
    let mut scanner = Scanner::new(Arc::clone(file), header.id.nonce);
    let (mut frames, mut newest): (Vec<Range<u64>>, Option<FrameHeader>) = (Vec::new(), None);
    while let Some(frame) = scanner.header(bytes)? {
        let begin = scanner.offset();
        scanner.skip(&frame);
        if frame.number >= newest.map_or(header.id.first, |newest| newest.number + 1) {
            frames.push(begin..scanner.offset().min(bytes));
            newest = Some(frame);
        }
    }
    Ok((frames, newest))
}

/// Joins what adjoins, and parts what is large.
fn pieces(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut pieces: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match pieces.last_mut() {
            Some(piece) if piece.end == range.start => piece.end = range.end,
            _ => pieces.push(range),
        }
    }
    let part = |piece: Range<u64>| {
        let starts = (piece.start..piece.end).step_by(PIECE_BYTES as usize);
        starts.map(move |start| start..piece.end.min(start + PIECE_BYTES))
    };
    pieces.into_iter().flat_map(part).collect()
}

fn write_again<F: StorageFile>(file: &F, piece: Range<u64>) -> io::Result<()> {
    let mut bytes = vec![0; (piece.end - piece.start) as usize];
    let count = file.read_at(&mut bytes, piece.start)?;
    file.write_all_at(&bytes[..count], piece.start)
}

/// Behind the last byte between these that is not zero.
fn last_byte<F: StorageFile>(file: &F, begin: u64, end: u64) -> io::Result<u64> {
    let mut last = begin;
    let mut bytes = vec![0; PIECE_BYTES.min(end.saturating_sub(begin)) as usize];
    for offset in (begin..end).step_by(PIECE_BYTES as usize) {
        let wanted = ((end - offset).min(PIECE_BYTES)) as usize;
        let count = file.read_at(&mut bytes[..wanted], offset)?;
        if let Some(at) = bytes[..count].iter().rposition(|byte| *byte != 0) {
            last = offset + at as u64 + 1;
        }
    }
    Ok(last)
}
