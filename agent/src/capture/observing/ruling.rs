//! What holds for which process, changed while the capture runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_bpf::Watched;

use crate::capture::config::threshold_ns;
use crate::capture::error::KernelError;
use crate::capture::process::{Chosen, mono_ns};
use crate::capture::running::Capture;
use crate::capture::states::LetGo;
use crate::choice::{Rules, Settings};
use crate::kinds::{CaptureKind, Kinds};
use crate::metadata::Metadata;

/// Finding what waits already in other processes waits while it keeps us for so long.
const FINDING: Duration = Duration::from_millis(100);

impl Capture {
    /// What holds where no rule fits.
    #[must_use]
    pub fn defaults(&self) -> Settings {
        self.choosing.defaults()
    }

    /// The rules that hold.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.choosing.rules
    }

    /// Has other rules hold from now on, also for what is observed. Whether a wait is captured was decided when it began, by what held
    /// then; whether it becomes an event or part of a sum is decided when it ends. Waits that go on are forgotten where their process is
    /// left out from now on, or nobody wants their kind any more.
    pub fn set_rules(&mut self, rules: Rules) {
        self.forget_left_out();
        self.let_go();
        self.choosing.rules = rules;
        let pids = self.processes.observed_pids();
        let observed = pids.into_iter().filter_map(|pid| self.processes.observed(pid));
        let chosen: Vec<_> =
            observed.map(|process| (process.pid, process.slot, self.choosing.of_observed(process))).collect();
        let needs = |slot, settings| self.governing.in_force(slot, settings).needs();
        let coming: Vec<_> = chosen.iter().map(|(_, slot, chosen)| (*slot, needs(*slot, chosen.settings))).collect();
        self.attach_for(&coming);
        self.set_defaults();
        for (pid, slot, chosen) in chosen {
            self.change(pid, slot, chosen);
        }
        for pid in self.processes.left_out_pids() {
            self.look_again_at_left_out(pid);
        }
        self.forget_left_out();
        self.let_go();
        self.hold_what_is_needed();
        self.find_what_waits_anew();
    }

    /// Names of the raw tracepoints that have a program of ours now.
    #[must_use]
    pub fn tracepoints(&self) -> Vec<&'static str> {
        self.tracepoints.names().into_iter().chain(self.tcp.tracepoints()).collect()
    }

    /// Pids of the processes that are observed, in order.
    #[must_use]
    pub fn observed_pids(&self) -> Vec<u32> {
        self.processes.observed_pids()
    }

    /// Pids of the Go processes that are left out by what holds for them, in order.
    #[must_use]
    pub fn left_out_pids(&self) -> Vec<u32> {
        self.processes.left_out_pids()
    }

    /// Tells the kernel side what holds for processes that it does not know.
    pub(in crate::capture) fn set_defaults(&mut self) {
        let needed = self.held_kinds.unwrap_or(Kinds::NONE);
        let settings = self.frame.settings(&self.defaults(), needed);
        if let Err(error) = self.maps.config.set(0, settings.encode(), 0) {
            tracing::warn!("{}", KernelError::new("set the configuration", error));
        }
        self.probed.keep_pinned(self.defaults().observe);
    }

    /// What was chosen holds for the process from now on; what that needs is attached.
    fn change(&mut self, pid: u32, slot: u32, Chosen { settings, names }: Chosen) {
        if !settings.observe {
            return self.leave_out_observed(pid);
        }
        self.processes.choose(pid, settings);
        self.put_in_force(pid, slot, self.governing.in_force(slot, settings), names);
    }

    /// These settings hold for the process from now on.
    pub(in crate::capture) fn put_in_force(
        &mut self,
        pid: u32,
        slot: u32,
        settings: Settings,
        names: Option<Arc<Metadata>>,
    ) {
        let Some(before) = self.processes.observed(pid).map(|process| process.settings) else { return };
        let began = settings.kinds.effective().minus(before.kinds.effective());
        let ended = before.kinds.effective().minus(settings.kinds.effective());
        if began.has(CaptureKind::States) {
            self.forget_states(pid);
        }
        if settings != before
            && let Err(error) = self.list(pid, slot, &settings)
        {
            // As it was, then, here too.
            tracing::warn!(pid, "{error}: what held for it before still does");
            return;
        }
        if ended.has(CaptureKind::States) {
            self.to_let_go.insert(pid, LetGo { at_ns: mono_ns(), is_told: true });
        }
        if ended.has(CaptureKind::Tcp) {
            self.tcp.leave(pid);
        }
        self.processes.change(pid, settings, names);
        if began.is_any() {
            self.find_later(pid, began);
        }
    }

    /// Of one whose goroutines are followed from now on, a probe that was late may have left something when they were not any more.
    pub(in crate::capture) fn forget_states(&mut self, pid: u32) {
        self.to_let_go.entry(pid).or_insert(LetGo { at_ns: mono_ns(), is_told: false });
        self.let_go();
    }

    /// Tells the time of goroutines that are not followed any more.
    pub(in crate::capture) fn let_go(&mut self) {
        if !self.to_let_go.is_empty() && self.states.let_go(&self.maps, &self.to_let_go, &self.processes) {
            self.to_let_go.clear();
        }
    }

    /// Has the process observed by the probes of this slot only, and as these settings say.
    pub(in crate::capture) fn list(&mut self, pid: u32, slot: u32, settings: &Settings) -> Result<(), KernelError> {
        let kinds = self.frame.of_kernel(settings.kinds);
        let window = self.governing.window(slot, pid);
        let value = Watched { slot, threshold_ns: threshold_ns(settings), kinds, window }.encode();
        self.maps.watched.insert(pid, value, 0).map_err(|e| KernelError::new("watch a process", e))
    }

    /// The kernel side knows the process no more.
    pub(in crate::capture) fn unlist(&mut self, pid: u32) {
        // Fails only if it is not there, which is what is wanted.
        let _ = self.maps.watched.remove(&pid);
    }

    /// What waits already of these kinds, too, is to be found in this process.
    pub(in crate::capture) fn find_later(&mut self, pid: u32, kinds: Kinds) {
        let all = self.to_find.entry(pid).or_insert(Kinds::NONE);
        *all = all.and(kinds);
    }

    /// Finds what waits already of the kinds that are captured of these processes from now on; for a while, then with the next look at
    /// them.
    pub(in crate::capture) fn find_what_waits_anew(&mut self) {
        let began = Instant::now();
        while let Some((pid, kinds)) = self.to_find.pop_first() {
            self.find_what_waits(pid, kinds);
            if began.elapsed() >= FINDING {
                break;
            }
        }
    }
}
