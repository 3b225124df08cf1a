//! Recordings: a file with every batch of a run, as it was sent.
//!
//! ```text
//! "SYNCREC1"  then for each batch:  length u32 LE | XXH3-64 of the batch u64 LE | the batch as it travels (zstd)
//! ```

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use syncline_event::{Batch, limits};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::regular_file;

const MAGIC: &[u8; 8] = b"SYNCREC1";
const HEADER_BYTES: usize = 12;

/// A recording cannot be written or read.
#[derive(Debug, Error)]
#[error("recording {}{}: {what}", path.display(), place(*offset))]
pub struct RecordingError {
    path: PathBuf,
    offset: Option<u64>,
    what: String,
}

fn place(offset: Option<u64>) -> String {
    offset.map(|offset| format!(", at byte {offset}")).unwrap_or_default()
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Recorder {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, RecordingError> {
        let at_whole = |e: io::Error| error(path, None, format!("cannot be written: {e}"));
        let mut file = BufWriter::new(regular_file::create(path).map_err(at_whole)?);
        file.write_all(MAGIC).and_then(|()| file.flush()).map_err(at_whole)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends an encoded batch, and hands it to the operating system: an agent that is killed leaves whole batches.
    ///
    /// # Errors
    /// If the file cannot be written, or the batch is longer than any batch may be.
    pub fn append(&mut self, batch: &[u8]) -> Result<(), RecordingError> {
        let len = u32::try_from(batch.len()).map_err(|e| error(&self.path, None, e.to_string()))?;
        let header = [&len.to_le_bytes()[..], &xxh3_64(batch).to_le_bytes()].concat();
        let written = self.file.write_all(&header).and_then(|()| self.file.write_all(batch));
        let written = written.and_then(|()| self.file.flush());
        written.map_err(|e| error(&self.path, None, format!("cannot be written: {e}")))
    }
}

/// One batch of a recording.
#[derive(Debug)]
pub struct Recorded {
    /// As it travelled.
    pub bytes: Vec<u8>,
    /// As it was meant.
    pub batch: Batch,
}

/// Reads a recording, one batch at a time.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
}

impl Recording {
    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be read or is no recording.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file = regular_file::open(path).map_err(|e| error(path, None, format!("cannot be read: {e}")))?;
        let mut recording = Self { path: path.to_owned(), file: BufReader::new(file), offset: 0 };
        let magic = recording.read(MAGIC.len())?;
        if magic != MAGIC {
            return Err(error(
                path,
                Some(0),
                "does not begin with SYNCREC1, so syncline-agent --record did not write it",
            ));
        }
        recording.offset = MAGIC.len() as u64;
        Ok(recording)
    }

    /// The next batch, or none at the end of the file.
    ///
    /// # Errors
    /// If the file ends inside a batch, or a batch is not what was written.
    pub fn next_batch(&mut self) -> Result<Option<Recorded>, RecordingError> {
        let header = self.read(HEADER_BYTES)?;
        if header.is_empty() {
            return Ok(None);
        }
        let Some((len, hash)) = split_header(&header) else { return Err(self.cut_off(HEADER_BYTES, header.len())) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > limits::WIRE_BYTES {
            return Err(self.here(format!("a batch of {len} bytes, more than a batch can have")));
        }
        let bytes = self.read(len)?;
        if bytes.len() < len {
            return Err(self.cut_off(HEADER_BYTES + len, HEADER_BYTES + bytes.len()));
        }
        self.checked(bytes, hash).map(Some)
    }

    fn checked(&mut self, bytes: Vec<u8>, hash: u64) -> Result<Recorded, RecordingError> {
        if xxh3_64(&bytes) != hash {
            return Err(self.here("the batch is damaged: its checksum does not fit"));
        }
        let batch = syncline_proto::decode(&bytes).map_err(|e| self.here(e.to_string()))?;
        self.offset += (HEADER_BYTES + bytes.len()) as u64;
        Ok(Recorded { bytes, batch })
    }

    /// Up to `len` bytes, fewer only at the end of the file.
    fn read(&mut self, len: usize) -> Result<Vec<u8>, RecordingError> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(len as u64).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|e| self.here(format!("cannot be read: {e}")))
    }

    fn cut_off(&self, needed: usize, found: usize) -> RecordingError {
        self.here(format!("the file is cut off: a batch needs {needed} bytes and {found} are there"))
    }

    fn here(&self, what: impl Into<String>) -> RecordingError {
        error(&self.path, Some(self.offset), what)
    }
}

fn split_header(header: &[u8]) -> Option<(u32, u64)> {
    let (len, hash) = header.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*len), u64::from_le_bytes(hash.try_into().ok()?)))
}

fn error(path: &Path, offset: Option<u64>, what: impl Into<String>) -> RecordingError {
    RecordingError { path: path.to_owned(), offset, what: what.into() }
}
