//! The clock filter of NTP.

use std::collections::VecDeque;

use crate::estimate::{Estimate, Margin, difference_ns};
use crate::exchange::TwiceOffset;
use crate::{Answer, Exchange, Peer};

/// NSTAGE of RFC 5905.
const STAGES: usize = 8;

/// PHI of RFC 5905: how fast two clocks are taken to part at most, s/s.
const TOLERANCE: f64 = 15e-6;

/// The clock filter of RFC 5905 section 10: of the last eight samples, the one of least distance.
///
/// - **Method**: distance = delay / 2 + dispersion, where dispersion is PHI times the sample's age. The sample of least
///   distance gives the offset, unless one no older was used before: then that stays. Jitter is the root mean square of
///   the other samples' offsets about the chosen one's. Queueing lengthens the delay, so that a short delay vouches for
///   its offset; and the offset in use may be seven exchanges old, without any frequency to carry it.
/// - **Source**: D. Mills et al., RFC 5905 (2010) section 10 and appendix A.5.2.
/// - **Parameters**: 8 stages, PHI = 15 ppm. Bounds: delay / 2 + jitter + PHI times the age of the sample in use.
/// - **Departures**: the RFC orders by delay alone, and by distance here. Its jitter divides by n - 1 outside the root,
///   here inside. The stages start empty instead of at 16 s of dispersion; the precisions of the two clocks, and the
///   dispersion and delay of the reference to its own source, are not known and left out. The discipline that follows
///   the filter in NTP, which would average and steer, is not part of it.
#[derive(Clone, Debug, Default)]
pub struct ClockFilter {
    stages: VecDeque<Stage>,
    in_use: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Stage {
    at_ns: i64,
    offset: TwiceOffset,
    delay_ns: f64,
}

impl Peer for ClockFilter {
    fn name(&self) -> &'static str {
        "ntp-filter"
    }

    fn observe(&mut self, exchange: &Exchange) {
        if self.stages.len() == STAGES {
            self.stages.pop_front();
        }
        let newest = Stage { at_ns: exchange.returned_ns, offset: exchange.offset(), delay_ns: exchange.delay_ns() };
        self.stages.push_back(newest);
        if let Some(best) = self.least_distance(newest.at_ns)
            && self.in_use.is_none_or(|in_use| best.at_ns > in_use.at_ns)
        {
            let margin = Margin { half_width_ns: best.delay_ns / 2.0 + self.jitter_ns(&best), growth: TOLERANCE };
            self.in_use = Some(Estimate::constant(best.at_ns, best.offset).within(margin));
        }
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.in_use.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ClockFilter {
    fn least_distance(&self, now_ns: i64) -> Option<Stage> {
        let by_distance = |a: &&Stage, b: &&Stage| a.distance_ns(now_ns).total_cmp(&b.distance_ns(now_ns));
        self.stages.iter().min_by(by_distance).copied()
    }

    /// About the offset of the best, which adds nothing itself.
    fn jitter_ns(&self, best: &Stage) -> f64 {
        let base_ns = best.offset.whole_ns();
        let best_ns = best.offset.above_ns(base_ns);
        let squares: f64 = self.stages.iter().map(|stage| (stage.offset.above_ns(base_ns) - best_ns).powi(2)).sum();
        let others = self.stages.len().saturating_sub(1).max(1);
        (squares / others as f64).sqrt()
    }
}

impl Stage {
    fn distance_ns(&self, now_ns: i64) -> f64 {
        self.delay_ns / 2.0 + TOLERANCE * difference_ns(now_ns, self.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, ONE_WAY_NS, SECOND_NS, Truth};

    const STILL: Truth = Truth { frequency: 0.0, ..APART };

    #[test]
    fn the_sample_of_least_delay_is_taken() {
        let mut peer = ClockFilter::default();
        for (second, queued_ns) in [900_000, 400_000, 0, 800_000, 600_000].into_iter().enumerate() {
            peer.observe(&STILL.exchange(second as i64 * SECOND_NS, queued_ns, 0));
        }
        assert_eq!(STILL.error_ns(&peer, 5 * SECOND_NS), 0);
        let answer = peer.answer(4 * SECOND_NS).unwrap();
        assert!(answer.latest_ns.unwrap() - answer.reference_ns > ONE_WAY_NS, "jitter and age widen the bounds");
    }

    #[test]
    fn a_sample_leaves_after_eight_but_stays_in_use_until_a_newer_is_best() {
        let mut peer = ClockFilter::default();
        peer.observe(&STILL.exchange(0, 0, 0));
        for second in 1..8 {
            peer.observe(&STILL.exchange(second * SECOND_NS, 500_000 + second * 50_000, 0));
        }
        assert_eq!(STILL.error_ns(&peer, 8 * SECOND_NS), 0);
        peer.observe(&STILL.exchange(8 * SECOND_NS, 2_000_000, 0));
        assert_eq!(STILL.error_ns(&peer, 9 * SECOND_NS), 275_000, "second 1, the best of what is left");
    }

    #[test]
    fn a_sample_is_used_once() {
        let mut peer = ClockFilter::default();
        peer.observe(&STILL.exchange(0, 0, 0));
        let before = peer.answer(9 * SECOND_NS);
        // Still the best, but what comes after it does not change what was made of it.
        peer.observe(&STILL.exchange(SECOND_NS, 500_000, 0));
        assert_eq!(peer.answer(9 * SECOND_NS), before);
    }

    #[test]
    fn age_weighs_against_delay() {
        let mut peer = ClockFilter::default();
        // At 15 ppm a second of age is as much as 30 us of delay.
        peer.observe(&STILL.exchange(0, 0, 0));
        peer.observe(&STILL.exchange(SECOND_NS, 20_000, 0));
        assert_eq!(STILL.error_ns(&peer, SECOND_NS), 10_000);
        peer.observe(&STILL.exchange(2 * SECOND_NS, 60_000, 0));
        assert_eq!(STILL.error_ns(&peer, 2 * SECOND_NS), 10_000);
    }
}
