//! Which processes are to be observed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::executable::{FileId, exe_link};

/// What /proc appends to the path of an executable that was deleted while it runs.
const DELETED_SUFFIX: &str = " (deleted)";

/// Which processes are to be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This process only.
    Pid(u32),
    /// All processes that run this file, now or later, also after it was replaced by a new version.
    Executable(PathBuf),
    /// All processes whose executable's file has this name, wherever it is, now or later.
    Name(OsString),
    /// Every Go program of the machine.
    AllGo,
}

impl Target {
    /// Pids to look at.
    pub(super) fn candidates(&self) -> Vec<u32> {
        match self {
            Self::Pid(pid) => vec![*pid],
            Self::Executable(_) | Self::Name(_) | Self::AllGo => all_pids(),
        }
    }

    /// Whether a process running this file is to be observed.
    pub(super) fn wants(&self, pid: u32, file: FileId) -> bool {
        match self {
            Self::Pid(wanted) => pid == *wanted,
            Self::Executable(path) => runs(pid, path) || is_now(path, file),
            Self::Name(name) => has_name(pid, name),
            Self::AllGo => true,
        }
    }

    /// Whether other processes may run the same binary without being wanted.
    pub(super) fn needs_filter(&self) -> bool {
        // A hard link of another name is the same binary.
        matches!(self, Self::Pid(_) | Self::Name(_))
    }
}

fn all_pids() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn runs(pid: u32, path: &Path) -> bool {
    let Ok(exe) = std::fs::read_link(exe_link(pid)) else { return false };
    exe == path
        || exe.to_str().and_then(|exe| exe.strip_suffix(DELETED_SUFFIX)).is_some_and(|exe| Path::new(exe) == path)
}

fn has_name(pid: u32, name: &OsStr) -> bool {
    let Ok(exe) = std::fs::read_link(exe_link(pid)) else { return false };
    let is_or_was = |file: &OsStr| {
        file == name
            || file.as_bytes().strip_suffix(DELETED_SUFFIX.as_bytes()).is_some_and(|file| file == name.as_bytes())
    };
    exe.file_name().is_some_and(is_or_was)
}

/// A hard link, or another mount, of the same file.
fn is_now(path: &Path, file: FileId) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| FileId::of(&metadata).inode == file.inode)
}
