//! What a node says of its own wall clock, held against what the probes say.
//!
//! The kernel (adjtimex) and chrony claim how far WALL is from true time, with a bound. Such a claim is about UTC, made by
//! somebody else, and often wrong by more than it says; so it narrows nothing here. It is judged: a claim that contradicts
//! the hard bound is false, whoever made it.

use syncline_timebase::{Bracket, ErrorBound, Instant, Mono, Offset, Reference, Span, Wall};

use crate::OffsetInterval;

/// REF - WALL as somebody on the node claims it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When it was made.
    pub at: Instant<Mono>,
    /// REF - WALL.
    pub offset: Offset<Wall, Reference>,
    /// The truth is no further away than this.
    pub bound: ErrorBound,
}

/// A claim beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// Nothing was measured, or no knot says where WALL was: none came yet, or the wall clock was set since.
    Unknown,
    /// Both may be true.
    Consistent,
    /// The claim is false: its interval of REF - WALL, ns, lies beside the measured one.
    Contradicted {
        /// What was claimed, lowest and highest.
        claimed_ns: (i64, i64),
        /// What was measured, lowest and highest.
        measured_ns: (i64, i64),
    },
}

impl Claim {
    /// Judges it by the hard interval of REF - MONO at its time, and WALL - MONO, which was read within `bracket`.
    pub(crate) fn judged(&self, hard: OffsetInterval, wall: Offset<Mono, Wall>, bracket: Span) -> ClaimVerdict {
        let around = Bracket::around(Instant::<Reference>::from_ns(self.offset.ns()), self.bound);
        let claimed_ns = (around.earliest.ns(), around.latest.ns());
        let measured_ns = (
            hard.low.ns().saturating_sub(wall.ns()).saturating_sub(bracket.ns()),
            hard.high.ns().saturating_sub(wall.ns()).saturating_add(bracket.ns()),
        );
        let apart = claimed_ns.0 > measured_ns.1 || claimed_ns.1 < measured_ns.0;
        if apart { ClaimVerdict::Contradicted { claimed_ns, measured_ns } } else { ClaimVerdict::Consistent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged_within(offset_ns: i64, bound_ns: u64, bracket_ns: i64) -> ClaimVerdict {
        let claim =
            Claim { at: Instant::from_ns(0), offset: Offset::from_ns(offset_ns), bound: ErrorBound::from_ns(bound_ns) };
        let hard = OffsetInterval { low: Offset::from_ns(1_000_900), high: Offset::from_ns(1_001_100) };
        claim.judged(hard, Offset::from_ns(1_000_000), Span::from_ns(bracket_ns))
    }

    fn judged(offset_ns: i64, bound_ns: u64) -> ClaimVerdict {
        judged_within(offset_ns, bound_ns, 0)
    }

    #[test]
    fn a_claim_beside_the_measured_interval_is_false_and_both_are_told() {
        assert_eq!(judged(0, 899), ClaimVerdict::Contradicted { claimed_ns: (-899, 899), measured_ns: (900, 1_100) });
        assert_eq!(judged(0, 900), ClaimVerdict::Consistent);
        assert_eq!(
            judged(5_000, 3_000),
            ClaimVerdict::Contradicted { claimed_ns: (2_000, 8_000), measured_ns: (900, 1_100) }
        );
        assert_eq!(judged_within(0, 899, 1), ClaimVerdict::Consistent, "the wall clock was not read better");
        assert_eq!(judged(i64::MAX, u64::MAX), ClaimVerdict::Consistent);
    }
}
