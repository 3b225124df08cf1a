//! What was looked up, of all builds: in memory as long as there is room, and on disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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

/// Symbols of builds by address.
#[derive(Debug)]
pub struct SymbolCache {
    held: Mutex<Held>,
    folder: Folder,
}

#[derive(Debug, Default)]
struct Held {
    builds: HashMap<(u64, String), Build>,
    uses: u64,
    told_of_failure: bool,
    counts: SymbolCounts,
}

#[derive(Debug, Default)]
struct Build {
    symbols: Symbols,
    bytes: usize,
    /// Since when something is in it that is not on disk.
    changed: Option<Instant>,
    used: u64,
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
        let mut held = self.held();
        let build = self.build(&mut held, build_id, identity);
        if let Some(symbols) = build.symbols.get(&pc) {
            let symbols = symbols.clone();
            held.counts.cached += 1;
            return symbols;
        }
        let symbols = look_up();
        if !symbols.is_empty() {
            build.add(pc, symbols.clone(), Instant::now());
        }
        held.counts.looked_up += 1;
        self.make_room(&mut held);
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

    /// The build as it is held, read from its file if it is not yet.
    fn build<'a>(&self, held: &'a mut Held, build_id: u64, identity: &str) -> &'a mut Build {
        held.uses += 1;
        let build = match held.builds.entry((build_id, identity.to_owned())) {
            Entry::Occupied(build) => build.into_mut(),
            Entry::Vacant(place) => {
                let read = self.folder.read(build_id, identity).unwrap_or_else(|why| {
                    held.counts.refused += 1;
                    let file = self.folder.file(build_id);
                    tracing::warn!("the cached symbols in {} are not used: {why}; they are made anew", file.display());
                    Symbols::new()
                });
                place.insert(Build::of(read))
            }
        };
        build.used = held.uses;
        build
    }

    fn write_where(&self, is_due: impl Fn(Instant) -> bool) {
        let mut held = self.held();
        let due = held.builds.iter().filter(|(_, build)| build.changed.is_some_and(&is_due));
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        due.iter().for_each(|key| self.write(&mut held, key));
    }

    /// Writes a build, with what another agent has written of it meanwhile.
    fn write(&self, held: &mut Held, key: &(u64, String)) {
        let (build_id, identity) = (key.0, key.1.as_str());
        let Some(build) = held.builds.get_mut(key) else { return };
        build.changed = None;
        for (pc, symbols) in self.folder.read(build_id, identity).unwrap_or_default() {
            build.insert(pc, symbols);
        }
        let written = self.folder.write(build_id, identity, &build.symbols);
        if let Err(error) = &written {
            held.counts.unwritten += 1;
            if !held.told_of_failure {
                let file = self.folder.file(build_id);
                tracing::warn!(
                    "symbols cannot be written to {}: {error}; after a restart they are looked up again",
                    file.display()
                );
            }
        }
        held.told_of_failure = written.is_err();
    }

    fn make_room(&self, held: &mut Held) {
        while held.builds.values().map(|build| build.bytes).sum::<usize>() > MOST_HELD_BYTES {
            let oldest = held.builds.iter().min_by_key(|(_, build)| build.used).map(|(key, _)| key.clone());
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

impl Build {
    fn of(symbols: Symbols) -> Self {
        let mut build = Self::default();
        symbols.into_iter().for_each(|(pc, symbols)| build.insert(pc, symbols));
        build
    }

    fn add(&mut self, pc: u64, symbols: Vec<Symbol>, now: Instant) {
        self.changed.get_or_insert(now);
        self.insert(pc, symbols);
    }

    /// Beyond what memory may hold of all builds nothing more of one is kept.
    fn insert(&mut self, pc: u64, symbols: Vec<Symbol>) {
        let bytes: usize = symbols.iter().map(|one| size_of::<Symbol>() + one.function.len() + one.file.len()).sum();
        if self.bytes + bytes <= MOST_HELD_BYTES && !self.symbols.contains_key(&pc) {
            self.bytes += bytes;
            self.symbols.insert(pc, symbols);
        }
    }
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
