//! What a node reads of its clocks: knots and finished probes.

use crate::{Instant, Mono, Raw, Reference, Span, Wall};

/// The three clocks of a node read at one moment.
///
/// Read as MONO, RAW, WALL, MONO; `mono` is the middle of the two, and the other two were read at most half of
/// `bracket` away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Knot {
    /// `CLOCK_MONOTONIC`, the middle of the bracketing reads.
    pub mono: Instant<Mono>,
    /// `CLOCK_MONOTONIC_RAW`.
    pub raw: Instant<Raw>,
    /// `CLOCK_REALTIME`.
    pub wall: Instant<Wall>,
    /// From the first MONO read to the second.
    pub bracket: Span,
}

/// A finished four-stamp exchange (RFC 5905 section 8): the node asks, the reference answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Probe {
    /// T1, the node before sending.
    pub sent: Instant<Mono>,
    /// T2, the reference on receipt.
    pub received: Instant<Reference>,
    /// T3, the reference before its reply.
    pub replied: Instant<Reference>,
    /// T4, the node on the reply.
    pub returned: Instant<Mono>,
}

impl Probe {
    /// Time on the way, both directions together: (T4 - T1) - (T3 - T2). The two differences are of two clocks, so
    /// this is right to within their frequency error times the exchange.
    pub fn round_trip(&self) -> Span {
        (self.returned - self.sent) - (self.replied - self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_leaves_out_the_time_at_the_reference() {
        let probe = Probe {
            sent: Instant::from_ns(1_000),
            received: Instant::from_ns(50_100),
            replied: Instant::from_ns(50_400),
            returned: Instant::from_ns(1_500),
        };
        assert_eq!(probe.round_trip(), Span::from_ns(200));
    }
}
