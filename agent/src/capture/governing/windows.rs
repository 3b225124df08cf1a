//! Windows: how they begin and end.

use std::collections::HashSet;

use super::Phase;
use super::cutting::cut_off;
use crate::capture::process::{mono_ns, wall_ns};
use crate::capture::running::Capture;
use crate::governor::ONCE_MILLI;
use crate::kinds::{CaptureKind, Kinds};

/// What waits already as a window opens is found, of these kinds. System calls and time off the CPU count if they begin in a window, and their
/// ends are seen whenever they come.
const FOUND: Kinds = Kinds::of(&[CaptureKind::Park, CaptureKind::Cgo]);
/// It takes so long to tell the kernel side of a window, ns, and so long more for each process.
const AHEAD_NS: u64 = 100_000;
const AHEAD_EACH_NS: u64 = 20_000;

impl Capture {
    /// They were observed all the time, and are not any more.
    pub(super) fn begin_windows(&mut self, slot: u32) {
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        governed.begin_gap(mono_ns());
        self.list_all(slot);
        let pids = self.pids_of(slot).into_iter().collect();
        self.cut_off(&pids, (0, mono_ns()), ONCE_MILLI);
    }

    /// They are observed all the time from now on.
    pub(super) fn end_windows(&mut self, slot: u32, now_ns: u64) {
        let weight = self.governing.weight_of_sums(slot);
        let phase = self.governing.slots.get(&slot).map(|governed| governed.phase.clone());
        if let Some(Phase::Open { window, members }) = phase {
            self.cut_off(&members, (window.from_ns, now_ns.min(window.until_ns)), weight);
        }
        // Of those that have just ended, too, and what has ended since the last window.
        let is_such = |tgid| self.processes.get(tgid).is_some_and(|process| process.slot == slot);
        self.short_waits.take_of(&self.maps.short_waits, is_such, weight);
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        governed.phase = Phase::Always;
        for pid in self.pids_of(slot) {
            let Some(kinds) = self.processes.observed(pid).map(|process| process.settings.kinds) else { continue };
            self.find_later(pid, kinds.only(FOUND));
        }
        self.hold_what_is_needed();
        self.list_all(slot);
    }

    pub(super) fn open_window(&mut self, slot: u32) {
        let began_ns = mono_ns();
        // The gap is as long as it is: who waited for them here would keep everybody else's waits from being read.
        if self.probed.is_detaching(slot) {
            let governed = self.governing.slots.get_mut(&slot);
            return governed.map_or((), |governed| governed.postpone(began_ns));
        }
        let kinds = self.kinds_of_open(slot);
        let lacking = self.probed.lacking(slot, kinds);
        self.probed.finish_detaching(slot, &lacking);
        let failed = self.probed.attach(slot, &lacking, &mut self.maps, &mut self.programs);
        let members: HashSet<u32> = self.pids_of(slot).into_iter().collect();
        let (now_ns, now_wall_ns) = (mono_ns(), wall_ns());
        let from_ns = now_ns + AHEAD_NS + AHEAD_EACH_NS * members.len() as u64;
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        governed.open(from_ns, members.clone());
        // The same in the next window is no news.
        if !std::mem::replace(&mut governed.lacks_probes, !failed.is_empty()) {
            for (part, why) in failed {
                tracing::warn!("{} are not captured in windows: {why}", part.what());
            }
        }
        self.list_all(slot);
        tracing::debug!(slot, attaching_us = (now_ns - began_ns) / 1_000, "a window opens");
        let since = (from_ns, now_wall_ns + (from_ns - now_ns));
        let looking_since_ns = mono_ns();
        for pid in members {
            let Some(process) = self.processes.observed(pid) else { continue };
            let kinds = process.settings.kinds.only(FOUND);
            if kinds.is_any() {
                let passed_over = self.before.look_at(process, kinds, Some(since), &mut self.maps).passed_over;
                self.open.pass_over(passed_over);
            }
        }
        if let Some(governed) = self.governing.slots.get_mut(&slot) {
            governed.looking_ns = mono_ns() - looking_since_ns;
        }
    }

    pub(super) fn close_window(&mut self, slot: u32) {
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        let Phase::Open { window, members } = governed.phase.clone() else { return };
        governed.begin_gap(window.until_ns);
        let observed_ns = window.until_ns - window.from_ns;
        for account in governed.accounts.iter_mut().filter(|(pid, _)| members.contains(pid)).map(|(_, account)| account)
        {
            account.observed_ns += observed_ns;
            account.windows += 1;
        }
        self.probed.detach_for_gap(slot);
        let looking_since_ns = mono_ns();
        self.cut_off(&members, (window.from_ns, window.until_ns), window.weight_milli);
        let now_ns = mono_ns();
        let reading = self.read_costs(slot, now_ns, Some(observed_ns));
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        let looking_ns = governed.looking_ns + (now_ns - looking_since_ns);
        governed.controller.looked(looking_ns);
        tracing::debug!(slot, ?reading, looking_us = looking_ns / 1_000, "a window was over");
        match governed.controller.window(&reading) {
            Some(change) => self.enter(slot, change, now_ns),
            // With what was learned.
            None => governed.begin_gap(window.until_ns),
        }
    }

    /// Whatever is observed in windows is cut off: for the end of a capture.
    pub(in crate::capture) fn cut_off_all(&mut self) {
        let slots = self.governed_slots().into_iter().filter(|slot| self.governing.is_in_windows(*slot));
        for slot in slots.collect::<Vec<_>>() {
            let weight = self.governing.weight_of_sums(slot);
            let Some(governed) = self.governing.slots.get_mut(&slot) else { continue };
            let from_ns = if let Phase::Open { window, .. } = &governed.phase { window.from_ns } else { mono_ns() };
            governed.begin_gap(mono_ns());
            self.list_all(slot);
            let pids = self.pids_of(slot).into_iter().collect();
            self.cut_off(&pids, (from_ns, mono_ns()), weight);
        }
    }

    /// What goes on in these processes is cut off, and what they have in sums is taken with this weight. What went on as one of them ended is
    /// given up, as ever.
    fn cut_off(&mut self, pids: &HashSet<u32>, window: (u64, u64), weight_milli: u32) {
        let living = pids.iter().copied().filter(|pid| self.processes.observed(*pid).is_some()).collect();
        let cut = cut_off(&living, window, &self.before, &mut self.maps);
        if cut.is_incomplete {
            tracing::warn!(
                "what waited at the end of a window could not be gone through: too many goroutines come and go"
            );
        }
        self.governing.cut_off += cut.parked;
        self.governing.cut_off_stale += cut.stale;
        self.governing.calls_cut_off += cut.calls;
        self.governing.parts_before += cut.before;
        self.governing.parts.extend(cut.parts.into_iter().map(|(key, parts)| (key, parts, weight_milli)));
        self.short_waits.take_of(&self.maps.short_waits, |tgid| pids.contains(&tgid), weight_milli);
    }

    /// The kinds of all processes of an executable while they are observed.
    fn kinds_of_open(&self, slot: u32) -> Kinds {
        let all = self.processes.all_observed().filter(|process| process.slot == slot);
        all.fold(Kinds::NONE, |kinds, process| kinds.and(process.settings.kinds.effective()))
    }

    /// Tells the kernel side of all processes of an executable when they are observed.
    fn list_all(&mut self, slot: u32) {
        for pid in self.pids_of(slot) {
            let Some(settings) = self.processes.observed(pid).map(|process| process.settings) else { continue };
            if let Err(error) = self.list(pid, slot, &settings) {
                tracing::warn!(pid, "{error}: what held for it before still does");
            }
        }
    }
}
