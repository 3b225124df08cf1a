//! Processes that nobody observes and that the kernel side keeps books of all the same: those that ended before they were looked at,
//! of a binary that has probes, and those that could not be observed. Nothing else would ever clear their entries away.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use syncline_bpf::ParkKey;

use super::kernel::{MAX_STEPS, stable_keys};
use super::process::mono_ns;
use super::{Capture, Maps};

/// They are looked for this often, and at most for 1 % of the time.
const EVERY: Duration = Duration::from_secs(10);
const PAUSE: u32 = 99;

/// Those that were met the last time. Whoever is met twice is no newcomer that is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    met: HashSet<u32>,
    next: Option<Instant>,
}

impl Capture {
    /// Has what is kept of them cleared away as if they had ended.
    pub(super) fn note_strangers(&mut self) {
        let began = Instant::now();
        if self.strangers.next.is_some_and(|next| began < next) {
            return;
        }
        // None where the maps change too fast to be gone through: the next time, then.
        if let Some(met) = kept(&self.maps).map(|kept| self.without_known(kept.chain(self.states.tgids()))) {
            for pid in met.intersection(&self.strangers.met) {
                self.to_forget.insert(*pid, mono_ns());
            }
            self.strangers.met = met;
        }
        self.strangers.next = Some(Instant::now() + EVERY.max(began.elapsed() * PAUSE));
    }

    fn without_known(&self, pids: impl Iterator<Item = u32>) -> HashSet<u32> {
        let is_known = |pid: &u32| {
            self.processes.observed(*pid).is_some()
                || self.processes.is_left_out(*pid)
                || self.to_forget.contains_key(pid)
                || self.to_leave.contains_key(pid)
        };
        pids.filter(|pid| !is_known(pid)).collect()
    }
}

/// Whose goroutines are in the map of parked ones.
fn kept(maps: &Maps) -> Option<impl Iterator<Item = u32>> {
    let keys = stable_keys(maps.parks.keys(), MAX_STEPS)?;
    Some(keys.into_iter().map(|key| ParkKey::decode(&key).tgid))
}
