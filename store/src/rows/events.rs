//! Waits: single events, aggregates of the short ones, and what was lost.

use super::{BoundClass, ClockStatus, EventKind, enum8, rows};
use crate::{Arrays, Column, LowCardinality};

/// Bit of `events.flags`: the moment the goroutine became ready was seen, so `run_delay_ns` is a measurement.
pub const FLAG_READY_SEEN: u16 = 1;
/// Bit of `events.flags`: the network poller woke it, not another goroutine.
pub const FLAG_WOKEN_BY_NETPOLL: u16 = 1 << 1;

rows! {
    /// One row per finished wait at or above the capture threshold.
    EventRows => "events" {
        /// Start of the batch's minute, in seconds since 1970; stamped once by the agent, so a retry never moves a row.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service the process belongs to.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Number of the event; (node, boot, seq) is its identity.
        seq: Vec<u64> => Column::U64,
        /// Process id in the host's namespace.
        pid: Vec<u32> => Column::U32,
        /// Thread that waited, or that the goroutine parked on.
        tid: Vec<u32> => Column::U32,
        /// Goroutine id; 0 when there is none.
        goid: Vec<u64> => Column::U64,
        /// What waited.
        kind: Vec<EventKind> => enum8,
        /// Go's own text of the wait reason, such as `chan receive`, or the name of the system call.
        reason: LowCardinality => Column::LowCardinality,
        /// Its begin, on the node's mono.
        mono_ns: Vec<u64> => Column::U64,
        /// wall - mono at park, as the kernel had it.
        wall_off: Vec<i64> => Column::I64,
        /// Park to running again.
        dur_ns: Vec<u64> => Column::U64,
        /// Ready to running; a part of `dur_ns`. 0 unless [`FLAG_READY_SEEN`].
        run_delay_ns: Vec<u64> => Column::U64,
        /// [`FLAG_READY_SEEN`], [`FLAG_WOKEN_BY_NETPOLL`], and how its stack is short.
        flags: Vec<u16> => Column::U16,
        /// Key into `stacks`; 0 when no stack was taken.
        stack_id: Vec<u64> => Column::U64,
        /// Goroutine that made it ready; 0 when not known.
        waker_goid: Vec<u64> => Column::U64,
        /// Where that did so, as `stack_id`; 0 when not known.
        waker_stack_id: Vec<u64> => Column::U64,
        /// What it waited on, in the memory of the process; 0 when not known.
        address: Vec<u64> => Column::U64,
        /// What the system call returned; minus its errno if negative.
        result: Vec<i64> => Column::I64,
        /// File descriptor; -1 when none.
        fd: Vec<i32> => Column::I32,
        /// What that stood for, in a short fixed text; empty when not known.
        fd_type: LowCardinality => Column::LowCardinality,
        /// This end of its connection; all zero when it has none.
        local_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Port of this end.
        local_port: Vec<u16> => Column::U16,
        /// The other end.
        peer_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Port of the other end.
        peer_port: Vec<u16> => Column::U16,
        /// Run of the reference that the offsets lead to; times of two runs cannot be compared.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono at park.
        al_off: Vec<i64> => Column::I64,
        /// REF - mono when it ran again.
        al_end_off: Vec<i64> => Column::I64,
        /// Half width of the bound at park; [`UNBOUNDED_NS`](super::UNBOUNDED_NS) without an estimate.
        err_ns: Vec<u64> => Column::U64,
        /// Half width of the bound when it ran again.
        err_end_ns: Vec<u64> => Column::U64,
        /// What the bounds assume.
        bound_class: Vec<BoundClass> => enum8,
        /// Status of the node's clock estimate.
        clock_status: Vec<ClockStatus> => enum8,
        /// Disruption generation within the boot.
        epoch: Vec<u32> => Column::U32,
        /// Revision of the clock model that aligned the row.
        model_rev: Vec<u32> => Column::U32,
        /// Trace id by the goroutine's labels, as its bytes; zeros without one.
        trace_id: Vec<[u8; 16]> => Column::FixedString16,
        /// Span id by the goroutine's labels; 0 without one.
        span_id: Vec<u64> => Column::U64,
        /// How many such waits it stands for, in thousandths.
        weight_milli: Vec<u32> => Column::U32,
    }
}

/// Bit of `events.flags` and `open_waits.flags`: it was found going on at its begin, and is longer.
pub const FLAG_BEGAN_BEFORE: u16 = 1 << 7;
/// Bit of `open_waits.flags`: it never ended, its process did.
pub const FLAG_ABANDONED: u16 = 1 << 6;

rows! {
    /// Waits that go on, a row each time that one is told of; see [`EventRows`] for what the columns mean.
    OpenWaitRows => "open_waits" {
        /// Minute of `mono_ns + dur_ns`, in seconds since 1970; as in `events` otherwise.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service the process belongs to.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id in the host's namespace.
        pid: Vec<u32> => Column::U32,
        /// Thread that waits, or that the goroutine parked on.
        tid: Vec<u32> => Column::U32,
        /// Goroutine id.
        goid: Vec<u64> => Column::U64,
        /// What waits.
        kind: Vec<EventKind> => enum8,
        /// As in `events`.
        reason: LowCardinality => Column::LowCardinality,
        /// Its begin, on the node's mono.
        mono_ns: Vec<u64> => Column::U64,
        /// wall - mono then, as the kernel had it.
        wall_off: Vec<i64> => Column::I64,
        /// How long it had gone on when it was looked at.
        dur_ns: Vec<u64> => Column::U64,
        /// Ready to then; a part of `dur_ns`.
        run_delay_ns: Vec<u64> => Column::U64,
        /// As in `events`, and [`FLAG_ABANDONED`].
        flags: Vec<u16> => Column::U16,
        /// Key into `stacks`; 0 when no stack was taken.
        stack_id: Vec<u64> => Column::U64,
        /// Goroutine that made it ready; 0 when not known.
        waker_goid: Vec<u64> => Column::U64,
        /// What it waits on, in the memory of the process; 0 when not known.
        address: Vec<u64> => Column::U64,
        /// File descriptor; -1 when none.
        fd: Vec<i32> => Column::I32,
        /// What that stands for; empty when not known.
        fd_type: LowCardinality => Column::LowCardinality,
        /// This end of its connection; all zero when it has none.
        local_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Port of this end.
        local_port: Vec<u16> => Column::U16,
        /// The other end.
        peer_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Port of the other end.
        peer_port: Vec<u16> => Column::U16,
        /// Run of the reference that the offsets lead to.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono at its begin.
        al_off: Vec<i64> => Column::I64,
        /// REF - mono when it was looked at.
        al_end_off: Vec<i64> => Column::I64,
        /// Half width of the bound of the begin.
        err_ns: Vec<u64> => Column::U64,
        /// Half width of the bound of the look.
        err_end_ns: Vec<u64> => Column::U64,
        /// As in `events`.
        trace_id: Vec<[u8; 16]> => Column::FixedString16,
        /// As in `events`.
        span_id: Vec<u64> => Column::U64,
    }
}

rows! {
    /// Waits below the threshold, counted in the kernel, per process, kind and reason.
    ShortWaitRows => "short_waits" {
        /// Start of the batch's minute, in seconds since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service the process belongs to.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id in the host's namespace.
        pid: Vec<u32> => Column::U32,
        /// What waited.
        kind: Vec<EventKind> => enum8,
        /// As in `events`.
        reason: LowCardinality => Column::LowCardinality,
        /// Waits since the previous row.
        count: Vec<u64> => Column::U64,
        /// Sum of their durations.
        total_ns: Vec<u64> => Column::U64,
        /// Element k (from 0) counts the waits of [2^k, 2^(k+1)) ns.
        hist: Arrays => Column::ArrayU64,
        /// How many such sums it stands for, in thousandths.
        weight_milli: Vec<u32> => Column::U32,
        /// 1 = parts of waits that lay in windows.
        is_parts: Vec<u8> => Column::U8,
        /// Number of the batch.
        batch: Vec<u64> => Column::U64,
    }
}

rows! {
    /// Events that were not stored, counted by cause.
    LossRows => "losses" {
        /// Start of the batch's minute, in seconds since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// First event number of the agent's run.
        run_seq: Vec<u64> => Column::U64,
        /// Why, in a short fixed text.
        cause: LowCardinality => Column::LowCardinality,
        /// Events lost since the previous row of the same run and cause.
        count: Vec<u64> => Column::U64,
        /// Number of the batch that told, or of the dropped one that had it.
        batch: Vec<u64> => Column::U64,
    }
}
