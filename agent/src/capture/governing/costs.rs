//! What observing has cost each process, and the CPU time that it has used.

use std::collections::HashMap;

use aya::maps::{MapData, PerCpuHashMap, PerCpuValues};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use syncline_bpf::Cost;

use super::way_in::WayIn;

pub(in crate::capture) type KernelCosts = PerCpuHashMap<MapData, u32, [u8; Cost::NONE.len()]>;

/// Growth since it was read last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// CPU time that observing has taken of the process's, ns.
    pub(super) cost_ns: u64,
    /// Of that, what tracepoints took: it goes on between windows, too.
    pub(super) of_tracepoints_ns: u64,
    /// All of the process's CPU time, ns.
    pub(super) cpu_ns: u64,
    /// Hits of probes.
    pub(super) hits: u64,
}

/// The last readings.
#[derive(Debug)]
pub(super) struct Costs {
    way_in: WayIn,
    read: HashMap<u32, (Cost, u64)>,
}

impl Costs {
    pub(super) fn new(way_in: WayIn) -> Self {
        Self { way_in, read: HashMap::new() }
    }

    /// Has the kernel count for this process from now on.
    pub(super) fn begin(&mut self, pid: u32, kernel: &mut KernelCosts) {
        if self.read.contains_key(&pid) {
            return;
        }
        let cpus = aya::util::nr_cpus().unwrap_or(1);
        let none = PerCpuValues::try_from(vec![Cost::NONE; cpus]);
        if let Some(why) = none.ok().and_then(|none| kernel.insert(pid, none, 0).err()) {
            tracing::warn!(pid, "what observing costs it is not counted: {why}");
        }
        self.read.insert(pid, (Cost::default(), cpu_ns(pid).unwrap_or_default()));
    }

    /// The process has ended, or may cost what it will.
    pub(super) fn end(&mut self, pid: u32, kernel: &mut KernelCosts) {
        if self.read.remove(&pid).is_some() {
            // Fails only if it is gone already.
            let _ = kernel.remove(&pid);
        }
    }

    /// What was added since the last call; None for a process that is not there any more.
    pub(super) fn take(&mut self, pid: u32, kernel: &KernelCosts) -> Option<Spent> {
        let (cost_before, cpu_before) = self.read.get_mut(&pid)?;
        let per_cpu = kernel.get(&pid, 0).ok()?;
        let now = per_cpu.iter().map(Cost::decode).fold(Cost::default(), |sum, one| sum.plus(&one));
        let cpu_now = cpu_ns(pid)?;
        let grown = now.since(cost_before);
        let cpu_ns = cpu_now.saturating_sub(*cpu_before);
        (*cost_before, *cpu_before) = (now, cpu_now);
        let hits = grown.uprobes + grown.syscalls + grown.switches;
        let of_tracepoints_ns = self.way_in.of_tracepoints_ns(&grown);
        let cost_ns = self.way_in.of_uprobes_ns(&grown).saturating_add(of_tracepoints_ns);
        Some(Spent { cost_ns, of_tracepoints_ns, cpu_ns, hits })
    }
}

/// CPU time of a process so far, of threads that have ended, too, ns.
fn cpu_ns(pid: u32) -> Option<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let now = clock.now().ok()?;
    u64::try_from(now.tv_sec()).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(now.tv_nsec()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_process_grows_with_what_it_does() {
        let before = cpu_ns(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while cpu_ns(std::process::id()).unwrap() < before + 5_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert_eq!(cpu_ns(u32::MAX), None);
    }
}
