//! The programs on raw tracepoints. Each is attached only while somebody needs it: it costs every process of the machine.

use std::collections::HashSet;

use aya::Pod;
use aya::maps::{HashMap, MapData};
use aya::programs::raw_trace_point::RawTracePointLink;
use syncline_bpf::program;

use super::error::KernelError;
use super::kernel::{MAX_STEPS, Maps, Programs, stable_keys};
use super::kinds::Kinds;
use super::syscalls;

/// What is needed of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    /// Kinds that are captured of any process.
    pub(super) kinds: Kinds,
    /// Calls that send are stamped.
    pub(super) sends: bool,
    /// Threads are bound to goroutines for another reason.
    pub(super) threads: bool,
}

impl Needs {
    fn has_calls(self) -> bool {
        self.kinds.syscall || self.sends
    }

    /// Program and tracepoint in the order of attaching. The one on the way out of system calls comes before the one on the way in:
    /// nothing must go in that nobody sees coming out.
    fn tracepoints(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (has_calls, off_cpu) = (self.has_calls(), self.kinds.off_cpu);
        let all = [
            (true, program::PROCESS_EXEC, "sched_process_exec"),
            (has_calls || off_cpu || self.threads, program::THREAD_EXIT, "sched_process_exit"),
            (has_calls, program::SYSCALL_EXIT, "sys_exit"),
            (has_calls, program::SYSCALL_ENTER, "sys_enter"),
            (off_cpu, program::THREAD_SWITCH, "sched_switch"),
            (off_cpu, program::THREAD_WAKEUP, "sched_wakeup"),
        ];
        all.into_iter().filter(|(is_wanted, _, _)| *is_wanted).map(|(_, name, tracepoint)| (name, tracepoint))
    }
}

/// Those that are attached.
#[derive(Default)]
pub(super) struct Tracepoints {
    /// In the order of attaching.
    links: Vec<(&'static str, RawTracePointLink)>,
    held: Option<Needs>,
}

impl Tracepoints {
    /// Attaches what is needed, and detaches the rest. What was under way in what is detached is forgotten: it is neither captured
    /// nor counted, as what was under way when the agent came.
    pub(super) fn hold(&mut self, needs: Needs, maps: &mut Maps, programs: &mut Programs) -> Result<(), KernelError> {
        if self.held == Some(needs) {
            return Ok(());
        }
        self.held = None;
        let wanted: Vec<_> = needs.tracepoints().collect();
        while let Some(at) = self.links.iter().rposition(|(has, _)| wanted.iter().all(|(_, wanted)| wanted != has)) {
            drop(self.links.remove(at));
        }
        self.forget_unseen(maps);
        let flags = syscalls::flags(needs.kinds.syscall, needs.sends);
        maps.syscall_config.set(0, flags, 0).map_err(|e| KernelError::new("set which system calls are waits", e))?;
        for (program, tracepoint) in wanted {
            if !self.has(tracepoint) {
                self.links.push((tracepoint, programs.attach_raw_tracepoint(program, tracepoint)?));
            }
        }
        self.held = Some(needs);
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
        let of = |kinds, sends| {
            Needs { kinds, sends, threads: false }.tracepoints().map(|(_, name)| name).collect::<Vec<_>>()
        };
        assert_eq!(of(Kinds::NONE, false), ["sched_process_exec"]);
        assert_eq!(of(Kinds { cgo: true, ..Kinds::NONE }, false), ["sched_process_exec"]);
        assert_eq!(of(Kinds::NONE, true), ["sched_process_exec", "sched_process_exit", "sys_exit", "sys_enter"]);
        assert_eq!(of(Kinds::ALL, false).len(), 6);
    }
}
