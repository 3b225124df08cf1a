//! A regression in the manner of chrony.

mod regression;

use std::collections::VecDeque;

use self::regression::{Line, Point, runs};
use crate::estimate::{Estimate, Margin, difference_ns};
use crate::exchange::TwiceOffset;
use crate::statistics::median;
use crate::{Answer, Exchange, Peer};

const MAX_SAMPLES: usize = 64;
const MIN_SAMPLES: usize = 3;

/// Stamps are not taken to be better than this, ns.
const PRECISION_NS: f64 = 100.0;

/// `maxdelaydevratio`: queueing of more than so many standard deviations needs an explanation.
const MAX_DELAY_DEVIATIONS: f64 = 10.0;

/// `maxclockerror`: how fast the clock's frequency itself is taken to be off, s/s.
const MAX_CLOCK_ERROR: f64 = 1e-6;

/// Between the median distance and the least lie so many standard deviations.
const MEDIAN_DEVIATIONS: f64 = 0.7;

/// Before there is a line, bounds grow by this, s/s.
const UNKNOWN_SKEW: f64 = 1e-4;

/// A regression in the manner of chrony: weighted by delay, over as much of the past as is still straight.
///
/// - **Method**: a line is fitted through the offsets of up to 64 exchanges. A sample weighs 1 / (1 + (d - min d) /
///   s)^2, where d is its distance (delay / 2 + 100 ns) and s = (median d - min d) / 0.7. While the residuals have too
///   few runs of one sign for a straight line (a one-sided test at 5 %, over twice as many samples as were fitted where
///   so many are held), the oldest sample is left out and the line is fitted again; what was left out is dropped. An
///   exchange whose extra delay is more than ten standard deviations, and explains why its offset is off, is not taken.
/// - **Source**: what chrony's `sourcestats` and `regress` do, and its documentation (`maxdelaydevratio`,
///   `maxclockerror`, root distance). Written anew from a description of the method; none of chrony's (GPL) code is in
///   it. Critical numbers of runs are computed (Wald and Wolfowitz 1940), and the quantiles are Student's.
/// - **Parameters**: those of the description. Bounds: the least over the samples of skew x age + delay / 2, and the
///   standard deviation of the offset; they grow by skew + 1 ppm. Skew is the standard deviation of the frequency times
///   the 99.95 % quantile of Student's t.
/// - **Departures**: no estimate of asymmetric jitter (chrony makes one only where it is strong for ten samples in a
///   row), no filter before it, and no other tests of packets (delay ratio, root distance). chrony steers the clock
///   that it measures; here the samples stay as they were taken.
#[derive(Clone, Debug, Default)]
pub struct ChronyLike {
    /// The fitted ones and, before them, older ones that serve the test of runs only.
    samples: VecDeque<Sample>,
    fitted: usize,
    line: Option<Fitted>,
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: i64,
    offset: TwiceOffset,
    delay_ns: f64,
}

/// What the test of the next exchange needs of the last fit.
#[derive(Clone, Copy, Debug)]
struct Fitted {
    /// The standard deviation of one sample, ns.
    deviation_ns: f64,
    /// How far the frequency may be off, s/s.
    skew: f64,
}

impl Peer for ChronyLike {
    fn name(&self) -> &'static str {
        "chrony-like"
    }

    fn observe(&mut self, exchange: &Exchange) {
        let at_ns = exchange.middle_ns();
        if self.samples.back().is_some_and(|last| at_ns <= last.at_ns) {
            self.reset();
        }
        let sample = Sample { at_ns, offset: exchange.offset(), delay_ns: exchange.delay_ns().max(0.0) };
        if self.explained_by_delay(&sample) {
            return;
        }
        self.add(sample);
        if self.fitted < MIN_SAMPLES {
            self.line = None;
            let margin = Margin { half_width_ns: sample.delay_ns / 2.0, growth: UNKNOWN_SKEW };
            self.estimate = Some(Estimate::constant(at_ns, sample.offset).within(margin));
        } else {
            self.fit(&sample);
        }
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.estimate.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ChronyLike {
    /// Whether the sample's offset is off, and by no more than its delay is too long.
    fn explained_by_delay(&self, sample: &Sample) -> bool {
        let (Some(line), Some(estimate), Some(last)) = (self.line, self.estimate, self.samples.back()) else {
            return false;
        };
        let age_ns = difference_ns(sample.at_ns, last.at_ns);
        let allowed_ns = line.deviation_ns * MAX_DELAY_DEVIATIONS + age_ns * (line.skew + MAX_CLOCK_ERROR);
        let least_ns = self.samples.iter().map(|sample| sample.delay_ns).fold(f64::INFINITY, f64::min);
        let extra_ns = (sample.delay_ns - least_ns) / 2.0;
        let expected_ns = estimate.remainder_ns + estimate.frequency * difference_ns(sample.at_ns, estimate.at_ns);
        let off_ns = (sample.offset.above_ns(estimate.base_ns) - expected_ns).abs();
        extra_ns > allowed_ns && off_ns - extra_ns <= allowed_ns
    }

    fn add(&mut self, sample: Sample) {
        if self.fitted == MAX_SAMPLES {
            self.fitted -= 1;
            self.drop_needless();
        }
        self.samples.push_back(sample);
        self.fitted += 1;
    }

    /// For the test of runs alone, no more are kept than are fitted.
    fn drop_needless(&mut self) {
        self.samples.drain(..self.samples.len().saturating_sub(2 * self.fitted));
    }

    fn fit(&mut self, newest: &Sample) {
        let base_ns = newest.offset.whole_ns();
        let points = self.points(newest.at_ns, base_ns);
        let Some((line, dropped)) = straight_line(&points, points.len() - self.fitted) else {
            // Times that a float cannot tell apart: as before there were enough.
            self.line = None;
            self.estimate = Some(Estimate::constant(newest.at_ns, newest.offset));
            return;
        };
        self.fitted -= dropped;
        let skew = line.skew();
        self.line = Some(Fitted { deviation_ns: line.sample_deviation_ns().max(1.0), skew });
        self.estimate = Some(Estimate {
            at_ns: newest.at_ns,
            base_ns,
            remainder_ns: line.offset_ns,
            frequency: line.frequency,
            margin: Some(Margin {
                half_width_ns: self.root_distance_ns(newest.at_ns, skew) + line.offset_deviation_ns(),
                growth: skew + MAX_CLOCK_ERROR,
            }),
        });
        self.drop_needless();
    }

    fn points(&self, at_ns: i64, base_ns: i128) -> Vec<Point> {
        let fitted = || self.samples.iter().rev().take(self.fitted);
        let distance_ns = |sample: &Sample| sample.delay_ns / 2.0 + PRECISION_NS;
        let least_ns = fitted().map(distance_ns).fold(f64::INFINITY, f64::min);
        let median_ns = median(fitted().map(distance_ns)).unwrap_or(least_ns);
        let deviation_ns = ((median_ns - least_ns) / MEDIAN_DEVIATIONS).max(PRECISION_NS).min(least_ns);
        let point = |sample: &Sample| {
            let excess_ns = (distance_ns(sample) - least_ns - PRECISION_NS).max(0.0);
            Point {
                age_ns: difference_ns(sample.at_ns, at_ns),
                offset_ns: sample.offset.above_ns(base_ns),
                weight: (1.0 + excess_ns / deviation_ns).powi(-2),
            }
        };
        self.samples.iter().map(point).collect()
    }

    /// Of the sample that is best for it.
    fn root_distance_ns(&self, at_ns: i64, skew: f64) -> f64 {
        let distance_ns = |sample: &Sample| difference_ns(at_ns, sample.at_ns) * skew + sample.delay_ns / 2.0;
        self.samples.iter().rev().take(self.fitted).map(distance_ns).fold(f64::INFINITY, f64::min)
    }
}

/// The line through the points but for the first `for_runs`, and how many more of the oldest it has to leave out until
/// what remains is straight.
fn straight_line(points: &[Point], for_runs: usize) -> Option<(Line, usize)> {
    let mut fitted = points.get(for_runs..)?;
    let most = fitted.len();
    loop {
        let line = Line::through(fitted)?;
        let checked = points.len().saturating_sub(2 * fitted.len());
        let straight = runs(&line, points.get(checked..)?).suit_a_straight_line();
        match fitted {
            [_, fewer @ ..] if !straight && fitted.len() > MIN_SAMPLES => fitted = fewer,
            _ => return Some((line, most - fitted.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet, queueing_ns};

    #[test]
    fn queueing_is_weighed_down() {
        let mut peer = ChronyLike::default();
        for second in 0..200 {
            peer.observe(&APART.exchange(second * SECOND_NS, 3 * queueing_ns(second), 0));
        }
        // The mean of that queueing, halved, is more than 20 us.
        let error_ns = APART.error_ns(&peer, 200 * SECOND_NS);
        assert!(error_ns.abs() < 5_000, "{error_ns}");
    }

    #[test]
    fn after_a_change_of_frequency_old_samples_are_dropped() {
        let before = Truth { offset_ns: 0, frequency: 0.0 };
        let change_ns = 100 * SECOND_NS;
        // Meets the line before at the change, and leaves it by 2 ppm.
        let after = Truth { offset_ns: -2 * change_ns / 1_000_000, frequency: 2e-6 };
        let mut peer = ChronyLike::default();
        observe_quiet(&mut peer, before, 0..100);
        assert_eq!(peer.fitted, MAX_SAMPLES);
        observe_quiet(&mut peer, after, 100..140);
        assert!(peer.fitted < 48, "{} samples are still fitted", peer.fitted);
        let error_ns = after.error_ns(&peer, 140 * SECOND_NS);
        assert!(error_ns.abs() < 1_000, "{error_ns}");
    }

    #[test]
    fn an_offset_that_its_delay_explains_is_not_taken() {
        let mut peer = ChronyLike::default();
        observe_quiet(&mut peer, APART, 0..20);
        peer.observe(&APART.exchange(20 * SECOND_NS, 5_000_000, 0));
        assert_eq!(peer.fitted, 20);
        assert!(APART.error_ns(&peer, 21 * SECOND_NS).abs() < 10);
    }

    #[test]
    fn time_that_runs_backwards_starts_anew() {
        let mut peer = ChronyLike::default();
        observe_quiet(&mut peer, APART, 100..120);
        observe_quiet(&mut peer, APART, 50..51);
        assert_eq!(peer.fitted, 1);
    }
}
