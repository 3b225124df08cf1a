//! A finished wait in the words of the binary it happened in.

use syncline_bpf::WaitRecord;
use syncline_event::TraceContext;

use super::binary::Binary;

/// Text for a wait reason whose number this Go version does not have.
pub const UNKNOWN_REASON: &str = "unknown";

/// A goroutine's finished wait: it parked, was made ready, and runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawWait {
    /// Process id.
    pub tgid: u32,
    /// Thread that ran the goroutine when it parked.
    pub tid: u32,
    /// Goroutine id.
    pub goid: u64,
    /// Go's text of the wait reason in that binary's version, or [`UNKNOWN_REASON`].
    pub reason: &'static str,
    /// The reason's number in that version.
    pub reason_number: u8,
    /// When it parked, CLOCK_MONOTONIC ns.
    pub park_mono_ns: u64,
    /// When it parked, CLOCK_REALTIME ns, taken in the kernel right after `park_mono_ns`.
    pub park_wall_ns: u64,
    /// When it was made ready, CLOCK_MONOTONIC ns. None where the runtime makes it ready without passing a probe (an idle
    /// GC worker, a park that was called off).
    pub ready_mono_ns: Option<u64>,
    /// When it was scheduled to run again, CLOCK_MONOTONIC ns.
    pub run_mono_ns: u64,
    /// The goroutine that made it ready; None if a timer or the poller did, outside of any goroutine.
    pub waker_goid: Option<u64>,
    /// Made ready by the network poller.
    pub by_netpoll: bool,
    /// The stack is deeper than `max_stack_depth`.
    pub stack_truncated: bool,
    /// A frame could not be read; the stack ends there.
    pub stack_unreadable: bool,
    /// Trace and span by the goroutine's labels, where the program sets them.
    pub trace: TraceContext,
    /// Return addresses as link-time addresses (load bias removed), leaf first.
    pub stack: Vec<u64>,
    /// Build of the binary, see [`Binary::build_id`].
    pub build_id: u64,
}

impl RawWait {
    pub(super) fn new(record: &WaitRecord, binary: &Binary, load_bias: u64) -> Self {
        Self {
            tgid: record.tgid,
            tid: record.tid,
            goid: record.goid,
            reason: reason_text(binary, record.reason),
            reason_number: record.reason,
            park_mono_ns: record.park_mono_ns,
            park_wall_ns: record.park_wall_ns,
            ready_mono_ns: record.ready_mono_ns,
            run_mono_ns: record.run_mono_ns,
            waker_goid: record.waker_goid,
            by_netpoll: record.by_netpoll,
            stack_truncated: record.stack_truncated,
            stack_unreadable: record.stack_unreadable,
            trace: TraceContext { trace_id: record.trace_id, span_id: record.span_id },
            stack: record.stack.iter().map(|address| address.wrapping_sub(load_bias)).collect(),
            build_id: binary.build_id(),
        }
    }
}

pub(super) fn reason_text(binary: &Binary, number: u8) -> &'static str {
    binary.wait_reason(number).unwrap_or(UNKNOWN_REASON)
}
