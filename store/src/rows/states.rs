//! How goroutines spent their time.

use super::{GoroutineFate, GoroutineState, enum8, rows};
use crate::{Column, LowCardinality};

rows! {
    /// How the goroutines of processes spent their time, interval by interval.
    ProcessStateRows => "process_states" {
        /// Start of the minute, s since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service of the process.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id.
        pid: Vec<u32> => Column::U32,
        /// Begin of the interval; mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// Its length, ns.
        dur_ns: Vec<u64> => Column::U64,
        /// Running, all goroutines together, ns.
        running_ns: Vec<u64> => Column::U64,
        /// Ready and not running, ns.
        runnable_ns: Vec<u64> => Column::U64,
        /// In system calls, ns.
        syscall_ns: Vec<u64> => Column::U64,
        /// In C code, ns.
        cgo_ns: Vec<u64> => Column::U64,
        /// Blocked, ns.
        blocked_ns: Vec<u64> => Column::U64,
        /// The same by reason, ns.
        blocked_by: Vec<Vec<(String, u64)>> => Column::MapU64,
        /// How many times, by reason.
        blocked_times: Vec<Vec<(String, u64)>> => Column::MapU64,
        /// Alive at the end.
        goroutines: Vec<u64> => Column::U64,
        /// How many began.
        started: Vec<u64> => Column::U64,
        /// How many ended.
        ended: Vec<u64> => Column::U64,
        /// Times that one began to run.
        runs: Vec<u64> => Column::U64,
        /// Returns from a call whose P had been handed off.
        handoffs: Vec<u64> => Column::U64,
        /// Run of the reference.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono at the begin, ns.
        al_off: Vec<i64> => Column::I64,
        /// REF - mono at the end, ns.
        al_end_off: Vec<i64> => Column::I64,
        /// Half width of the bound at the begin, ns.
        err_ns: Vec<u64> => Column::U64,
        /// Half width of the bound at the end, ns.
        err_end_ns: Vec<u64> => Column::U64,
    }
}

rows! {
    /// How single goroutines spent their time since they were first seen.
    GoroutineStateRows => "goroutine_states" {
        /// Start of the minute as of when this is, s since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service of the process.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id.
        pid: Vec<u32> => Column::U32,
        /// Goroutine.
        goid: Vec<u64> => Column::U64,
        /// When it was first seen; mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// wall - mono then, ns.
        wall_off: Vec<i64> => Column::I64,
        /// To its end, or to as of when this is, ns.
        dur_ns: Vec<u64> => Column::U64,
        /// 1 = it began when it was first seen.
        start_seen: Vec<u8> => Column::U8,
        /// What became of it.
        fate: Vec<GoroutineFate> => enum8,
        /// What it did then, or last.
        state: Vec<GoroutineState> => enum8,
        /// Why it was blocked; empty = not known, or another state.
        reason: LowCardinality => Column::LowCardinality,
        /// For how long it had done that, ns.
        state_ns: Vec<u64> => Column::U64,
        /// Running, ns.
        running_ns: Vec<u64> => Column::U64,
        /// Ready and not running, ns.
        runnable_ns: Vec<u64> => Column::U64,
        /// In system calls, ns.
        syscall_ns: Vec<u64> => Column::U64,
        /// In C code, ns.
        cgo_ns: Vec<u64> => Column::U64,
        /// Blocked, ns.
        blocked_ns: Vec<u64> => Column::U64,
        /// The same by reason, ns.
        blocked_by: Vec<Vec<(String, u64)>> => Column::MapU64,
        /// How many times, by reason.
        blocked_times: Vec<Vec<(String, u64)>> => Column::MapU64,
        /// Times that it began to run.
        runs: Vec<u64> => Column::U64,
        /// Returns from a call whose P had been handed off.
        handoffs: Vec<u64> => Column::U64,
        /// Run of the reference.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono when it was first seen, ns.
        al_off: Vec<i64> => Column::I64,
        /// REF - mono as of when this is, ns.
        al_end_off: Vec<i64> => Column::I64,
        /// Half width of the bound of when it was first seen, ns.
        err_ns: Vec<u64> => Column::U64,
        /// Half width of the bound of as of when this is, ns.
        err_end_ns: Vec<u64> => Column::U64,
    }
}
