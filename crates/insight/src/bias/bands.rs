//! Bands of durations.

use std::ops::Range;

use crate::text::span;

/// Powers of ten between which durations are told apart.
const EDGES_NS: [u64; 5] = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Bands of durations whose edges are the powers of ten from 10 us to 100 ms, and the rates of the profiles: all blocks of a band are
/// either below a rate or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bands {
    edges_ns: Vec<u64>,
}

impl Bands {
    /// The bands for profiles of these rates.
    #[must_use]
    pub fn of_rates(rates_ns: &[u64]) -> Self {
        let rates = rates_ns.iter().copied().filter(|&rate| rate > 1);
        let mut edges_ns: Vec<u64> = rates.chain(EDGES_NS).collect();
        edges_ns.sort_unstable();
        edges_ns.dedup();
        Self { edges_ns }
    }

    /// How many there are, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.edges_ns.len() + 1
    }

    /// The number of the band that a duration is in.
    #[must_use]
    pub fn of(&self, ns: u64) -> usize {
        self.edges_ns.partition_point(|&edge| edge <= ns)
    }

    /// From its shortest duration, ns, up to below the longest.
    #[must_use]
    pub fn range_ns(&self, band: usize) -> Range<u64> {
        let edge = |number: usize| self.edges_ns.get(number).copied();
        band.checked_sub(1).and_then(edge).unwrap_or(0)..edge(band).unwrap_or(u64::MAX)
    }

    /// `under 10.0 µs`, `10.0 µs to 100 µs`, `from 100 ms`.
    #[must_use]
    pub fn label(&self, band: usize) -> String {
        match self.range_ns(band) {
            Range { start: 0, end } => format!("under {}", span(end)),
            Range { start, end: u64::MAX } => format!("from {}", span(start)),
            Range { start, end } => format!("{} to {}", span(start), span(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_one_band_and_rates_are_edges() {
        let bands = Bands::of_rates(&[1, 10_000, 25_000, 1_000_000]);
        let labels: Vec<_> = (0..bands.count()).map(|band| bands.label(band)).collect();
        assert_eq!(
            labels,
            [
                "under 10.0 µs",
                "10.0 µs to 25.0 µs",
                "25.0 µs to 100 µs",
                "100 µs to 1.00 ms",
                "1.00 ms to 10.0 ms",
                "10.0 ms to 100 ms",
                "from 100 ms"
            ]
        );
        for ns in [0, 1, 9_999, 10_000, 24_999, 25_000, 1_000_000, 99_999_999, 100_000_000, u64::MAX - 1] {
            assert!(bands.range_ns(bands.of(ns)).contains(&ns), "{ns}");
        }
    }
}
