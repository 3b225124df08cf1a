//! One reading of MONO and RAW, and what two of them say of the time between.
//!
//! RAW is kept as what it is ahead of MONO, `ahead = raw - mono`, ns: it changes by some 10^-4 of the time that passes, so
//! small numbers do for what happens between two points.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Knot, Span};

use super::RawPoint;

/// A knot that took longer to read says nothing that is worth keeping.
const WIDEST_BRACKET: Span = Span::from_s(1);

/// An error that no number of 32 bits holds: what is in that place is not placed.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// A point of the map. 24 bytes: a node keeps hundreds of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    /// MONO, ns.
    pub(super) mono: i64,
    /// RAW - MONO, ns.
    pub(super) ahead: i64,
    /// How far `ahead` may be off at `mono`, ns.
    pub(super) reading: u32,
    /// How far the chord from the point before may be off, ns; [`UNKNOWN`] where it is not to be used.
    pub(super) chord: u32,
}

impl Point {
    /// The point that `knot` is; `None` where that cannot be: a negative or endless bracket, or clocks further apart
    /// than 64 bits hold.
    ///
    /// RAW was read at most half of the bracket away from the middle, on a clock that may run up to 1 in 512 faster.
    pub(super) fn of(knot: &Knot) -> Option<Self> {
        let bracket = Some(knot.bracket).filter(|bracket| (Span::ZERO..=WIDEST_BRACKET).contains(bracket))?.ns();
        let reading = u32::try_from(bracket / 2 + bracket / 512 + 1).ok()?;
        let ahead = knot.raw.ns().checked_sub(knot.mono.ns())?;
        Some(Self { mono: knot.mono.ns(), ahead, reading, chord: 0 })
    }

    /// The same reading on a RAW that is `shift` ns further.
    pub(super) fn shifted(self, shift: i64) -> Option<Self> {
        Some(Self { ahead: self.ahead.checked_add(shift)?, ..self })
    }

    /// From this point until `mono`, ns; `None` where 64 bits do not hold it.
    pub(super) fn until(&self, mono: i64) -> Option<i64> {
        mono.checked_sub(self.mono)
    }

    /// How far the readings of both may be off together, ns.
    pub(super) fn readings(&self, other: &Self) -> i64 {
        i64::from(self.reading) + i64::from(other.reading)
    }
}

/// `mono` placed on the chord from `before` to `after`, which lie around it.
///
/// The error of a chord between two readings is at most the mean of theirs, weighed as the readings are, and what the
/// truth bows off the chord.
pub(super) fn between(before: &Point, after: &Point, mono: i64) -> Option<RawPoint> {
    let bow = Some(after.chord).filter(|chord| *chord != UNKNOWN)?;
    let along = Along { part: before.until(mono)?, whole: before.until(after.mono)? };
    let ahead = along.mean(before.ahead, after.ahead)?;
    let reading = along.mean(i64::from(before.reading), i64::from(after.reading))? + 1;
    placed(mono, ahead, reading + i64::from(bow) + 1)
}

/// `mono` where RAW is ahead of it by `ahead`, within `slack`; `None` where an end of that is beyond 64 bits.
pub(super) fn placed(mono: i64, ahead: i64, slack: i64) -> Option<RawPoint> {
    let raw = mono.checked_add(ahead)?;
    let inside = raw.checked_add(slack).is_some() && raw.checked_sub(slack).is_some();
    inside.then_some(RawPoint { raw: Instant::from_ns(raw), slack: Span::from_ns(slack) })
}

/// An error bound in the size that it is kept in.
pub(super) fn kept(error: i64) -> u32 {
    u32::try_from(error.max(0)).unwrap_or(UNKNOWN)
}

/// How far along something is.
#[derive(Clone, Copy)]
struct Along {
    part: i64,
    whole: i64,
}

impl Along {
    /// Between `first` and `last`, rounded down.
    fn mean(self, first: i64, last: i64) -> Option<i64> {
        // Nearly always 64 bits do, and divide several times faster.
        if let Some(rise) = last.checked_sub(first).and_then(|rise| rise.checked_mul(self.part)) {
            return first.checked_add(rise.div_euclid(self.whole.max(1)));
        }
        let rise = (i128::from(last) - i128::from(first)).checked_mul(i128::from(self.part))?;
        i64::try_from(i128::from(first) + rise.div_euclid(i128::from(self.whole.max(1)))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_small_and_what_cannot_be_is_none() {
        assert_eq!(size_of::<Point>(), 24);
        let knot = |mono, raw, bracket| Knot {
            mono: Instant::from_ns(mono),
            raw: Instant::from_ns(raw),
            wall: Instant::from_ns(0),
            bracket: Span::from_ns(bracket),
        };
        assert!(Point::of(&knot(5, 9, -1)).is_none() && Point::of(&knot(5, 9, 1_000_000_001)).is_none());
        assert!(Point::of(&knot(i64::MIN, 9, 1)).is_none());
        let point = Point { mono: 5, ahead: 4, reading: 101, chord: 0 };
        assert_eq!(Point::of(&knot(5, 9, 200)), Some(point));
        assert!(placed(i64::MAX - 5, 3, 3).is_none() && placed(i64::MAX - 5, 3, 2).is_some());
    }
}
