//! What code a process has where: its executable, libraries, and memory without a file. Looked up anew only where an address is met
//! that lies in none of it, and not often: a process may map something any time, and garbage is met any time, too.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mapping::{MappedFile, Mapping, mappings};
use super::module::Module;
use super::modules::{Modules, Unopened};
use crate::capture::budget::{Budget, SLOWNESS};
use crate::capture::executable::FileId;
use crate::proc_stat::start_time;

/// Least time between two readings of a process's mappings, and how many times as long as a reading took: one of a hundred thousand
/// mappings takes a tenth of a second.
const READ_EVERY: Duration = Duration::from_secs(1);
const READING_TIMES: u32 = 100;
/// How long the files of a process may keep whoever reads the ring waiting, and of which time. They are in memory, as a rule: it executes
/// them.
const OPENING: Duration = Duration::from_millis(200 * SLOWNESS);
const OPENING_OF: Duration = Duration::from_secs(10);
/// A file that was not opened in time is tried again after this, so that in most of these times others are.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(30);
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
    /// In a file that is to be opened later, of this name.
    Late(String),
    /// In nothing that can be executed, as far as is known: it is no address of code, or in what was mapped a moment ago.
    Nowhere,
}

/// The executable mappings of a process.
#[derive(Debug)]
pub(in crate::capture) struct AddressSpace {
    pid: u32,
    start_time: u64,
    file: FileId,
    /// The file that holds its Go code: the same, or a library.
    code: MappedFile,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// In order.
    ranges: Vec<Range>,
    next_reading: Option<Instant>,
    opening: Budget,
}

#[derive(Debug)]
struct Range {
    mapping: Mapping,
    behind: Behind,
}

/// The file behind a mapping.
#[derive(Debug)]
enum Behind {
    /// Not met yet, or not opened in time, and not to be tried before this.
    Unopened {
        not_before: Option<Instant>,
    },
    Opened(Arc<Module>),
    /// It cannot be looked at.
    Refused,
}

impl AddressSpace {
    /// Of the process that runs this file since this time (clock ticks since boot), has its Go code in that one, and whose
    /// mappings are these.
    pub(in crate::capture) fn new(pid: u32, start_time: u64, (file, code): (FileId, MappedFile), maps: &[u8]) -> Self {
        let opening = Budget::new(OPENING, OPENING_OF);
        let known = Known { ranges: ranges(maps, &mut []), next_reading: None, opening };
        Self { pid, start_time, file, code, known: Mutex::new(known) }
    }

    /// What lies at an address.
    pub(super) fn place(&self, address: u64, modules: &Modules) -> Place {
        let mut known = self.lock();
        if range(&mut known.ranges, address).is_none() {
            self.read_again(&mut known);
        }
        let Known { ranges, opening, .. } = &mut *known;
        let Some(range) = range(ranges, address) else { return Place::Nowhere };
        let module_of = |mapping: &Mapping, limit: Duration| modules.open(self.pid, mapping, limit);
        let mapping = &range.mapping;
        if mapping.file() == self.code {
            return Place::Executable;
        }
        if mapping.inode == 0 {
            let name = if mapping.path.is_empty() { "anonymous" } else { &mapping.path };
            return Place::Region(name.to_owned());
        }
        let file_offset = address.wrapping_sub(mapping.start).wrapping_add(mapping.file_offset);
        let module = range.module(Instant::now(), opening, module_of);
        if matches!(range.behind, Behind::Unopened { .. }) {
            return Place::Late(file_name(range.mapping.file_path()));
        }
        let at = module.and_then(|module| Some((module.vaddr_of(file_offset)?, module)));
        at.map_or_else(
            || Place::Region(file_name(range.mapping.file_path())),
            |(vaddr, module)| Place::Module(module, vaddr),
        )
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

impl Default for Behind {
    fn default() -> Self {
        Self::Unopened { not_before: None }
    }
}

impl Range {
    /// The file behind it; none where it cannot be looked at, or not now. What opens it is told how long it may take.
    fn module(
        &mut self,
        now: Instant,
        opening: &mut Budget,
        open: impl FnOnce(&Mapping, Duration) -> Result<Arc<Module>, Unopened>,
    ) -> Option<Arc<Module>> {
        if let Behind::Unopened { not_before } = self.behind
            && not_before.is_none_or(|time| time <= now)
        {
            let opened = open(&self.mapping, opening.left(now)?);
            opening.spend(now.elapsed());
            self.behind = match opened {
                Ok(module) => Behind::Opened(module),
                Err(Unopened::Refused) => Behind::Refused,
                Err(Unopened::NotNow) => Behind::Unopened { not_before: Some(now + TRIED_AGAIN_AFTER) },
            };
        }
        match &self.behind {
            Behind::Opened(module) => Some(Arc::clone(module)),
            Behind::Unopened { .. } | Behind::Refused => None,
        }
    }
}

fn range(ranges: &mut [Range], address: u64) -> Option<&mut Range> {
    let next = ranges.partition_point(|range| range.mapping.start <= address);
    ranges.get_mut(next.checked_sub(1)?).filter(|range| address < range.mapping.end)
}

/// Those that can be executed; what is known of the files of the former ones is kept.
fn ranges(maps: &[u8], former: &mut [Range]) -> Vec<Range> {
    let new = mappings(maps).filter(|mapping| mapping.is_executable).take(MOST_RANGES);
    let range = |mapping: Mapping| {
        let known = former.iter_mut().find(|range| range.mapping == mapping);
        let behind = known.map(|range| std::mem::take(&mut range.behind)).unwrap_or_default();
        Range { mapping, behind }
    };
    let mut ranges: Vec<Range> = new.map(range).collect();
    ranges.sort_unstable_by_key(|range| range.mapping.start);
    ranges
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn library() -> Range {
        ranges(b"1000-2000 r-xp 00000000 08:01 42 /lib/libtest.so\n", &mut []).remove(0)
    }

    fn module() -> Arc<Module> {
        Arc::new(Module::of(File::open("/proc/self/exe").unwrap(), "libtest.so".to_owned()).unwrap())
    }

    fn budget() -> Budget {
        Budget::new(Duration::from_secs(60), OPENING_OF)
    }

    #[test]
    fn a_file_that_is_late_is_tried_again_and_one_that_is_refused_is_not() {
        let (mut late, mut refused, mut opening, now) = (library(), library(), budget(), Instant::now());
        assert!(late.module(now, &mut opening, |_, _| Err(Unopened::NotNow)).is_none());
        assert!(late.module(now, &mut opening, |_, _| unreachable!("not so soon")).is_none());
        assert!(late.module(now + TRIED_AGAIN_AFTER, &mut opening, |_, _| Ok(module())).is_some());
        assert!(late.module(now, &mut opening, |_, _| unreachable!("it is open")).is_some());
        assert!(refused.module(now, &mut opening, |_, _| Err(Unopened::Refused)).is_none());
        assert!(refused.module(now + TRIED_AGAIN_AFTER, &mut opening, |_, _| unreachable!("never")).is_none());
    }

    #[test]
    fn files_wait_where_the_time_for_them_is_spent() {
        let (mut range, mut opening, now) = (library(), budget(), Instant::now());
        opening.left(now);
        opening.spend(Duration::from_secs(60));
        assert!(range.module(now, &mut opening, |_, _| unreachable!("no time is left")).is_none());
        assert!(range.module(now + OPENING_OF, &mut opening, |_, _| Ok(module())).is_some());
    }

    #[test]
    fn addresses_in_files_that_are_late_are_told_from_others() {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let own = mappings(&maps).find(|mapping| mapping.is_executable && mapping.inode != 0).unwrap();
        let file = FileId::of_process(std::process::id()).unwrap();
        let space = AddressSpace::new(std::process::id(), 0, (file, (0, 0)), &maps);
        space.lock().opening = Budget::new(Duration::ZERO, OPENING_OF);
        assert!(matches!(space.place(own.start, &Modules::default()), Place::Late(_)));
    }

    /// A mapping of this program's own code lies in another file where the device is another one.
    #[test]
    fn a_file_of_the_same_number_on_another_device_is_another_file() {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let own = mappings(&maps).find(|mapping| mapping.is_executable && mapping.inode != 0).unwrap();
        let (device, inode) = own.file();
        let place = |code: MappedFile| {
            let file = FileId::of_process(std::process::id()).unwrap();
            let space = AddressSpace::new(std::process::id(), 0, (file, code), &maps);
            space.place(own.start, &Modules::default())
        };
        assert!(matches!(place((device, inode)), Place::Executable));
        assert!(matches!(place((device + 1, inode)), Place::Module(..)));
    }
}
