//! The score of an estimator on steps.

use std::fmt;
use std::ops::Range;

/// How well steps were found. A step counts as found if it is declared from one second before it to fifteen after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepScore {
    /// Steps that were not declared.
    pub missed: usize,
    /// Declarations without a step.
    pub false_alarms: usize,
    /// From each step that was found to its declaration, s.
    pub delays_s: Vec<f64>,
}

/// When a declaration counts, from the step on.
const DECLARED_WITHIN_NS: Range<i64> = -1_000_000_000..15_000_000_000;

impl StepScore {
    /// Steps that were declared.
    pub fn found(&self) -> usize {
        self.delays_s.len()
    }

    /// Median of the delays, s.
    pub fn median_delay_s(&self) -> Option<f64> {
        let mut sorted = self.delays_s.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    /// Adds a run: when its steps were, and when steps were declared, both reference time.
    pub(super) fn add(&mut self, true_ns: &[i64], declared_ns: &[i64]) {
        let mut left = declared_ns.to_vec();
        left.sort_unstable();
        for step_ns in true_ns {
            // All declarations of one step are used up by it: to declare it twice is no false alarm.
            let (of_this, others): (Vec<i64>, Vec<i64>) =
                left.iter().partition(|declared| DECLARED_WITHIN_NS.contains(&declared.saturating_sub(*step_ns)));
            match of_this.first() {
                Some(first) => self.delays_s.push((first - step_ns) as f64 * 1e-9),
                None => self.missed += 1,
            }
            left = others;
        }
        self.false_alarms += left.len();
    }

    /// Takes in the runs of another score.
    pub(super) fn merge(&mut self, other: Self) {
        self.missed += other.missed;
        self.false_alarms += other.false_alarms;
        self.delays_s.extend(other.delays_s);
    }
}

impl fmt::Display for StepScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "steps found {}, missed {}, false {}", self.found(), self.missed, self.false_alarms)?;
        self.median_delay_s().map_or(Ok(()), |delay_s| write!(f, ", median delay {delay_s:.2} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_once_within_fifteen_seconds() {
        let seconds = |seconds: &[i64]| seconds.iter().map(|second| second * 1_000_000_000).collect::<Vec<_>>();
        let mut steps = StepScore::default();
        // The first is declared twice, the second a little early, the third too late.
        steps.add(&seconds(&[100, 200, 300]), &seconds(&[104, 102, 199, 316]));
        assert_eq!((steps.found(), steps.missed, steps.false_alarms), (2, 1, 1));
        assert_eq!(steps.delays_s, [2.0, -1.0]);
    }
}
