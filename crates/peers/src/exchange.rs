//! A finished exchange, and what it says by itself.

/// A finished four-stamp exchange (RFC 5905 section 8), ns: the node asks, the reference answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// T1, the node before sending, on the local scale.
    pub sent_ns: i64,
    /// T2, the reference on receipt.
    pub received_ns: i64,
    /// T3, the reference before its reply.
    pub replied_ns: i64,
    /// T4, the node on the reply, on the local scale.
    pub returned_ns: i64,
}

/// Sums and differences of four i64 always fit an i128.
impl Exchange {
    /// T2 - T1: the offset (reference - local), and the delay there above it.
    pub(crate) fn offset_there(&self) -> i128 {
        i128::from(self.received_ns) - i128::from(self.sent_ns)
    }

    /// T3 - T4: the offset, and the delay back below it.
    pub(crate) fn offset_back(&self) -> i128 {
        i128::from(self.replied_ns) - i128::from(self.returned_ns)
    }

    /// The offset if both ways took equally long. Exact, hence not yet halved.
    pub(crate) fn offset(&self) -> TwiceOffset {
        TwiceOffset(self.offset_there() + self.offset_back())
    }

    /// Time on the way, both directions together, ns: (T4 - T1) - (T3 - T2).
    pub(crate) fn delay_ns(&self) -> f64 {
        (self.offset_there() - self.offset_back()) as f64
    }

    /// The local instant halfway between sending and return, ns.
    pub(crate) fn middle_ns(&self) -> i64 {
        self.sent_ns.midpoint(self.returned_ns)
    }
}

/// Twice an offset (reference - local), ns: the half nanosecond of an odd sum is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TwiceOffset(pub(crate) i128);

impl TwiceOffset {
    /// The offset in whole nanoseconds, rounded down.
    pub(crate) fn whole_ns(self) -> i128 {
        self.0.div_euclid(2)
    }

    /// How far this offset lies above `base_ns`, ns.
    pub(crate) fn above_ns(self, base_ns: i128) -> f64 {
        (self.0 - 2 * base_ns) as f64 / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_over_equal_ways_gives_offset_and_delay() {
        let exchange = Exchange { sent_ns: 1_000, received_ns: 51_100, replied_ns: 51_400, returned_ns: 1_501 };
        assert_eq!(exchange.offset(), TwiceOffset(2 * 50_000 - 1));
        assert_eq!(exchange.offset().whole_ns(), 49_999);
        assert_eq!(exchange.offset().above_ns(49_999), 0.5);
        assert_eq!(exchange.delay_ns(), 201.0);
        assert_eq!(exchange.middle_ns(), 1_250);
    }

    #[test]
    fn the_edges_of_i64_do_not_overflow() {
        let exchange =
            Exchange { sent_ns: i64::MIN, received_ns: i64::MAX, replied_ns: i64::MAX, returned_ns: i64::MIN };
        assert_eq!(exchange.offset().whole_ns(), i128::from(u64::MAX));
        assert_eq!(exchange.delay_ns(), 0.0);
    }
}
