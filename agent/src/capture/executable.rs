//! Executable files: which file a process runs, and opening exactly that one.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use super::library::Copied;
use crate::regular_file;

/// An inode. As long as a process runs it, the kernel neither lets it be written nor gives its number away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Inode {
    dev: u64,
    ino: u64,
}

/// A file with the state of its content: changes when the file is overwritten in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) inode: Inode,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: Inode { dev: metadata.dev(), ino: metadata.ino() },
            size: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }

    /// The executable that a process runs now, also if it has been deleted.
    ///
    /// # Errors
    /// `NotFound` for kernel threads and ended processes, `PermissionDenied` without the right to look at the process.
    pub(super) fn of_process(pid: u32) -> io::Result<Self> {
        std::fs::metadata(exe_link(pid)).map(|metadata| Self::of(&metadata))
    }

    pub(super) fn ino(&self) -> u64 {
        self.inode.ino
    }
}

/// An open executable. Everything is read and attached through this handle, so a rename or a reused pid cannot make us
/// verify one file and probe another.
#[derive(Debug)]
pub(super) struct Executable {
    pub(super) file: File,
    pub(super) id: FileId,
    /// For messages: where it was found.
    pub(super) path: PathBuf,
    /// Of a library, which others may write to while it is used: its bytes.
    pub(super) copied: Option<Copied>,
}

impl Executable {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let file = regular_file::open(&path)?;
        Ok(Self { id: FileId::of(&file.metadata()?), file, path, copied: None })
    }

    pub(super) fn of_process(pid: u32) -> io::Result<Self> {
        let link = exe_link(pid);
        let file = regular_file::open(&link)?;
        let path = std::fs::read_link(&link).unwrap_or(link);
        Ok(Self { id: FileId::of(&file.metadata()?), file, path, copied: None })
    }

    /// A path that leads to this very file while it is open here.
    pub(super) fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    pub(super) fn has_bytes_at(&self, offset: u64, expected: &[u8]) -> io::Result<bool> {
        let mut found = vec![0; expected.len()];
        self.file.read_exact_at(&mut found, offset)?;
        Ok(found == expected)
    }

    /// Whether the content is still the one that was opened.
    pub(super) fn is_unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.id)
    }
}

pub(super) fn exe_link(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}
