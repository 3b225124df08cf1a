//! theta and its rate from the few probes since a start or a disruption.
//!
//! The posterior is explored by its modes: for each rate believed in (the one from before goes on, or another), from
//! several starts, the mode is found by iterated reweighting and given the weight of its Laplace approximation. The answer
//! is the mean and covariance over all modes (a Gaussian sum, collapsed: Sorenson and Alspach, Automatica 7, 1971).

use super::density::Density;
use serde::{Deserialize, Serialize};

/// Share of calm packets below which a way alone has not shown its floor, even beside round trips at the known floor.
const ENOUGH_CALM: f64 = 0.65;
/// The same without any such round trip.
const MOSTLY_CALM: f64 = 0.8;
/// Over so many newest packets.
const NEWEST: usize = 10;
/// A packet is taken for calm before it is looked at with this probability.
const CALM: f64 = 0.9;
/// Modes at most: three beliefs from three starts.
const MODES: usize = 9;

/// A probe beside a line of theta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    /// s.
    pub(super) at: f32,
    /// T2 - L1 - Df less the line, ns: theta and queueing.
    pub(super) upper: f32,
    /// T3 - L4 + Db less the line, ns: theta less queueing.
    pub(super) lower: f32,
}

/// What is believed of the rate before any probe, beside the line's, ns/s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    pub(super) deviation: f64,
    pub(super) ln_prior: f64,
}

/// theta at the newest probe and its rate, beside the line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fix {
    pub(super) theta: f64,
    pub(super) rate: f64,
    /// Variance of theta, covariance, variance of the rate.
    pub(super) cov: [f64; 3],
    /// Information about theta from each way.
    pub(super) information: [f64; 2],
    /// Share of the newest packets that are calm, in the way that has more of them.
    calm: f64,
}

impl Fix {
    /// Whether the floor of one way has been seen, and not a chance cluster among late packets; `clean` round trips were
    /// at the known floor.
    pub(super) fn floor_seen(&self, clean: usize) -> bool {
        self.calm > MOSTLY_CALM || self.calm > ENOUGH_CALM && clean > 0
    }
}

#[derive(Clone, Copy, Default)]
struct Mode {
    belief: f64,
    ln_weight: f64,
    fix: Fix,
}

/// What `points` (oldest first) say.
pub(super) fn fix(points: &[Point], density: &Density, beliefs: &[Belief]) -> Fix {
    let Some(newest) = points.last() else { return Fix::default() };
    let now = f64::from(newest.at);
    let (starts, half_box) = starts(points);
    let (mut modes, mut count) = ([Mode::default(); MODES], 0);
    for belief in beliefs {
        for start in starts {
            let found = mode(points, now, density, *belief, start);
            let alike = |known: &Mode| {
                known.belief == found.belief && (known.fix.theta - found.fix.theta).abs() < 0.2 * density.below()
            };
            if count < MODES && !modes[..count].iter().any(alike) {
                modes[count] = found;
                count += 1;
            }
        }
    }
    let mut fix = mean(&modes[..count]);
    if fix.calm <= ENOUGH_CALM {
        // A chance cluster among late packets: only the box that the earliest of them leave is known.
        fix.cov[0] = fix.cov[0].max(half_box * half_box / 3.0);
    }
    fix
}

/// Where to look for modes: the middle of the best round trip and both edges; and half the width between the edges.
fn starts(points: &[Point]) -> ([f64; 3], f64) {
    let (mut high, mut low, mut best, mut middle) = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, 0.0);
    for point in points {
        let (upper, lower) = (f64::from(point.upper), f64::from(point.lower));
        high = high.min(upper);
        low = low.max(lower);
        if upper - lower < best {
            best = upper - lower;
            middle = (upper + lower) / 2.0;
        }
    }
    ([middle, high, low], (high - low).max(0.0) / 2.0)
}

fn mode(points: &[Point], now: f64, density: &Density, belief: Belief, start: f64) -> Mode {
    let prior = 1.0 / (belief.deviation * belief.deviation);
    let (theta, rate) = climbed(points, now, density, prior, start);
    let mut sums = Sums { s2: prior, ..Sums::default() };
    let (mut ln, mut information, mut shares) = (0.0, [0.0; 2], [0.0; 2]);
    let newest = points.len().saturating_sub(NEWEST);
    for (index, point) in points.iter().enumerate() {
        let at = f64::from(point.at) - now;
        let here = theta + rate * at;
        for (way, excess) in [f64::from(point.upper) - here, here - f64::from(point.lower)].into_iter().enumerate() {
            let stray = if excess < 0.0 { 1e-3 } else { 1.0 };
            let (p, q) = (CALM * density.at(excess), (1.0 - CALM) * stray * density.broad(excess));
            let calm = p / (p + q);
            ln += (p + q).ln();
            if index >= newest {
                shares[way] += calm / (points.len() - newest) as f64;
            }
            information[way] += calm * density.information();
            sums.add(at, calm * density.information());
        }
    }
    // Few packets of a skewed density say less than its curvature.
    let counted = (information[0] + information[1]) / density.information();
    let worth = counted / (counted + 3.0);
    let sums = Sums { s0: sums.s0 * worth, s1: sums.s1 * worth, s2: prior + (sums.s2 - prior) * worth };
    let det = sums.det();
    let cov = [sums.s2 / det, -sums.s1 / det, sums.s0 / det];
    let information = information.map(|one| one * worth);
    let fix = Fix { theta, rate, cov, information, calm: shares[0].max(shares[1]) };
    let ln_weight = belief.ln_prior - 0.5 * prior * rate * rate + 0.5 * prior.ln() + ln - 0.5 * det.ln();
    Mode { belief: belief.deviation, ln_weight, fix }
}

/// The mode near `start`, by iterated reweighting: theta and rate.
fn climbed(points: &[Point], now: f64, density: &Density, prior: f64, start: f64) -> (f64, f64) {
    let (mut theta, mut rate) = (start, 0.0);
    for _ in 0..8 {
        let mut sums = Sums { s2: prior, ..Sums::default() };
        let (mut y0, mut y1) = (0.0, 0.0);
        for point in points {
            let at = f64::from(point.at) - now;
            let (upper, lower) = (f64::from(point.upper), f64::from(point.lower));
            let here = theta + rate * at;
            let (w, v) = (density.weight(upper - here), density.weight(here - lower));
            sums.add(at, w + v);
            let y = w * upper + v * lower;
            y0 += y;
            y1 += y * at;
        }
        let det = sums.det();
        theta = (sums.s2 * y0 - sums.s1 * y1) / det;
        rate = (sums.s0 * y1 - sums.s1 * y0) / det;
    }
    (theta, rate)
}

/// Moments of weights over time.
#[derive(Clone, Copy)]
struct Sums {
    s0: f64,
    s1: f64,
    s2: f64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { s0: 1e-18, s1: 0.0, s2: 0.0 }
    }
}

impl Sums {
    fn add(&mut self, at: f64, weight: f64) {
        self.s0 += weight;
        self.s1 += weight * at;
        self.s2 += weight * at * at;
    }

    fn det(&self) -> f64 {
        (self.s0 * self.s2 - self.s1 * self.s1).max(1e-300)
    }
}

fn mean(modes: &[Mode]) -> Fix {
    let top = modes.iter().map(|mode| mode.ln_weight).fold(f64::NEG_INFINITY, f64::max);
    let weight = |mode: &Mode| (mode.ln_weight - top).max(-60.0).exp();
    let total: f64 = modes.iter().map(weight).sum();
    let mean = |value: fn(&Fix) -> f64| modes.iter().map(|mode| weight(mode) * value(&mode.fix)).sum::<f64>() / total;
    let (theta, rate) = (mean(|fix| fix.theta), mean(|fix| fix.rate));
    let mut cov = [0.0; 3];
    for mode in modes {
        let p = weight(mode) / total;
        let (dt, dr) = (mode.fix.theta - theta, mode.fix.rate - rate);
        for (sum, (own, between)) in cov.iter_mut().zip(mode.fix.cov.iter().zip([dt * dt, dt * dr, dr * dr])) {
            *sum += p * (own + between);
        }
    }
    let information = [mean(|fix| fix.information[0]), mean(|fix| fix.information[1])];
    Fix { theta, rate, cov, information, calm: mean(|fix| fix.calm) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Belief = Belief { deviation: 30.0, ln_prior: 0.0 };
    const OTHER: Belief = Belief { deviation: 3_000.0, ln_prior: -3.0 };

    fn points(rate: f32, late: &[f32]) -> Vec<Point> {
        let point = |(n, late): (usize, &f32)| {
            let at = n as f32;
            Point { at, upper: 500.0 + rate * at + late, lower: 500.0 + rate * at - late }
        };
        late.iter().enumerate().map(point).collect()
    }

    #[test]
    fn a_rate_that_went_on_is_kept_and_one_that_did_not_is_found() {
        let late = [900.0, 30.0, 2_500.0, 100.0, 700.0, 400.0, 1_800.0, 60.0, 500.0, 300.0, 900.0, 200.0];
        let density = Density::of_spread(1_000.0);
        let kept = fix(&points(0.0, &late), &density, &[KEPT, OTHER]);
        assert!(kept.rate.abs() < 30.0 && (kept.theta - 500.0).abs() < 300.0, "{kept:?}");
        let moved = fix(&points(2_000.0, &late), &density, &[KEPT, OTHER]);
        assert!((moved.rate - 2_000.0).abs() < 150.0 && moved.floor_seen(12), "{moved:?}");
    }

    #[test]
    fn two_congested_ways_leave_the_box() {
        let late = [90e3, 310e3, 55e3, 140e3, 700e3, 200e3, 95e3, 400e3];
        let fix = fix(&points(0.0, &late), &Density::of_spread(1_000.0), &[KEPT]);
        assert!(!fix.floor_seen(0) && fix.cov[0].sqrt() > 25e3, "{fix:?}");
    }
}
