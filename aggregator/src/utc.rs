//! How far UTC is from the region's reference, as this machine's own daemons claim.
//!
//! The reference is an oscillator on an anchor; this is its map to UTC, and nothing else: it moves nobody, and a step of this machine's
//! wall clock changes both the wall clock and what is claimed of it. Nodes' claims about their own wall clocks are held against it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use syncline_claims::{Chrony, UtcClaim, ask_until, kernel};
use syncline_stamping::{Reading, raw_ns};

use crate::reference::Reference;
use crate::stopping::Stopping;

const PATIENCE: Duration = Duration::from_secs(1);
/// What a claim may lose of its truth meanwhile, ppm: what ClockBound's documentation asks for, chrony's own 1 ppm being "an estimate".
const DRIFT_PPM: u64 = 50;
/// A claim so old says nothing any more, ns.
const OLDEST_NS: i64 = 120_000_000_000;

/// UTC - REF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcOfReference {
    /// UTC - REF, ns.
    pub offset_ns: i64,
    /// The truth is no further away than this, ns, if the claim that it is made of is true.
    pub bound_ns: u64,
}

/// Knows what is claimed of this machine's wall clock.
#[derive(Clone, Debug, Default)]
pub struct UtcClock(Arc<Mutex<Option<Held>>>);

#[derive(Clone, Copy, Debug)]
struct Held {
    claim: UtcClaim,
    raw_ns: i64,
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
        let reading = Reading::take();
        let wall_minus_ref_ns = reading.wall_ns.saturating_sub(reading.raw_ns).saturating_sub(reference.anchor_ns());
        held.at(reading.raw_ns, wall_minus_ref_ns)
    }

    fn hold(&self, claim: Option<UtcClaim>) {
        let held = claim.map(|claim| Held { claim, raw_ns: raw_ns() });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

impl Held {
    fn at(&self, raw_ns: i64, wall_minus_ref_ns: i64) -> Option<UtcOfReference> {
        let age_ns = raw_ns.saturating_sub(self.raw_ns);
        let drifted_ns = age_ns.unsigned_abs() * DRIFT_PPM / 1_000_000;
        (age_ns < OLDEST_NS).then(|| UtcOfReference {
            offset_ns: self.claim.utc_minus_wall_ns.saturating_add(wall_minus_ref_ns),
            bound_ns: self.claim.bound_ns.saturating_add(drifted_ns),
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

    #[test]
    fn a_claim_is_led_to_the_reference_and_grows_old() {
        let held = Held { claim: UtcClaim { utc_minus_wall_ns: -300, bound_ns: 1_000 }, raw_ns: 5_000_000_000 };
        let utc = held.at(6_000_000_000, 40_000).unwrap();
        assert_eq!(utc, UtcOfReference { offset_ns: 39_700, bound_ns: 51_000 });
        assert_eq!(held.at(126_000_000_000, 0), None);
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
