//! What can go wrong.

use std::io;

/// Why a spool could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory.
    #[error("the spool is in use by another process: end that one, or give this one a directory of its own")]
    InUse,
    /// The configuration contradicts itself.
    #[error("spool configuration: {0}")]
    Config(String),
    /// The storage failed.
    #[error("spool: cannot {action} {name}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is of a later version of the format.
    #[error(
        "spool: {name} is of format {found}, and this program knows format {known}: use a newer version, or another directory"
    )]
    Version {
        /// Which file.
        name: String,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A record is larger than the configuration allows.
    #[error("a record of {bytes} bytes is more than the spool takes ({limit})")]
    TooLarge {
        /// Length of the record.
        bytes: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// There are no more numbers, which takes somebody who forges them.
    #[error("the spool has no more numbers for records: begin another one")]
    NoNumbers,
    /// Too much has been appended since the last commit.
    #[error("{bytes} bytes wait to be committed, and no more may ({limit})")]
    Pending {
        /// What waits.
        bytes: u64,
        /// The most that may.
        limit: u64,
    },
    /// The spool holds as much as it may, and may not drop anything.
    #[error("the spool is full: it holds {bytes} of {limit} bytes, and what is not read yet is kept")]
    Full {
        /// What it holds.
        bytes: u64,
        /// The most that it may.
        limit: u64,
    },
    /// No cursor can have this name.
    #[error("{0:?} cannot name a cursor: up to 64 of a-z, 0-9, - and _ can")]
    CursorName(String),
    /// There is a reader of this cursor already.
    #[error("cursor {0:?} has a reader already")]
    CursorInUse(String),
    /// A note is too long to be saved with a cursor.
    #[error("a note of {bytes} bytes is more than a cursor takes ({limit})")]
    Note {
        /// Length of the note.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
    },
}

impl Error {
    /// Whether the same may succeed later without anybody changing what is asked: the storage failed, or there is no room now.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Full { .. } | Self::Pending { .. } | Self::InUse)
    }

    pub(crate) fn io(action: &'static str, name: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let name = name.into();
        move |source| Self::Io { action, name, source }
    }
}

/// A result with our error.
pub type Result<T> = std::result::Result<T, Error>;
