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
    /// from the ends of that on RAW.
    pub(crate) fn between(
        mono: Instant<Mono>,
        earliest: &(Instant<Raw>, Known),
        latest: &(Instant<Raw>, Known),
    ) -> Self {
        let offset = |(raw, _): &(Instant<Raw>, Known), theta_ns: i64| {
            Offset::from_ns(mono.offset_to(*raw).ns().saturating_add(theta_ns))
        };
        let interval = |earlier: Theta, later: Theta| OffsetInterval {
            low: offset(earliest, earlier.low),
            high: offset(latest, later.high),
        };
        let (early, late) = (&earliest.1.bounds, &latest.1.bounds);
        Self {
            hard: interval(early.hard, late.hard),
            budgeted: interval(early.budgeted, late.budgeted),
            tight: interval(early.tight, late.tight),
        }
    }
}
