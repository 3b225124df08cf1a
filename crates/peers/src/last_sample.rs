//! The last sample.

use crate::estimate::{Estimate, Margin};
use crate::{Answer, Exchange, Peer};

/// How fast two clocks are taken to part at most, s/s: PHI of RFC 5905.
const TOLERANCE: f64 = 15e-6;

/// The naive way: the offset of the last exchange, whatever its delay was.
///
/// - **Method**: offset = ((T2 - T1) + (T3 - T4)) / 2 (RFC 5905 section 8), held until the next. It is off by half of
///   whatever one direction queued more than the other.
/// - **Source**: what a program does that asks for the time and believes the answer.
/// - **Parameters**: none. Bounds: half the delay, and 15 ppm of the time since.
#[derive(Clone, Debug, Default)]
pub struct LastSample {
    last: Option<Estimate>,
}

impl Peer for LastSample {
    fn name(&self) -> &'static str {
        "last-sample"
    }

    fn observe(&mut self, exchange: &Exchange) {
        let margin = Margin { half_width_ns: exchange.delay_ns() / 2.0, growth: TOLERANCE };
        self.last = Some(Estimate::constant(exchange.returned_ns, exchange.offset()).within(margin));
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.last.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet};

    #[test]
    fn half_of_a_one_sided_spike_is_its_error() {
        let truth = Truth { frequency: 0.0, ..APART };
        let mut peer = LastSample::default();
        observe_quiet(&mut peer, truth, 0..8);
        assert_eq!(truth.error_ns(&peer, 8 * SECOND_NS), 0);
        peer.observe(&truth.exchange(8 * SECOND_NS, 1_000_000, 0));
        assert_eq!(truth.error_ns(&peer, 8 * SECOND_NS), 500_000);
        peer.observe(&truth.exchange(9 * SECOND_NS, 0, 1_000_000));
        assert_eq!(truth.error_ns(&peer, 9 * SECOND_NS), -500_000);
    }

    #[test]
    fn the_bounds_hold_the_truth_through_a_spike() {
        let truth = Truth { frequency: 10e-6, ..APART };
        let mut peer = LastSample::default();
        peer.observe(&truth.exchange(0, 1_000_000, 0));
        for local_ns in [SECOND_NS, 60 * SECOND_NS] {
            let answer = peer.answer(local_ns).unwrap();
            let bounds = answer.earliest_ns.unwrap()..=answer.latest_ns.unwrap();
            assert!(bounds.contains(&truth.reference_ns(local_ns)));
        }
    }
}
