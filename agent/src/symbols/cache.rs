//! What was looked up, of all builds: in memory as long as there is room, and on disk.
//!
//! Where the builds in use are more than memory may hold, the file of each is read, and written, about once a minute at most, and
//! not for each address: what does not fit is looked up again meanwhile.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use syncline_event::Symbol;

use super::file::Symbols;
use super::folder::Folder;

/// The file of a build is written this long after something new of it. A crash loses what is newer, which is looked up again.
const WRITE_AFTER: Duration = Duration::from_secs(60);
/// Bytes of symbols in memory, about. The builds that were not asked for longest go, to be read again.
const MOST_HELD_BYTES: usize = 16 << 20;
/// Bytes beyond them, of what is new and has to wait until it is written.
const MOST_NEW_BYTES: usize = 2 << 20;
/// Bytes of an address whose symbols are only on disk, about.
const ON_DISK_BYTES: usize = 16;
/// A build that was asked for since then does not go: of builds that take turns each would be read at its turn.
const STAYS: Duration = Duration::from_secs(60);

/// Symbols of builds by address.
#[derive(Debug)]
pub struct SymbolCache {
    /// Locked also while a file is read or written: all look-ups are on the batcher's thread, as writes are, so nobody waits.
    held: Mutex<Held>,
    folder: Folder,
}

#[derive(Debug, Default)]
struct Held {
    builds: HashMap<(u64, String), Build>,
    told_of_failure: bool,
    counts: SymbolCounts,
}

#[derive(Debug)]
struct Build {
    symbols: Symbols,
    /// Of `symbols`.
    bytes: usize,
    /// Addresses whose symbols its file has and memory has no room for: looked up again, and not new.
    on_disk: HashSet<u64>,
    /// Since when something is in it that is not on disk.
    changed: Option<Instant>,
    used: Instant,
}

/// Where symbols came from, and what became of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SymbolCounts {
    /// Addresses looked up in a program's file.
    pub looked_up: u64,
    /// Addresses found in the cache.
    pub cached: u64,
    /// Files that were damaged, or of another build, and are made anew.
    pub refused: u64,
    /// Files that could not be written.
    pub unwritten: u64,
}

impl SymbolCache {
    /// The cache in a directory, which is made if it is not there, for at most so many bytes of files.
    ///
    /// # Errors
    /// If the directory cannot be made or read.
    pub fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        Ok(Self { folder: Folder::open(path, most_bytes)?, held: Mutex::default() })
    }

    /// The symbols at an address of a build, looked up if they are not here. What is not found is looked up again.
    pub(super) fn symbols(
        &self,
        build_id: u64,
        identity: &str,
        pc: u64,
        look_up: impl FnOnce() -> Vec<Symbol>,
    ) -> Vec<Symbol> {
        self.symbols_at(Instant::now(), &(build_id, identity.to_owned()), pc, look_up)
    }

    fn symbols_at(
        &self,
        now: Instant,
        key: &(u64, String),
        pc: u64,
        look_up: impl FnOnce() -> Vec<Symbol>,
    ) -> Vec<Symbol> {
        let mut held = self.held();
        if let Some(symbols) = self.build(&mut held, key, now).symbols.get(&pc) {
            let symbols = symbols.clone();
            held.counts.cached += 1;
            return symbols;
        }
        let symbols = look_up();
        held.counts.looked_up += 1;
        if !symbols.is_empty() {
            self.make_room(&mut held, bytes_of(&symbols), now);
            held.add(key, pc, symbols.clone(), now);
        }
        symbols
    }

    /// Writes what has waited for long enough at `now`.
    pub fn write_due(&self, now: Instant) {
        self.write_where(|changed| now.saturating_duration_since(changed) >= WRITE_AFTER);
    }

    /// Writes everything that is not on disk.
    pub fn write_all(&self) {
        self.write_where(|_| true);
    }

    /// What happened so far.
    pub fn counts(&self) -> SymbolCounts {
        self.held().counts
    }

    /// The build as it is held, read from its file as far as there is room if it is not yet.
    fn build<'a>(&self, held: &'a mut Held, key: &(u64, String), now: Instant) -> &'a mut Build {
        if !held.builds.contains_key(key) {
            let read = self.read(held, key);
            self.make_room(held, read.values().map(|symbols| bytes_of(symbols)).sum(), now);
            let build = Build::of(read, MOST_HELD_BYTES.saturating_sub(held.bytes()), now);
            held.builds.insert(key.clone(), build);
        }
        let build = held.builds.entry(key.clone()).or_insert_with(|| Build::of(Symbols::new(), 0, now));
        build.used = now;
        build
    }

    fn read(&self, held: &mut Held, (build_id, identity): &(u64, String)) -> Symbols {
        self.folder.read(*build_id, identity).unwrap_or_else(|why| {
            held.counts.refused += 1;
            let file = self.folder.file(*build_id);
            tracing::warn!("the cached symbols in {} are not used: {why}; they are made anew", file.display());
            Symbols::new()
        })
    }

    fn write_where(&self, is_due: impl Fn(Instant) -> bool) {
        let mut held = self.held();
        let due = held.builds.iter().filter(|(_, build)| build.changed.is_some_and(&is_due));
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        due.iter().for_each(|key| self.write(&mut held, key));
    }

    /// Writes what its file does not have of a build: that may hold more than memory, and what another agent has written meanwhile.
    fn write(&self, held: &mut Held, key: &(u64, String)) {
        let (build_id, identity) = (key.0, key.1.as_str());
        let Some(build) = held.builds.get_mut(key) else { return };
        build.changed = None;
        let mut whole =
            Build::of(self.folder.read(build_id, identity).unwrap_or_default(), MOST_HELD_BYTES, build.used);
        let there = whole.symbols.len();
        for (pc, symbols) in &build.symbols {
            if !whole.symbols.contains_key(pc) {
                whole.insert(*pc, symbols.clone(), MOST_HELD_BYTES);
            }
        }
        if whole.symbols.len() > there {
            let written = self.folder.write(build_id, identity, &whole.symbols);
            self.tell_failure(held, build_id, written);
        }
        held.shrink(key);
    }

    /// Once, until something can be written.
    fn tell_failure(&self, held: &mut Held, build_id: u64, written: io::Result<()>) {
        let told = std::mem::replace(&mut held.told_of_failure, written.is_err());
        let Err(error) = written else { return };
        held.counts.unwritten += 1;
        if !told {
            let file = self.folder.file(build_id);
            tracing::warn!(
                "symbols cannot be written to {}: {error}; after a restart they are looked up again",
                file.display()
            );
        }
    }

    /// Room for so many bytes, as far as builds are held that were not used for some time.
    fn make_room(&self, held: &mut Held, bytes: usize, now: Instant) {
        while held.bytes() + bytes > MOST_HELD_BYTES {
            let goes = |build: &Build| now.saturating_duration_since(build.used) >= STAYS;
            let unused = held.builds.iter().filter(|(_, build)| goes(build));
            let oldest = unused.min_by_key(|(_, build)| build.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            if held.builds.get(&oldest).is_some_and(|build| build.changed.is_some()) {
                self.write(held, &oldest);
            }
            held.builds.remove(&oldest);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What is held is whole after each insertion, and a lost one is looked up again.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn bytes(&self) -> usize {
        self.builds.values().map(|build| build.bytes + build.on_disk.len() * ON_DISK_BYTES).sum()
    }

    /// Keeps what is new of a build until it is written; beyond what memory may hold it is looked up again.
    fn add(&mut self, key: &(u64, String), pc: u64, symbols: Vec<Symbol>, now: Instant) {
        let room = (MOST_HELD_BYTES + MOST_NEW_BYTES).saturating_sub(self.bytes());
        let Some(build) = self.builds.get_mut(key) else { return };
        if !build.on_disk.contains(&pc) && build.insert(pc, symbols, build.bytes + room) {
            build.changed.get_or_insert(now);
        }
    }

    /// Forgets as much of a build, which was written, as there is too much of all.
    fn shrink(&mut self, key: &(u64, String)) {
        let mut excess = self.bytes().saturating_sub(MOST_HELD_BYTES);
        let Some(build) = self.builds.get_mut(key) else { return };
        build.symbols.retain(|pc, symbols| {
            let (bytes, goes) = (bytes_of(symbols), excess > 0);
            if goes {
                excess = excess.saturating_sub(bytes.saturating_sub(ON_DISK_BYTES));
                build.bytes -= bytes;
                build.on_disk.insert(*pc);
            }
            !goes
        });
    }
}

impl Build {
    /// As much of what was read as fits into `most` bytes.
    fn of(symbols: Symbols, most: usize, used: Instant) -> Self {
        let mut build = Self { symbols: Symbols::new(), bytes: 0, on_disk: HashSet::new(), changed: None, used };
        for (pc, symbols) in symbols {
            if !build.insert(pc, symbols, most) {
                build.on_disk.insert(pc);
            }
        }
        build
    }

    /// Whether they fit in: it takes `most` bytes at most.
    fn insert(&mut self, pc: u64, symbols: Vec<Symbol>, most: usize) -> bool {
        let bytes = bytes_of(&symbols);
        let fits = self.bytes + bytes <= most;
        if fits {
            self.bytes += bytes;
            self.symbols.insert(pc, symbols);
        }
        fits
    }
}

fn bytes_of(symbols: &[Symbol]) -> usize {
    symbols.iter().map(|one| size_of::<Symbol>() + one.function.len() + one.file.len()).sum()
}

/// Preceded by a blank, to follow a line; nothing where nothing happened.
impl std::fmt::Display for SymbolCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { looked_up, cached, refused, unwritten } = self;
        if looked_up + cached > 0 {
            write!(f, " symbols={} (cached={cached} looked_up={looked_up})", looked_up + cached)?;
        }
        if refused + unwritten > 0 {
            write!(f, " symbol_files={} (refused={refused} unwritten={unwritten})", refused + unwritten)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
