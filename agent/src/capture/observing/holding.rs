//! What is attached: just what some process wants.

use std::collections::BTreeMap;

use crate::capture::error::KernelError;
use crate::capture::probes::Part;
use crate::capture::process::ObservedProcess;
use crate::capture::running::Capture;
use crate::capture::states::LetGo;
use crate::capture::{parks, process};
use crate::kinds::{CaptureKind, Kinds};

impl Capture {
    /// Attaches what somebody needs and detaches the rest.
    pub(in crate::capture) fn hold_what_is_needed(&mut self) {
        self.hold_tracepoints_or_tell(Kinds::NONE);
        for (slot, kinds) in self.wanted_of_binaries(&[]) {
            self.attach_lacking(slot, kinds);
            self.probed.detach_unwanted(slot, kinds, &mut self.maps);
        }
        for (slot, part) in self.probed.detached() {
            self.forget_unseen(part, |process, kind| process.slot == slot && !process.settings.kinds.has(kind));
        }
    }

    /// Attaches what these binaries (by slot) will need beside that: before the kernel side is told so, since nothing must begin that
    /// nobody would see ending.
    pub(super) fn attach_for(&mut self, coming: &[(u32, Kinds)]) {
        let coming_kinds = coming.iter().fold(Kinds::NONE, |all, (_, kinds)| all.and(kinds.effective()));
        self.hold_tracepoints_or_tell(coming_kinds);
        for (slot, kinds) in self.wanted_of_binaries(coming) {
            self.attach_lacking(slot, kinds);
        }
    }

    fn hold_tracepoints_or_tell(&mut self, coming: Kinds) {
        // Tried again with the next look at the processes.
        let trouble = self.hold_tracepoints(coming).err().map(|error| error.to_string());
        if let Some(trouble) = trouble.as_ref().filter(|_| self.trouble != trouble) {
            tracing::warn!("{trouble}: some kinds of waits are not captured");
        }
        self.trouble = trouble;
    }

    /// Those that the observed processes need, and who is about to be observed. What nobody needs now costs every process of the machine and is not there,
    /// whatever processes that come may need: they are listed by us, and it is attached before. Only the begins of their TCP sessions cannot wait for that.
    pub(in crate::capture) fn hold_tracepoints(&mut self, coming: Kinds) -> Result<(), KernelError> {
        let observed = self.processes.all_observed().map(|process| process.settings.needs().effective());
        let wanted = observed.fold(coming, Kinds::and).minus(self.frame.lacks);
        let of_whoever_comes = self.defaults().needs().effective().minus(self.frame.lacks);
        let held = self.tracepoints.hold(wanted, &mut self.maps, &mut self.programs);
        let sessions = of_whoever_comes.only(Kinds::of(&[CaptureKind::Tcp]));
        let of_tcp = self.tcp.hold(wanted.and(sessions), &mut self.programs);
        let needed = wanted.and(of_whoever_comes);
        if self.held_kinds != Some(needed) {
            self.held_kinds = Some(needed);
            self.set_defaults();
        }
        held.and(of_tcp)
    }

    /// The kinds that somebody wants of each binary, by slot: who runs it, else who may come to, and who is about to.
    fn wanted_of_binaries(&self, coming: &[(u32, Kinds)]) -> BTreeMap<u32, Kinds> {
        let running = self.processes.all_observed().map(|process| (process.slot, process.settings.kinds));
        let whoever_comes = self.probed.kept_unused().map(|slot| (slot, self.defaults().needs()));
        let mut wanted: BTreeMap<u32, Kinds> = BTreeMap::new();
        for (slot, kinds) in running.chain(whoever_comes).chain(coming.iter().copied()) {
            let all = wanted.entry(slot).or_insert(Kinds::NONE);
            // Between windows.
            if !self.governing.is_closed(slot) {
                *all = all.and(kinds.effective());
            }
        }
        wanted
    }

    fn attach_lacking(&mut self, slot: u32, kinds: Kinds) {
        let lacking = self.probed.lacking(slot, kinds);
        if lacking.is_empty() {
            return;
        }
        // What the last probes have left is forgotten once they are gone, and before there are others.
        self.probed.finish_detaching(slot, &lacking);
        for part in &lacking {
            self.forget_unseen(*part, |process, _| process.slot == slot);
        }
        for (part, why) in self.probed.attach(slot, &lacking, &mut self.maps, &mut self.programs) {
            tracing::warn!("{} are not captured: {why}", part.what());
        }
    }

    /// Forgets what a part that was not there, or goes, would have seen ending.
    fn forget_unseen(&mut self, part: Part, is_such: impl Fn(&ObservedProcess, CaptureKind) -> bool) {
        let now_ns = process::mono_ns();
        let of = |kind| -> Vec<(u32, u64)> {
            let such = self.processes.all_observed().filter(|process| is_such(process, kind));
            such.map(|process| (process.pid, now_ns)).collect()
        };
        match part {
            Part::States => {
                for (pid, at_ns) in of(CaptureKind::States) {
                    // What is still to be told of it is.
                    self.to_let_go.entry(pid).or_insert(LetGo { at_ns, is_told: false });
                }
                self.let_go();
            }
            Part::Threads => {}
            Part::Parks => self.unseen.parked.extend(of(CaptureKind::Park)),
            Part::Cgo => self.unseen.calling.extend(of(CaptureKind::Cgo)),
        }
        self.forget_what_is_unseen();
    }

    /// What running processes change too fast to be gone through is tried again with the next look at them.
    pub(super) fn forget_what_is_unseen(&mut self) {
        let forgotten = parks::forget_unseen(&mut self.maps, &mut self.unseen);
        self.own.parks_left_out = self.own.parks_left_out.saturating_add(forgotten);
    }
}
