//! Send latency of a connection, as the kernel side sums it up (`c/tcp_sends.h`).

use std::mem::offset_of;

use super::layout::{SEND_BUCKETS, SENDS_AT_ONCE, Send, SendSum, Sends};
use crate::bytes::{DecodeError, read_u64};

/// How many sends of a connection (a value of the map of [`Sends`]) are not acknowledged yet.
#[must_use]
pub fn sends_under_way(bytes: &[u8]) -> u64 {
    let place =
        |i: usize| read_u64(bytes, offset_of!(Sends, sends) + i * size_of::<Send>() + offset_of!(Send, mono_ns));
    // 0: the place is free.
    (0..SENDS_AT_ONCE).filter(|i| place(*i).is_ok_and(|mono_ns| mono_ns != 0)).count() as u64
}

/// Sends of one connection: from a call that hands bytes to the kernel to the peer's acknowledgement of the last of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendLatency {
    /// Sends that were measured.
    pub count: u64,
    /// Their latencies together, ns.
    pub total_ns: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// Element i counts those of [2^i, 2^(i+1)) ns, the last possible one longer ones too; no longer than it must be.
    pub histogram: Vec<u64>,
    /// Sends of which it could not be seen when they began, where they ended or when that was acknowledged.
    pub unmeasured: u64,
    /// Sends that the connection took with it, not acknowledged.
    pub unacknowledged: u64,
}

impl SendLatency {
    /// The sums of a connection, and how many calls had not even begun to be measured.
    pub(super) fn decode(bytes: &[u8], not_begun: u64) -> Result<Self, DecodeError> {
        let at = |offset| read_u64(bytes, offset);
        let bucket = |i: usize| at(offset_of!(SendSum, histogram) + 8 * i);
        let mut histogram = (0..SEND_BUCKETS).map(bucket).collect::<Result<Vec<u64>, _>>()?;
        let used = histogram.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        histogram.truncate(used);
        Ok(Self {
            count: at(offset_of!(SendSum, count))?,
            total_ns: at(offset_of!(SendSum, total_ns))?,
            max_ns: at(offset_of!(SendSum, max_ns))?,
            histogram,
            unmeasured: at(offset_of!(SendSum, unmeasured))?.saturating_add(not_begun),
            unacknowledged: at(offset_of!(SendSum, unacknowledged))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_under_way_are_those_whose_place_is_not_free() {
        let mut bytes = [0; size_of::<Sends>()];
        assert_eq!(sends_under_way(&bytes), 0);
        for place in [0, 3, SENDS_AT_ONCE - 1] {
            bytes[offset_of!(Sends, sends) + place * size_of::<Send>()] = 7;
        }
        assert_eq!(sends_under_way(&bytes), 3);
        assert_eq!(sends_under_way(&bytes[..10]), 0);
    }
}
