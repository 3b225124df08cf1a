//! A finished wait in the words of the binary it happened in.

use syncline_bpf::layout::{OFF_CPU_INTERRUPTIBLE, OFF_CPU_PREEMPTED, OFF_CPU_STOPPED, OFF_CPU_UNINTERRUPTIBLE};
use syncline_bpf::{WaitKind, WaitRecord};
use syncline_event::{Flow, Kind, TraceContext, limits};

use super::binary::Binary;
use super::frames::{Frames, Placed};
use super::process::ObservedProcess;
use super::{file, syscalls};
use crate::governor::ONCE_MILLI;

/// Text for a wait reason whose number this Go version does not have.
pub const UNKNOWN_REASON: &str = "unknown";
/// The reason of every call of C.
pub(crate) const CALL_OF_C: &str = "cgo call";

/// A finished wait: it began, could have gone on, and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawWait {
    /// Process id.
    pub tgid: u32,
    /// What waited.
    pub kind: Kind,
    /// The thread that waited, or that ran the goroutine when it parked; 0 = not known of one that `began_before`.
    pub tid: u32,
    /// Goroutine id; 0 = none, see `no_goroutine` and `unbound`.
    pub goid: u64,
    /// Of a goroutine: Go's text of the wait reason in that binary's version; of a system call: its name; [`UNKNOWN_REASON`].
    pub reason: &'static str,
    /// The reason's number in that version, or the system call's.
    pub reason_number: u16,
    /// When it began, CLOCK_MONOTONIC ns.
    pub park_mono_ns: u64,
    /// When it began, CLOCK_REALTIME ns, taken in the kernel right after `park_mono_ns`.
    pub park_wall_ns: u64,
    /// When it was made ready, CLOCK_MONOTONIC ns. None where the runtime makes it ready without passing a probe (an idle
    /// GC worker, a park that was called off).
    pub ready_mono_ns: Option<u64>,
    /// When it was scheduled to run again, or the call returned; CLOCK_MONOTONIC ns.
    pub run_mono_ns: u64,
    /// The goroutine that made it ready; None if a timer or the poller did, outside of any goroutine.
    pub waker_goid: Option<u64>,
    /// Made ready by the network poller.
    pub by_netpoll: bool,
    /// The stack is deeper than `max_stack_depth`, or with the kernel's part than a stack may be told.
    pub stack_truncated: bool,
    /// A frame could not be read; the stack ends there.
    pub stack_unreadable: bool,
    /// The thread ran no goroutine: Go's scheduler itself waited, or a thread of C code.
    pub no_goroutine: bool,
    /// Whether the thread ran a goroutine could not be found out.
    pub unbound: bool,
    /// It was found going on at `park_mono_ns`, when the observation of its process began: it began before, and is longer.
    pub began_before: bool,
    /// How many times it counts, in thousandths: a process that is observed in windows is seen doing a part of what it does.
    pub weight_milli: u32,
    /// What it waited on, in the process's memory: the lock of a channel, a futex's word; of a mutex the lock of the runtime's list of
    /// those that wait, which some other mutexes share.
    pub address: Option<u64>,
    /// What the system call returned; minus its errno if negative; 0 for other kinds.
    pub result: i64,
    /// The file descriptor it waited for.
    pub fd: Option<u32>,
    /// What that stood for, as `tcp`, `pipe`, `file`.
    pub file_type: Option<&'static str>,
    /// Its connection.
    pub flow: Option<Flow>,
    /// Trace and span by the goroutine's labels, where the program sets them.
    pub trace: TraceContext,
    /// Return addresses, leaf first: link-time ones (load bias removed) of the executable, and what stands for those of other code
    /// (see [`Frames`]).
    pub stack: Vec<u64>,
    /// Those of the goroutine that made it ready; empty where not known.
    pub waker_stack: Vec<u64>,
    /// Build of the binary, see [`Binary::build_id`].
    pub build_id: u64,
}

impl RawWait {
    /// From its begin to its end, ns.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.run_mono_ns.saturating_sub(self.park_mono_ns)
    }

    /// How long it could have gone on and did not, ns; none where that was not seen.
    #[must_use]
    pub fn run_delay_ns(&self) -> Option<u64> {
        self.ready_mono_ns.map(|ready| self.run_mono_ns.saturating_sub(ready))
    }

    pub(super) fn new(record: &WaitRecord, process: &ObservedProcess, frames: &Frames) -> Self {
        let binary = &process.binary;
        let Stack { addresses, has_gaps, is_cut } = stack(record, process, frames);
        Self {
            tgid: record.tgid,
            kind: kind(record.kind),
            tid: record.tid,
            goid: record.goid,
            reason: reason_text(binary, record.kind, record.reason),
            reason_number: record.reason,
            park_mono_ns: record.park_mono_ns,
            park_wall_ns: record.park_wall_ns,
            ready_mono_ns: record.ready_mono_ns,
            run_mono_ns: record.run_mono_ns,
            waker_goid: record.waker_goid,
            by_netpoll: record.by_netpoll,
            stack_truncated: record.stack_truncated || is_cut,
            stack_unreadable: record.stack_unreadable || has_gaps,
            no_goroutine: record.of_scheduler,
            unbound: record.is_unbound,
            began_before: record.began_before,
            weight_milli: ONCE_MILLI,
            address: record.address,
            result: record.result,
            fd: record.fd,
            file_type: record.file.as_ref().map(file::type_of),
            flow: record.file.and_then(|file| file.ends).as_ref().map(file::flow),
            trace: TraceContext { trace_id: record.trace_id, span_id: record.span_id },
            stack: addresses,
            waker_stack: frames.placed(process, &record.waker_stack).stack,
            build_id: binary.build_id(),
        }
    }
}

pub(super) fn reason_text(binary: &Binary, kind: WaitKind, number: u16) -> &'static str {
    let of_goroutine = || u8::try_from(number).ok().and_then(|number| binary.wait_reason(number));
    let text = match kind {
        WaitKind::Goroutine => of_goroutine(),
        WaitKind::Syscall => syscalls::name(number),
        WaitKind::OffCpu => off_cpu_text(number),
        WaitKind::Cgo => Some(CALL_OF_C),
    };
    text.unwrap_or(UNKNOWN_REASON)
}

fn off_cpu_text(number: u16) -> Option<&'static str> {
    match number {
        OFF_CPU_PREEMPTED => Some("preempted"),
        OFF_CPU_UNINTERRUPTIBLE => Some("uninterruptible"),
        OFF_CPU_INTERRUPTIBLE => Some("interruptible"),
        OFF_CPU_STOPPED => Some("stopped"),
        _ => None,
    }
}

pub(super) fn kind(kind: WaitKind) -> Kind {
    match kind {
        WaitKind::Goroutine => Kind::Goroutine,
        WaitKind::Syscall => Kind::Syscall,
        WaitKind::OffCpu => Kind::OffCpu,
        WaitKind::Cgo => Kind::Cgo,
    }
}

/// A stack as it is told.
struct Stack {
    addresses: Vec<u64>,
    /// See [`Placed`].
    has_gaps: bool,
    /// Outer calls were left out.
    is_cut: bool,
}

impl Stack {
    fn of(in_kernel: Vec<u64>, placed: Placed) -> Self {
        let mut addresses = in_kernel;
        addresses.extend(placed.stack);
        let is_cut = addresses.len() > limits::STACK_DEPTH;
        addresses.truncate(limits::STACK_DEPTH);
        Self { addresses, has_gaps: placed.has_gaps, is_cut }
    }
}

/// The return addresses as they stand on a stack, those in the kernel first. The word on top of the stack is one only where the function
/// that made the system call has no frame; Go's own table knows that.
fn stack(record: &WaitRecord, process: &ObservedProcess, frames: &Frames) -> Stack {
    let (binary, load_bias) = (&process.binary, process.load_bias);
    let is_frameless = |leaf: &u64| binary.is_frameless_at(leaf.wrapping_sub(load_bias).saturating_sub(1));
    let placed = match record.stack.as_slice() {
        [leaf, _, callers @ ..] if record.has_top_of_stack && !is_frameless(leaf) => {
            frames.placed(process, &[&[*leaf], callers].concat())
        }
        all => frames.placed(process, all),
    };
    if let (WaitKind::Syscall | WaitKind::OffCpu, Some(leaf)) = (record.kind, placed.stack.first()) {
        frames.expect(binary, *leaf);
    }
    Stack::of(frames.placed_in_kernel(&record.kernel_stack), placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_is_too_deep_with_the_kernels_part_is_cut_and_says_so() {
        let deepest = || Placed { stack: vec![1; limits::STACK_DEPTH], has_gaps: false };
        for (in_kernel, is_cut) in [(vec![], false), (vec![2; 24], true)] {
            let stack = Stack::of(in_kernel.clone(), deepest());
            assert_eq!((stack.addresses.len(), stack.is_cut), (limits::STACK_DEPTH, is_cut));
            assert!(stack.addresses.starts_with(&in_kernel));
        }
    }
}
