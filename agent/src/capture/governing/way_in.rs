//! What the way into a program of ours costs a thread on this machine, measured on our own.
//!
//! The kernel side knows how long its programs take, and not what comes before and after them: a uprobe's trap, and the slower way that a
//! traced system call takes. Both are the difference of a thread's CPU time with and without the probe, over the shortest of some rounds,
//! since whatever disturbs a round makes it longer.

use std::num::NonZeroU64;

use rustix::time::{ClockId, clock_gettime};
use syncline_bpf::{Cost, program};

use crate::capture::kernel::Programs;

const ROUNDS: u32 = 15;
const CALLS: u64 = 200;
/// Where it cannot be measured: rather too much.
const ASSUMED_NS: u64 = 1_000;

/// Ns a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct WayIn {
    uprobe_ns: u64,
    /// Half of the call: its beginning or its end.
    syscall_ns: u64,
}

impl WayIn {
    /// Measures it; some ms. Before tracepoints are attached: those of system calls are, for that while.
    pub(in crate::capture) fn measure(programs: &mut Programs) -> Self {
        let uprobe_ns = uprobe_ns(programs).unwrap_or_else(|why| {
            tracing::warn!("what a probe costs cannot be measured: {why}; {ASSUMED_NS} ns are assumed");
            ASSUMED_NS
        });
        let syscall_ns = syscall_ns(programs).unwrap_or_else(|why| {
            tracing::warn!("what a traced system call costs cannot be measured: {why}; {ASSUMED_NS} ns are assumed");
            ASSUMED_NS
        });
        tracing::debug!(uprobe_ns, syscall_ns, "what a hit costs without its program");
        Self { uprobe_ns, syscall_ns }
    }

    /// CPU time of these hits of uprobes, ns.
    pub(in crate::capture) fn of_uprobes_ns(&self, hits: &Cost) -> u64 {
        hits.uprobes.saturating_mul(self.uprobe_ns).saturating_add(hits.uprobes_ns)
    }

    /// And of those that tracepoints saw.
    pub(in crate::capture) fn of_tracepoints_ns(&self, hits: &Cost) -> u64 {
        hits.syscalls.saturating_mul(self.syscall_ns).saturating_add(hits.tracepoints_ns)
    }
}

fn uprobe_ns(programs: &mut Programs) -> Result<u64, String> {
    let offset = target_in_file()?;
    let without = shortest_ns(|| target());
    let link = programs
        .attach(program::MEASURE_WAY_IN, "/proc/self/exe".as_ref(), offset, 0)
        .map_err(|error| error.to_string())?;
    let with = shortest_ns(|| target());
    // Takes a tenth of a second.
    std::thread::spawn(move || drop(link));
    NonZeroU64::new(with.saturating_sub(without)).map(NonZeroU64::get).ok_or_else(|| "it was not hit".to_owned())
}

fn syscall_ns(programs: &mut Programs) -> Result<u64, String> {
    let call = || {
        std::hint::black_box(rustix::process::getppid());
    };
    let without = shortest_ns(call);
    let attached = [(program::SYSCALL_EXIT, "sys_exit"), (program::SYSCALL_ENTER, "sys_enter")]
        .map(|(name, tracepoint)| programs.attach_raw_tracepoint(name, tracepoint));
    let with = shortest_ns(call);
    let [exit, enter] = attached;
    enter.and(exit).map_err(|error| error.to_string())?;
    // Nothing where somebody else traces all calls: then it costs nobody more.
    Ok(with.saturating_sub(without) / 2)
}

/// A call's share of the thread's CPU time in the shortest round.
fn shortest_ns(call: impl Fn()) -> u64 {
    let round = || {
        let began = thread_cpu_ns();
        (0..CALLS).for_each(|_| call());
        thread_cpu_ns().saturating_sub(began) / CALLS
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec).unsigned_abs()
}

/// Begins as the Go functions do at the instruction that is probed: the kernel emulates it.
// SAFETY: a naked function is all of its own body. This one takes nothing and gives nothing back, keeps to the C calling convention (the stack
// pointer and every register are at the end as they were at the begin), and returns.
#[unsafe(naked)]
#[allow(unsafe_code, reason = "a function whose first instruction is known")]
extern "C" fn target() {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!("push rbp", "pop rbp", "ret");
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!("b 1f", "1:", "ret");
}

/// Where it is in our executable.
fn target_in_file() -> Result<u64, String> {
    let address = (target as extern "C" fn()) as usize as u64;
    let maps = procfs::process::Process::myself().and_then(|own| own.maps()).map_err(|error| error.to_string())?;
    let holds = |map: &&procfs::process::MemoryMap| (map.address.0..map.address.1).contains(&address);
    let map = maps.iter().find(holds).ok_or("our own code is mapped nowhere")?;
    Ok(address - map.address.0 + map.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_hits_is_that_of_the_ways_in_and_of_the_programs() {
        let way_in = WayIn { uprobe_ns: 600, syscall_ns: 150 };
        let hits = Cost { uprobes: 10, syscalls: 4, switches: 3, uprobes_ns: 5_000, tracepoints_ns: 700 };
        assert_eq!((way_in.of_uprobes_ns(&hits), way_in.of_tracepoints_ns(&hits)), (6_000 + 5_000, 600 + 700));
    }

    #[test]
    fn the_function_that_is_probed_is_in_our_file() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let at = usize::try_from(target_in_file().unwrap()).unwrap();
        let expected: &[u8] = if cfg!(target_arch = "x86_64") { &[0x55, 0x5d, 0xc3] } else { &[0x01, 0, 0, 0x14] };
        assert_eq!(&own[at..at + expected.len()], expected);
    }
}
