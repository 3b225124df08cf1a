//! Functions of the kernel by its own table, /proc/kallsyms.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};

use super::synthetic;

const KALLSYMS: &str = "/proc/kallsyms";
/// Least time between two readings: an address that is in no function may be one of a module that came.
const READ_EVERY: Duration = Duration::from_secs(60);
/// Functions by which a thread leaves its CPU, from the one that switches to those that only arm a timer for it. The frame that
/// called them is the one that blocks.
const LEAVING: &[&str] = &[
    "__cond_resched",
    "__schedule",
    "io_schedule",
    "io_schedule_timeout",
    "preempt_schedule",
    "preempt_schedule_common",
    "preempt_schedule_irq",
    "preempt_schedule_notrace",
    "schedule",
    "schedule_hrtimeout",
    "schedule_hrtimeout_range",
    "schedule_hrtimeout_range_clock",
    "schedule_preempt_disabled",
    "schedule_timeout",
];
/// Frames at the leaf among which those are: of the probe itself, and them.
const LEAVING_WITHIN: usize = 12;

/// A place in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The kernel's module, if it is in one.
    pub(super) module: Option<&'a str>,
    pub(super) function: &'a str,
    offset: u64,
}

impl Place<'_> {
    /// What stands for it on a stack.
    pub(super) fn address(&self) -> u64 {
        synthetic::of_kernel(self.function, self.offset)
    }
}

/// The table as it was read last.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    functions: Functions,
    read_at: Option<Instant>,
    has_warned: bool,
}

impl Kernel {
    /// The places of return addresses in the kernel, leaf first, without what only leaves the CPU. Empty where the kernel does not tell.
    pub(super) fn places(&mut self, addresses: &[u64]) -> Vec<Place<'_>> {
        // The innermost ones are of our own program, which the kernel need not name.
        let mut known = addresses.iter().map(|address| self.functions.at(address.saturating_sub(1)).is_some());
        if known.by_ref().find(|is_known| *is_known).is_none() || known.any(|is_known| !is_known) {
            self.read_again();
        }
        // An address in no function is one of code that the kernel has made meanwhile, as for a BPF program.
        let places = addresses.iter().filter_map(|address| self.functions.at(address.saturating_sub(1)));
        let mut places: Vec<Place<'_>> = places.collect();
        let leaving = places.iter().take(LEAVING_WITHIN).rposition(|place| LEAVING.contains(&place.function));
        places.drain(..leaving.map_or(0, |last| last + 1));
        places
    }

    fn read_again(&mut self) {
        let now = Instant::now();
        if self.read_at.is_some_and(|read_at| now < read_at + READ_EVERY) {
            return;
        }
        self.read_at = Some(now);
        match File::open(KALLSYMS).and_then(|file| Functions::parse(BufReader::new(file))) {
            Ok(functions) if !functions.is_empty() => self.functions = functions,
            unread => self.warn(unread.err().as_ref()),
        }
    }

    /// Once.
    fn warn(&mut self, cause: Option<&io::Error>) {
        if std::mem::replace(&mut self.has_warned, true) {
            return;
        }
        let why = cause.map_or_else(|| "it tells no addresses".to_owned(), ToString::to_string);
        let restricted = std::fs::read_to_string("/proc/sys/kernel/kptr_restrict").unwrap_or_default();
        tracing::warn!(
            "frames of the kernel are left out: {KALLSYMS}: {why} (kernel.kptr_restrict = {}); grant the agent CAP_SYSLOG, and set \
             kernel.kptr_restrict to 1 if it is 2",
            restricted.trim()
        );
    }
}

/// Functions in the order of their addresses. Compact: there are a hundred thousand.
#[derive(Debug, Default)]
struct Functions {
    /// Address, and where its name begins and ends in the text.
    begins: Vec<(u64, u32, u32)>,
    /// Names, and behind a tab the module of those that have one.
    names: String,
}

impl Functions {
    /// Lines as `ffffffff81000000 T name` and a tab and `[module]`.
    fn parse(table: impl BufRead) -> io::Result<Self> {
        let mut all = Self::default();
        for line in table.lines() {
            let line = line?;
            let mut fields = line.splitn(3, ' ');
            let (Some(address), Some(kind), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let address = u64::from_str_radix(address, 16).unwrap_or_default();
            if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            let end = all.names.len().saturating_add(name.len());
            let (Ok(from), Ok(to)) = (u32::try_from(all.names.len()), u32::try_from(end)) else { break };
            all.names.push_str(name);
            all.begins.push((address, from, to));
        }
        // Of several names at one address the first one of the table counts, which is the same in every boot.
        all.begins.sort_by_key(|(address, _, _)| *address);
        all.begins.dedup_by_key(|(address, _, _)| *address);
        all.begins.shrink_to_fit();
        Ok(all)
    }

    fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    fn at(&self, address: u64) -> Option<Place<'_>> {
        let next = self.begins.partition_point(|(begin, _, _)| *begin <= address);
        // The last one may end anywhere.
        let (begin, from, to) = *self.begins.get(next.checked_sub(1)?).filter(|_| next < self.begins.len())?;
        let name = self.names.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)?;
        let (function, module) = name.split_once('\t').map_or((name, None), |(name, module)| (name, Some(module)));
        let module = module.map(|module| module.trim_matches(['[', ']']));
        Some(Place { module, function, offset: address - begin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "ffffffff81000000 T _text\n\
        0000000000000000 A absolute\n\
        ffffffff81002000 t vfs_read\n\
        ffffffff81002000 T __vfs_read\n\
        ffffffff81001000 T schedule\n\
        ffffffff81001800 D jiffies\n\
        ffffffffc0001000 t ext4_read\t[ext4]\n\
        ffffffffc0002000 T last\t[ext4]\n";

    fn kernel() -> Kernel {
        Kernel {
            functions: Functions::parse(TABLE.as_bytes()).unwrap(),
            read_at: Some(Instant::now()),
            has_warned: true,
        }
    }

    #[test]
    fn functions_are_found_by_address_and_modules_are_told() {
        let functions = Functions::parse(TABLE.as_bytes()).unwrap();
        let at = |address| functions.at(address).map(|place| (place.function, place.offset, place.module));
        assert_eq!(at(0xffff_ffff_8100_2010), Some(("vfs_read", 0x10, None)));
        assert_eq!(at(0xffff_ffff_8100_1900), Some(("schedule", 0x900, None)), "data is no function");
        assert_eq!(at(0xffff_ffff_c000_1001), Some(("ext4_read", 1, Some("ext4"))));
        assert_eq!((at(0x1000), at(u64::MAX)), (None, None));
        for cut in 0..TABLE.len() {
            let _ = Functions::parse(&TABLE.as_bytes()[..cut]);
        }
    }

    #[test]
    fn the_frame_that_blocks_is_the_first() {
        let mut kernel = kernel();
        let functions =
            |places: Vec<Place<'_>>| places.iter().map(|place| place.function.to_owned()).collect::<Vec<_>>();
        let [schedule, read, ext4] = [0xffff_ffff_8100_1010, 0xffff_ffff_8100_2010, 0xffff_ffff_c000_1001];
        assert_eq!(functions(kernel.places(&[schedule, schedule, ext4, read])), ["ext4_read", "vfs_read"]);
        assert_eq!(functions(kernel.places(&[read, 7, ext4])), ["vfs_read", "ext4_read"]);
        assert!(kernel.places(&[]).is_empty());
    }

    #[test]
    fn without_addresses_there_are_no_frames() {
        let hidden = b"0000000000000000 T _text\n0000000000000000 t vfs_read\n";
        assert!(Functions::parse(&hidden[..]).unwrap().is_empty());
    }
}
