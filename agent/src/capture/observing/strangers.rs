//! Clearing away what the kernel side keeps of processes that nobody observes.

use std::collections::HashSet;
use std::time::Instant;

use syncline_bpf::ParkKey;

use crate::capture::kernel::{MAX_STEPS, Maps, stable_keys};
use crate::capture::process::mono_ns;
use crate::capture::running::Capture;

impl Capture {
    /// Has what is kept of them cleared away as if they had ended.
    pub(super) fn note_strangers(&mut self) {
        let began = Instant::now();
        if !self.strangers.is_due(began) {
            return;
        }
        // None where the maps change too fast to be gone through: the next time, then.
        if let Some(met) = kept(&self.maps).map(|kept| self.without_known(kept.chain(self.states.tgids()))) {
            let ended = self.strangers.meet(met).into_iter().map(|pid| (pid, mono_ns()));
            self.to_forget.extend(ended);
        }
        self.strangers.looked(began);
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
