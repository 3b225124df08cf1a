//! Batches that cannot be stored, as they came, in a directory: for somebody to look at, or for a later version to read.
//!
//! A file is named for why it is there and for what is in it, so that one that comes again takes no more room. What there is no room for is counted as
//! lost; nothing waits for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use crate::state_file;

const SUFFIX: &str = ".batch";

/// Why a batch is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Only a later version can read it.
    Later,
    /// It is no batch, or contradicts itself.
    Undecodable,
    /// The store does not take its rows.
    Unstorable,
}

impl Cause {
    fn prefix(self) -> &'static str {
        match self {
            Self::Later => "later-",
            Self::Undecodable => "undecodable-",
            Self::Unstorable => "unstorable-",
        }
    }
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Aside {
    dir: PathBuf,
    limit_bytes: u64,
    held_bytes: Mutex<u64>,
}

impl Aside {
    /// The directory `dir`, made when it is needed, with room for `limit_bytes`.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(crate) fn open(dir: PathBuf, limit_bytes: u64) -> io::Result<Self> {
        let mut held_bytes = 0;
        for file in files(&dir)? {
            held_bytes += fs::metadata(file)?.len();
        }
        Ok(Self { dir, limit_bytes, held_bytes: Mutex::new(held_bytes) })
    }

    /// Keeps the batch, durably, and gives its file; none where there is no room.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) fn keep(&self, cause: Cause, batch_zstd: &[u8]) -> io::Result<Option<PathBuf>> {
        let name = format!("{}{:032x}{SUFFIX}", cause.prefix(), xxh3_128(batch_zstd));
        let path = self.dir.join(&name);
        let mut held_bytes = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if path.exists() {
            return Ok(Some(path));
        }
        let bytes = held_bytes.saturating_add(batch_zstd.len() as u64);
        if bytes > self.limit_bytes {
            return Ok(None);
        }
        state_file::save(&self.dir, &name, batch_zstd)?;
        *held_bytes = bytes;
        Ok(Some(path))
    }

    /// The files of those that a later version than the one that set them aside may read: perhaps this one.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn later(&self) -> io::Result<Vec<PathBuf>> {
        let is_later = |file: &PathBuf| {
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(Cause::Later.prefix()))
        };
        Ok(files(&self.dir)?.into_iter().filter(is_later).collect())
    }

    /// Removes the file of a batch that is where it belongs by now.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self, file: &Path) -> io::Result<()> {
        let bytes = fs::metadata(file)?.len();
        fs::remove_file(file)?;
        let mut held_bytes = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *held_bytes = held_bytes.saturating_sub(bytes);
        Ok(())
    }
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.to_string_lossy().ends_with(SUFFIX));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_kept_once_and_within_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let aside = Aside::open(dir.path().join("aside"), 10).unwrap();
        let file = aside.keep(Cause::Later, b"12345").unwrap().unwrap();
        assert_eq!(aside.keep(Cause::Later, b"12345").unwrap(), Some(file.clone()));
        assert_eq!(fs::read(&file).unwrap(), b"12345");
        assert!(aside.keep(Cause::Unstorable, b"54321").unwrap().is_some());
        assert_eq!(aside.keep(Cause::Undecodable, b"6").unwrap(), None);
        assert_eq!(aside.later().unwrap(), std::slice::from_ref(&file));

        let aside = Aside::open(dir.path().join("aside"), 10).unwrap();
        assert_eq!(aside.keep(Cause::Undecodable, b"6").unwrap(), None, "what was there before counts");
        aside.remove(&file).unwrap();
        assert!(aside.keep(Cause::Undecodable, b"6").unwrap().is_some());
        assert!(aside.later().unwrap().is_empty());
    }
}
