//! What the map makes of a knot.

use syncline_timebase::{Instant, Mono, Raw};

/// What a knot said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnotVerdict {
    /// It follows from the map.
    Taken,
    /// It does not, and is held until others agree.
    Doubted,
    /// Not after the knot before it.
    OutOfOrder,
    /// It can be no reading of clocks.
    Implausible,
    /// Taken, but MONO and RAW no longer agree with what they did until `before`. This showed first at `at`, on the RAW
    /// that is counted on. It is no news where it had been told that the clocks were disrupted by then.
    Jumped { before: Instant<Mono>, at: Instant<Raw>, is_news: bool },
    /// Taken, and what was newer forgotten: that was not true. Where the map goes on.
    Returned(Instant<Raw>),
}

/// What became of a knot, and of those that were doubted before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) verdict: KnotVerdict,
    /// Knots doubted earlier that nobody agreed with.
    pub(crate) given_up: u64,
}

impl Heard {
    pub(super) fn of(verdict: KnotVerdict) -> Self {
        Self { verdict, given_up: 0 }
    }
}
