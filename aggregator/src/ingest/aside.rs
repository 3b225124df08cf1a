//! Batches that cannot be stored, as they came, in a directory: for somebody to look at, or for a later version to read.
//!
//! Each has its reason beside it (`.batch.txt`). One that comes again has the same name, and takes no more room. What there is no room for is
//! counted as lost by whoever asks; nothing waits for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use syncline_proto::WireError;
use xxhash_rust::xxh3::xxh3_128;

use crate::pipeline::Refusal;
use crate::state_file;

const SUFFIX: &str = ".batch";
const REASON_SUFFIX: &str = ".batch.txt";
/// What file systems give to a file at a time, as a rule.
const BLOCK_BYTES: u64 = 4_096;

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
    /// That of a batch that was refused.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Undecodable(WireError::Later { .. }) => Self::Later,
            Refusal::Rows(_) | Refusal::Defect(_) => Self::Unstorable,
            _ => Self::Undecodable,
        }
    }

    /// A name for what is known by this.
    pub(crate) fn name(self, what: &str) -> String {
        let cause = match self {
            Self::Later => "later",
            Self::Undecodable => "undecodable",
            Self::Unstorable => "unstorable",
        };
        format!("{cause}-{what}")
    }

    /// A name for a batch that has none but its bytes.
    pub(crate) fn name_of(self, batch_zstd: &[u8]) -> String {
        self.name(&format!("{:032x}", xxh3_128(batch_zstd)))
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
            held_bytes += on_disk(fs::metadata(file)?.len());
        }
        Ok(Self { dir, limit_bytes, held_bytes: Mutex::new(held_bytes) })
    }

    /// Keeps the batch and why it is here by this name, both durable afterwards, and gives its file; none where there is no room.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) fn keep(&self, name: &str, batch_zstd: &[u8], why: &str) -> io::Result<Option<PathBuf>> {
        let path = self.dir.join(format!("{name}{SUFFIX}"));
        let mut held_bytes = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if path.exists() {
            return Ok(Some(path));
        }
        let reason = format!("{why}\n");
        let files_bytes = on_disk(batch_zstd.len() as u64) + on_disk(reason.len() as u64);
        let bytes = held_bytes.saturating_add(files_bytes);
        if bytes > self.limit_bytes {
            return Ok(None);
        }
        state_file::save(&self.dir, &format!("{name}{REASON_SUFFIX}"), reason.as_bytes())?;
        state_file::save(&self.dir, &format!("{name}{SUFFIX}"), batch_zstd)?;
        *held_bytes = bytes;
        Ok(Some(path))
    }

    /// The files of those that a later version than the one that set them aside may read: perhaps this one. In the order in which they came.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn later(&self) -> io::Result<Vec<PathBuf>> {
        let prefix = Cause::Later.name("");
        let is_later = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix) && name.ends_with(SUFFIX)
        };
        let mut files: Vec<PathBuf> = files(&self.dir)?.into_iter().filter(is_later).collect();
        files.sort_by_cached_key(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok());
        Ok(files)
    }

    /// Removes the file of a batch that is where it belongs by now, and its reason.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self, file: &Path) -> io::Result<()> {
        let mut held_bytes = self.held_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        for file in [file, &file.with_added_extension("txt")] {
            match fs::metadata(file).and_then(|meta| fs::remove_file(file).map(|()| on_disk(meta.len()))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                bytes => *held_bytes = held_bytes.saturating_sub(bytes?),
            }
        }
        Ok(())
    }
}

/// What a file of so many bytes takes of a disk, about: many small ones take more than they hold.
fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let ours = |file: &PathBuf| {
        let name = file.to_string_lossy();
        name.ends_with(SUFFIX) || name.ends_with(REASON_SUFFIX)
    };
    files.retain(ours);
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_kept_once_with_its_reason_and_within_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let aside = Aside::open(dir.path().join("aside"), 4 * BLOCK_BYTES).unwrap();
        let file = aside.keep("later-1", b"12345", "new").unwrap().unwrap();
        assert_eq!(aside.keep("later-1", b"12345", "new").unwrap(), Some(file.clone()));
        assert_eq!(fs::read(&file).unwrap(), b"12345");
        assert_eq!(fs::read_to_string(dir.path().join("aside/later-1.batch.txt")).unwrap(), "new\n");
        assert!(aside.keep("t-3-77", b"54321", "no").unwrap().is_some());
        assert_eq!(aside.keep("more", b"6", "").unwrap(), None);
        assert_eq!(aside.later().unwrap(), std::slice::from_ref(&file));

        let aside = Aside::open(dir.path().join("aside"), 4 * BLOCK_BYTES).unwrap();
        assert_eq!(aside.keep("more", b"6", "").unwrap(), None, "what was there before counts");
        aside.remove(&file).unwrap();
        assert!(aside.keep("more", b"6", "").unwrap().is_some());
        assert!(aside.later().unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path().join("aside")).unwrap().count(), 4);
    }

    #[test]
    fn what_is_for_a_later_version_is_given_in_the_order_in_which_it_came() {
        let dir = tempfile::tempdir().unwrap();
        let aside = Aside::open(dir.path().to_owned(), 1 << 20).unwrap();
        let files = ["later-2", "later-3", "later-1"].map(|name| aside.keep(name, b"", "new").unwrap().unwrap());
        for (second, file) in (1..).zip(&files) {
            let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
            fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
        }
        assert_eq!(aside.later().unwrap(), files);
    }

    #[test]
    fn a_name_tells_the_cause_and_the_same_bytes_have_the_same() {
        assert_eq!(Cause::Later.name("t-0-1"), "later-t-0-1");
        assert_eq!(Cause::Unstorable.name_of(b"a"), Cause::Unstorable.name_of(b"a"));
        assert_ne!(Cause::Unstorable.name_of(b"a"), Cause::Unstorable.name_of(b"b"));
        assert_eq!(Cause::of(&Refusal::Undecodable(WireError::Later { found: 2, known: 0 })), Cause::Later);
    }
}
