//! Goroutines in calls: their thread is in the kernel or in C code, and is known by its `runtime.m`.

use std::collections::HashMap;
use std::fs;

use super::goroutine::Goroutine;
use super::list::ReadMemory;
use crate::capture::process::ObservedProcess;

/// Where goroutines go to C code.
const TO_C: &str = "runtime.cgocall";

/// A goroutine in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) g: u64,
    pub(super) goid: u64,
    /// Its thread's `runtime.m`.
    pub(super) m: u64,
    pub(super) tid: u32,
    /// The depth of its call of C, if that is what it is in.
    pub(super) in_c: Option<u32>,
    /// What the thread sleeps in, if that is in the kernel.
    pub(super) in_kernel: Option<Sleep>,
}

/// The system call that a thread sleeps in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sleep {
    pub(super) nr: u32,
    /// Arguments, stack pointer and where it goes on, as /proc shows them.
    rest: String,
}

/// Finds the threads of a process by what it calls them itself.
pub(super) struct Threads<'a, M> {
    process: &'a ObservedProcess,
    memory: &'a M,
    /// By the number that the process itself has for it (in its own PID namespace) that of ours.
    tids: HashMap<u64, u32>,
}

impl<'a, M: ReadMemory> Threads<'a, M> {
    pub(super) fn of(process: &'a ObservedProcess, memory: &'a M) -> Self {
        Self { process, memory, tids: tids(process.pid) }
    }

    /// The call that this goroutine is in; None if none is known, or nobody waits there.
    pub(super) fn call_of(&self, g: u64, goroutine: &Goroutine) -> Option<Call> {
        let layout = self.process.binary.layout()?;
        let m = goroutine.calling_thread()?;
        let tid = *self.tids.get(&self.word(m, layout.m_procid)?)?;
        let depth = self.word(m, layout.m_ncgo).and_then(|word| u32::try_from(word & 0xffff_ffff).ok());
        let in_c = depth.filter(|depth| *depth > 0 && self.is_in_c(goroutine));
        let in_kernel = sleep(self.process.pid, tid);
        (in_c.is_some() || in_kernel.is_some()).then_some(Call { g, goid: goroutine.goid, m, tid, in_c, in_kernel })
    }

    fn is_in_c(&self, goroutine: &Goroutine) -> bool {
        let from = goroutine.call_pc.wrapping_sub(self.process.load_bias);
        self.process.binary.symbolize(from, true).last().is_some_and(|frame| frame.function == TO_C)
    }

    fn word(&self, at: u64, offset: u16) -> Option<u64> {
        let bytes = self.memory.piece(at.checked_add(offset.into())?, 8)?;
        Some(u64::from_ne_bytes(*bytes.first_chunk()?))
    }
}

fn tids(pid: u32) -> HashMap<u64, u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let tids = tasks.filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok());
    tids.filter_map(|tid| Some((own_number(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?)?, tid)))
        .collect()
}

/// Of `/proc/PID/task/TID/status` (proc(5)): the number in the innermost PID namespace comes last.
fn own_number(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

fn sleep(pid: u32, tid: u32) -> Option<Sleep> {
    sleep_in(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?)
}

/// Of `/proc/PID/task/TID/syscall` (proc(5)): `running`, or the number in decimal, -1 outside of one, and the rest.
fn sleep_in(call: &str) -> Option<Sleep> {
    let (nr, rest) = call.split_once(' ')?;
    Some(Sleep { nr: nr.parse().ok()?, rest: rest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_sleeps_in_and_what_it_is_called_are_read() {
        assert_eq!(sleep_in("0 0x7 0xc000 0x7ffc 0x4a\n").map(|sleep| sleep.nr), Some(0));
        assert_ne!(sleep_in("0 0x7 0xc000 0x7ffc 0x4a\n"), sleep_in("0 0x8 0xc000 0x7ffc 0x4a\n"));
        assert_eq!((sleep_in("running\n"), sleep_in("-1 0x7ffc 0x4a\n"), sleep_in("")), (None, None, None));
        assert_eq!(own_number("Name:\tx\nNSpid:\t4711\t12\t3\n"), Some(3));
        assert_eq!((own_number("NSpid:\n"), own_number("Pid:\t3\n")), (None, None));
        let own = tids(std::process::id());
        assert!(own.values().any(|tid| *tid == std::process::id()), "{own:?}");
    }
}
