//! The Kalman filter of a node's clock and of the delays of its path.
//!
//! The state is x = (theta, f, g, Df, Db): theta = REF - RAW in ns, f its rate in ns/s (ppb), g the drift of the rate in
//! ns/s^2, Df and Db the usual delays there and back in ns. A probe shows theta + Df (there) and theta - Db (back), each
//! under queueing. theta walks as oscillators do (white and random-walk frequency noise: Stein, Frequency and Time, 1985),
//! its rate drifts with temperature (a first-order Gauss-Markov drift), the delays stay until a route changes.
//!
//! The two delays start fully correlated: what they are together is measured; what they differ by is not, and is taken as
//! zero. When a route changes in one direction its delay gets a fresh variance and is measured against theta as the
//! oscillator and the other direction carry it: the covariance keeps what that costs, for good.

use serde::{Deserialize, Serialize};

/// A direction of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// From the node to the reference.
    There,
    /// From the reference to the node.
    Back,
}

impl Way {
    pub(super) const BOTH: [Self; 2] = [Self::There, Self::Back];

    /// The other way.
    pub(super) fn other(self) -> Self {
        match self {
            Self::There => Self::Back,
            Self::Back => Self::There,
        }
    }

    /// Index of its delay in the state.
    pub(super) fn slot(self) -> usize {
        match self {
            Self::There => THERE,
            Self::Back => BACK,
        }
    }

    /// Which way a longer delay moves what a probe shows: theta + Df, theta - Db.
    pub(super) fn sign(self) -> f64 {
        match self {
            Self::There => 1.0,
            Self::Back => -1.0,
        }
    }
}

pub(super) const THETA: usize = 0;
pub(super) const RATE: usize = 1;
pub(super) const DRIFT: usize = 2;
pub(super) const THERE: usize = 3;
pub(super) const BACK: usize = 4;
/// Components of the state.
pub(super) const N: usize = 5;
/// White frequency noise of an oscillator, ns/sqrt(s).
const WHITE: f64 = 1.5;
/// Random walk of its rate, ns/s/sqrt(s).
const WALK: f64 = 0.5;
/// A drift of the rate lasts about so long, s: what warms a machine up ends.
const DRIFT_LASTS_S: f64 = 600.0;

/// Mean and covariance at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Seconds of RAW since the origin of the filter.
    pub(super) at: f64,
    pub(super) mean: [f64; N],
    pub(super) cov: [[f64; N]; N],
}

/// What a drift of one has brought after `dt`: to theta, to the rate, and what is left of it.
pub(super) fn drifted(dt: f64) -> [f64; 3] {
    if dt < 30.0 {
        return [0.5 * dt * dt, dt, 1.0 - dt / DRIFT_LASTS_S];
    }
    let left = (-dt / DRIFT_LASTS_S).exp();
    let rate = DRIFT_LASTS_S * (1.0 - left);
    [DRIFT_LASTS_S * (dt - rate), rate, left]
}

/// The direction of the state that neither way sees.
const SPLIT: [f64; N] = [1.0, 0.0, 0.0, -1.0, 1.0];

impl State {
    /// Nothing known, at zero.
    pub(super) const fn unknown() -> Self {
        Self { at: 0.0, mean: [0.0; N], cov: [[0.0; N]; N] }
    }

    /// theta expected at `at`.
    pub(super) fn theta_at(&self, at: f64) -> f64 {
        let dt = at - self.at;
        self.mean[THETA] + self.mean[RATE] * dt + self.mean[DRIFT] * drifted(dt)[0]
    }

    /// The rate expected at `at`.
    pub(super) fn rate_at(&self, at: f64) -> f64 {
        self.mean[RATE] + self.mean[DRIFT] * drifted(at - self.at)[1]
    }

    /// Df - Db.
    pub(super) fn asymmetry(&self) -> f64 {
        self.mean[THERE] - self.mean[BACK]
    }

    /// Variance of Df - Db.
    pub(super) fn asymmetry_variance(&self) -> f64 {
        (self.cov[THERE][THERE] + self.cov[BACK][BACK] - 2.0 * self.cov[THERE][BACK]).max(0.0)
    }

    /// Variance of Df + Db.
    pub(super) fn sum_variance(&self) -> f64 {
        (self.cov[THERE][THERE] + self.cov[BACK][BACK] + 2.0 * self.cov[THERE][BACK]).max(0.0)
    }

    /// Variance of theta, expected at `at`; the drift walks by `drift_walk` ns/s^2/sqrt(s).
    pub(super) fn theta_variance_at(&self, at: f64, drift_walk: f64) -> f64 {
        let dt = (at - self.at).max(0.0);
        let [a, ..] = drifted(dt);
        let c = &self.cov;
        let carried = c[THETA][THETA]
            + 2.0 * (dt * c[THETA][RATE] + a * c[THETA][DRIFT] + a * dt * c[RATE][DRIFT])
            + dt * dt * c[RATE][RATE]
            + a * a * c[DRIFT][DRIFT];
        carried + noise(dt, drift_walk)[0]
    }

    /// Carries the state to `at`; the drift walks by `drift_walk` ns/s^2/sqrt(s).
    pub(super) fn carry(&mut self, at: f64, drift_walk: f64) {
        let dt = (at - self.at).max(0.0);
        let [to_theta, to_rate, left] = drifted(dt);
        self.mean[THETA] += dt * self.mean[RATE] + to_theta * self.mean[DRIFT];
        self.mean[RATE] += to_rate * self.mean[DRIFT];
        self.mean[DRIFT] *= left;
        for j in 0..N {
            self.cov[THETA][j] += dt * self.cov[RATE][j] + to_theta * self.cov[DRIFT][j];
            self.cov[RATE][j] += to_rate * self.cov[DRIFT][j];
            self.cov[DRIFT][j] *= left;
        }
        for row in &mut self.cov {
            row[THETA] += dt * row[RATE] + to_theta * row[DRIFT];
            row[RATE] += to_rate * row[DRIFT];
            row[DRIFT] *= left;
        }
        let [tt, tr, td, rr, rd, dd] = noise(dt, drift_walk);
        for (i, row) in [[tt, tr, td], [tr, rr, rd], [td, rd, dd]].iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                self.cov[i][j] += value;
            }
        }
        self.at = at;
    }

    /// Prior variances of what the two ways see, and their covariance.
    pub(super) fn spread(&self) -> [f64; 3] {
        let c = &self.cov;
        let (t, f, b) = (c[THETA][THETA], c[THETA][THERE], c[THETA][BACK]);
        [t + 2.0 * f + c[THERE][THERE], t - 2.0 * b + c[BACK][BACK], t + f - b - c[THERE][BACK]]
    }

    /// By how much what `way` sees at `lag` seconds (negative: before now) has moved from `origin`.
    pub(super) fn moved(&self, origin: &Self, way: Way, lag: f64) -> f64 {
        let sight = sight(way, lag);
        (0..N).map(|i| sight[i] * (self.mean[i] - origin.mean[i])).sum()
    }

    /// Takes that what `way` sees at `lag` lies `value` from what `origin` expects, with this variance.
    pub(super) fn measure(&mut self, origin: &Self, way: Way, lag: f64, value: f64, variance: f64) {
        self.update(&sight(way, lag), value - self.moved(origin, way, lag), variance);
    }

    /// Takes Df - Db as known.
    pub(super) fn pin_asymmetry(&mut self, value: f64, variance: f64) {
        self.update(&[0.0, 0.0, 0.0, 1.0, -1.0], value - self.asymmetry(), variance);
    }

    /// Takes the delay of `way` as known.
    pub(super) fn pin_delay(&mut self, way: Way, value: f64, variance: f64) {
        let mut sight = [0.0; N];
        sight[way.slot()] = 1.0;
        self.update(&sight, value - self.mean[way.slot()], variance);
    }

    /// The delay of `way` may have changed by anything of this variance.
    pub(super) fn free(&mut self, way: Way, variance: f64) {
        self.cov[way.slot()][way.slot()] += variance;
    }

    /// Both delays may have changed by the same, anything of this variance.
    pub(super) fn free_together(&mut self, variance: f64) {
        for i in [THERE, BACK] {
            for j in [THERE, BACK] {
                self.cov[i][j] += variance;
            }
        }
    }

    /// The way there is shorter and the way back longer by `by` than was thought: theta with them, and neither way sees it.
    pub(super) fn move_split(&mut self, by: f64) {
        for (mean, sign) in self.mean.iter_mut().zip(SPLIT) {
            *mean += sign * by;
        }
    }

    /// How the delays divide between the ways may be off by anything of this variance.
    pub(super) fn doubt_split(&mut self, variance: f64) {
        for (row, one) in self.cov.iter_mut().zip(SPLIT) {
            for (value, other) in row.iter_mut().zip(SPLIT) {
                *value += one * other * variance;
            }
        }
    }

    /// Forgets how the first `count` components vary with all others.
    pub(super) fn forget(&mut self, count: usize) {
        for i in 0..N {
            for k in 0..count {
                self.cov[k][i] = 0.0;
                self.cov[i][k] = 0.0;
            }
        }
    }

    /// Kalman's update by one scalar measurement that is `off` its expectation.
    fn update(&mut self, sight: &[f64; N], off: f64, variance: f64) {
        let gain: [f64; N] = std::array::from_fn(|i| (0..N).map(|j| self.cov[i][j] * sight[j]).sum());
        let spread = (0..N).map(|i| sight[i] * gain[i]).sum::<f64>() + variance;
        if spread.is_nan() || spread <= 0.0 {
            return;
        }
        for i in 0..N {
            self.mean[i] += gain[i] / spread * off;
            for j in 0..N {
                self.cov[i][j] -= gain[i] * gain[j] / spread;
            }
            self.cov[i][i] = self.cov[i][i].max(1e-9);
        }
    }
}

/// What `way` sees of the state at `lag`.
fn sight(way: Way, lag: f64) -> [f64; N] {
    match way {
        Way::There => [1.0, lag, 0.5 * lag * lag, 1.0, 0.0],
        Way::Back => [1.0, lag, 0.5 * lag * lag, 0.0, -1.0],
    }
}

/// Noise that theta, the rate and the drift gather in `dt`: tt, tr, td, rr, rd, dd.
fn noise(dt: f64, drift_walk: f64) -> [f64; 6] {
    let (white, walk, drift) = (WHITE * WHITE * dt, WALK * WALK * dt, drift_walk * drift_walk * dt);
    let (one, two) = (dt, dt * dt);
    [
        white + walk * two / 3.0 + drift * two * two / 20.0,
        walk * one / 2.0 + drift * two * one / 8.0,
        drift * two / 6.0,
        walk + drift * two / 3.0,
        drift * one / 2.0,
        drift,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_in_one_or_in_many_steps_it_is_the_same() {
        let mut once = State { mean: [5.0, -20.0, 0.3, 1e5, 1e5], ..State::unknown() };
        once.cov[RATE][RATE] = 9.0;
        let mut often = once;
        once.carry(20.0, 0.1);
        (1..=200).for_each(|step| often.carry(f64::from(step) * 0.1, 0.1));
        assert!((once.mean[THETA] - often.mean[THETA]).abs() < 3.0, "{once:?} {often:?}");
        let ratio = once.cov[THETA][THETA] / often.cov[THETA][THETA];
        assert!((0.98..1.02).contains(&ratio), "{ratio}");
        let ahead = State { at: 0.0, ..once }.theta_variance_at(0.0, 0.1);
        assert!((ahead - once.cov[THETA][THETA]).abs() < 1e-6);
    }

    #[test]
    fn both_ways_together_give_theta_and_one_way_alone_keeps_the_doubt_of_its_delay() {
        let mut state = State::unknown();
        state.cov[THETA][THETA] = 1e12;
        state.free_together(1e10);
        let origin = state;
        state.measure(&origin, Way::There, 0.0, 700.0, 100.0);
        assert!(state.cov[THETA][THETA] > 5e9, "theta + Df alone says little of theta");
        state.measure(&origin, Way::Back, 0.0, 300.0, 100.0);
        assert!((state.mean[THETA] - 500.0).abs() < 0.1 && state.cov[THETA][THETA] < 51.0, "{state:?}");
        assert!((state.mean[THERE] - 200.0).abs() < 0.1 && (state.mean[BACK] - 200.0).abs() < 0.1);
    }

    #[test]
    fn what_a_new_route_costs_stays_in_the_covariance() {
        let mut state = State::unknown();
        state.cov[THETA][THETA] = 400.0;
        state.free(Way::There, 1e12);
        for _ in 0..1_000 {
            let origin = state;
            state.measure(&origin, Way::There, 0.0, 0.0, 1_000.0);
        }
        assert!(state.cov[THETA][THETA] > 399.0, "a way measured against theta cannot measure theta: {state:?}");
    }
}
