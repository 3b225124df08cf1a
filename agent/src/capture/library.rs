//! Go code in shared libraries: of a program that is not Go (`-buildmode=c-shared`), and plugins of one that is (`-buildmode=plugin`).
//!
//! The files of all processes that are not Go are looked at for that, whoever made them. So it is done on a thread of its own, for which
//! whoever reads the ring waits only so long; only headers are read of what is not Go; and what is, is copied: others may write to it at
//! any moment, and who has it mapped when it is cut short dies of that.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};
use syncline_gosym::BUILD_INFO_SECTION;

use super::budget::{Budget, SLOWNESS};
use super::executable::{Executable, FileId};
use super::frames::{Bounded, Mapping, mappings, open_mapped};
use crate::patience::{Found, Patience};

/// More mappings than programs have of libraries, and more sections than those have; what is beyond is not looked at.
const MOST: usize = 4096;
/// Bytes read at most to find out whether a library is Go's: its headers, and the names of its sections.
const MOST_HEADER_BYTES: u64 = 8 << 20;
/// Bytes of all copies together.
const MOST_COPIED_BYTES: u64 = 512 << 20;
/// Files remembered as none that is of interest.
const MOST_REMEMBERED: usize = 16_384;
/// How long looking for libraries may keep whoever reads the ring waiting, and of which time.
const LOOKING: Duration = Duration::from_millis(100 * SLOWNESS);
const LOOKING_OF: Duration = Duration::from_secs(1);
/// How long copying one may, which is rare.
const COPYING: Duration = Duration::from_secs(2 * SLOWNESS);

/// What holds the Go code of a process.
#[derive(Debug, Clone)]
pub(super) enum GoFile {
    /// Its executable.
    Executable,
    /// A library that it has loaded.
    Library(Library),
}

/// A Go library that a process has mapped, opened.
#[derive(Debug, Clone)]
pub(super) struct Library {
    pub(super) id: FileId,
    file: Arc<File>,
    /// Where it was when it was mapped.
    path: PathBuf,
}

/// The bytes of a library.
#[derive(Debug)]
pub(super) struct Copied {
    bytes: Vec<u8>,
    /// Counts those of all copies.
    in_use: Arc<AtomicU64>,
}

/// Finds libraries.
#[derive(Debug)]
pub(super) struct Libraries {
    patience: Patience,
    looking: Mutex<Budget>,
    /// No Go libraries, or of no use.
    passed_over: Arc<Mutex<HashSet<FileId>>>,
    in_use: Arc<AtomicU64>,
}

impl Default for Libraries {
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            looking: Mutex::new(Budget::new(LOOKING, LOOKING_OF)),
            passed_over: Arc::default(),
            in_use: Arc::default(),
        }
    }
}

impl Libraries {
    /// Whether there is time for looking now.
    pub(super) fn have_time(&self) -> bool {
        lock(&self.looking).left(Instant::now()).is_some()
    }

    /// The Go libraries of which a process has mapped code, in the order of their addresses, beside this file; as far as that is found out
    /// in time.
    pub(super) fn of_process(&self, pid: u32, executable: FileId) -> Vec<Library> {
        let mut looking = lock(&self.looking);
        let began = Instant::now();
        let Some(limit) = looking.left(began) else { return Vec::new() };
        let passed_over = Arc::clone(&self.passed_over);
        let look = move |found: &Found<Vec<Library>>| find(pid, executable, &passed_over, found);
        let (libraries, unfinished) = self.patience.wait_for(limit, look);
        looking.spend(began.elapsed());
        if let Some(why) = unfinished {
            tracing::debug!(pid, ?why, "not all of its libraries were looked at");
        }
        libraries
    }

    /// This file is not to be found again while it is as it is.
    pub(super) fn pass_over(&self, file: FileId) {
        remember(&mut lock(&self.passed_over), file);
    }

    /// A library with its bytes.
    ///
    /// # Errors
    /// If it cannot be read, not in time, or is too large.
    pub(super) fn open(&self, library: &Library) -> io::Result<Executable> {
        let (file, in_use) = (Arc::clone(&library.file), Arc::clone(&self.in_use));
        let copied = Arc::new(Mutex::new(None));
        let into = Arc::clone(&copied);
        self.patience.wait_for(COPYING, move |_: &Found<()>| *lock(&into) = Some(Copied::of(&file, in_use)));
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer");
        let copied = lock(&copied).take().ok_or_else(late)??;
        // One that was written to meanwhile may be half of each.
        if FileId::of(&library.file.metadata()?) != library.id {
            return Err(io::Error::other("it was written to while it was read"));
        }
        let (file, path) = (library.file.try_clone()?, library.path.clone());
        Ok(Executable { file, id: library.id, path, copied: Some(copied) })
    }
}

impl Library {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl GoFile {
    pub(super) fn open(&self, pid: u32, libraries: &Libraries) -> io::Result<Executable> {
        match self {
            Self::Executable => Executable::of_process(pid),
            Self::Library(library) => libraries.open(library),
        }
    }
}

impl Copied {
    fn of(file: &File, in_use: Arc<AtomicU64>) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let fits = |used: u64| used.checked_add(size).filter(|sum| *sum <= MOST_COPIED_BYTES);
        if in_use.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            let most = MOST_COPIED_BYTES >> 20;
            let why = format!("it has {} MiB: not more than {most} MiB of all libraries together are kept", size >> 20);
            return Err(io::Error::other(why));
        }
        // From here on what was taken is given back, also by a failure.
        let mut copied = Self { bytes: vec![0; usize::try_from(size).unwrap_or_default()], in_use };
        file.read_exact_at(&mut copied.bytes, 0)?;
        Ok(copied)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.in_use.fetch_sub(self.bytes.len() as u64, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(passed_over: &mut HashSet<FileId>, file: FileId) {
    if passed_over.len() >= MOST_REMEMBERED {
        passed_over.clear();
    }
    passed_over.insert(file);
}

/// None where the process cannot be looked at.
fn find(pid: u32, executable: FileId, passed_over: &Mutex<HashSet<FileId>>, found: &Found<Vec<Library>>) {
    let Ok(maps) = fs::read(format!("/proc/{pid}/maps")) else { return };
    let code = mappings(&maps).filter(|mapping| mapping.is_executable && mapping.inode != 0).take(MOST);
    // Each is looked at once, however many mappings a process makes of it.
    let mut seen = HashSet::new();
    for mapping in code.filter(|mapping| seen.insert(mapping.file())) {
        let Some(library) = opened(pid, &mapping) else { continue };
        if library.id.inode == executable.inode || lock(passed_over).contains(&library.id) {
            continue;
        }
        if is_go(&library.file) {
            found.lock().push(library);
        } else {
            remember(&mut lock(passed_over), library.id);
        }
    }
}

fn opened(pid: u32, mapping: &Mapping) -> Option<Library> {
    let file = open_mapped(pid, mapping).ok()?;
    let id = FileId::of(&file.metadata().ok()?);
    Some(Library { id, file: Arc::new(file), path: mapping.file_path().into() })
}

fn is_go(file: &File) -> bool {
    let Ok(reader) = Bounded::of(file, MOST_HEADER_BYTES) else { return false };
    let elf = ElfFile64::<Endianness, _>::parse(&reader);
    elf.is_ok_and(|elf| elf.sections().take(MOST).any(|section| section.name() == Ok(BUILD_INFO_SECTION)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> (u32, FileId) {
        let pid = std::process::id();
        (pid, FileId::of_process(pid).unwrap())
    }

    fn opened_libraries() -> Vec<Library> {
        let (pid, own) = own();
        let maps = fs::read("/proc/self/maps").unwrap();
        let code = mappings(&maps).filter(|mapping| mapping.is_executable && mapping.inode != 0);
        let libraries = code.filter_map(|mapping| opened(pid, &mapping));
        libraries.filter(|library| library.id.inode != own.inode).collect()
    }

    #[test]
    fn libraries_that_are_not_go_are_looked_at_once() {
        let (pid, own) = own();
        let libraries = Libraries::default();
        assert!(libraries.of_process(pid, own).is_empty());
        let libc = opened_libraries();
        let libc = libc.iter().find(|library| library.path.to_string_lossy().contains("/libc.so")).unwrap();
        assert!(!is_go(&libc.file) && lock(&libraries.passed_over).contains(&libc.id));
        assert!(!lock(&libraries.passed_over).contains(&own));
    }

    #[test]
    fn what_is_copied_is_bounded_and_given_back() {
        let libraries = Libraries::default();
        let some = opened_libraries().remove(0);
        let copy = libraries.open(&some).unwrap();
        let bytes = copy.copied.as_ref().unwrap().bytes().len() as u64;
        assert_eq!((bytes, libraries.in_use.load(Ordering::Acquire)), (some.file.metadata().unwrap().len(), bytes));
        libraries.in_use.fetch_add(MOST_COPIED_BYTES - 2 * bytes + 1, Ordering::AcqRel);
        let refused = libraries.open(&some).unwrap_err().to_string();
        assert!(refused.contains("512 MiB"), "{refused}");
        drop(copy);
        assert!(libraries.open(&some).is_ok());
    }
}
