//! What a node says of its wall clock, held against its probes. Pure.

use syncline_clock::{Claim, ClaimVerdict, NodeClock};
use syncline_event::ClockClaim;
use syncline_timebase::{ErrorBound, FrequencyError, Offset};

use crate::utc::UtcOfReference;

/// Judges what `claim` says of UTC: with what is claimed here of UTC it says something of REF, and that was measured. A claim
/// may come long after it was made, as after an outage; REF leaves UTC by `tolerance` at most meanwhile.
pub(crate) fn judge(
    claim: &ClockClaim,
    utc: Option<UtcOfReference>,
    clock: &NodeClock,
    tolerance: FrequencyError,
) -> ClaimVerdict {
    let Some(((utc_minus_wall_ns, bound_ns), utc)) = claim.utc_minus_wall_ns.zip(utc) else {
        return ClaimVerdict::Unknown;
    };
    let utc = utc.carried(claim.at + clock.estimate(claim.at).offset, tolerance);
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
    use syncline_timebase::{Instant, Span};

    #[test]
    fn a_claim_is_false_where_the_probes_and_the_claim_here_leave_no_room_for_it() {
        let mut clock = NodeClock::new(Tolerance::default());
        for number in 1..5 {
            let batch = samples::batch("n", number);
            clock.observe(&batch.knots, &batch.probes);
        }
        // REF - WALL is -5 ns, within the probes' 50 us; UTC is 1 ms ahead of REF here.
        let now = Instant::from_ns(4 * SECOND + samples::OFFSET);
        let utc = Some(UtcOfReference { at: now, offset_ns: 1_000_000, bound_ns: 10_000 });
        let judge =
            |claim: &ClockClaim, utc: Option<UtcOfReference>| judge(claim, utc, &clock, Tolerance::default().absolute);
        let claim = |said| ClockClaim {
            source: ClaimSource::Chrony,
            at: Instant::from_ns(4 * SECOND),
            utc_minus_wall_ns: said,
        };
        assert_eq!(judge(&claim(Some((1_000_000, 5_000))), utc), ClaimVerdict::Consistent);
        let false_one = judge(&claim(Some((1_300_000, 100_000))), utc);
        let ClaimVerdict::Contradicted { claimed_ns, measured_ns } = false_one else { panic!("{false_one:?}") };
        // The estimate of now, inside its 50 us, makes up to 25 ns of age.
        assert!(claimed_ns.0.abs_diff(190_000) <= 50 && claimed_ns.1.abs_diff(410_000) <= 50, "{claimed_ns:?}");
        assert!(measured_ns.0 <= -5 && -5 <= measured_ns.1 && measured_ns.1 < 190_000, "{measured_ns:?}");
        // The same of an hour ago: UTC may have been elsewhere on REF then.
        let later = utc.map(|utc| UtcOfReference { at: utc.at + Span::from_s(3_600), ..utc });
        assert_eq!(judge(&claim(Some((1_300_000, 100_000))), later), ClaimVerdict::Consistent);
        assert_eq!(judge(&claim(None), utc), ClaimVerdict::Unknown);
        assert_eq!(judge(&claim(Some((0, 1))), None), ClaimVerdict::Unknown);
    }
}
