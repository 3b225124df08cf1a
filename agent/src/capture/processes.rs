//! The processes that are observed, were until a moment ago, or need not be looked at again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::binary_counted_as;
use super::executable::FileId;
use super::process::ObservedProcess;
use super::retry::Retry;
use crate::choice::Settings;
use crate::metadata::Metadata;

/// How long an ended process is remembered: its last records may still be in the ring, and whoever got them asks for it.
const KEEP_ENDED: Duration = Duration::from_secs(10);

/// The table of processes.
#[derive(Debug, Default)]
pub(super) struct Processes {
    observed: HashMap<u32, ObservedProcess>,
    ended: Vec<Ended>,
    passed_over: HashMap<u32, PassedOver>,
    left_out: BTreeMap<u32, LeftOut>,
    /// Those that were until a moment ago.
    lately_left_out: HashMap<u32, Instant>,
    skipped: BTreeMap<&'static str, u64>,
}

/// A process, or the program of a process, that ended.
#[derive(Debug)]
struct Ended {
    noticed: Instant,
    end_mono_ns: u64,
    /// The process, and not only its program.
    has_exited: bool,
    process: ObservedProcess,
}

/// A process that is not observed while it runs this file.
#[derive(Debug)]
struct PassedOver {
    file: FileId,
    retry: Retry,
    /// Why a Go program is not observed, as it is counted.
    skipped: Option<&'static str>,
    /// It was looked at before its time already.
    hurried: bool,
}

/// A Go process that is left out by what holds for it, while it runs this file.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeftOut {
    pub(super) file: FileId,
    pub(super) start_time: u64,
    /// When it was looked at, CLOCK_MONOTONIC ns.
    pub(super) seen_mono_ns: u64,
    /// As of an observed process.
    pub(super) since_mono_ns: u64,
}

impl Processes {
    /// The process with this pid: the present one, else the one that ended last.
    pub(super) fn get(&self, pid: u32) -> Option<&ObservedProcess> {
        self.observed.get(&pid).or_else(|| self.recently(pid).next())
    }

    /// The process with this pid that ran such a program from one moment (CLOCK_MONOTONIC ns) to another. None for what seems
    /// to begin in one program and to end in the next one of the same pid; what a program takes with it ends with it.
    pub(super) fn that_ran(
        &self,
        pid: u32,
        (from_mono_ns, to_mono_ns): (u64, u64),
        is_such: impl Fn(&ObservedProcess) -> bool,
    ) -> Option<&ObservedProcess> {
        let fits = |process: &&ObservedProcess| process.since_mono_ns <= from_mono_ns && is_such(process);
        let now = self.observed.get(&pid).filter(fits);
        let former = || self.ended.iter().rev().filter(|ended| to_mono_ns <= ended.end_mono_ns);
        now.or_else(|| former().map(|ended| &ended.process).find(|process| process.pid == pid && fits(process)))
    }

    pub(super) fn observed(&self, pid: u32) -> Option<&ObservedProcess> {
        self.observed.get(&pid)
    }

    pub(super) fn all_observed(&self) -> impl Iterator<Item = &ObservedProcess> {
        self.observed.values()
    }

    /// In order.
    pub(super) fn observed_pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.observed.keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    /// Other settings hold for an observed process.
    pub(super) fn change(&mut self, pid: u32, settings: Settings, names: Option<Arc<Metadata>>) {
        if let Some(process) = self.observed.get_mut(&pid) {
            process.told.change(&settings);
            process.settings = settings;
            process.names = names;
        }
    }

    /// Something else was chosen for an observed process.
    pub(super) fn choose(&mut self, pid: u32, chosen: Settings) {
        if let Some(process) = self.observed.get_mut(&pid) {
            process.chosen = chosen;
        }
    }

    /// Everything that goes on was looked at.
    pub(super) fn looked_at(&mut self) {
        self.observed.values_mut().for_each(|process| process.told.looked_at());
    }

    pub(super) fn leave_out(&mut self, pid: u32, left_out: LeftOut) {
        self.left_out.insert(pid, left_out);
    }

    pub(super) fn left_out(&self, pid: u32) -> Option<&LeftOut> {
        self.left_out.get(&pid)
    }

    pub(super) fn is_left_out(&self, pid: u32) -> bool {
        self.left_out.contains_key(&pid)
    }

    /// In order.
    pub(super) fn left_out_pids(&self) -> Vec<u32> {
        self.left_out.keys().copied().collect()
    }

    pub(super) fn forget_left_out(&mut self, pid: u32) -> Option<LeftOut> {
        let left_out = self.left_out.remove(&pid)?;
        self.lately_left_out.insert(pid, Instant::now());
        Some(left_out)
    }

    /// Whether it is left out, or was until a moment ago: what is still told of it then is of nobody that was to be observed.
    pub(super) fn was_left_out(&self, pid: u32) -> bool {
        self.left_out.contains_key(&pid) || self.lately_left_out.contains_key(&pid)
    }

    /// Those that are left out and not among the living.
    pub(super) fn left_out_missing_from(&self, living: &HashSet<u32>) -> Vec<u32> {
        self.left_out.keys().filter(|pid| !living.contains(pid)).copied().collect()
    }

    pub(super) fn observe(&mut self, process: ObservedProcess) {
        if let Some(reason) = self.passed_over.remove(&process.pid).and_then(|passed_over| passed_over.skipped) {
            // It was counted as skipped, and is not after all.
            if let Some(count) = self.skipped.get_mut(reason) {
                *count = count.saturating_sub(1);
            }
        }
        self.observed.insert(process.pid, process);
    }

    /// What the process did before this moment (CLOCK_MONOTONIC ns), it did in another program.
    pub(super) fn exec_noticed(&mut self, pid: u32, mono_ns: u64) {
        if let Some(process) = self.observed.get_mut(&pid) {
            process.since_mono_ns = process.since_mono_ns.max(mono_ns);
        }
    }

    /// Takes a process that ended at this moment (CLOCK_MONOTONIC ns) out of the observed ones; returns the slot of its
    /// binary.
    pub(super) fn end(&mut self, pid: u32, end_mono_ns: u64) -> Option<u32> {
        let process = self.observed.remove(&pid)?;
        let slot = process.slot;
        self.ended.push(Ended { noticed: Instant::now(), end_mono_ns, has_exited: false, process });
        Some(slot)
    }

    /// That process, the last one with this pid, has ended altogether: it is not there any more even if `/proc` still shows it.
    pub(super) fn has_exited(&mut self, pid: u32) {
        if let Some(last) = self.ended.iter_mut().rev().find(|ended| ended.process.pid == pid) {
            last.has_exited = true;
        }
    }

    /// Whether the process with this pid is one that has ended. `start_time` is asked only where one did.
    pub(super) fn is_exited(&self, pid: u32, start_time: impl Fn() -> Option<u64>) -> bool {
        let exited = self.ended.iter().filter(|ended| ended.has_exited && ended.process.pid == pid);
        exited.map(|ended| ended.process.start_time).any(|started| start_time() == Some(started))
    }

    /// Nobody wants this process observed while it runs this file.
    pub(super) fn pass_over(&mut self, pid: u32, file: FileId) {
        self.passed_over.insert(pid, PassedOver { file, retry: Retry::Never, skipped: None, hurried: false });
    }

    /// This process cannot be observed while it runs this file, or not now; `skipped` names the reason if it is a Go program.
    /// False if that was known before.
    pub(super) fn skip(&mut self, pid: u32, file: FileId, is_transient: bool, skipped: Option<&'static str>) -> bool {
        let before = self.passed_over.get(&pid).filter(|before| before.file == file);
        let retry =
            if is_transient { Retry::after(before.map(|before| before.retry), Instant::now()) } else { Retry::Never };
        // One that was no Go program may have loaded a library that is.
        let is_new = before.is_none_or(|before| before.skipped.is_none() && skipped.is_some());
        if let (true, Some(reason)) = (is_new, skipped) {
            let count = self.skipped.entry(reason).or_default();
            *count = count.saturating_add(1);
        }
        let (skipped, hurried) = before.map_or((skipped, false), |before| (before.skipped.or(skipped), before.hurried));
        self.passed_over.insert(pid, PassedOver { file, retry, skipped, hurried });
        is_new
    }

    /// Something is told of this process, so that it is worth being looked at again now, once, if it ever is.
    pub(super) fn hurry(&mut self, pid: u32) {
        let Some(PassedOver { retry, hurried, .. }) = self.passed_over.get_mut(&pid) else { return };
        if *retry != Retry::Never && !std::mem::replace(hurried, true) {
            *retry = Retry::after(None, Instant::now()).at_once();
        }
    }

    /// Whether it is worth being looked at for libraries: it was looked at before, in vain, or was observed and left out.
    pub(super) fn may_have_libraries(&self, pid: u32, file: FileId) -> bool {
        self.was_passed_over(pid, file) || self.was_left_out(pid)
    }

    /// It is another process, or runs its program anew.
    pub(super) fn forget_passed_over(&mut self, pid: u32) {
        self.passed_over.remove(&pid);
    }

    /// Those that are to be looked at now for plugins: pid, slot, and the file of the executable. The next time is after a longer pause.
    pub(super) fn due_for_plugins(&mut self) -> Vec<(u32, u32, FileId)> {
        let now = Instant::now();
        let due = self.observed.values_mut().filter(|process| process.look_for_plugins.is_due(now));
        due.map(|process| {
            process.look_for_plugins = Retry::after(Some(process.look_for_plugins), now);
            (process.pid, process.slot, process.file)
        })
        .collect()
    }

    /// Pids and slots of those observed ones of which this is so.
    pub(super) fn observed_where(&self, is_so: impl Fn(&ObservedProcess) -> bool) -> Vec<(u32, u32)> {
        let such = self.observed.values().filter(|process| is_so(process));
        such.map(|process| (process.pid, process.slot)).collect()
    }

    /// Whether it was looked at before, in vain, while it ran this file.
    pub(super) fn was_passed_over(&self, pid: u32, file: FileId) -> bool {
        self.passed_over.get(&pid).is_some_and(|known| known.file == file)
    }

    pub(super) fn is_passed_over(&self, pid: u32, file: FileId) -> bool {
        let now = Instant::now();
        self.passed_over.get(&pid).is_some_and(|known| known.file == file && !known.retry.is_due(now))
    }

    /// Processes of which only the threads are observed, by reason in one word.
    pub(super) fn limited(&self) -> BTreeMap<&'static str, u64> {
        let mut limited = BTreeMap::new();
        for why in self.observed.values().filter_map(ObservedProcess::limited) {
            *limited.entry(binary_counted_as(why).unwrap_or("damaged")).or_default() += 1;
        }
        limited
    }

    /// Go processes that were not observed so far, by reason.
    pub(super) fn skipped(&self) -> &BTreeMap<&'static str, u64> {
        &self.skipped
    }

    /// Observed processes that are not among the living.
    pub(super) fn missing_from(&self, living: &HashSet<u32>) -> Vec<u32> {
        self.observed.keys().filter(|pid| !living.contains(pid)).copied().collect()
    }

    /// Forgets what is of no use any more.
    pub(super) fn tidy(&mut self, living: &HashSet<u32>) {
        self.passed_over.retain(|pid, _| living.contains(pid));
        self.lately_left_out.retain(|_, since| since.elapsed() < KEEP_ENDED);
        self.ended.retain(|ended| ended.noticed.elapsed() < KEEP_ENDED);
    }

    fn recently(&self, pid: u32) -> impl Iterator<Item = &ObservedProcess> {
        self.ended.iter().rev().map(|ended| &ended.process).filter(move |process| process.pid == pid)
    }
}
