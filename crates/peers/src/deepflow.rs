//! DeepFlow's rule.

use crate::estimate::Estimate;
use crate::exchange::TwiceOffset;
use crate::{Answer, Exchange, Peer};

const SECOND_NS: i128 = 1_000_000_000;

/// DeepFlow's rule: the last offset, cut to whole seconds, and moved only when it changes by a minimum.
///
/// - **Method**: offset = trunc(((T2 - T1) + (T3 - T4)) / 2 to whole seconds, toward zero). The offset in use starts at
///   zero, and becomes the new one where the two differ by at least the minimum interval. Nothing is averaged, delays
///   are not looked at, and nothing is said of the error. It is meant for wall clocks: where they are within a second
///   of each other, it leaves them as they are.
/// - **Source**: DeepFlow agent, `agent/src/rpc/synchronizer.rs`, the task that synchronises with NTP over gRPC.
/// - **Parameters**: the minimum interval, ns. DeepFlow's own default (`global.ntp.min_drift`) is 10 s; the default
///   here is 1 s, the kindest: with whole seconds, every change is then taken. No bounds.
/// - **Departures**: the agent restarts itself on changes beyond `global.ntp.max_drift` (300 s), which has no meaning
///   here; it synchronises once a minute, and here with every exchange.
#[derive(Clone, Debug)]
pub struct DeepFlow {
    min_interval_ns: i64,
    in_use: Option<Estimate>,
}

impl DeepFlow {
    /// With a minimum interval, ns.
    pub fn new(min_interval_ns: i64) -> Self {
        Self { min_interval_ns, in_use: None }
    }
}

impl Default for DeepFlow {
    fn default() -> Self {
        Self::new(SECOND_NS as i64)
    }
}

impl Peer for DeepFlow {
    fn name(&self) -> &'static str {
        "deepflow"
    }

    fn observe(&mut self, exchange: &Exchange) {
        // Rust's integer division cuts toward zero, as the agent's does.
        let measured_ns = exchange.offset().0 / 2 / SECOND_NS * SECOND_NS;
        let in_use_ns = self.in_use.map_or(0, |estimate| estimate.base_ns);
        let moved = (measured_ns - in_use_ns).abs() >= i128::from(self.min_interval_ns);
        let offset_ns = if moved { measured_ns } else { in_use_ns };
        self.in_use = Some(Estimate::constant(exchange.returned_ns, TwiceOffset(2 * offset_ns)));
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.in_use.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        self.in_use = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{SECOND_NS, Truth};

    fn error_with_offset(peer: &mut DeepFlow, offset_ns: i64) -> i64 {
        let truth = Truth { offset_ns, frequency: 0.0 };
        peer.observe(&truth.exchange(0, 0, 0));
        truth.error_ns(peer, SECOND_NS)
    }

    #[test]
    fn up_to_a_second_goes_uncorrected() {
        assert_eq!(error_with_offset(&mut DeepFlow::default(), 999_999_999), -999_999_999);
        assert_eq!(error_with_offset(&mut DeepFlow::default(), 7_400_000_000), -400_000_000);
        assert_eq!(error_with_offset(&mut DeepFlow::default(), -7_400_000_000), 400_000_000, "cut toward zero");
        assert_eq!(error_with_offset(&mut DeepFlow::default(), 7_000_000_000), 0);
    }

    #[test]
    fn a_change_below_the_minimum_is_not_taken() {
        let mut peer = DeepFlow::new(10 * SECOND_NS);
        assert_eq!(error_with_offset(&mut peer, 9 * SECOND_NS), -9 * SECOND_NS);
        assert_eq!(error_with_offset(&mut peer, 10 * SECOND_NS), 0);
        assert_eq!(error_with_offset(&mut peer, 15 * SECOND_NS), -5 * SECOND_NS);
    }
}
