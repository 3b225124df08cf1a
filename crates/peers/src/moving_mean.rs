//! A moving mean.

use crate::estimate::Estimate;
use crate::exchange::TwiceOffset;
use crate::window::Window;
use crate::{Answer, Exchange, Peer};

/// The mean of the last 64 offsets: what "we average the samples" means.
///
/// - **Method**: the plain mean of the last `length` offsets, held until the next. Noise averages out; queueing on one
///   side does not, and on a clock that drifts the mean is as old as the middle of its samples.
/// - **Source**: common practice.
/// - **Parameters**: the number of exchanges, 64 by default. No bounds.
#[derive(Clone, Debug)]
pub struct MovingMean {
    offsets: Mean,
}

impl MovingMean {
    /// The mean of the last `length` offsets.
    pub fn new(length: usize) -> Self {
        Self { offsets: Mean::new(f64::INFINITY, length.max(1)) }
    }
}

impl Default for MovingMean {
    fn default() -> Self {
        Self::new(64)
    }
}

impl Peer for MovingMean {
    fn name(&self) -> &'static str {
        "mean-64"
    }

    fn observe(&mut self, exchange: &Exchange) {
        self.offsets.add(exchange);
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.offsets.estimate().map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        self.offsets.clear();
    }
}

/// The mean of the offsets in a window, summed exactly: adding and taking away leaves no rest.
#[derive(Clone, Debug)]
pub(crate) struct Mean {
    offsets: Window<TwiceOffset>,
    sum: i128,
    newest_ns: i64,
}

impl Mean {
    pub(crate) fn new(span_ns: f64, capacity: usize) -> Self {
        Self { offsets: Window::new(span_ns, capacity), sum: 0, newest_ns: 0 }
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) {
        self.newest_ns = exchange.returned_ns;
        self.offsets.push(exchange.returned_ns, exchange.offset());
        self.sum += exchange.offset().0;
        while let Some(TwiceOffset(expired)) = self.offsets.pop_expired() {
            self.sum -= expired;
        }
    }

    pub(crate) fn estimate(&self) -> Option<Estimate> {
        let halves = 2 * self.offsets.len() as i128;
        Some(Estimate {
            at_ns: self.newest_ns,
            base_ns: self.sum.checked_div_euclid(halves)?,
            remainder_ns: self.sum.checked_rem_euclid(halves)? as f64 / halves as f64,
            frequency: 0.0,
            margin: None,
        })
    }

    pub(crate) fn clear(&mut self) {
        self.offsets.clear();
        self.sum = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet};

    #[test]
    fn a_spike_counts_for_a_64th_until_64_have_passed() {
        let truth = Truth { frequency: 0.0, ..APART };
        let mut peer = MovingMean::default();
        peer.observe(&truth.exchange(0, 1_280_000, 0));
        observe_quiet(&mut peer, truth, 1..64);
        assert_eq!(truth.error_ns(&peer, 64 * SECOND_NS), 10_000);
        observe_quiet(&mut peer, truth, 64..65);
        assert_eq!(truth.error_ns(&peer, 65 * SECOND_NS), 0);
    }

    #[test]
    fn on_a_drifting_clock_it_is_late_by_half_its_length() {
        let mut peer = MovingMean::default();
        observe_quiet(&mut peer, APART, 0..200);
        // At 40 ppm the middle of 64 seconds is 31.5 s before the last, which is 1,260 us.
        let error_ns = APART.error_ns(&peer, 199 * SECOND_NS);
        assert!((error_ns + 1_260_000).abs() < 10, "{error_ns}");
    }
}
