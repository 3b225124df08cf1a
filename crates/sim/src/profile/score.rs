//! The score of an estimator over many runs.

use std::fmt;

use super::step_score::StepScore;
use super::trace::{EventTruth, Trace};

/// What an estimator says about one event, reference time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The event.
    pub id: u32,
    /// When it happened, at best.
    pub estimate_ns: i64,
    /// It did not happen before this.
    pub earliest_ns: i64,
    /// It did not happen after this.
    pub latest_ns: i64,
}

/// How good an estimator was, pooled over the runs that were added.
#[derive(Clone, Debug, Default)]
pub struct Score {
    asked: usize,
    /// Distance of each error from the asymmetry floor of its run.
    errors_ns: Vec<f32>,
    half_widths_ns: Vec<f32>,
    all: Coverage,
    outside_gaps: Coverage,
    runs: Vec<Coverage>,
    steps: StepScore,
}

impl Score {
    /// Adds a run: the answers about its events, in any order, and when (reference time) the estimator declared a step
    /// of RAW. Answers about events that the run does not have are left out.
    pub fn add(&mut self, trace: &Trace, answers: &[Answer], declared_ns: &[i64]) {
        self.asked += trace.truth.len();
        let floor_ns = trace.asymmetry_floor_ns();
        let mut run = Coverage::default();
        for answer in answers {
            if let Some(truth) = trace.truth.get(answer.id as usize) {
                let covered = self.add_answer(answer, truth, floor_ns);
                run.count(covered);
            }
        }
        self.runs.push(run);
        let raw_ns: Vec<i64> = trace.steps.iter().filter(|step| step.raw).map(|step| step.at_ns).collect();
        self.steps.add(&raw_ns, declared_ns);
    }

    fn add_answer(&mut self, answer: &Answer, truth: &EventTruth, floor_ns: f64) -> bool {
        let error_ns = answer.estimate_ns.saturating_sub(truth.true_ns) as f64;
        self.errors_ns.push((error_ns - floor_ns).abs() as f32);
        self.half_widths_ns.push(answer.latest_ns.saturating_sub(answer.earliest_ns) as f32 / 2.0);
        let covered = (answer.earliest_ns..=answer.latest_ns).contains(&truth.true_ns);
        self.all.count(covered);
        if !truth.in_gap {
            self.outside_gaps.count(covered);
        }
        covered
    }

    /// Takes in the runs of another score.
    pub fn merge(&mut self, other: Self) {
        self.asked += other.asked;
        self.errors_ns.extend(other.errors_ns);
        self.half_widths_ns.extend(other.half_widths_ns);
        self.all.merge(other.all);
        self.outside_gaps.merge(other.outside_gaps);
        self.runs.extend(other.runs);
        self.steps.merge(other.steps);
    }

    /// Events of all runs.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Answers about them.
    pub fn answered(&self) -> usize {
        self.all.answers
    }

    /// Distances of the errors from the asymmetry floors of their runs, which no estimator can know of.
    pub fn errors(&self) -> Quantiles {
        Quantiles::of(&self.errors_ns)
    }

    /// Halves of the widths of the brackets.
    pub fn half_widths(&self) -> Quantiles {
        Quantiles::of(&self.half_widths_ns)
    }

    /// Share of the answers whose bracket holds the truth.
    pub fn coverage(&self) -> f64 {
        self.all.share()
    }

    /// The same without the events between a disruption of RAW and the end of the first exchange begun after it.
    pub fn coverage_outside_gaps(&self) -> f64 {
        self.outside_gaps.share()
    }

    /// Answers outside the gaps whose bracket does not hold the truth.
    pub fn uncovered_outside_gaps(&self) -> usize {
        self.outside_gaps.answers - self.outside_gaps.covered
    }

    /// The coverage of the run that has the least.
    pub fn worst_run_coverage(&self) -> f64 {
        self.runs.iter().map(|run| run.share()).fold(1.0, f64::min)
    }

    /// How well disruptions of RAW were found.
    pub fn steps(&self) -> &StepScore {
        &self.steps
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answered {} of {} in {} runs", self.answered(), self.asked, self.runs.len())?;
        writeln!(f, "error      {}", self.errors())?;
        writeln!(f, "half width {}", self.half_widths())?;
        let (all, outside, worst) = (self.coverage(), self.coverage_outside_gaps(), self.worst_run_coverage());
        writeln!(f, "coverage {all:.6}, outside gaps {outside:.6}, worst run {worst:.6}")?;
        write!(f, "{}", self.steps)
    }
}

/// Quantiles of a pool, ns; NaN of an empty one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// The median.
    pub p50_ns: f64,
    /// One in a hundred is larger.
    pub p99_ns: f64,
    /// One in a thousand is larger.
    pub p999_ns: f64,
    /// The largest.
    pub max_ns: f64,
}

impl Quantiles {
    fn of(pool_ns: &[f32]) -> Self {
        let mut sorted = pool_ns.to_vec();
        sorted.sort_by(f32::total_cmp);
        let [p50_ns, p99_ns, p999_ns, max_ns] = [0.5, 0.99, 0.999, 1.0].map(|share| quantile(&sorted, share));
        Self { p50_ns, p99_ns, p999_ns, max_ns }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [self.p50_ns, self.p99_ns, self.p999_ns, self.max_ns].map(|ns| ns / 1e3);
        write!(f, "p50 {p50:.3} us, p99 {p99:.3} us, p99.9 {p999:.3} us, max {max:.3} us")
    }
}

/// Linear between the two nearest ranks.
fn quantile(sorted: &[f32], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let rank = share * last as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    f64::from(below) + (f64::from(above) - f64::from(below)) * rank.fract()
}

#[derive(Clone, Copy, Debug, Default)]
struct Coverage {
    answers: usize,
    covered: usize,
}

impl Coverage {
    fn count(&mut self, covered: bool) {
        self.answers += 1;
        self.covered += usize::from(covered);
    }

    fn merge(&mut self, other: Self) {
        self.answers += other.answers;
        self.covered += other.covered;
    }

    /// NaN without answers.
    fn share(self) -> f64 {
        self.covered as f64 / self.answers as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::TrueStep;
    use super::*;
    use syncline_timebase::Span;

    const SECOND: i64 = 1_000_000_000;

    /// Four events a second apart, the last in a gap; the floor of the path's asymmetry is 10 ns.
    fn trace() -> Trace {
        let truth = (0..4).map(|second| EventTruth {
            true_ns: second * SECOND,
            asymmetry_ns: 20.0,
            round_trip_ns: 100.0,
            in_gap: second == 3,
        });
        Trace {
            floor: Span::ZERO,
            records: Vec::new(),
            truth: truth.collect(),
            steps: Vec::new(),
            base_delays_ns: [60.0, 40.0],
            routes: Vec::new(),
        }
    }

    /// An answer that is `error_ns` late, in a bracket of `half_ns` either way.
    fn answer(id: u32, error_ns: i64, half_ns: i64) -> Answer {
        let estimate_ns = i64::from(id) * SECOND + error_ns;
        Answer { id, estimate_ns, earliest_ns: estimate_ns - half_ns, latest_ns: estimate_ns + half_ns }
    }

    #[test]
    fn errors_count_from_the_asymmetry_floor_and_brackets_from_the_truth() {
        let mut score = Score::default();
        score.add(&trace(), &[answer(2, 13, 13), answer(0, 10, 5), answer(3, -90, 1)], &[]);
        score.add(&trace(), &[answer(1, 12, 40), answer(9, 0, 0)], &[]);
        assert_eq!((score.asked(), score.answered()), (8, 4));
        // Off by 0, 2, 3 and 100 ns from the floor.
        let errors = score.errors();
        assert_eq!((errors.p50_ns, errors.max_ns), (2.5, 100.0));
        assert!((errors.p99_ns - 97.09).abs() < 1e-6, "{errors:?}");
        assert_eq!(score.half_widths().max_ns, 40.0);
        assert_eq!(score.coverage(), 0.5);
        assert_eq!((score.coverage_outside_gaps(), score.uncovered_outside_gaps()), (2.0 / 3.0, 1));
        assert_eq!(score.worst_run_coverage(), 1.0 / 3.0);
    }

    #[test]
    fn only_steps_of_raw_are_to_be_found() {
        let step = |at_ns: i64, raw: bool| TrueStep { at_ns, size_ns: 1, raw };
        let trace = Trace { steps: vec![step(0, true), step(100 * SECOND, false)], ..trace() };
        let mut score = Score::default();
        score.add(&trace, &[], &[1, 100 * SECOND]);
        assert_eq!((score.steps().found(), score.steps().missed, score.steps().false_alarms), (1, 0, 1));
    }

    #[test]
    fn merged_scores_are_those_of_all_runs() {
        let (mut together, mut first, mut second) = (Score::default(), Score::default(), Score::default());
        let runs = [[answer(0, 10, 5), answer(1, 30, 50)], [answer(2, 7, 1), answer(3, 1, 1)]];
        for (run, alone) in runs.iter().zip([&mut first, &mut second]) {
            together.add(&trace(), run, &[5]);
            alone.add(&trace(), run, &[5]);
        }
        first.merge(second);
        assert_eq!(first.to_string(), together.to_string());
    }
}
