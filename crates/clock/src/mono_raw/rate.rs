//! How fast RAW runs against MONO, and how well that is known.

use super::point::Point;
use serde::{Deserialize, Serialize};

/// In so long the rate changes at most once, ns, as the crate assumes.
const ONE_CHANGE: i64 = 500_000_000;

/// Longest stretch over which a slope is taken, ns: it leaves as much for the interval after it.
pub(super) const LONGEST: i64 = ONE_CHANGE / 2;

/// Largest change of the rate of MONO against RAW: 1 in so many, from one end of what NTP may steer to the other.
const LARGEST_CHANGE: i64 = 1_000;

/// A slope that is not known this well is not used.
const USELESS: f64 = 0.5 / LARGEST_CHANGE as f64;

/// d(RAW - MONO) / d(MONO), an interval: middle and half of the width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    middle: f64,
    error: f64,
    /// Over how long it was measured, ns.
    stretch: i64,
}

impl Default for Rate {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Rate {
    /// Nothing was measured: MONO is steered by at most half of the largest change either way.
    pub(super) const UNKNOWN: Self = Self { middle: 0.0, error: 0.0, stretch: i64::MAX };

    /// The rate at the last of `points`: over the stretch that tells it best, if there is one so short that the rate
    /// changes at most once over it and the `next` ns; else over that from the point before. A slope between two readings
    /// is uncertain by both over the time between them.
    pub(super) fn of(points: &[Point], next: i64) -> Self {
        let Some((last, older)) = points.split_last() else { return Self::UNKNOWN };
        let longest = LONGEST.min(ONE_CHANGE.saturating_sub(next));
        let recent = |rate: &Self| rate.stretch <= longest;
        let recent = older.iter().rev().map_while(|start| Self::between(start, last).filter(recent));
        let best = recent.min_by(|a, b| a.error.total_cmp(&b.error));
        let best = best.or_else(|| Self::between(older.last()?, last));
        best.filter(|rate| rate.error <= USELESS).unwrap_or(Self::UNKNOWN)
    }

    /// The mean rate from one point to another.
    pub(super) fn between(start: &Point, end: &Point) -> Option<Self> {
        let elapsed = start.until(end.mono).filter(|elapsed| *elapsed > 0)?;
        let risen = end.ahead.checked_sub(start.ahead)?;
        let error = start.readings(end) as f64 / elapsed as f64;
        Some(Self { middle: risen as f64 / elapsed as f64, error, stretch: elapsed })
    }

    /// What RAW - MONO rises by over `elapsed` ns, rounded to the nearest; saturates.
    pub(super) fn over(&self, elapsed: i64) -> i64 {
        (self.middle * elapsed as f64).round() as i64
    }

    /// How far [`Rate::over`] may be off if the rate stays what it is, ns.
    pub(super) fn error_over(&self, elapsed: i64) -> i64 {
        (self.error * elapsed as f64).ceil() as i64
    }

    /// Whether the rate changes at most once over the stretch that it was taken over and the next `elapsed` ns.
    pub(super) fn changes_once(&self, elapsed: i64) -> bool {
        self.stretch.saturating_add(elapsed) <= ONE_CHANGE
    }

    /// Whether both may be the same but for what steering changes.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.middle - other.middle).abs() <= self.error + other.error + 1.0 / LARGEST_CHANGE as f64
    }
}

/// What a change of steering may add over `elapsed` ns, at most.
pub(super) fn steered(elapsed: i64) -> i64 {
    elapsed / LARGEST_CHANGE + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ms: i64, ahead: i64, reading: u32) -> Point {
        Point { mono: ms * 1_000_000, ahead, reading, chord: 0 }
    }

    #[test]
    fn a_slope_is_taken_where_it_is_best_known() {
        let points = [point(0, 0, 50), point(100, 30_000, 90_000), point(200, 20_000, 50)];
        let rate = Rate::of(&points, 0);
        assert_eq!((rate.over(1_000_000_000), rate.error_over(1_000_000_000)), (100_000, 500));
        assert_eq!(Rate::of(&points[..2], 0), Rate::UNKNOWN, "90 us over 100 ms");
        let old = Rate::of(&[point(0, 0, 50), point(1_000, 500_000, 50)], 0);
        assert!(!old.changes_once(1) && old.over(1_000_000) == 500 && rate.changes_once(300_000_000));
    }
}
