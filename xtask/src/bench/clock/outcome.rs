//! One condition over all seeds: figures from runs.

use std::time::Instant;

use anyhow::Result;
use syncline_sim::profile::{Quantiles, Score, StepScore, generate};

use super::condition::Condition;
use super::tally::Tally;
use super::{rivals, seeds};
use crate::bench::statistics::quantile;

/// Seeds of the heavier peers where probes are dense.
const DENSE_RIVAL_SEEDS: usize = 20;

/// How many runs, and which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) first: u64,
    pub(super) seeds: usize,
}

/// What all estimators came to under one condition.
pub(super) struct Outcome {
    pub(super) condition: Condition,
    pub(super) ours: Reached,
    /// With a burst of probes after each disruption; under stress only.
    pub(super) burst: Option<Reached>,
    /// Errors of the rivals, in their order.
    pub(super) rivals: Vec<Quantiles>,
    pub(super) rival_seeds: usize,
}

/// What ours came to.
pub(super) struct Reached {
    pub(super) errors: Quantiles,
    pub(super) half_widths: Quantiles,
    /// Of the hard bounds, at once.
    pub(super) coverage: f64,
    /// The same without the events that fell between a disruption and the first exchange begun after it.
    pub(super) coverage_held: f64,
    pub(super) uncovered_held: usize,
    /// Half widths of the hard bounds less half the least round trip: median and 99th percentile, ns.
    pub(super) excess_ns: [f64; 2],
    pub(super) budgeted_worst: Option<f64>,
    pub(super) tight: Option<f64>,
    pub(super) smoothed: Quantiles,
    pub(super) smoothed_coverage: f64,
    pub(super) steps: StepScore,
    pub(super) unanswered: usize,
}

impl Runs {
    fn list(self) -> Vec<u64> {
        (self.first..).take(self.seeds).collect()
    }
}

/// Runs the condition.
///
/// # Errors
/// When a rival does not exist.
pub(super) fn measure(condition: Condition, runs: Runs) -> Result<Outcome> {
    let begun = Instant::now();
    let seeds = runs.list();
    let rival_seeds = if condition.is_dense() { runs.seeds.min(DENSE_RIVAL_SEEDS) } else { runs.seeds };
    let (ours, rivals) = pool(condition, &seeds, &seeds[..rival_seeds])?;
    let burst = condition.stress.then(|| pool(condition.with_burst(), &seeds, &[])).transpose()?;
    eprintln!("{}: {:.0} s", condition.name(), begun.elapsed().as_secs_f64());
    Ok(Outcome {
        condition,
        ours: Reached::of(&ours),
        burst: burst.map(|(tally, _)| Reached::of(&tally)),
        rivals: rivals.iter().map(Score::errors).collect(),
        rival_seeds,
    })
}

/// Ours on `seeds`, the rivals on `rival_seeds` among them.
fn pool(condition: Condition, seeds: &[u64], rival_seeds: &[u64]) -> Result<(Tally, Vec<Score>)> {
    let profile = condition.profile();
    let run = |seed| {
        let trace = generate(&profile, seed);
        let rivals = if rival_seeds.contains(&seed) { rivals::scores(&trace)? } else { Vec::new() };
        anyhow::Ok((Tally::of(condition, &trace), rivals))
    };
    let (mut tally, mut scores, mut failed) = (Tally::default(), Vec::<Score>::new(), None);
    seeds::each(seeds, run, |result| match result {
        Ok((ours, rivals)) => {
            tally.merge(ours);
            scores.resize_with(scores.len().max(rivals.len()), Score::default);
            scores.iter_mut().zip(rivals).for_each(|(score, rival)| score.merge(rival));
        }
        Err(error) => failed = Some(error),
    });
    failed.map_or(Ok((tally, scores)), Err)
}

impl Reached {
    fn of(tally: &Tally) -> Self {
        let (online, hindsight) = (&tally.online, &tally.hindsight);
        Self {
            errors: online.errors(),
            half_widths: online.half_widths(),
            coverage: online.coverage(),
            coverage_held: online.coverage_outside_gaps(),
            uncovered_held: online.uncovered_outside_gaps(),
            excess_ns: [0.5, 0.99].map(|share| quantile(&tally.excess_ns, share)),
            budgeted_worst: tally.budgeted_worst,
            tight: tally.tight.share(),
            smoothed: hindsight.errors(),
            smoothed_coverage: hindsight.coverage(),
            steps: online.steps().clone(),
            unanswered: online.asked() - online.answered(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_gives_figures_for_everything() {
        let condition = Condition::all()[2];
        let outcome = measure(condition, Runs { first: 3, seeds: 1 }).unwrap();
        assert_eq!((outcome.rivals.len(), outcome.rival_seeds), (rivals::RIVALS.len(), 1));
        assert!(outcome.rivals.iter().all(|errors| errors.p99_ns > 0.0));
        for reached in [&outcome.ours, &outcome.burst.unwrap()] {
            assert!(reached.errors.p99_ns > 10.0 && reached.errors.p99_ns < 1e6, "{:?}", reached.errors);
            assert!(reached.smoothed.p99_ns > 10.0 && reached.smoothed.p99_ns < 1e6, "{:?}", reached.smoothed);
            assert!(reached.coverage > 0.99 && reached.coverage <= reached.coverage_held);
            assert!(reached.unanswered == 0 && reached.tight.is_some() && reached.budgeted_worst.is_some());
        }
    }
}
