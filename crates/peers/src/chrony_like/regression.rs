//! A weighted straight line, and whether the residuals about it look random.

/// A sample about the newest: its age is negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) age_ns: f64,
    pub(super) offset_ns: f64,
    pub(super) weight: f64,
}

/// A line fitted by weighted least squares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// At age zero.
    pub(super) offset_ns: f64,
    pub(super) frequency: f64,
    points: f64,
    total_weight: f64,
    mean_age_ns: f64,
    /// Weighted sum of squared ages about their mean.
    age_spread: f64,
    /// Of a point of weight one.
    variance: f64,
}

impl Line {
    /// `None` where the points give no line: all of one age, or beyond what a float holds.
    pub(super) fn through(points: &[Point]) -> Option<Self> {
        let total_weight: f64 = points.iter().map(|point| point.weight).sum();
        let mean = |of: fn(&Point) -> f64| points.iter().map(|p| p.weight * of(p)).sum::<f64>() / total_weight;
        let (mean_age_ns, mean_offset_ns) = (mean(|point| point.age_ns), mean(|point| point.offset_ns));
        let about_mean = |point: &Point| point.age_ns - mean_age_ns;
        let age_spread: f64 = points.iter().map(|p| p.weight * about_mean(p).powi(2)).sum();
        let frequency = points.iter().map(|p| p.weight * p.offset_ns * about_mean(p)).sum::<f64>() / age_spread;
        let offset_ns = mean_offset_ns - frequency * mean_age_ns;
        let points_fitted = points.len() as f64;
        let mut line =
            Self { offset_ns, frequency, points: points_fitted, total_weight, mean_age_ns, age_spread, variance: 0.0 };
        let squares: f64 = points.iter().map(|p| p.weight * line.residual_ns(p).powi(2)).sum();
        line.variance = squares / line.degrees_of_freedom() as f64;
        (age_spread > 0.0 && offset_ns.is_finite() && frequency.is_finite() && squares.is_finite()).then_some(line)
    }

    pub(super) fn sample_deviation_ns(&self) -> f64 {
        (self.variance * self.points / self.total_weight).sqrt()
    }

    pub(super) fn offset_deviation_ns(&self) -> f64 {
        (self.variance / self.total_weight).sqrt().hypot(self.mean_age_ns * self.frequency_deviation())
    }

    /// How far the frequency may be off, s/s.
    pub(super) fn skew(&self) -> f64 {
        (self.frequency_deviation() * students_t(self.degrees_of_freedom())).clamp(1e-12, 1.0)
    }

    fn frequency_deviation(&self) -> f64 {
        (self.variance / self.age_spread).sqrt()
    }

    fn degrees_of_freedom(&self) -> usize {
        (self.points as usize).saturating_sub(2).max(1)
    }

    fn residual_ns(&self, point: &Point) -> f64 {
        point.offset_ns - self.offset_ns - self.frequency * point.age_ns
    }
}

/// Stretches of residuals of one sign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    runs: usize,
    residuals: usize,
}

pub(super) fn runs(line: &Line, points: &[Point]) -> Runs {
    let sign = |point: &Point| line.residual_ns(point).partial_cmp(&0.0).unwrap_or(std::cmp::Ordering::Equal);
    // Zero is of neither sign, and ends a run.
    let ends = |pair: &[Point]| matches!(pair, [a, b] if sign(a) != sign(b) || sign(a).is_eq());
    Runs { runs: 1 + points.windows(2).filter(|pair| ends(pair)).count(), residuals: points.len() }
}

impl Runs {
    /// Fewer than eight residuals are too few to tell.
    pub(super) fn suit_a_straight_line(&self) -> bool {
        self.residuals < 8 || self.runs > self.critical()
    }

    /// So few are seen by chance once in twenty times: the normal approximation of the number of runs of as many signs
    /// of one kind as of the other (Wald and Wolfowitz, Annals of Mathematical Statistics 11, 1940).
    fn critical(&self) -> usize {
        let n = self.residuals as f64;
        let (mean, variance) = (n / 2.0 + 1.0, n * (n - 2.0) / (4.0 * (n - 1.0)));
        (mean - 1.65 * variance.sqrt()) as usize
    }
}

/// The 99.95 % quantile of Student's t distribution.
fn students_t(degrees_of_freedom: usize) -> f64 {
    const QUANTILES: [f64; 40] = [
        636.619, 31.599, 12.924, 8.610, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587, 4.437, 4.318, 4.221, 4.140, 4.073,
        4.015, 3.965, 3.922, 3.883, 3.850, 3.819, 3.792, 3.768, 3.745, 3.725, 3.707, 3.690, 3.674, 3.659, 3.646, 3.633,
        3.622, 3.611, 3.601, 3.591, 3.582, 3.574, 3.566, 3.558, 3.551,
    ];
    QUANTILES.get(degrees_of_freedom.saturating_sub(1)).copied().unwrap_or(3.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(offset_ns: impl Fn(f64) -> f64, count: i32) -> Vec<Point> {
        let point = |index| {
            let age_ns = f64::from(index - count + 1);
            Point { age_ns, offset_ns: offset_ns(age_ns), weight: 1.0 }
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn a_line_is_found() {
        let line = Line::through(&points(|age| 5.0 + 0.25 * age, 10)).unwrap();
        assert!((line.offset_ns - 5.0).abs() < 1e-9 && (line.frequency - 0.25).abs() < 1e-9);
        assert!(line.sample_deviation_ns() < 1e-9);
    }

    #[test]
    fn a_bend_has_too_few_runs_and_alternation_has_enough() {
        let bent = points(|age| age * age, 20);
        let line = Line::through(&bent).unwrap();
        assert!(!runs(&line, &bent).suit_a_straight_line());
        let alternating = points(|age| if age % 2.0 == 0.0 { 1.0 } else { -1.0 }, 20);
        let line = Line::through(&alternating).unwrap();
        assert!(runs(&line, &alternating).suit_a_straight_line());
    }

    #[test]
    fn critical_numbers_of_runs_are_those_of_the_tables() {
        let critical = |residuals| Runs { runs: 0, residuals }.critical();
        assert_eq!([8, 10, 12, 20, 40, 100].map(critical), [2, 3, 4, 7, 15, 42]);
    }

    #[test]
    fn points_of_one_age_give_no_line() {
        let mut points = points(|age| age, 5);
        points.iter_mut().for_each(|point| point.age_ns = 0.0);
        assert!(Line::through(&points).is_none());
    }
}
