//! Intervals that hold a value nobody knows exactly, and what whole groups of them say together.

use serde::{Deserialize, Serialize};

/// A value is in here, ends included. The unit is that of the field it stands in: ns, or ppb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// At least.
    pub low: i64,
    /// At most.
    pub high: i64,
}

impl Interval {
    /// A value that is known.
    pub const fn exactly(value: i64) -> Self {
        Self { low: value, high: value }
    }

    /// `half` either way of `middle`.
    pub const fn around(middle: i64, half: u64) -> Self {
        Self { low: middle.saturating_sub_unsigned(half), high: middle.saturating_add_unsigned(half) }
    }

    /// Its middle.
    pub const fn middle(self) -> i64 {
        self.low.saturating_add_unsigned(self.high.abs_diff(self.low) / 2)
    }

    /// Half its width, rounded up.
    pub const fn half_width(self) -> u64 {
        self.high.abs_diff(self.low).div_ceil(2)
    }

    /// The sum of two such values.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { low: self.low.saturating_add(other.low), high: self.high.saturating_add(other.high) }
    }

    /// The difference of two such values.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { low: self.low.saturating_sub(other.high), high: self.high.saturating_sub(other.low) }
    }

    /// The same value against another zero, which is known.
    #[must_use]
    pub const fn against(self, zero: i64) -> Self {
        Self { low: self.low.saturating_sub(zero), high: self.high.saturating_sub(zero) }
    }

    /// The same with `by` more doubt either way.
    #[must_use]
    pub const fn widened(self, by: u64) -> Self {
        Self { low: self.low.saturating_sub_unsigned(by), high: self.high.saturating_add_unsigned(by) }
    }

    /// How far the whole interval is from zero: the value is no nearer. Zero where it may be zero; signed as the value is.
    pub const fn at_least(self) -> i64 {
        if self.low > 0 {
            self.low
        } else if self.high < 0 {
            self.high
        } else {
            0
        }
    }

    /// Whether the whole interval is further from zero than `limit`.
    pub const fn is_beyond(self, limit: u64) -> bool {
        self.at_least().unsigned_abs() > limit
    }

    /// What most of `all` agree on: between the median of their lower ends and that of their upper ones. As long as more than half of them
    /// are of values near one another, none of the others can move it away from those. Of an even number it reaches from the lower to the upper one
    /// of the two in the middle: what halves that are apart agree on is anywhere between them, so that neither half alone decides, and nothing is told
    /// that no one of them has. `None` of fewer than three.
    pub(crate) fn common(all: impl Iterator<Item = Self>) -> Option<Self> {
        let (mut low, mut high): (Vec<i64>, Vec<i64>) = all.map(|one| (one.low, one.high)).unzip();
        if low.len() < FEWEST {
            return None;
        }
        let (lower, upper) = ((low.len() - 1) / 2, high.len() / 2);
        Some(Self { low: *low.select_nth_unstable(lower).1, high: *high.select_nth_unstable(upper).1 })
    }

    /// Where most of `all` have a point in common, and how many those are; the first such place. `None` of none.
    pub(crate) fn shared(all: &[Self]) -> Option<(Self, usize)> {
        // By what they begin and end at; at one point ends come last, as they are included.
        let begins = all.iter().map(|one| (one.low, false));
        let mut edges: Vec<(i64, bool)> = begins.chain(all.iter().map(|one| (one.high, true))).collect();
        edges.sort_unstable();
        let (mut depth, mut best) = (0_usize, None);
        for (place, (at, is_end)) in edges.iter().enumerate() {
            if *is_end {
                depth = depth.saturating_sub(1);
                continue;
            }
            depth += 1;
            if best.is_none_or(|(_, most)| depth > most) {
                let high = edges.get(place + 1).map_or(*at, |(next, _)| *next);
                best = Some((Self { low: *at, high }, depth));
            }
        }
        best
    }

    /// From the least to the most that any of `all` may be; `None` of none.
    pub(crate) fn hull(all: impl Iterator<Item = Self>) -> Option<Self> {
        all.reduce(|one, other| Self { low: one.low.min(other.low), high: one.high.max(other.high) })
    }
}

/// Of fewer than so many nobody can say what most of them do.
pub(crate) const FEWEST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_interval_is_beyond() {
        let is_beyond = |low, high| Interval { low, high }.is_beyond(50);
        assert!(is_beyond(51, 60) && is_beyond(-60, -51));
        assert!(!is_beyond(50, 60) && !is_beyond(-60, -50) && !is_beyond(-100, 100) && !is_beyond(0, 1_000));
    }

    #[test]
    fn what_most_agree_on_is_moved_by_no_minority() {
        let common = |values: &[i64]| Interval::common(values.iter().map(|value| Interval::around(*value, 2)));
        assert_eq!(common(&[1, 2]), None);
        assert_eq!(common(&[1, 2, 1_000_000]), Some(Interval { low: 0, high: 4 }));
        assert_eq!(common(&[i64::MIN, 1, 3, 5]), Some(Interval { low: -1, high: 5 }));
    }

    #[test]
    fn what_halves_that_are_apart_agree_on_is_anywhere_between_them() {
        let common = |values: &[i64]| Interval::common(values.iter().map(|value| Interval::around(*value, 2))).unwrap();
        assert_eq!(common(&[300, 0, 300, 0]), Interval { low: -2, high: 302 });
        assert_eq!(common(&[300, 0, 300, 0, 300]), Interval { low: 298, high: 302 });
        assert_eq!(common(&[0, 0, 300, 300, 300, 0]).at_least(), 0);
    }

    #[test]
    fn where_most_have_a_point_in_common() {
        let shared = |all: &[(i64, i64)]| {
            let all: Vec<Interval> = all.iter().map(|(low, high)| Interval { low: *low, high: *high }).collect();
            Interval::shared(&all).map(|(shared, count)| (shared.low, shared.high, count))
        };
        assert_eq!(shared(&[]), None);
        assert_eq!(shared(&[(0, 0)]), Some((0, 0, 1)));
        assert_eq!(shared(&[(0, 5), (5, 9), (7, 8)]), Some((5, 5, 2)), "ends are included");
        assert_eq!(shared(&[(0, 10), (2, 8), (4, 20), (30, 40)]), Some((4, 8, 3)));
        assert_eq!(shared(&[(3, 3), (3, 3), (0, 0)]), Some((3, 3, 2)));
    }

    #[test]
    fn edges_saturate() {
        let all = Interval { low: i64::MIN, high: i64::MAX };
        assert_eq!((all.minus(all), all.plus(all)), (all, all));
        assert_eq!((all.middle(), all.half_width()), (-1, 1 << 63));
        assert!(!all.is_beyond(0));
        assert!(Interval::exactly(i64::MIN).is_beyond(1));
    }
}
