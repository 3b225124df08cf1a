//! The score of an estimator over many runs.

use std::fmt;
use std::ops::Range;

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

    fn add(&mut self, true_ns: &[i64], declared_ns: &[i64]) {
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

    fn merge(&mut self, other: Self) {
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
