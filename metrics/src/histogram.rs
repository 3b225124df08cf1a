//! How long something took, by classes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts durations, each in the first class that it fits.
#[derive(Debug)]
pub struct Histogram {
    bounds_s: &'static [f64],
    /// One for each bound, and one beyond them.
    counts: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations {
    /// All of them, s.
    pub sum_s: f64,
    /// The upper bound of each class, s, and how many are in it; the last one has no bound.
    pub classes: Vec<(f64, u64)>,
}

impl Histogram {
    /// Of classes with these upper bounds, ascending, s.
    #[must_use]
    pub fn new(bounds_s: &'static [f64]) -> Self {
        let counts = (0..=bounds_s.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_s, counts, sum_us: AtomicU64::new(0) }
    }

    /// It took so long.
    pub fn observe(&self, took: std::time::Duration) {
        let class = self.bounds_s.partition_point(|bound_s| *bound_s < took.as_secs_f64());
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn read(&self) -> Durations {
        let bounds_s = self.bounds_s.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Durations { sum_s: self.sum_us.load(Ordering::Relaxed) as f64 / 1e6, classes: bounds_s.zip(counts).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_duration_is_in_the_first_class_that_it_fits() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        [0, 100, 101, 1_000, 1_001, 90_000].into_iter().for_each(|ms| histogram.observe(Duration::from_millis(ms)));
        let Durations { sum_s, classes } = histogram.read();
        assert_eq!(classes, [(0.1, 2), (1.0, 2), (f64::INFINITY, 2)]);
        assert!((sum_s - 92.202).abs() < 1e-9, "{sum_s}");
    }
}
