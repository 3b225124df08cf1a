//! The least round trip of the present path, without any theta.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw, Span};

use crate::Tolerance;

/// Two buckets of this length alternate: what is older than both is forgotten.
const BUCKET: Span = Span::from_s(1_024);
/// A minimum of fewer says nothing; a bucket with fewer goes on.
const FEWEST: u32 = 8;
/// A least round trip lies above the path's by some times what the third least lies above it: 2.5 times where both
/// directions have the gamma-like jitter of two queues each, once where queues are mostly empty.
const MARGIN: i64 = 6;
/// A round trip shorter than the least by more than jitter makes is not believed at once: a freeze that hides as much of it
/// may lie inside, and the hard bound stands on no more than what the reply's way is longer than its floor. Less than the
/// first part of the least is always believed, more than the second never.
const SHORT_PARTS: (i64, i64) = (32, 8);

/// Nothing that stops a clock or makes it jump is over sooner: not even the switch of a guest from one CPU to another. What differs
/// by less is jitter, of which short paths (a loopback's) have much for their length.
const LEAST_FREEZE: i64 = 5_000;

/// The three least of a bucket, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Least([i64; 3]);

/// Round trips of the last 17 to 34 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoundTrips {
    since: Instant<Raw>,
    now: Least,
    before: Least,
    count: u32,
    before_count: u32,
    /// The last one that was too short to be believed; `i64::MIN` for none.
    doubted_ns: i64,
}

impl Default for RoundTrips {
    fn default() -> Self {
        let since = Instant::from_ns(0);
        Self { since, now: Least::NONE, before: Least::NONE, count: 0, before_count: 0, doubted_ns: i64::MIN }
    }
}

impl RoundTrips {
    pub(super) fn observe(&mut self, at: Instant<Raw>, round_trip_ns: i64) {
        if self.count == 0 {
            self.since = at;
        }
        if at - self.since >= BUCKET && self.count >= FEWEST {
            let (before, before_count) = (self.now, self.count);
            *self = Self { since: at, before, before_count, ..Self::default() };
        }
        self.now.insert(round_trip_ns);
        self.count = self.count.saturating_add(1);
    }

    /// Half the least round trip of the path, at least: a lower estimate, and never less than the floor.
    pub(super) fn half_ns(&self, tolerance: &Tolerance) -> i64 {
        let floor_ns = tolerance.path_floor.ns();
        let Some([least, _, third]) = self.least() else { return floor_ns };
        let margin = third.saturating_sub(least).saturating_mul(MARGIN);
        (least.saturating_sub(margin) / 2).max(floor_ns)
    }

    /// What a jump of theta has to exceed to be told from what paths do.
    pub(super) fn noise_ns(&self) -> i64 {
        let noise = |[least, _, third]: [i64; 3]| (least / 16).max(third.saturating_sub(least)).max(LEAST_FREEZE);
        self.least().map_or(i64::MAX, noise)
    }

    /// How much shorter than the least this one is, where it is too short to be believed: a freeze inside an exchange
    /// fakes such. Another like it makes it a new path.
    pub(super) fn missing_ns(&mut self, round_trip_ns: i64) -> Option<i64> {
        let [least, _, third] = self.least()?;
        let missing = least.saturating_sub(round_trip_ns);
        let jitter = third.saturating_sub(least).saturating_mul(MARGIN);
        if missing <= jitter.max(least / SHORT_PARTS.0).min(least / SHORT_PARTS.1).max(LEAST_FREEZE) {
            return None;
        }
        let alike = round_trip_ns.abs_diff(self.doubted_ns) <= (least / 4).unsigned_abs();
        self.doubted_ns = if alike { i64::MIN } else { round_trip_ns };
        (!alike).then_some(missing)
    }

    /// The three least of both buckets.
    fn least(&self) -> Option<[i64; 3]> {
        let mut both = self.now;
        self.before.0.into_iter().for_each(|ns| both.insert(ns));
        (self.count.saturating_add(self.before_count) >= FEWEST).then_some(both.0)
    }
}

impl Least {
    const NONE: Self = Self([i64::MAX; 3]);

    fn insert(&mut self, ns: i64) {
        let [a, b, c] = self.0;
        self.0 = [a.min(ns), b.min(a.max(ns)), c.min(b.max(ns))];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips(spans_ns: impl IntoIterator<Item = i64>) -> RoundTrips {
        let mut trips = RoundTrips::default();
        for (second, ns) in (0..).zip(spans_ns) {
            trips.observe(Instant::from_ns(second * 1_000_000_000), ns);
        }
        trips
    }

    #[test]
    fn the_least_counts_less_a_margin_and_only_of_enough() {
        let tolerance = Tolerance::default();
        assert_eq!(trips((0..7).map(|n| 1_000 + n)).half_ns(&tolerance), 0);
        assert_eq!(trips((0..8).map(|n| 1_000 + n)).half_ns(&tolerance), (1_000 - 2 * MARGIN) / 2);
    }

    #[test]
    fn a_longer_path_shows_once_both_buckets_are_of_it() {
        let (tolerance, longer) = (Tolerance::default(), std::iter::repeat_n(5_000, 1_024));
        let still = trips(std::iter::repeat_n(1_000, 1_024).chain(longer.clone()));
        assert_eq!(still.half_ns(&tolerance), 500);
        let after = trips(std::iter::repeat_n(1_000, 1_024).chain(longer.clone()).chain(longer));
        assert_eq!(after.half_ns(&tolerance), 2_500);
    }

    #[test]
    fn a_short_one_is_believed_when_another_is_like_it() {
        let mut trips = trips(std::iter::repeat_n(100_000, 20));
        let missing = [98_000, 50_000, 99_000, 51_000].map(|ns| trips.missing_ns(ns));
        assert_eq!(missing, [None, Some(50_000), None, None]);
    }

    #[test]
    fn the_jitter_of_a_loopback_is_no_freeze() {
        let mut trips = trips(std::iter::repeat_n(7_900, 20));
        assert_eq!([3_100, 7_000, 2_901].map(|ns| trips.missing_ns(ns)), [None; 3]);
        assert_eq!(trips.noise_ns(), LEAST_FREEZE);
    }
}
