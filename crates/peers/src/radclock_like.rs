//! Rate and offset in the manner of RADclock.

use crate::estimate::{Estimate, Margin, difference_ns};
use crate::exchange::TwiceOffset;
use crate::window::Window;
use crate::{Answer, Exchange, Peer};

/// SKM scale: over this an oscillator is taken to have one frequency, and an offset is averaged, ns.
const SCALE_NS: f64 = 300e9;

const RATE_WINDOW_NS: f64 = 5.0 * SCALE_NS;

/// A least delay older than this is forgotten: the path may have become longer, ns.
const DELAY_WINDOW_NS: f64 = 3_600e9;

/// Enough for the rate's window at ten exchanges a second.
const CAPACITY: usize = 1 << 14;

/// How much a sample loses by its age, s/s.
const AGING: f64 = 1e-7;

/// No rate over less than this, ns.
const SHORTEST_RATE_NS: f64 = 10e9;

/// A rate whose two ends queued for more than this, over the time between them, is not taken, s/s.
const RATE_QUALITY: f64 = 2e-6;

/// Until so many exchanges were seen, any rate is better than none.
const WARM_UP: u64 = 200;

/// Rate and offset apart, in the manner of RADclock.
///
/// - **Method**: feed-forward, on a counter that nobody steers. The frequency is the slope between the two exchanges of
///   least delay in the first and in the last eighth of 1,500 s. The offset is the mean of the offsets of 300 s, each
///   carried to now by the frequency, weighted by exp(-(E / quality)^2), where E is the delay above the least of an
///   hour plus 1e-7 of the sample's age. Where even the best E is beyond six times the quality, the offset runs on with
///   the frequency alone.
/// - **Source**: D. Veitch, J. Ridoux, S. Korada, "Robust synchronization of absolute and difference clocks over
///   networks", IEEE/ACM Transactions on Networking 17(2), 2009; the bidirectional algorithm of the `radclock` project
///   (`sync_bidir.c`, BSD).
/// - **Parameters**: the quality, ns: 90 us by default, as `radclock`'s for a good path is; 10 us suits kernel stamps
///   on a LAN, 60 us user-space stamps, 270 us a WAN. The rest as above. Bounds: half the least delay plus the best E,
///   growing by 1e-7.
/// - **Departures**: no separate plateau for the offset's warm-up, no detection of a longer path but for the hour's
///   window, no sanity checks against the offset before, and windows of 300 s in place of 1,024 s: exchanges come every
///   second rather than every 16 s. The rate is looked at with every eighth exchange (every one, at first).
#[derive(Clone, Debug)]
pub struct RadClockLike {
    quality_ns: f64,
    samples: Window<Sample>,
    /// Ever longer delays: the first is the least of the window (a monotone queue).
    delays: Window<f64>,
    first_ns: Option<i64>,
    observed: u64,
    frequency: f64,
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    middle_ns: i64,
    returned_ns: i64,
    offset: TwiceOffset,
    delay_ns: f64,
}

impl RadClockLike {
    /// With the delay above the least at which a sample's weight falls to 1/e, ns.
    pub fn new(quality_ns: f64) -> Self {
        Self {
            quality_ns,
            samples: Window::new(RATE_WINDOW_NS, CAPACITY),
            delays: Window::new(DELAY_WINDOW_NS, CAPACITY),
            first_ns: None,
            observed: 0,
            frequency: 0.0,
            estimate: None,
        }
    }
}

impl Default for RadClockLike {
    fn default() -> Self {
        Self::new(90_000.0)
    }
}

impl Peer for RadClockLike {
    fn name(&self) -> &'static str {
        "radclock-like"
    }

    fn observe(&mut self, exchange: &Exchange) {
        if self.samples.is_behind(exchange.returned_ns) {
            self.reset();
        }
        let newest = Sample {
            middle_ns: exchange.middle_ns(),
            returned_ns: exchange.returned_ns,
            offset: exchange.offset(),
            delay_ns: exchange.delay_ns(),
        };
        self.samples.slide(newest.returned_ns, newest);
        let least_ns = self.least_delay_with(&newest);
        let first_ns = *self.first_ns.get_or_insert(newest.returned_ns);
        if self.observed.is_multiple_of(8) || self.observed < 64 {
            self.measure_rate(difference_ns(newest.returned_ns, first_ns), least_ns);
        }
        self.observed += 1;
        self.measure_offset(&newest, least_ns);
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.estimate.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        *self = Self::new(self.quality_ns);
    }
}

impl RadClockLike {
    fn least_delay_with(&mut self, newest: &Sample) -> f64 {
        self.delays.drop_newest_while(|delay_ns| *delay_ns >= newest.delay_ns);
        self.delays.slide(newest.returned_ns, newest.delay_ns);
        self.delays.oldest().copied().unwrap_or(newest.delay_ns)
    }

    fn measure_rate(&mut self, observed_ns: f64, least_ns: f64) {
        let window_ns = observed_ns.min(RATE_WINDOW_NS);
        let end_ns = window_ns / 8.0;
        let (Some(newest), true) = (self.samples.newest(), window_ns > SHORTEST_RATE_NS) else { return };
        let age_ns = |sample: &&Sample| difference_ns(newest.returned_ns, sample.returned_ns);
        let by_delay = |a: &&Sample, b: &&Sample| a.delay_ns.total_cmp(&b.delay_ns);
        let near = self.samples.iter().rev().take_while(|sample| age_ns(sample) <= end_ns).min_by(by_delay);
        let far = self
            .samples
            .iter()
            .skip_while(|sample| age_ns(sample) > window_ns)
            .take_while(|sample| age_ns(sample) >= window_ns - end_ns)
            .min_by(by_delay);
        let (Some(near), Some(far)) = (near, far) else { return };
        let baseline_ns = difference_ns(near.middle_ns, far.middle_ns);
        let queued_ns = near.delay_ns + far.delay_ns - 2.0 * least_ns;
        let good = queued_ns < RATE_QUALITY * baseline_ns || self.observed < WARM_UP;
        if baseline_ns > 0.0 && good {
            let base_ns = far.offset.whole_ns();
            self.frequency = (near.offset.above_ns(base_ns) - far.offset.above_ns(base_ns)) / baseline_ns;
        }
    }

    fn measure_offset(&mut self, newest: &Sample, least_ns: f64) {
        let base_ns = newest.offset.whole_ns();
        let (mut weighted, mut weights, mut best_ns) = (0.0, 0.0, f64::INFINITY);
        for sample in self.samples.iter().rev() {
            let age_ns = difference_ns(newest.returned_ns, sample.returned_ns);
            if age_ns > SCALE_NS {
                break;
            }
            let excess_ns = sample.delay_ns - least_ns + AGING * age_ns;
            let weight = (-(excess_ns / self.quality_ns).powi(2)).exp();
            best_ns = best_ns.min(excess_ns);
            weighted += weight * (sample.offset.above_ns(base_ns) + self.frequency * age_ns);
            weights += weight;
        }
        let margin = Margin { half_width_ns: least_ns / 2.0 + best_ns, growth: AGING };
        let usable = weights > 1e-9 && best_ns < 6.0 * self.quality_ns;
        let fixed = self.estimate.filter(|_| !usable).unwrap_or(Estimate {
            at_ns: newest.returned_ns,
            base_ns,
            remainder_ns: weighted / weights,
            frequency: self.frequency,
            margin: None,
        });
        self.estimate = Some(Estimate { frequency: self.frequency, ..fixed }.within(margin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, observe_quiet, queueing_ns};

    #[test]
    fn rate_and_offset_are_found_through_queueing() {
        let mut peer = RadClockLike::new(10_000.0);
        for second in 0..1_000 {
            peer.observe(&APART.exchange(second * SECOND_NS, queueing_ns(second), 3 * queueing_ns(second + 7)));
        }
        let off = peer.frequency - APART.frequency;
        assert!(off.abs() < 2e-9, "{off:e}");
        let error_ns = APART.error_ns(&peer, 1_000 * SECOND_NS);
        assert!(error_ns.abs() < 3_000, "{error_ns}");
    }

    #[test]
    fn congestion_is_ridden_out_on_the_frequency() {
        let mut peer = RadClockLike::new(10_000.0);
        observe_quiet(&mut peer, APART, 0..600);
        // Longer than the offset's window: none of its samples is any good.
        for second in 600..1_000 {
            peer.observe(&APART.exchange(second * SECOND_NS, 2_000_000, 0));
        }
        let error_ns = APART.error_ns(&peer, 1_000 * SECOND_NS);
        assert!(error_ns.abs() < 1_000, "{error_ns}");
    }

    #[test]
    fn a_longer_path_is_believed_after_an_hour() {
        let mut peer = RadClockLike::new(10_000.0);
        observe_quiet(&mut peer, APART, 0..10);
        for second in 10..3_700 {
            peer.observe(&APART.exchange(second * SECOND_NS, 500_000, 500_000));
        }
        assert_eq!(peer.delays.len(), 1, "equal delays: the newest stands for all");
        assert!(APART.error_ns(&peer, 3_700 * SECOND_NS).abs() < 100);
    }
}
