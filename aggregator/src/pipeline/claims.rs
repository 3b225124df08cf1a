//! What a node says of its wall clock, held against its probes. Pure.

use syncline_clock::{Claim, ClaimVerdict, NodeClock};
use syncline_event::ClockClaim;
use syncline_timebase::{ErrorBound, Offset};

use crate::utc::UtcOfReference;

/// Judges what `claim` says of UTC: with what is claimed here of UTC it says something of REF, and that was measured.
pub(crate) fn judge(claim: &ClockClaim, utc: Option<UtcOfReference>, clock: &NodeClock) -> ClaimVerdict {
    let Some(((utc_minus_wall_ns, bound_ns), utc)) = claim.utc_minus_wall_ns.zip(utc) else {
        return ClaimVerdict::Unknown;
    };
    clock.judge(&Claim {
        at: claim.at,
        offset: Offset::from_ns(utc_minus_wall_ns.saturating_sub(utc.offset_ns)),
        bound: ErrorBound::from_ns(bound_ns.saturating_add(utc.bound_ns)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::samples::{self, SECOND};
    use syncline_clock::Tolerance;
    use syncline_event::ClaimSource;
    use syncline_timebase::Instant;

    #[test]
    fn a_claim_is_false_where_the_probes_and_the_claim_here_leave_no_room_for_it() {
        let mut clock = NodeClock::new(Tolerance::default());
        for number in 1..5 {
            let batch = samples::batch("n", number);
            clock.observe(&batch.knots, &batch.probes);
        }
        // REF - WALL is -5 ns, within the probes' 50 us; UTC is 1 ms ahead of REF here.
        let utc = Some(UtcOfReference { offset_ns: 1_000_000, bound_ns: 10_000 });
        let claim = |said| ClockClaim {
            source: ClaimSource::Chrony,
            at: Instant::from_ns(4 * SECOND),
            utc_minus_wall_ns: said,
        };
        assert_eq!(judge(&claim(Some((1_000_000, 5_000))), utc, &clock), ClaimVerdict::Consistent);
        let false_one = judge(&claim(Some((1_300_000, 100_000))), utc, &clock);
        let ClaimVerdict::Contradicted { claimed_ns, measured_ns } = false_one else { panic!("{false_one:?}") };
        assert_eq!(claimed_ns, (190_000, 410_000));
        assert!(measured_ns.0 <= -5 && -5 <= measured_ns.1 && measured_ns.1 < 190_000, "{measured_ns:?}");
        assert_eq!(judge(&claim(None), utc, &clock), ClaimVerdict::Unknown);
        assert_eq!(judge(&claim(Some((0, 1))), None, &clock), ClaimVerdict::Unknown);
    }
}
