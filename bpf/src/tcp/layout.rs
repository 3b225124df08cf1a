//! Mirrors of the structs in `c/tcp_records.h`, used for their sizes and offsets, and the sampler's settings.

use std::mem::{offset_of, size_of};

use crate::bytes::put;
use crate::layout::{Ends, kernel_struct};

/// Buckets of the histogram of send latency: bucket i counts sends of [2^i, 2^(i+1)) ns; the last also counts longer ones.
pub const SEND_BUCKETS: usize = 40;
/// Most sends of one connection whose acknowledgement is waited for.
pub const SENDS_AT_ONCE: usize = 16;

kernel_struct!(
    /// `struct tcp_session`.
    Session, 168, {
        kind: u32 = 0, tgid: u32 = 4, tid: u32 = 8, flags: u32 = 12, goid: u64 = 16, socket: u64 = 24,
        first_mono_ns: u64 = 32, start_mono_ns: u64 = 40, start_wall_ns: u64 = 48, established_mono_ns: u64 = 56,
        updated_mono_ns: u64 = 64, bytes_sent: u64 = 72, bytes_received: u64 = 80, retransmits: u32 = 88,
        srtt_us: u32 = 92, min_rtt_us: u32 = 96, error: i32 = 100, stack: i32 = 104, last_state: u32 = 108,
        send_next: u32 = 112, recv_next: u32 = 116, ends: Ends = 120, sends_unmeasured: u64 = 160,
    }
);
kernel_struct!(
    /// `struct tcp_send_sum`, and the beginning of `struct tcp_sends`.
    SendSum, 360, {
        count: u64 = 0, total_ns: u64 = 8, max_ns: u64 = 16, unmeasured: u64 = 24, unacknowledged: u64 = 32,
        histogram: [u64; SEND_BUCKETS] = 40,
    }
);
kernel_struct!(
    /// `struct tcp_send`.
    Send, 16, { mono_ns: u64 = 0, end: u32 = 8, reserved: u32 = 12 }
);
kernel_struct!(
    /// `struct tcp_sends`.
    Sends, 632, {
        sum: SendSum = 0, acked_mono_ns: u64 = 360, acked: u32 = 368, reserved: u32 = 372, sends: [Send; SENDS_AT_ONCE] = 376,
    }
);
kernel_struct!(
    /// `struct tcp_ended`.
    Ended, 528, { session: Session = 0, sends: SendSum = 168 }
);
kernel_struct!(
    /// `struct tcp_message`.
    Message, 88, {
        kind: u32 = 0, tgid: u32 = 4, tid: u32 = 8, direction: u32 = 12, goid: u64 = 16, mono_ns: u64 = 24,
        wall_ns: u64 = 32, mark: u32 = 40, marks: u32 = 44, ends: Ends = 48,
    }
);
kernel_struct!(
    /// `struct tcp_config`.
    Config, 8, { mark_shift: u32 = 0, messages_per_s: u32 = 4 }
);

/// `enum tcp_counter`, as the index into the map of TCP counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum TcpCounter {
    /// Sessions that ended, put into the ring.
    Sessions,
    /// Lost: no room in the ring.
    SessionsRingFull,
    /// Lost: no room for another open session.
    SessionsMapFull,
    /// Accepted while there was no room: its start is not known.
    EmbryosMapFull,
    /// Accepted and ended without an observed process using it.
    Unowned,
    /// Messages put into the ring.
    Messages,
    /// Lost: no room in the ring.
    MessagesRingFull,
    /// Left out: more than the allowed rate.
    MessagesRate,
    /// Marks left out: which call moved those bytes is not certain.
    MarksUncertain,
    /// Left out: how early the call began was not seen.
    MessagesUnstamped,
}

/// Number of TCP counters.
pub const TCP_COUNTERS: usize = 10;
const _: () = assert!(TcpCounter::MessagesUnstamped as usize + 1 == TCP_COUNTERS);

/// What the TCP sampler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpSettings {
    /// Marks are the sequence numbers that are a multiple of 2 to this, at most 31.
    pub mark_shift: u32,
    /// Most messages of one process in a second.
    pub messages_per_s: u32,
}

impl TcpSettings {
    /// The map's value.
    #[must_use]
    pub fn encode(&self) -> [u8; size_of::<Config>()] {
        let mut bytes = [0; size_of::<Config>()];
        put(&mut bytes, offset_of!(Config, mark_shift), self.mark_shift.to_ne_bytes());
        put(&mut bytes, offset_of!(Config, messages_per_s), self.messages_per_s.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::read_u32;

    #[test]
    fn settings_land_at_the_offsets_of_the_c_struct() {
        let bytes = TcpSettings { mark_shift: 12, messages_per_s: 200 }.encode();
        assert_eq!([0, 4].map(|at| read_u32(&bytes, at).unwrap()), [12, 200]);
    }
}
