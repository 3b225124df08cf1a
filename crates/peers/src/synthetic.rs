//! Exchanges whose truth is known, for tests.

use crate::{Exchange, Peer};

pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// One way, with nothing queued.
pub(crate) const ONE_WAY_NS: i64 = 50_000;

/// reference = local + offset + frequency x local: a clock without noise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) offset_ns: i64,
    pub(crate) frequency: f64,
}

/// Decades apart, and 40 ppm.
pub(crate) const APART: Truth = Truth { offset_ns: 1_800_000_000_123_456_789, frequency: 40e-6 };

impl Truth {
    pub(crate) fn reference_ns(&self, local_ns: i64) -> i64 {
        local_ns + self.offset_ns + (self.frequency * local_ns as f64).round() as i64
    }

    /// An exchange sent at `sent_ns` that queued for so long on the way there and back.
    pub(crate) fn exchange(&self, sent_ns: i64, queued_there_ns: i64, queued_back_ns: i64) -> Exchange {
        let received_local = sent_ns + ONE_WAY_NS + queued_there_ns;
        let replied_local = received_local + 20_000;
        Exchange {
            sent_ns,
            received_ns: self.reference_ns(received_local),
            replied_ns: self.reference_ns(replied_local),
            returned_ns: replied_local + ONE_WAY_NS + queued_back_ns,
        }
    }

    /// Answer - truth, ns.
    pub(crate) fn error_ns(&self, peer: &dyn Peer, local_ns: i64) -> i64 {
        peer.answer(local_ns).unwrap().reference_ns - self.reference_ns(local_ns)
    }
}

/// One exchange a second with nothing queued, seconds `range` of local time.
pub(crate) fn observe_quiet(peer: &mut dyn Peer, truth: Truth, range: std::ops::Range<i64>) {
    for second in range {
        peer.observe(&truth.exchange(second * SECOND_NS, 0, 0));
    }
}

/// A repeatable sequence of queueing delays, ns, that is often 0 and has a long tail.
pub(crate) fn queueing_ns(index: i64) -> i64 {
    // Weyl's sequence of the golden ratio: evenly spread, no generator needed.
    let uniform = (index as f64 * 0.618_033_988_749_894_9).fract();
    if uniform < 0.4 { 0 } else { (-20_000.0 * (1.0 - uniform).ln()) as i64 }
}
