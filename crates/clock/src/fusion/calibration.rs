//! What the estimate of a link is off by, from what both its ends claim over hours.
//!
//! A link's estimate follows the difference of two clocks to some ten us, but its constant asymmetry, which it cannot see,
//! is in it. Claims of UTC have no such constant, or a smaller one, and wander instead. Each alone is off by much; the mean of
//! their difference over hours is what the link is off by, and with that taken off it is better than either.

use serde::{Deserialize, Serialize};
use syncline_timebase::Span;

use super::Constraint;

/// Claims of one machine are about the same for so long, s: chronyd asks its sources every 64 to 1,024 s and averages.
const CORRELATED_S: f64 = 900.0;
/// The mean forgets in so long, s.
const MEMORY_S: f64 = 6.0 * 3_600.0;
/// Beyond so many standard deviations of a claim the link is another: its route has changed.
const ELSEWHERE: f64 = 8.0;
/// So often in a row.
const ELSEWHERE_TIMES: u32 = 3;

/// What one link is off by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    mean_ns: f64,
    /// Claims that say so, as far as they are independent.
    claims: f64,
    last_s: f64,
    elsewhere: u32,
}

impl Calibration {
    /// At `at_s`, seconds of any clock, the link's estimate was off from the claims of its ends by `off`, each of which
    /// deviates so that their difference does by `deviation_ns`.
    pub fn observe(&mut self, at_s: f64, off: Span, deviation_ns: f64) {
        let off_ns = off.ns() as f64;
        let from_mean = (off_ns - self.mean_ns) / deviation_ns;
        if self.claims == 0.0 || self.elsewhere >= ELSEWHERE_TIMES {
            *self = Self { mean_ns: off_ns, claims: 1.0, last_s: at_s, elsewhere: 0 };
            return;
        }
        self.elsewhere = if from_mean.abs() > ELSEWHERE { self.elsewhere + 1 } else { 0 };
        let elapsed_s = (at_s - self.last_s).max(0.0);
        self.last_s = at_s;
        // One claim does not count for more than one, however long ago the one before it was.
        let share = (elapsed_s / CORRELATED_S).min(1.0) / (1.0 + from_mean * from_mean / 4.0);
        self.claims = self.claims * (-elapsed_s / MEMORY_S).exp() + share;
        if self.claims > 0.0 {
            self.mean_ns += (off_ns - self.mean_ns) * share / self.claims;
        }
    }

    /// `link`, less what it is off by, if that is known better than its asymmetry. Two claims together deviate by
    /// `deviation_ns`.
    #[must_use]
    pub fn applied(&self, link: Constraint, deviation_ns: f64) -> Constraint {
        match self.off(deviation_ns) {
            Some((off, known_to_ns)) if known_to_ns < link.deviation_ns => {
                Constraint { point: link.point - off, deviation_ns: known_to_ns, ..link }
            }
            _ => link,
        }
    }

    /// By how much the estimate is off, and the standard deviation of that where one claim deviates by `deviation_ns`.
    pub fn off(&self, deviation_ns: f64) -> Option<(Span, f64)> {
        let known = self.claims > 0.0;
        known.then(|| (Span::from_ns(self.mean_ns.round() as i64), deviation_ns / self.claims.max(1e-9).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six hours of claims every minute that wander about `mean` by 100 us within hours.
    fn after_hours(mean: i64) -> Calibration {
        let mut calibration = Calibration::default();
        for minute in 0..360 {
            let wandering = 100_000.0 * (f64::from(minute) / 11.0).sin();
            calibration.observe(f64::from(minute) * 60.0, Span::from_ns(mean + wandering as i64), 100_000.0);
        }
        calibration
    }

    #[test]
    fn the_mean_of_hours_is_better_than_a_claim() {
        let (off, deviation_ns) = after_hours(2_000_000).off(100_000.0).unwrap();
        assert!((off.ns() - 2_000_000).abs() < 20_000, "{off:?}");
        assert!((15_000.0..40_000.0).contains(&deviation_ns), "{deviation_ns}");
    }

    #[test]
    fn one_claim_counts_as_one_and_none_as_nothing() {
        assert_eq!(Calibration::default().off(1.0), None);
        let mut calibration = Calibration::default();
        for second in 0..60 {
            calibration.observe(f64::from(second), Span::from_ns(5_000), 400.0);
        }
        let (off, deviation_ns) = calibration.off(400.0).unwrap();
        assert_eq!(off, Span::from_ns(5_000));
        assert!(deviation_ns > 380.0, "a minute of them is one claim: {deviation_ns}");
    }

    #[test]
    fn another_route_begins_anew_and_one_odd_claim_does_not() {
        let mut calibration = after_hours(0);
        calibration.observe(21_660.0, Span::from_ns(9_000_000), 100_000.0);
        assert!(calibration.off(1.0).unwrap().0.ns().abs() < 40_000);
        for minute in 362..367 {
            calibration.observe(f64::from(minute) * 60.0, Span::from_ns(9_000_000), 100_000.0);
        }
        assert_eq!(calibration.off(1.0).unwrap().0, Span::from_ns(9_000_000));
    }
}
