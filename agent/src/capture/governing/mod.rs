//! Keeps what observing costs each process inside its budget: reads what it has cost, has that decided ([`crate::governor`]), and does it.
//!
//! Probes sit on the inode, so the processes of one executable are governed together, by what is tightest. In windows the kernel side itself
//! holds to their bounds (`struct watch`): that probes come a little before and go a little after them costs, and counts for nothing.

mod costs;
mod cutting;
mod governed;
mod told;
mod way_in;
mod windows;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use syncline_bpf::Window;

use super::process::{ObservedProcess, mono_ns};
use super::running::Capture;
use crate::choice::Settings;
use crate::governor::{Change, ONCE_MILLI, Reading, Reason, Stage};
pub(super) use costs::KernelCosts;
use costs::{Costs, Spent};
pub(super) use cutting::{Parts, PartsKey};
use governed::{Governed, Phase};
use told::Account;
pub use told::Observation;
pub(super) use way_in::WayIn;

/// Who is governed is looked at so often, ns.
const LOOK_NS: u64 = 100_000_000;
/// How each process is observed is told so often, ns, and when that changes.
const TELL_NS: u64 = 10_000_000_000;

/// All that are governed.
#[derive(Debug)]
pub(super) struct Governing {
    costs: Costs,
    /// By the slot of their executable.
    slots: HashMap<u32, Governed>,
    told: Vec<Observation>,
    /// Parts of waits that were cut off, each with its weight.
    parts: Vec<(PartsKey, Parts, u32)>,
    /// Goroutines whose waits were cut off, and those of them that were found waiting and were not.
    pub(super) cut_off: u64,
    pub(super) cut_off_stale: u64,
    /// Goroutines that were cut off in C code.
    pub(super) calls_cut_off: u64,
    /// Of all that were cut off, those that had begun before their window.
    pub(super) parts_before: u64,
    next_look_ns: u64,
}

impl Governing {
    pub(super) fn new(way_in: WayIn) -> Self {
        Self {
            costs: Costs::new(way_in),
            slots: HashMap::new(),
            told: Vec::new(),
            parts: Vec::new(),
            cut_off: 0,
            cut_off_stale: 0,
            calls_cut_off: 0,
            parts_before: 0,
            next_look_ns: 0,
        }
    }

    /// How long nothing is to be done.
    pub(super) fn pause(&self, now_ns: u64) -> Duration {
        let next = self.slots.values().map(Governed::due_ns).fold(self.next_look_ns, u64::min);
        Duration::from_nanos(next.saturating_sub(now_ns))
    }

    /// When a process is observed, for the kernel side.
    pub(super) fn window(&self, slot: u32, pid: u32) -> Window {
        self.slots.get(&slot).map_or(Window::Always, |governed| governed.window(pid))
    }

    /// Whether the probes of this executable are to be away.
    pub(super) fn is_closed(&self, slot: u32) -> bool {
        self.slots.get(&slot).is_some_and(Governed::is_closed)
    }

    /// What is in force where that was chosen.
    pub(super) fn in_force(&self, slot: u32, chosen: Settings) -> Settings {
        self.slots.get(&slot).map_or(chosen, |governed| governed.in_force(chosen))
    }

    /// An event of this executable's: how many times it counts.
    pub(super) fn weigh_event(&mut self, slot: u32, began_ns: u64) -> u32 {
        let Some(governed) = self.slots.get_mut(&slot) else { return ONCE_MILLI };
        governed.events += 1;
        governed.weight_milli_at(began_ns)
    }

    /// How many times what is in the sums of this executable's processes counts now.
    pub(super) fn weight_of_sums(&self, slot: u32) -> u32 {
        self.slots.get(&slot).map_or(ONCE_MILLI, Governed::weight_milli_now)
    }

    /// Whether its processes are observed in windows: then their sums are taken as each window ends.
    pub(super) fn is_in_windows(&self, slot: u32) -> bool {
        self.slots.get(&slot).is_some_and(|governed| governed.phase != Phase::Always)
    }

    /// Slot and pid of all that are governed.
    fn accounted(&self) -> Vec<(u32, u32)> {
        let of =
            |(slot, governed): (&u32, &Governed)| governed.accounts.keys().map(|pid| (*slot, *pid)).collect::<Vec<_>>();
        self.slots.iter().flat_map(of).collect()
    }

    pub(super) fn take_parts(&mut self) -> Vec<(PartsKey, Parts, u32)> {
        std::mem::take(&mut self.parts)
    }
}

impl Capture {
    /// How processes were observed since the last call: those that have a budget.
    pub fn take_observations(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.governing.told)
    }

    /// Has the next [`take_observations`](Self::take_observations) tell of everybody: for the end of a capture.
    pub fn tell_observations(&mut self) {
        let now_ns = mono_ns();
        for slot in self.governed_slots() {
            self.tell(slot, now_ns, 0);
        }
    }

    /// The stage that the process is in, and what it costs, or would cost, to observe it all the time, in its budgets; None where it has none.
    #[must_use]
    pub fn governed(&self, pid: u32) -> Option<(Stage, f64)> {
        let process = self.processes.observed(pid).filter(|process| process.settings.budget.ppm().is_some())?;
        let controller = &self.governing.slots.get(&process.slot)?.controller;
        Some((controller.stage(), controller.load()))
    }

    /// Does what is due.
    pub(super) fn govern(&mut self) {
        if self.is_detached {
            return;
        }
        let now_ns = mono_ns();
        if now_ns >= self.governing.next_look_ns {
            self.note_who_is_governed(now_ns);
            self.governing.next_look_ns = now_ns + LOOK_NS;
        }
        for slot in self.governed_slots() {
            self.govern_slot(slot, now_ns);
            self.tell(slot, now_ns, TELL_NS);
        }
    }

    fn governed_slots(&self) -> Vec<u32> {
        self.governing.slots.keys().copied().collect()
    }

    fn note_who_is_governed(&mut self, now_ns: u64) {
        let has_budget = |process: &&ObservedProcess| process.settings.budget.ppm().is_some();
        let slots: HashSet<u32> =
            self.processes.all_observed().filter(has_budget).map(|process| process.slot).collect();
        // Those without a budget that run the same are observed with them: that has to be told, too.
        let with_them = self.processes.all_observed().filter(|process| slots.contains(&process.slot));
        let wanted: HashMap<u32, u32> = with_them.map(|process| (process.pid, process.slot)).collect();
        for (slot, pid) in self.governing.accounted() {
            if wanted.get(&pid) != Some(&slot) {
                self.govern_no_more(slot, pid, now_ns);
            }
            if !wanted.contains_key(&pid) {
                self.governing.costs.end(pid, &mut self.maps.costs);
            }
        }
        for (pid, slot) in wanted {
            let seed = now_ns ^ u64::from(slot) << 48;
            let governed = self.governing.slots.entry(slot).or_insert_with(|| Governed::new(now_ns, seed));
            governed.accounts.entry(pid).or_insert_with(|| Account::new(now_ns, Reason::Began));
            self.governing.costs.begin(pid, &mut self.maps.costs);
        }
        let left: Vec<u32> = self.governed_slots().into_iter().filter(|slot| self.is_left(*slot)).collect();
        for slot in left {
            self.release(slot, now_ns);
        }
    }

    fn is_left(&self, slot: u32) -> bool {
        self.governing.slots.get(&slot).is_some_and(|governed| governed.accounts.is_empty())
    }

    /// It has ended, runs another executable, is left out, or may cost what it will.
    fn govern_no_more(&mut self, slot: u32, pid: u32, now_ns: u64) {
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        let Some(mut account) = governed.accounts.remove(&pid) else { return };
        let then = (account.from_ns, account.from_ns);
        let Some(process) = self.processes.that_ran(pid, then, |process| process.slot == slot) else { return };
        let told = account.close(pid, now_ns, governed.controller.stage(), process.settings);
        self.governing.told.push(told);
    }

    /// Nobody of this executable has a budget any more.
    fn release(&mut self, slot: u32, now_ns: u64) {
        if self.governing.is_in_windows(slot) {
            self.end_windows(slot, now_ns);
        }
        self.governing.slots.remove(&slot);
        self.put_all_in_force(slot);
        self.hold_what_is_needed();
        self.find_what_waits_anew();
    }

    fn govern_slot(&mut self, slot: u32, now_ns: u64) {
        let Some(governed) = self.governing.slots.get_mut(&slot).filter(|governed| now_ns >= governed.due_ns()) else {
            return;
        };
        match governed.phase {
            Phase::Always => {
                let reading = self.read_costs(slot, now_ns, None);
                let governed = self.governing.slots.get_mut(&slot);
                if let Some(change) = governed.and_then(|governed| governed.controller.observed(&reading)) {
                    self.enter(slot, change, now_ns);
                }
            }
            Phase::Gap { .. } => self.open_window(slot),
            Phase::Open { .. } => self.close_window(slot),
            Phase::Resting { .. } => {
                let change = governed.controller.rested();
                self.enter(slot, change, now_ns);
            }
        }
    }

    /// What the process that is furthest beyond its budget was charged since this was read last; all of that time was observed, or so much.
    /// Events and hits are those of all of them.
    fn read_costs(&mut self, slot: u32, now_ns: u64, observed_ns: Option<u64>) -> Reading {
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return Reading::default() };
        let span_ns = now_ns.saturating_sub(governed.read_ns);
        let observed_ns = observed_ns.unwrap_or(span_ns);
        let events = std::mem::take(&mut governed.events);
        governed.read_ns = now_ns;
        let mut worst = Reading { span_ns, observed_ns, allowed_ns: 1, events, ..Reading::default() };
        for (pid, account) in &mut governed.accounts {
            let Some(spent) = self.governing.costs.take(*pid, &self.maps.costs) else { continue };
            account.cost_ns = account.cost_ns.saturating_add(spent.cost_ns);
            account.cpu_ns = account.cpu_ns.saturating_add(spent.cpu_ns);
            worst.hits = worst.hits.saturating_add(spent.hits);
            let budget = self.processes.observed(*pid).map(|process| process.settings.budget);
            let Some(allowed_ns) = budget.and_then(|budget| budget.allowed_ns(spent.cpu_ns, span_ns)) else { continue };
            let of = |cost_ns: u64, allowed_ns: u64| cost_ns as f64 / allowed_ns as f64;
            if of(spent.cost_ns, allowed_ns) >= of(worst.cost_ns, worst.allowed_ns) {
                let Spent { cost_ns, of_tracepoints_ns, .. } = spent;
                worst = Reading { cost_ns, of_tracepoints_ns, allowed_ns, ..worst };
            }
        }
        worst
    }

    /// Does what another stage needs.
    fn enter(&mut self, slot: u32, change: Change, now_ns: u64) {
        self.account_for(slot, now_ns, change);
        let Change { from, to, .. } = change;
        let is_cut = |stage| stage >= Stage::Windows;
        if !is_cut(from) && is_cut(to) {
            self.begin_windows(slot);
        } else if is_cut(from) && !is_cut(to) {
            self.end_windows(slot, now_ns);
        } else if let Some(governed) = self.governing.slots.get_mut(&slot).filter(|_| is_cut(to)) {
            governed.begin_gap(now_ns);
        }
        if let Some(governed) = self.governing.slots.get_mut(&slot).filter(|_| to == Stage::Off) {
            governed.phase = Phase::Resting { until_ns: now_ns + governed.controller.rest_ns() };
        }
        self.put_all_in_force(slot);
        self.log(slot, change);
        self.hold_what_is_needed();
        self.find_what_waits_anew();
        // What that took of the capture's own time is none of the process's.
        if let Some(governed) = self.governing.slots.get_mut(&slot).filter(|governed| governed.phase == Phase::Always) {
            governed.read_ns = mono_ns();
        }
    }

    /// Closes what was counted under the stage before.
    fn account_for(&mut self, slot: u32, now_ns: u64, Change { from, reason, .. }: Change) {
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        for (pid, account) in &mut governed.accounts {
            let Some(process) = self.processes.observed(*pid) else { continue };
            self.governing.told.push(account.close(*pid, now_ns, from, process.settings));
            account.reason = reason;
        }
    }

    /// Logs what is in force now.
    fn log(&self, slot: u32, Change { from, to, reason }: Change) {
        let Some(governed) = self.governing.slots.get(&slot) else { return };
        let why = match reason {
            Reason::Began => "its observation began",
            Reason::OverBudget => "observing it costs more than its budget",
            Reason::Affordable => "its budget allows for more",
            Reason::Rested => "it was off for long enough",
        };
        let load = format!("{:.1}", governed.controller.load());
        for process in governed.accounts.keys().filter_map(|pid| self.processes.observed(*pid)) {
            let (pid, settings) = (process.pid, &process.settings);
            tracing::info!(pid, %settings, load, "observed as {} instead of {}: {why}", to.name(), from.name());
        }
    }

    /// Tells of those of whom nothing was told for so long.
    fn tell(&mut self, slot: u32, now_ns: u64, after_ns: u64) {
        let Some(governed) = self.governing.slots.get_mut(&slot) else { return };
        // A window is told of as a whole.
        if matches!(governed.phase, Phase::Open { .. }) && after_ns > 0 {
            return;
        }
        let stage = governed.controller.stage();
        for (pid, account) in &mut governed.accounts {
            if now_ns.saturating_sub(account.from_ns) < after_ns.max(1) {
                continue;
            }
            if let Some(process) = self.processes.observed(*pid) {
                self.governing.told.push(account.close(*pid, now_ns, stage, process.settings));
            }
        }
    }

    /// Has what was chosen for the processes of this executable hold as far as it can be afforded.
    fn put_all_in_force(&mut self, slot: u32) {
        for pid in self.pids_of(slot) {
            let Some(process) = self.processes.observed(pid) else { continue };
            let (chosen, names) = (process.chosen, process.names.clone());
            let settings = self.governing.in_force(slot, chosen);
            self.put_in_force(pid, slot, settings, names);
        }
    }

    /// All observed processes of an executable, with a budget or not.
    fn pids_of(&self, slot: u32) -> BTreeSet<u32> {
        self.processes.all_observed().filter(|process| process.slot == slot).map(|process| process.pid).collect()
    }
}
