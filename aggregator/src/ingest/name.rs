//! By which name an aggregator claims batches: that of its spool, whatever process has it, and of no copy of it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use syncline_store::ClaimWriter;
use thiserror::Error;

use crate::state_file;

/// Holds the name.
const FILE: &str = "writer";

/// The name cannot be read, or kept.
#[derive(Debug, Error)]
pub(crate) enum NoName {
    /// It is there, and is none.
    #[error("{} holds no name of a writer: remove it, and what this aggregator began to store before is taken over after 30 s", .0.display())]
    Damaged(PathBuf),
    /// The disk, or the system's random bytes.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Who claims: the same as long as there is the spool, whatever process has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) writer: ClaimWriter,
    /// Which of its processes this is.
    pub(super) run: u32,
    /// The directory that it was made for. A copy is another one: two that went by one name would take each other's claims for their own.
    home: String,
}

impl Name {
    /// That of the next process on the spool in `dir`, durably.
    pub(super) fn next(dir: &Path) -> Result<Self, NoName> {
        let path = dir.join(FILE);
        let failed = |error| NoName::Io { path: path.clone(), error };
        let home = home(dir).map_err(failed)?;
        let last = match fs::read_to_string(&path) {
            Ok(text) => Some(Self::parse(&text).ok_or_else(|| NoName::Damaged(path.clone()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let name = match last {
            Some(last) if last.home == home => Self { run: last.run + 1, ..last },
            last => {
                if let Some(Self { writer, .. }) = last {
                    tracing::warn!(
                        %writer, spool = %dir.display(),
                        "the spool's directory is not the one that this name was made for, but a copy: this aggregator goes by another one, \
                         and what was begun under the old one is taken over after 30 s"
                    );
                }
                Self { writer: ClaimWriter(random().map_err(failed)?), run: 1, home }
            }
        };
        let text = format!("{} {} {}\n", name.writer, name.run, name.home);
        state_file::save(dir, FILE, text.as_bytes()).map_err(failed)?;
        Ok(name)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let writer = ClaimWriter(u128::from_str_radix(words.next()?, 16).ok()?);
        let run = words.next()?.parse().ok().filter(|run| *run < u32::MAX)?;
        Some(Self { writer, run, home: words.next().unwrap_or_default().to_owned() })
    }
}

/// What tells a directory from its copies: its inode, and when that was made, where the file system tells.
fn home(dir: &Path) -> io::Result<String> {
    let metadata = fs::metadata(dir)?;
    let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Ok(format!("{:x}-{:x}", metadata.ino(), made.as_nanos()))
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got < bytes.len() {
        return Err(io::Error::other("the system gives no random bytes"));
    }
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_with_its_directory_and_each_run_is_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (Name::next(dir.path()).unwrap(), Name::next(dir.path()).unwrap());
        assert_eq!((first.writer, first.run, second.run), (second.writer, 1, 2));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(Name::next(elsewhere.path()).unwrap().writer, first.writer);
        for damaged in ["", "7", "x 1", "7 x", "7 4294967295"] {
            fs::write(dir.path().join(FILE), damaged).unwrap();
            assert!(Name::next(dir.path()).unwrap_err().to_string().contains("remove it"), "{damaged:?}");
        }
    }

    #[test]
    fn a_copy_of_a_directory_goes_by_another_name_and_one_that_was_moved_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (here, copy, moved) = (dir.path().join("here"), dir.path().join("copy"), dir.path().join("moved"));
        fs::create_dir(&here).unwrap();
        fs::create_dir(&copy).unwrap();
        let first = Name::next(&here).unwrap();
        fs::copy(here.join(FILE), copy.join(FILE)).unwrap();
        let other = Name::next(&copy).unwrap();
        assert_ne!(other.writer, first.writer);
        assert_eq!(Name::next(&copy).unwrap(), Name { run: 2, ..other });
        fs::rename(&here, &moved).unwrap();
        assert_eq!(Name::next(&moved).unwrap(), Name { run: 2, ..first });
        // Of a version that did not say for which directory it was.
        fs::write(moved.join(FILE), "7 1\n").unwrap();
        assert_ne!(Name::next(&moved).unwrap().writer, ClaimWriter(7));
    }
}
