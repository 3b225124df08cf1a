//! What came of ours under one condition.

use syncline_sim::profile::{Answer, EventTruth, Score, Trace};

use super::condition::Condition;
use super::ours::{self, Said};

/// Ours, pooled over the runs that were merged.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) online: Score,
    pub(super) hindsight: Score,
    /// Half widths of the hard bounds less half the least round trip of the time, above the floor.
    pub(super) excess_ns: Vec<f32>,
    /// Tight bounds that hold the truth.
    pub(super) tight: Share,
    /// The least share of a run's budgeted bounds that hold the truth, of events for which what they assume is true.
    pub(super) budgeted_worst: Option<f64>,
}

/// A share of a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    part: usize,
    whole: usize,
}

impl Tally {
    /// Of one run.
    pub(super) fn of(condition: Condition, trace: &Trace) -> Self {
        let tolerance = ours::tolerance(trace, condition.asymmetry_share());
        let replayed = ours::online(trace, tolerance);
        let mut tally = Self::default();
        tally.online.add(trace, &answers(&replayed.said), &replayed.declared_ns);
        tally.hindsight.add(trace, &answers(&ours::in_hindsight(trace, tolerance)), &[]);
        let mut budgeted = Share::default();
        for said in &replayed.said {
            let Some(truth) = trace.truth.get(said.answer.id as usize) else { continue };
            let least_ns = truth.round_trip_ns / 2.0 - trace.floor.ns() as f64;
            tally.excess_ns.push((half_width_ns(&said.answer) - least_ns) as f32);
            tally.tight.count(said.tight.holds(truth.true_ns));
            if is_within_budget(condition, trace, truth) {
                budgeted.count(said.budgeted.holds(truth.true_ns));
            }
        }
        tally.budgeted_worst = budgeted.share();
        tally
    }

    /// Takes in the runs of another.
    pub(super) fn merge(&mut self, other: Self) {
        self.online.merge(other.online);
        self.hindsight.merge(other.hindsight);
        self.excess_ns.extend(other.excess_ns);
        self.tight.merge(other.tight);
        let worst = [self.budgeted_worst, other.budgeted_worst].into_iter().flatten();
        self.budgeted_worst = worst.min_by(f64::total_cmp);
    }
}

impl Share {
    pub(super) fn count(&mut self, counts: bool) {
        self.part += usize::from(counts);
        self.whole += 1;
    }

    fn merge(&mut self, other: Self) {
        self.part += other.part;
        self.whole += other.whole;
    }

    /// `None` of nothing.
    pub(super) fn share(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

fn answers(said: &[Said]) -> Vec<Answer> {
    said.iter().map(|said| said.answer).collect()
}

fn half_width_ns(answer: &Answer) -> f64 {
    answer.latest_ns.saturating_sub(answer.earliest_ns) as f64 / 2.0
}

fn is_within_budget(condition: Condition, trace: &Trace, truth: &EventTruth) -> bool {
    let above_floor_ns = truth.round_trip_ns / 2.0 - trace.floor.ns() as f64;
    truth.asymmetry_ns.abs() / 2.0 <= condition.asymmetry_share() * above_floor_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_run_stays_the_worst() {
        let run = |worst| Tally { budgeted_worst: worst, ..Tally::default() };
        let mut tally = Tally::default();
        for worst in [None, Some(0.9), None, Some(0.99)] {
            tally.merge(run(worst));
        }
        assert_eq!(tally.budgeted_worst, Some(0.9));
    }

    #[test]
    fn nothing_has_no_share() {
        let mut share = Share::default();
        assert_eq!(share.share(), None);
        [true, false, true, true].into_iter().for_each(|counts| share.count(counts));
        assert_eq!(share.share(), Some(0.75));
    }
}
