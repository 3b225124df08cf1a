//! Go code in a program that is not Go: a shared library (`-buildmode=c-shared`) that brings a Go runtime of its own.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};

use super::executable::{Executable, FileId};
use super::frames::{Bounded, Mapping, mappings};

/// More mappings than programs have of libraries; those beyond are not looked at.
const MOST: usize = 4096;
/// Bytes read at most to find out whether a library is Go's: its headers, and the names of its sections.
const MOST_HEADER_BYTES: u64 = 8 << 20;
/// The section that says so.
const GO_MARK: &str = ".go.buildinfo";

/// What holds the Go code of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GoFile {
    /// Its executable.
    Executable,
    /// A library that it has loaded.
    Library(MappedFile),
}

/// A file of which a process has mapped code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MappedFile {
    pub(super) id: FileId,
    /// Leads to it as long as the process has it mapped, also if it was deleted or lies in another mount namespace.
    link: PathBuf,
    /// Where it was when it was mapped.
    path: PathBuf,
}

impl GoFile {
    pub(super) fn open(&self, pid: u32) -> io::Result<Executable> {
        match self {
            Self::Executable => Executable::of_process(pid),
            Self::Library(file) => file.open(),
        }
    }
}

impl MappedFile {
    pub(super) fn open(&self) -> io::Result<Executable> {
        let found = Executable::linked_by(&self.link, self.path.clone())?;
        Ok(Executable { may_change: true, ..found })
    }
}

/// The files beside its executable of which a process has mapped code, in the order of their addresses; none where it cannot be looked at.
pub(super) fn of_process(pid: u32, executable: FileId) -> Vec<MappedFile> {
    let Ok(maps) = fs::read(format!("/proc/{pid}/maps")) else { return Vec::new() };
    let mut seen = HashSet::from([executable.inode]);
    let code = mappings(&maps).filter(|mapping| mapping.is_executable && mapping.inode != 0);
    // Each is looked at once, however many mappings a process makes of it.
    let mut lines = HashSet::new();
    let code = code.take(MOST).filter(|mapping| lines.insert((mapping.inode, mapping.path.clone())));
    let files = code.filter_map(|mapping| mapped_file(pid, &mapping));
    files.filter(|file| seen.insert(file.id.inode)).collect()
}

/// Whether a library is Go's, which has to be found out of each one that is met. Only headers are read, and nothing is mapped: what others
/// may cut short at any moment would end us by SIGBUS.
pub(super) fn is_go(file: &File) -> bool {
    let Ok(reader) = Bounded::of(file, MOST_HEADER_BYTES) else { return false };
    let elf = ElfFile64::<Endianness, _>::parse(&reader);
    elf.is_ok_and(|elf| elf.sections().take(MOST).any(|section| section.name() == Ok(GO_MARK)))
}

/// By its own link, for which CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE is needed, or by its path in the process's root, if that leads to
/// the same file still.
fn mapped_file(pid: u32, mapping: &Mapping) -> Option<MappedFile> {
    let path = PathBuf::from(mapping.path.strip_suffix(" (deleted)").unwrap_or(&mapping.path));
    let id_of = |link: &Path| fs::metadata(link).ok().map(|metadata| FileId::of(&metadata));
    let link = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end));
    let (link, id) = match id_of(&link) {
        Some(id) => (link, id),
        None => {
            let link = Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").ok()?);
            let id = id_of(&link).filter(|id| id.ino() == mapping.inode)?;
            (link, id)
        }
    };
    Some(MappedFile { id, link, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_process_are_found_once_each() {
        let own = FileId::of_process(std::process::id()).unwrap();
        let files = of_process(std::process::id(), own);
        let named = |name: &str| files.iter().filter(|file| file.path.to_string_lossy().contains(name)).count();
        assert_eq!((named("/libc.so"), named("/ld-linux")), (1, 1), "{files:?}");
        assert!(files.iter().all(|file| file.id != own));
        let libc = files.iter().find(|file| file.path.to_string_lossy().contains("/libc.so")).unwrap();
        assert_eq!(libc.open().unwrap().id, libc.id);
    }
}
