//! The programs on raw tracepoints. Each is attached only while somebody needs it: it costs every process of the machine.

use std::collections::HashSet;

use aya::Pod;
use aya::maps::{HashMap, MapData};
use aya::programs::raw_trace_point::RawTracePointLink;
use syncline_bpf::program;

use super::error::KernelError;
use super::kernel::{MAX_STEPS, Maps, Programs, stable_keys};
use super::syscalls;
use crate::kinds::{CaptureKind, Kinds};

/// Program and tracepoint of what these kinds need, in the order of attaching. The one on the way out of system calls comes before the
/// one on the way in: nothing must go in that nobody sees coming out.
fn needed_for(kinds: Kinds) -> impl Iterator<Item = (&'static str, &'static str)> {
    let has_calls = kinds.has(CaptureKind::Syscall) || kinds.stamp_sends();
    let off_cpu = kinds.has(CaptureKind::OffCpu);
    let all = [
        (true, program::PROCESS_EXEC, "sched_process_exec"),
        (true, program::THREAD_EXIT, "sched_process_exit"),
        (has_calls, program::SYSCALL_EXIT, "sys_exit"),
        (has_calls, program::SYSCALL_ENTER, "sys_enter"),
        (off_cpu || kinds.has(CaptureKind::KernelStacks), program::THREAD_SWITCH, "sched_switch"),
        (off_cpu, program::THREAD_WAKEUP, "sched_wakeup"),
    ];
    all.into_iter().filter(|(is_wanted, _, _)| *is_wanted).map(|(_, name, tracepoint)| (name, tracepoint))
}

/// Those that are attached.
#[derive(Default)]
pub(super) struct Tracepoints {
    /// In the order of attaching.
    links: Vec<(&'static str, RawTracePointLink)>,
    held: Option<Kinds>,
}

impl Tracepoints {
    /// Attaches what is needed, and detaches the rest. What was under way in what is detached is forgotten: it is neither captured
    /// nor counted, as what was under way when the agent came.
    pub(super) fn hold(&mut self, kinds: Kinds, maps: &mut Maps, programs: &mut Programs) -> Result<(), KernelError> {
        if self.held == Some(kinds) {
            return Ok(());
        }
        self.held = None;
        let wanted: Vec<_> = needed_for(kinds).collect();
        while let Some(at) = self.links.iter().rposition(|(has, _)| wanted.iter().all(|(_, wanted)| wanted != has)) {
            drop(self.links.remove(at));
        }
        self.forget_unseen(maps);
        let flags = syscalls::flags(kinds.has(CaptureKind::Syscall), kinds.stamp_sends());
        maps.syscall_config.set(0, flags, 0).map_err(|e| KernelError::new("set which system calls are waits", e))?;
        for (program, tracepoint) in wanted {
            if !self.has(tracepoint) {
                self.links.push((tracepoint, programs.attach_raw_tracepoint(program, tracepoint)?));
            }
        }
        self.held = Some(kinds);
        Ok(())
    }

    /// Names of the tracepoints that have a program, in the order of attaching.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.links.iter().map(|(name, _)| *name).collect()
    }

    fn has(&self, tracepoint: &str) -> bool {
        self.links.iter().any(|(name, _)| *name == tracepoint)
    }

    /// Empties the maps whose entries nobody would take out any more: a later call of that thread would be taken for the end of it.
    /// Also before attaching, when nothing can still be on its way into them.
    fn forget_unseen(&self, maps: &mut Maps) {
        if !self.has("sys_exit") {
            empty(&mut maps.in_syscalls);
        }
        if !self.has("sched_switch") {
            empty(&mut maps.off_cpus);
        }
        if !self.has("sched_process_exit") {
            empty(&mut maps.threads);
        }
    }
}

fn empty<V: Pod>(map: &mut HashMap<MapData, u32, V>) {
    let keys: HashSet<u32> = stable_keys(map.keys(), MAX_STEPS).unwrap_or_default().into_iter().collect();
    for key in keys {
        // Fails only if it is gone already.
        let _ = map.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_attached_that_nobody_needs() {
        let of = |kinds: &[CaptureKind]| needed_for(Kinds::of(kinds)).map(|(_, name)| name).collect::<Vec<_>>();
        let of_processes = ["sched_process_exec", "sched_process_exit"];
        assert_eq!(of(&[]), of_processes);
        assert_eq!(of(&[CaptureKind::Park, CaptureKind::States, CaptureKind::Cgo, CaptureKind::Tcp]), of_processes);
        let of_calls = ["sched_process_exec", "sched_process_exit", "sys_exit", "sys_enter"];
        assert_eq!(of(&[CaptureKind::Tcp, CaptureKind::SendLatency]), of_calls);
        let of_stacks = [&of_calls[..], &["sched_switch"]].concat();
        assert_eq!(of(&[CaptureKind::Syscall, CaptureKind::KernelStacks]), of_stacks);
        assert_eq!(of(&CaptureKind::ALL).len(), 6);
    }
}
