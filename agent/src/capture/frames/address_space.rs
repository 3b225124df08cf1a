//! What code a process has where: its executable, libraries, and memory without a file. Looked up anew only where an address is met
//! that lies in none of it, and not often: a process may map something any time, and garbage is met any time, too.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mapping::{Mapping, mappings};
use super::module::Module;
use super::modules::Modules;
use crate::capture::executable::FileId;
use crate::proc_stat::start_time;

/// Least time between two readings of a process's mappings, and how many times as long as a reading took: one of a hundred thousand
/// mappings takes a tenth of a second.
const READ_EVERY: Duration = Duration::from_secs(1);
const READING_TIMES: u32 = 100;
/// Executable mappings remembered of a process; those with more have made them by the thousand, for code of their own.
const MOST_RANGES: usize = 4_096;

/// Where an address lies.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the file that holds the process's Go code, its executable as a rule, as far as it is mapped.
    Executable,
    /// At a link-time address of a file of code.
    Module(Arc<Module>, u64),
    /// In code without a file that can be looked at, as the kernel calls it, or the file's name.
    Region(String),
    /// In nothing that can be executed, as far as is known: it is no address of code, or in what was mapped a moment ago.
    Nowhere,
}

/// The executable mappings of a process.
#[derive(Debug)]
pub(in crate::capture) struct AddressSpace {
    pid: u32,
    start_time: u64,
    file: FileId,
    /// Inode of the file that holds its Go code: the same, or that of a library.
    code: u64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// In order.
    ranges: Vec<Range>,
    next_reading: Option<Instant>,
}

#[derive(Debug)]
struct Range {
    mapping: Mapping,
    /// The file behind it, once it was met; inside none where it cannot be looked at.
    module: Option<Option<Arc<Module>>>,
}

impl AddressSpace {
    /// Of the process that runs this file since this time (clock ticks since boot), has its Go code in the one of this inode, and whose
    /// mappings are these.
    pub(in crate::capture) fn new(pid: u32, start_time: u64, (file, code): (FileId, u64), maps: &[u8]) -> Self {
        let known = Known { ranges: ranges(maps, &mut []), next_reading: None };
        Self { pid, start_time, file, code, known: Mutex::new(known) }
    }

    /// What lies at an address.
    pub(super) fn place(&self, address: u64, modules: &Modules) -> Place {
        let mut known = self.lock();
        if known.range(address).is_none() {
            self.read_again(&mut known);
        }
        let pid = self.pid;
        let Some(range) = known.range(address) else { return Place::Nowhere };
        let mapping = &range.mapping;
        if mapping.inode == self.code {
            return Place::Executable;
        }
        if mapping.inode == 0 {
            let name = if mapping.path.is_empty() { "anonymous" } else { &mapping.path };
            return Place::Region(name.to_owned());
        }
        let module = range.module.get_or_insert_with(|| modules.open(pid, mapping));
        let file_offset = address.wrapping_sub(mapping.start).wrapping_add(mapping.file_offset);
        let at = module.as_ref().and_then(|module| Some((Arc::clone(module), module.vaddr_of(file_offset)?)));
        at.map_or_else(|| Place::Region(file_name(&mapping.path)), |(module, vaddr)| Place::Module(module, vaddr))
    }

    fn read_again(&self, known: &mut Known) {
        let began = Instant::now();
        if known.next_reading.is_some_and(|next| began < next) {
            return;
        }
        // What was known of a process that has ended still holds for what is told of it.
        if let Ok(maps) = self.read() {
            known.ranges = ranges(&maps, &mut known.ranges);
        }
        known.next_reading = Some(Instant::now() + READ_EVERY.max(began.elapsed() * READING_TIMES));
    }

    /// The mappings of this process while it runs this file, and not those of the next one.
    fn read(&self) -> io::Result<Vec<u8>> {
        let maps = std::fs::read(format!("/proc/{}/maps", self.pid))?;
        let is_same =
            FileId::of_process(self.pid)?.inode == self.file.inode && start_time(self.pid)? == self.start_time;
        if is_same { Ok(maps) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn range(&mut self, address: u64) -> Option<&mut Range> {
        let next = self.ranges.partition_point(|range| range.mapping.start <= address);
        self.ranges.get_mut(next.checked_sub(1)?).filter(|range| address < range.mapping.end)
    }
}

/// Those that can be executed; what is known of the files of the former ones is kept.
fn ranges(maps: &[u8], former: &mut [Range]) -> Vec<Range> {
    let new = mappings(maps).filter(|mapping| mapping.is_executable).take(MOST_RANGES);
    let range = |mapping: Mapping| {
        let module = former.iter_mut().find(|range| range.mapping == mapping).and_then(|range| range.module.take());
        Range { mapping, module }
    };
    let mut ranges: Vec<Range> = new.map(range).collect();
    ranges.sort_unstable_by_key(|range| range.mapping.start);
    ranges
}

fn file_name(path: &str) -> String {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}
