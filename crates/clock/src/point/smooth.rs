//! Looking back: what all probes say of each moment, those that came later among them.
//!
//! The filter's state says what the probes until then say. The smoother of Rauch, Tung and Striebel (Maximum likelihood
//! estimates of linear dynamic systems, AIAA Journal 3, 1965) goes back over the states of a run from the last to the
//! first and lets each know what the next has learned:
//!
//! ```text
//! C = P F' (P-)^-1            P: covariance after the measurements of this state; F: transition to the next;
//! x^s = x + C (x^s+ - x-)     x-, P-: the next, as expected before its measurements; x^s+, P^s+: the next, smoothed
//! P^s = P + C (P^s+ - P-) C'
//! ```
//!
//! All that is done to a state before it is measured, be it oscillator noise, delays that creep or that a new route frees, is
//! process noise and stands in P-; so the way back needs no model of it but F. Theta that jumps, or goes where it was not
//! expected, begins another run.

use super::state::{DRIFT, N, RATE, State, THETA, drifted};
use super::{Mode, PointFilter};
use serde::{Deserialize, Serialize};

type Matrix = [[f64; N]; N];

/// Correlation that is left of a component given others below which it follows from them, up to rounding.
const DEPENDENT: f64 = 1e-13;

/// The states of a filter while it followed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Journal {
    runs: Vec<Run>,
}

/// States that follow from one another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    /// Where theta is counted from.
    origin_theta: i64,
    records: Vec<Record>,
}

/// A state that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    /// Before its measurements, from the one before.
    expected: State,
    /// After them.
    taken: State,
}

/// A run that was smoothed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SmoothRun {
    /// Where theta is counted from.
    pub(super) origin_theta: i64,
    /// In order of time, never empty.
    pub(super) states: Vec<State>,
}

impl PointFilter {
    /// Knows nothing yet, and will keep a journal.
    pub(crate) fn with_journal() -> Self {
        Self { journal: Some(Box::default()), ..Self::new() }
    }

    /// Begins a run at the state as it is.
    pub(super) fn begin_run(&mut self) {
        if let Some(journal) = &mut self.journal {
            let record = Record { expected: self.state, taken: self.state };
            journal.runs.push(Run { origin_theta: self.origin_theta, records: vec![record] });
        }
    }

    /// Notes that the state was measured; it was `expected` before.
    pub(super) fn note(&mut self, expected: &State) {
        let run = self.journal.as_mut().and_then(|journal| journal.runs.last_mut());
        if let Some(run) = run.filter(|_| self.mode == Mode::Tracking) {
            run.records.push(Record { expected: *expected, taken: self.state });
        }
    }

    /// What was noted after `at` knows of a jump before it.
    pub(super) fn unnote_after(&mut self, at: f64) {
        if let Some(run) = self.journal.as_mut().and_then(|journal| journal.runs.last_mut()) {
            run.records.truncate(run.records.partition_point(|record| record.taken.at <= at));
        }
    }

    /// No probe comes any more: takes the open bin, smooths what was noted, and notes no more.
    pub(super) fn look_back(&mut self) -> Vec<SmoothRun> {
        if self.journal.is_some() && self.mode == Mode::Tracking && self.filled > 0 {
            self.close(self.last);
        }
        let runs = self.journal.take().map_or_else(Vec::new, |journal| journal.runs);
        runs.iter().filter_map(smoothed).collect()
    }
}

/// The states of `run`, each with what came later; `None` without any.
fn smoothed(run: &Run) -> Option<SmoothRun> {
    let (last, before) = run.records.split_last()?;
    let mut states = vec![last.taken];
    let (mut next, mut later) = (last, last.taken);
    for record in before.iter().rev() {
        later = step_back(&record.taken, &next.expected, &later);
        next = record;
        // Of two at one time, as before and after a new route, the last has the delays of what follows.
        if states.last().is_none_or(|state| later.at < state.at) {
            states.push(later);
        }
    }
    states.reverse();
    Some(SmoothRun { origin_theta: run.origin_theta, states })
}

/// `taken`, knowing that the next state, `expected` from it, is `later` after all. Where that says nothing for numerical
/// reasons, as it is.
fn step_back(taken: &State, expected: &State, later: &State) -> State {
    // (P-)^-1 F P, the transpose of C.
    let gain = solved(&expected.cov, &carried(&taken.cov, later.at - taken.at));
    let mut mean = taken.mean;
    for (i, value) in mean.iter_mut().enumerate() {
        *value += (0..N).map(|k| gain[k][i] * (later.mean[k] - expected.mean[k])).sum::<f64>();
    }
    let change: Matrix = per_entry(|k, l| later.cov[k][l] - expected.cov[k][l]);
    let half: Matrix = per_entry(|i, l| (0..N).map(|k| gain[k][i] * change[k][l]).sum());
    let full: Matrix = per_entry(|i, j| taken.cov[i][j] + (0..N).map(|l| half[i][l] * gain[l][j]).sum::<f64>());
    let state = State { at: taken.at, mean, cov: per_entry(|i, j| (full[i][j] + full[j][i]) / 2.0) };
    if is_sound(&state, taken) { state } else { *taken }
}

/// Whether `state` is finite, and of no more variance than before it knew what came later.
fn is_sound(state: &State, before: &State) -> bool {
    let narrower = |i: usize| (0.0..=1.001 * before.cov[i][i] + 1e-6).contains(&state.cov[i][i]);
    state.mean.iter().all(|value| value.is_finite()) && [THETA, RATE, DRIFT].into_iter().all(narrower)
}

fn per_entry(entry: impl Fn(usize, usize) -> f64) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
}

/// F times `matrix`, F the transition over `dt` (see `State::carry`).
fn carried(matrix: &Matrix, dt: f64) -> Matrix {
    let [to_theta, to_rate, left] = drifted(dt);
    let mut product = *matrix;
    for j in 0..N {
        product[THETA][j] += dt * matrix[RATE][j] + to_theta * matrix[DRIFT][j];
        product[RATE][j] += to_rate * matrix[DRIFT][j];
        product[DRIFT][j] *= left;
    }
    product
}

/// X of `matrix` X = `right`, for a covariance and what lies in its range.
///
/// Gauss and Jordan's elimination of the correlations, the largest diagonal first. A component that follows from those
/// before it (the delays at the start do) has nothing left to say and gets a row of zeros, which solves as well.
fn solved(matrix: &Matrix, right: &Matrix) -> Matrix {
    let scales: [f64; N] = std::array::from_fn(|i| 1.0 / matrix[i][i].max(f64::MIN_POSITIVE).sqrt());
    let mut left: Matrix = per_entry(|i, j| matrix[i][j] * scales[i] * scales[j]);
    let mut right: Matrix = per_entry(|i, j| right[i][j] * scales[i]);
    let mut open = [true; N];
    for _ in 0..N {
        let rows = (0..N).filter(|i| open[*i] && left[*i][*i] > DEPENDENT);
        let Some(pivot) = rows.max_by(|i, j| left[*i][*i].total_cmp(&left[*j][*j])) else { break };
        open[pivot] = false;
        eliminate(&mut left, &mut right, pivot);
    }
    per_entry(|i, j| if open[i] { 0.0 } else { right[i][j] * scales[i] })
}

/// Makes column `pivot` of `left` that of the unit matrix.
fn eliminate(left: &mut Matrix, right: &mut Matrix, pivot: usize) {
    let unit = 1.0 / left[pivot][pivot];
    let (row, values) = (left[pivot].map(|value| value * unit), right[pivot].map(|value| value * unit));
    for i in (0..N).filter(|i| *i != pivot) {
        let factor = left[i][pivot];
        for j in 0..N {
            left[i][j] -= factor * row[j];
            right[i][j] -= factor * values[j];
        }
    }
    (left[pivot], right[pivot]) = (row, values);
}

#[cfg(test)]
mod tests {
    use super::super::state::Way;
    use super::*;

    /// A start: the delays are fully correlated.
    fn start() -> State {
        let mut state = State { mean: [0.0, 10.0, 0.1, 5e4, 5e4], ..State::unknown() };
        (state.cov[THETA][THETA], state.cov[RATE][RATE], state.cov[DRIFT][DRIFT]) = (1e6, 1e4, 1.0);
        state.free_together(1e4);
        state
    }

    #[test]
    fn a_singular_covariance_is_solved_in_its_range() {
        let mut covariance = start().cov;
        covariance[THETA][RATE] = 5e4;
        covariance[RATE][THETA] = 5e4;
        let solution = solved(&covariance, &carried(&covariance, 8.0));
        let product: Matrix = per_entry(|i, j| (0..N).map(|k| covariance[i][k] * solution[k][j]).sum());
        let expected = carried(&covariance, 8.0);
        for (product, expected) in product.iter().flatten().zip(expected.iter().flatten()) {
            assert!((product - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{product} {expected}");
        }
    }

    /// Without noise between them, a state knows in hindsight just what one that is measured once more knows.
    #[test]
    fn looking_back_over_no_time_is_taking_the_measurement_at_once() {
        let taken = start();
        let mut later = taken;
        later.measure(&taken, Way::There, 0.0, 300.0, 400.0);
        let back = step_back(&taken, &taken, &later);
        for i in 0..N {
            assert!((back.mean[i] - later.mean[i]).abs() < 1e-6, "{back:?} {later:?}");
            assert!((back.cov[i][i] - later.cov[i][i]).abs() < 1e-6 * later.cov[i][i].max(1.0), "{back:?} {later:?}");
        }
    }

    #[test]
    fn a_freed_delay_takes_nothing_from_theta_on_the_way_back() {
        let taken = start();
        let mut expected = taken;
        expected.free(Way::There, 1e10);
        let mut later = expected;
        later.measure(&expected, Way::There, 0.0, 1e5, 400.0);
        let back = step_back(&taken, &expected, &later);
        assert!((back.mean[THETA] - later.mean[THETA]).abs() < 1e-3, "{back:?} {later:?}");
        assert!(back.mean[3] - taken.mean[3] < 1.0, "the delay before is that of before: {back:?}");
    }

    #[test]
    fn nonsense_leaves_a_state_as_it_is() {
        let taken = start();
        let mut nonsense = taken;
        nonsense.cov[THETA][THETA] = f64::NAN;
        assert_eq!(step_back(&taken, &nonsense, &taken), taken);
        assert_eq!(step_back(&taken, &taken, &nonsense), taken);
    }
}
