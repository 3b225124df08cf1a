//! Mirrors of the structs in `c/state_records.h`, used for their sizes and offsets.

use std::mem::{offset_of, size_of};

use super::{BLOCKED_REASONS, WAIT_REASONS};
use crate::layout::kernel_struct;

kernel_struct!(
    /// `struct goroutine`.
    Goroutine, 216, {
        goid: u64 = 0, first_mono_ns: u64 = 8, first_wall_ns: u64 = 16, since_mono_ns: u64 = 24, state_ns: [u64; 4] = 32,
        blocked_ns: [u64; BLOCKED_REASONS + 1] = 64, blocked_count: [u64; BLOCKED_REASONS + 1] = 120, runs: u64 = 176,
        handoffs: u64 = 184, tid: u32 = 192, epoch: u32 = 196, reasons: [u8; BLOCKED_REASONS] = 200, reasons_used: u8 = 206,
        state: u8 = 207, reason: u8 = 208, flags: u8 = 209, reserved: [u8; 6] = 210,
    }
);
kernel_struct!(
    /// `struct goroutine_record`.
    Ended, 240, { kind: u32 = 0, tgid: u32 = 4, binary: u32 = 8, fate: u32 = 12, g: u64 = 16, goroutine: Goroutine = 24 }
);
kernel_struct!(
    /// `struct short_lives`.
    Short, 56 + 16 * WAIT_REASONS, {
        goroutines: u64 = 0, runs: u64 = 8, handoffs: u64 = 16, state_ns: [u64; 4] = 24,
        blocked_ns: [u64; WAIT_REASONS] = 56, blocked_count: [u64; WAIT_REASONS] = 56 + 8 * WAIT_REASONS,
    }
);
kernel_struct!(
    /// `struct state_config`.
    Config, 8, { epoch: u32 = 0, reserved: u32 = 4 }
);

/// `enum state_counter`: what was lost, as the index into the map of these counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum StateCounter {
    /// Goroutines that are not followed: no room for another.
    MapFull,
    /// Ended goroutines whose time is lost: no room in the ring.
    RingFull,
    /// The same of short ones: no room for another process.
    SumsFull,
    /// Goroutines whose end was not seen; their time is told.
    Replaced,
    /// Changes of state that are missed: g unreadable.
    Fault,
}

/// Number of these counters.
pub const STATE_COUNTERS: usize = 5;
const _: () = assert!(StateCounter::Fault as usize + 1 == STATE_COUNTERS);
