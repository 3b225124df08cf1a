//! Mirrors of the structs in `c/records.h`, used for their sizes and offsets. A change on one side only does not compile.

use std::mem::{offset_of, size_of};

use crate::{HISTOGRAM_BUCKETS, MAX_STACK};

/// First word of a finished wait.
pub const RECORD_WAIT: u32 = 1;
/// First word of an exec notice.
pub const RECORD_EXEC: u32 = 2;

/// `ready_mono_ns` is a measurement.
pub const WAIT_READY_SEEN: u8 = 1 << 0;
/// Made runnable by the network poller.
pub const WAIT_BY_NETPOLL: u8 = 1 << 1;
/// The stack is deeper than the configured depth.
pub const WAIT_STACK_TRUNCATED: u8 = 1 << 2;
/// A frame could not be read; the stack ends there.
pub const WAIT_STACK_UNREADABLE: u8 = 1 << 3;

macro_rules! kernel_struct {
    ($(#[$doc:meta])* $name:ident, $size:expr, { $($field:ident: $type:ty = $offset:expr),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        #[expect(missing_docs, reason = "documented at the C definition")]
        pub struct $name { $(pub $field: $type),+ }
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)+
    };
}
pub(crate) use kernel_struct;

kernel_struct!(
    /// `struct wait_record`.
    Wait, 72 + 8 * MAX_STACK, {
        kind: u32 = 0, stack_len: u32 = 4, tgid: u32 = 8, tid: u32 = 12, goid: u64 = 16,
        park_mono_ns: u64 = 24, park_wall_ns: u64 = 32, ready_mono_ns: u64 = 40, run_mono_ns: u64 = 48,
        waker_goid: u64 = 56, binary: u32 = 64, reason: u8 = 68, flags: u8 = 69, reserved: u16 = 70,
        stack: [u64; MAX_STACK] = 72,
    }
);
kernel_struct!(
    /// `struct exec_record`.
    Exec, 16, { kind: u32 = 0, tgid: u32 = 4, mono_ns: u64 = 8 }
);
kernel_struct!(
    /// `struct binary_layout`.
    Binary, 32, {
        g_goid: u32 = 0, g_m: u32 = 4, g_sched_pc: u32 = 8, g_sched_bp: u32 = 12, m_curg: u32 = 16,
        polldesc_rg: u32 = 20, polldesc_wg: u32 = 24, valid: u32 = 28,
    }
);
kernel_struct!(
    /// `struct capture_config`.
    Config, 16, { threshold_ns: u64 = 0, max_stack: u32 = 8, only_watched: u32 = 12 }
);
kernel_struct!(
    /// `struct clock_config`.
    Clock, 8, { tai_offset_ns: i64 = 0 }
);
kernel_struct!(
    /// `struct park_key`.
    Key, 16, { tgid: u32 = 0, reserved: u32 = 4, g: u64 = 8 }
);
kernel_struct!(
    /// `struct park`.
    Park, 48, {
        goid: u64 = 0, park_mono_ns: u64 = 8, park_wall_ns: u64 = 16, ready_mono_ns: u64 = 24, waker_goid: u64 = 32,
        tid: u32 = 40, reason: u8 = 44, flags: u8 = 45, reserved: u16 = 46,
    }
);
kernel_struct!(
    /// `struct short_wait_key`.
    ShortKey, 8, { tgid: u32 = 0, reason: u32 = 4 }
);
kernel_struct!(
    /// `struct short_wait`.
    Short, 16 + 8 * HISTOGRAM_BUCKETS, {
        count: u64 = 0, total_ns: u64 = 8, histogram: [u64; HISTOGRAM_BUCKETS] = 16,
    }
);

/// `enum counter`: what was seen and what was lost, as the index into the map of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Goroutines that began to wait.
    Parks,
    /// Parked goroutines seen being made ready.
    Readies,
    /// Parked goroutines seen running again.
    Finished,
    /// Records put into the ring.
    Emitted,
    /// Waits added to the sums of short waits.
    Aggregated,
    /// Lost: no room in the ring.
    RingFull,
    /// Lost: no room for another parked goroutine.
    MapFull,
    /// Lost: the map of parked goroutines refused for another cause.
    MapError,
    /// Lost: parked again although its run was never seen.
    ParkReplaced,
    /// Lost: g unreadable at park (not counted as parked).
    ParkFault,
    /// Lost: no room for another sum of short waits.
    AggregateFull,
    /// Lost: the g was given to another goroutine meanwhile.
    GoidMismatch,
    /// Lost: g unreadable when it ran again.
    ExecuteFault,
    /// Lost: no free slot to build the record in.
    ScratchBusy,
    /// Kept with a shorter stack: a frame was unreadable.
    StackUnreadable,
    /// Kept with a shorter stack: deeper than configured.
    StackTruncated,
    /// Kept without a waker: its g was unreadable.
    WakerFault,
    /// Kept without a ready stamp: the poller's descriptor was unreadable.
    NetpollFault,
    /// An exec notice was lost.
    ExecRingFull,
}

/// Number of counters.
pub const COUNTERS: usize = 19;
const _: () = assert!(Counter::ExecRingFull as usize + 1 == COUNTERS);

/// Size of a wait record without its stack, in bytes.
pub const WAIT_HEADER_BYTES: usize = offset_of!(Wait, stack);
