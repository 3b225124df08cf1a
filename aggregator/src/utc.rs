//! How far UTC is from the region's reference, as this machine's own daemons claim.
//!
//! The reference is an oscillator on an anchor; this is its map to UTC, and nothing else: it moves nobody, and a step of this machine's
//! wall clock changes both the wall clock and what is claimed of it. Nodes' claims about their own wall clocks are held against it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use syncline_claims::{Chrony, UtcClaim, ask_until, kernel};
use syncline_stamping::Reading;
use syncline_timebase::{FrequencyError, Instant, Reference as ReferenceScale};

use crate::reference::Reference;
use crate::stopping::Stopping;

const PATIENCE: Duration = Duration::from_secs(1);
/// What a claim may lose of its truth meanwhile, ppm: what ClockBound's documentation asks for, chrony's own 1 ppm being "an estimate".
const DRIFT_PPM: u64 = 50;
/// A claim so old says nothing any more, ns.
const OLDEST_NS: i64 = 120_000_000_000;
/// Whoever steers the wall clock makes it leave RAW by no more than 1 in so many, but for what it corrects.
const STEERED: u64 = 1_000;
/// Two readings of the clocks do not agree better, ns.
const READING_NS: u64 = 1_000_000;

/// UTC - REF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcOfReference {
    /// When it is so.
    pub at: Instant<ReferenceScale>,
    /// UTC - REF, ns.
    pub offset_ns: i64,
    /// The truth is no further away than this, ns, if the claim that it is made of is true.
    pub bound_ns: u64,
}

impl UtcOfReference {
    /// The same `at` another time. REF is an oscillator that nobody steers: it leaves UTC by `tolerance` at most.
    #[must_use]
    pub fn carried(self, at: Instant<ReferenceScale>, tolerance: FrequencyError) -> Self {
        let grown = tolerance.gained_over((at - self.at).abs()).ns().unsigned_abs();
        Self { at, bound_ns: self.bound_ns.saturating_add(grown), ..self }
    }
}

/// Knows what is claimed of this machine's wall clock.
#[derive(Clone, Debug, Default)]
pub struct UtcClock(Arc<Mutex<Option<Held>>>);

/// A claim, and the clocks when it was made.
#[derive(Clone, Copy, Debug)]
struct Held {
    claim: UtcClaim,
    raw_ns: i64,
    wall_minus_raw_ns: i64,
}

impl UtcClock {
    /// Starts the thread that asks, until `stopping`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(chrony: Chrony, stopping: Stopping) -> std::io::Result<Self> {
        let clock = Self::default();
        let asked = clock.clone();
        let ask = move || ask_until(|| stopping.is_wanted(), || asked.hold(ask(chrony)));
        std::thread::Builder::new().name("utc-claims".to_owned()).spawn(ask)?;
        Ok(clock)
    }

    /// UTC - `reference` now, if anybody claims to know.
    pub fn utc_of(&self, reference: &Reference) -> Option<UtcOfReference> {
        let held = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        held.at(&Reading::take(), reference.anchor_ns())
    }

    fn hold(&self, claim: Option<UtcClaim>) {
        let held = claim.map(|claim| Held::new(claim, &Reading::take()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

impl Held {
    fn new(claim: UtcClaim, now: &Reading) -> Self {
        Self { claim, raw_ns: now.raw_ns, wall_minus_raw_ns: now.wall_ns.saturating_sub(now.raw_ns) }
    }

    /// Led to REF, which is `anchor_ns` ahead of RAW, by the wall clock, which whoever claims it keeps on time. What the claim
    /// wanted corrected may be corrected by now. `None` where the wall clock was set since: it is not what was spoken of.
    fn at(&self, now: &Reading, anchor_ns: i64) -> Option<UtcOfReference> {
        let age_ns = now.raw_ns.saturating_sub(self.raw_ns);
        let wall_minus_raw_ns = now.wall_ns.saturating_sub(now.raw_ns);
        let correction_ns = self.claim.utc_minus_wall_ns.unsigned_abs();
        let steered_ns = (age_ns.unsigned_abs() / STEERED).saturating_add(READING_NS).saturating_add(correction_ns);
        if age_ns >= OLDEST_NS || wall_minus_raw_ns.abs_diff(self.wall_minus_raw_ns) > steered_ns {
            return None;
        }
        let drifted_ns = (age_ns.unsigned_abs() / 1_000_000).saturating_mul(DRIFT_PPM);
        let wall_minus_ref_ns = wall_minus_raw_ns.saturating_sub(anchor_ns);
        Some(UtcOfReference {
            at: Instant::from_ns(now.raw_ns.saturating_add(anchor_ns)),
            offset_ns: self.claim.utc_minus_wall_ns.saturating_add(wall_minus_ref_ns),
            bound_ns: self.claim.bound_ns.saturating_add(drifted_ns).saturating_add(correction_ns),
        })
    }
}

/// chrony knows better than the kernel, which knows from it.
fn ask(chrony: Chrony) -> Option<UtcClaim> {
    chrony.ask(PATIENCE).ok().flatten().or_else(|| kernel().ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// RAW is `seconds`, and WALL so much ahead of it.
    fn reading(seconds: i64, wall_minus_raw_ns: i64) -> Reading {
        let raw_ns = seconds * SECOND;
        Reading { mono_before_ns: raw_ns, raw_ns, wall_ns: raw_ns + wall_minus_raw_ns, mono_after_ns: raw_ns }
    }

    fn held(utc_minus_wall_ns: i64) -> Held {
        Held::new(UtcClaim { utc_minus_wall_ns, bound_ns: 1_000 }, &reading(5, 40_000))
    }

    #[test]
    fn a_claim_is_led_to_the_reference_and_grows_old() {
        let utc = held(-300).at(&reading(6, 40_000), 0).unwrap();
        let at = Instant::from_ns(6 * SECOND);
        assert_eq!(utc, UtcOfReference { at, offset_ns: 39_700, bound_ns: 51_300 });
        assert_eq!(held(-300).at(&reading(126, 40_000), 0), None);
        let later = utc.carried(Instant::from_ns(16 * SECOND), FrequencyError::from_ppm(500.0));
        assert_eq!((later.offset_ns, later.bound_ns), (39_700, 5_051_300));
        assert_eq!(utc.carried(Instant::from_ns(-4 * SECOND), FrequencyError::from_ppm(500.0)).bound_ns, 5_051_300);
    }

    #[test]
    fn what_the_claim_wanted_corrected_may_be_corrected_by_now() {
        // 80 ms are to be added to WALL, and were, by a step: UTC is still where it was.
        let before = held(80_000_000).at(&reading(6, 40_000), 0).unwrap();
        let after = held(80_000_000).at(&reading(6, 80_040_000), 0).unwrap();
        let truth_ns = 80_040_000;
        assert!(before.offset_ns.abs_diff(truth_ns) <= before.bound_ns, "{before:?}");
        assert!(after.offset_ns.abs_diff(truth_ns) <= after.bound_ns, "{after:?}");
    }

    #[test]
    fn a_wall_clock_that_was_set_is_not_what_was_spoken_of() {
        assert!(held(-300).at(&reading(6, 1_000_000), 0).is_some());
        assert_eq!(held(-300).at(&reading(6, 2_100_000), 0), None);
        assert_eq!(held(-300).at(&reading(6, -3_600 * SECOND), 0), None);
        assert!(held(-300).at(&reading(25, 15_000_000), 0).is_some(), "steered");
    }

    #[test]
    fn without_a_claim_nothing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let reference = Reference::open(dir.path(), "eu").unwrap();
        let clock = UtcClock::default();
        assert_eq!(clock.utc_of(&reference), None);
        clock.hold(Some(UtcClaim { utc_minus_wall_ns: 0, bound_ns: 10 }));
        // The anchor was the wall clock's offset a moment ago.
        let utc = clock.utc_of(&reference).unwrap();
        assert!(utc.offset_ns.abs() < 100_000_000 && utc.bound_ns < 100_000_000, "{utc:?}");
    }
}
