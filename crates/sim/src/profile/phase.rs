//! How far a clock is ahead of true time: a continuous part on a grid, and jumps.

/// Distance of the grid's points, s of true time.
pub(super) const GRID_S: f64 = 0.05;

/// A continuous function of true time, linear between the points of a regular grid and constant beyond its ends.
pub(super) struct Phase(Vec<f64>);

impl Phase {
    /// The integral of `rates`, each of which holds for one step of the grid; zero at true time zero.
    pub(super) fn integral(rates: &[f64]) -> Self {
        let mut sum = 0.0;
        let sums = rates.iter().map(|rate| {
            sum += rate * GRID_S;
            sum
        });
        Self(std::iter::once(0.0).chain(sums).collect())
    }

    /// The value at true time `at_s`.
    pub(super) fn at(&self, at_s: f64) -> f64 {
        let position = at_s.max(0.0) / GRID_S;
        let index = position as usize;
        let last = self.0.len() - 1;
        if index >= last {
            return self.0[last];
        }
        self.0[index] + (self.0[index + 1] - self.0[index]) * (position - index as f64)
    }
}

/// A sudden change of a clock's error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Jump {
    /// When, s of true time.
    pub(super) at_s: f64,
    /// By how much the clock is further ahead from then on, s.
    pub(super) size_s: f64,
}

/// Jumps in order of time.
#[derive(Default)]
pub(super) struct Jumps {
    jumps: Vec<Jump>,
    /// What all jumps up to this one add up to.
    sums_s: Vec<f64>,
}

impl Jumps {
    pub(super) fn new(mut jumps: Vec<Jump>) -> Self {
        jumps.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let mut sum = 0.0;
        let sums_s = jumps.iter().map(|jump| {
            sum += jump.size_s;
            sum
        });
        Self { sums_s: sums_s.collect(), jumps }
    }

    /// What the jumps up to true time `at_s` add up to, s.
    pub(super) fn sum_at(&self, at_s: f64) -> f64 {
        self.sum_of_first(self.jumps.partition_point(|jump| jump.at_s <= at_s))
    }

    /// What the first `count` jumps add up to, s.
    pub(super) fn sum_of_first(&self, count: usize) -> f64 {
        count.checked_sub(1).map_or(0.0, |last| self.sums_s[last])
    }

    pub(super) fn as_slice(&self) -> &[Jump] {
        &self.jumps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_the_integral_of_its_rates() {
        let phase = Phase::integral(&[1.0, 3.0]);
        let near = |at_s: f64, value: f64| (phase.at(at_s) - value).abs() < 1e-12;
        assert!(near(0.0, 0.0) && near(GRID_S, GRID_S) && near(1.5 * GRID_S, 2.5 * GRID_S));
        assert!(near(-1.0, 0.0) && near(99.0, 4.0 * GRID_S), "constant beyond its ends");
    }

    #[test]
    fn jumps_count_from_their_time_on_in_whatever_order_they_are_given() {
        let jumps = Jumps::new(vec![Jump { at_s: 2.0, size_s: -1.0 }, Jump { at_s: 1.0, size_s: 5.0 }]);
        assert_eq!([0.9, 1.0, 1.9, 2.0].map(|at_s| jumps.sum_at(at_s)), [0.0, 5.0, 5.0, 4.0]);
    }
}
