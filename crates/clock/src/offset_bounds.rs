//! Bounds of a node's offset, as others see them.

use syncline_timebase::{Instant, Mono, Offset, Raw, Reference};

use crate::hull::{Known, Theta};

/// An interval that holds REF - MONO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetInterval {
    /// At least.
    pub low: Offset<Mono, Reference>,
    /// At most.
    pub high: Offset<Mono, Reference>,
}

/// REF - MONO under each class of assumption; each interval lies within the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetBounds {
    /// Assumes the oscillator's tolerance and the least delays.
    pub hard: OffsetInterval,
    /// Assumes in addition that no path is more asymmetric than [`crate::Tolerance::asymmetry_share`] says.
    pub budgeted: OffsetInterval,
    /// Assumes in addition that paths are symmetric.
    pub tight: OffsetInterval,
}

impl OffsetBounds {
    /// At `mono`, which lies between two instants on RAW. REF grows with RAW, so the ends of the interval on REF come
    /// from the ends of that on RAW, unless the clocks were disrupted between them: then either side may hold.
    pub(crate) fn between(
        mono: Instant<Mono>,
        earliest: &(Instant<Raw>, Known),
        latest: &(Instant<Raw>, Known),
    ) -> Self {
        let offset = |(raw, _): &(Instant<Raw>, Known), theta_ns: i64| {
            Offset::from_ns(mono.offset_to(*raw).ns().saturating_add(theta_ns))
        };
        let is_broken = earliest.1.epoch != latest.1.epoch;
        let interval = |early: Theta, late: Theta| {
            let (early, late) = if is_broken { (early.join(late), early.join(late)) } else { (early, late) };
            OffsetInterval { low: offset(earliest, early.low), high: offset(latest, late.high) }
        };
        let (early, late) = (&earliest.1.bounds, &latest.1.bounds);
        Self {
            hard: interval(early.hard, late.hard),
            budgeted: interval(early.budgeted, late.budgeted),
            tight: interval(early.tight, late.tight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hull::{Bounds, Rates};

    fn known(low: i64, high: i64, epoch: u32) -> Known {
        let theta = Theta { low, high };
        let (hard, budgeted, tight) = (theta, theta, theta);
        Known::exactly(Bounds { hard, budgeted, tight }, Rates::anything(&crate::Tolerance::default()), epoch)
    }

    #[test]
    fn across_a_break_either_side_may_hold() {
        let (mono, raw) = (Instant::from_ns(0), |ns| Instant::from_ns(ns));
        let old = (raw(-5), known(1_000, 1_100, 0));
        let same = OffsetBounds::between(mono, &old, &(raw(5), known(1_001, 1_102, 0))).hard;
        assert_eq!((same.low.ns(), same.high.ns()), (995, 1_107));
        for (low, high) in [(100, 200), (5_000, 5_100)] {
            let both = OffsetBounds::between(mono, &old, &(raw(5), known(low, high, 1))).hard;
            assert_eq!((both.low.ns(), both.high.ns()), (low.min(1_000) - 5, high.max(1_100) + 5));
        }
    }
}
