//! Waits that go on: a goroutine that is stuck is in no finished wait. The kernel's maps hold every wait until it ends; those that
//! go on for long are looked at from here, in the memory of their process, without stopping it.

mod descriptor;
mod labels;
mod look;
mod looks;
mod unwind;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use aya::Pod;
use aya::maps::{HashMap as KernelMap, MapData};
use syncline_bpf::{Calling, InCall, Parked};

use super::before::Before;
use super::config::CaptureConfig;
use super::executable::FileId;
use super::found::Found;
use super::kernel::{MAX_STEPS, Maps, stable_keys};
use super::process::mono_ns;
use super::processes::Processes;
use super::wait::RawWait;
use looks::{Due, Looks};

/// Told of at a time at most: the others are told of when it is their turn again, or end.
const MAX_TOLD: usize = 4_096;
/// A look is followed by this many times its own length without one, so that looking costs 1 % of a CPU at most.
const PAUSE: u64 = 99;
/// And by this, ns.
const SHORTEST_PAUSE_NS: u64 = 250_000_000;

/// A wait that has not ended: its `run_mono_ns` is the moment until which it is known to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWait {
    /// What is known of it.
    pub wait: RawWait,
    /// It never will: its process, or its program, ended in the middle of it.
    pub is_abandoned: bool,
}

/// What is to be told of them now.
#[derive(Debug, Default)]
pub struct OpenTaken {
    /// Waits that go on, or never ended.
    pub waits: Vec<OpenWait>,
    /// How many others were due as well; each is when it is four times as old or an hour older, or ends.
    pub passed_over: u64,
}

/// What was told, and when everything was looked at.
#[derive(Debug)]
pub(super) struct OpenWaits {
    max_stack: usize,
    last_look_ns: u64,
    next_look_ns: u64,
    /// Of ended processes, and what else is to be told of the next time.
    abandoned: OpenTaken,
    looks: Looks,
}

impl OpenWaits {
    pub(super) fn new(config: &CaptureConfig) -> Self {
        let (now, max_stack) = (mono_ns(), config.max_stack_depth.into());
        Self {
            max_stack,
            last_look_ns: now,
            next_look_ns: now,
            abandoned: OpenTaken::default(),
            looks: Looks::default(),
        }
    }

    /// So many more were not looked at.
    pub(super) fn pass_over(&mut self, count: u64) {
        self.abandoned.passed_over = self.abandoned.passed_over.saturating_add(count);
    }

    /// Those that are to be told of now; nothing in between.
    pub(super) fn take(&mut self, maps: &Maps, processes: &mut Processes, before: &Before) -> OpenTaken {
        let mut taken = std::mem::take(&mut self.abandoned);
        let now_ns = mono_ns();
        let is_any = || processes.all_observed().any(|process| process.told.is_any());
        if now_ns < self.next_look_ns || !is_any() {
            return taken;
        }
        // Else a later look, which tells what has become due since the last one.
        if let Some(mut due) = self.due(maps, processes, before, now_ns) {
            taken.passed_over += due.len().saturating_sub(MAX_TOLD) as u64;
            due.truncate(MAX_TOLD);
            taken.waits.extend(self.looked_at(due, maps, processes));
            self.last_look_ns = now_ns;
            processes.looked_at();
        }
        let end_ns = mono_ns();
        let pause_ns = end_ns.saturating_sub(now_ns).saturating_mul(PAUSE).max(SHORTEST_PAUSE_NS);
        self.next_look_ns = end_ns.saturating_add(pause_ns);
        taken
    }

    /// None if a map changed too fast to be gone through.
    fn due(&self, maps: &Maps, processes: &Processes, before: &Before, now_ns: u64) -> Option<Vec<Found>> {
        // Of what is not captured any more nothing is told before it ends.
        let told = |found: &Found| {
            let process = processes.observed(found.tgid())?;
            process.settings.kinds.has(found.kind()).then_some(process.told)
        };
        let is_due =
            |found: &Found| told(found).is_some_and(|told| told.is_due(found.mono_ns(), self.last_look_ns, now_ns));
        let parked = entries(&maps.parks)?.map(|(key, value)| Found::Parked(key, Parked::decode(&value)));
        let calling = entries(&maps.in_c)?.map(|(key, value)| Found::Calling(key, Calling::decode(&value)));
        let in_calls = entries(&maps.in_syscalls)?.map(|(tid, value)| (tid, InCall::decode(&value)));
        let in_calls = in_calls.filter(|(_, call)| call.is_wait).map(|(tid, call)| Found::InCall(tid, call));
        let all = parked.chain(calling).chain(in_calls);
        Some(all.filter(|found| is_due(found) && !before.is_stale(found)).collect())
    }

    fn looked_at(&mut self, due: Vec<Found>, maps: &Maps, processes: &Processes) -> Vec<OpenWait> {
        let mut of_process: BTreeMap<u32, Vec<Found>> = BTreeMap::new();
        due.into_iter().for_each(|found| of_process.entry(found.tgid()).or_default().push(found));
        let mut told = Vec::new();
        for (tgid, all) in of_process {
            let Some(process) = processes.observed(tgid) else { continue };
            let of_program = all.into_iter().filter(|found| found.mono_ns() >= process.since_mono_ns);
            let due: Vec<Due> = of_program.map(|found| (found, found.m(maps))).collect();
            let seen = self.looks.at(process, &due, self.max_stack);
            // One that ended meanwhile took them with it, which is told when that is noticed.
            if !FileId::of_process(tgid).is_ok_and(|file| process.is_still(file)) {
                continue;
            }
            let going_on = seen.into_iter().filter(|(found, _)| found.goes_on(maps));
            told.extend(going_on.map(|(_, wait)| OpenWait { wait, is_abandoned: false }));
        }
        told
    }

    /// These were cleared away, each with the end of its process: those that were told of are told of once more.
    pub(super) fn abandon(&mut self, cleared_away: &[(Found, u64)], processes: &Processes) {
        for (found, end_ns) in cleared_away {
            let process = processes.that_ran(found.tgid(), (found.mono_ns(), *end_ns), |_| true);
            // Of one that nobody knows any more it is not known either whether it was told of: as if it was.
            if process.is_some_and(|process| !process.told.was_told(found.mono_ns(), self.last_look_ns)) {
                continue;
            }
            match process.filter(|_| self.abandoned.waits.len() < MAX_TOLD) {
                Some(process) => {
                    let wait = look::of_map(found, process, *end_ns);
                    self.abandoned.waits.push(OpenWait { wait, is_abandoned: true });
                }
                None => self.abandoned.passed_over += 1,
            }
        }
    }
}

/// What a map holds; None if it changes too fast to be gone through.
fn entries<K: Pod + Eq + Hash, V: Pod>(map: &KernelMap<MapData, K, V>) -> Option<impl Iterator<Item = (K, V)>> {
    // A key may come twice.
    let keys: HashSet<K> = stable_keys(map.keys(), MAX_STEPS)?.into_iter().collect();
    Some(keys.into_iter().filter_map(|key| Some((key, map.get(&key, 0).ok()?))))
}
