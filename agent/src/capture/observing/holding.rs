//! What is attached: just what some process wants.

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::error::KernelError;
use crate::capture::parks;
use crate::capture::probes::Part;
use crate::capture::process::ObservedProcess;
use crate::capture::running::Capture;
use crate::kinds::{CaptureKind, Kinds};

impl Capture {
    /// Attaches what somebody needs and detaches the rest.
    pub(in crate::capture) fn hold_what_is_needed(&mut self) {
        // Tried again with the next look at the processes.
        let trouble = self.hold_tracepoints().err().map(|error| error.to_string());
        if let Some(trouble) = trouble.as_ref().filter(|_| self.trouble != trouble) {
            tracing::warn!("{trouble}: some kinds of waits are not captured");
        }
        self.trouble = trouble;
        self.hold_probes();
    }

    pub(in crate::capture) fn hold_tracepoints(&mut self) -> Result<(), KernelError> {
        let needed = self.needs();
        self.tracepoints.hold(needed, &mut self.maps, &mut self.programs)?;
        self.tcp.hold(needed, &mut self.programs)?;
        if self.bound_kinds != Some(needed) {
            self.bound_kinds = Some(needed);
            self.set_defaults();
        }
        Ok(())
    }

    /// Kinds that are captured of any process, now or when it comes.
    fn needs(&self) -> Kinds {
        let observed = self.processes.all_observed().map(|process| process.settings.needs().effective());
        observed.fold(self.defaults().needs().effective(), Kinds::and)
    }

    /// Has each binary probed for just what some process that runs it wants.
    fn hold_probes(&mut self) {
        let mut wanted: BTreeMap<u32, Kinds> = BTreeMap::new();
        for process in self.processes.all_observed() {
            let kinds = wanted.entry(process.slot).or_insert(Kinds::NONE);
            *kinds = kinds.and(process.settings.kinds.effective());
        }
        for (slot, kinds) in wanted {
            self.attach_lacking(slot, kinds);
            self.probed.detach_unwanted(slot, kinds, &mut self.maps);
        }
        for (slot, part) in self.probed.detached() {
            self.forget_unseen(part, |process, kind| process.slot == slot && !process.settings.kinds.has(kind));
        }
    }

    fn attach_lacking(&mut self, slot: u32, kinds: Kinds) {
        let lacking = self.probed.lacking(slot, kinds);
        for part in &lacking {
            self.forget_unseen(*part, |process, _| process.slot == slot);
        }
        for (part, why) in self.probed.attach(slot, &lacking, &mut self.maps, &mut self.programs) {
            tracing::warn!("{} are not captured: {why}", part.what());
        }
    }

    /// Forgets what a part that was not there, or goes, would have seen ending.
    fn forget_unseen(&mut self, part: Part, is_such: impl Fn(&ObservedProcess, CaptureKind) -> bool) {
        match part {
            Part::States => {}
            Part::Threads | Part::Parks => self.forget_parked(|process| is_such(process, CaptureKind::Park)),
            Part::Cgo => self.forget_calls(|process| is_such(process, CaptureKind::Cgo)),
        }
    }

    /// Forgets the goroutines of these processes that are parked.
    pub(in crate::capture) fn forget_parked(&mut self, is_such: impl Fn(&ObservedProcess) -> bool) {
        let pids = self.pids_of(is_such);
        let forgotten = parks::forget_parked(&mut self.maps, &pids);
        self.own.parks_left_out = self.own.parks_left_out.saturating_add(forgotten);
    }

    /// Forgets the calls of C of these processes that nobody saw ending.
    fn forget_calls(&mut self, is_such: impl Fn(&ObservedProcess) -> bool) {
        let pids = self.pids_of(is_such);
        parks::forget_calls(&mut self.maps, &pids);
    }

    fn pids_of(&self, is_such: impl Fn(&ObservedProcess) -> bool) -> BTreeSet<u32> {
        self.processes.all_observed().filter(|process| is_such(process)).map(|process| process.pid).collect()
    }
}
