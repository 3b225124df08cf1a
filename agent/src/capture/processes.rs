//! The processes that are observed, were until a moment ago, or need not be looked at again.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::executable::FileId;
use super::process::ObservedProcess;

/// How long an ended process is remembered: its last records may still be in the ring, and whoever got them asks for it.
const KEEP_ENDED: Duration = Duration::from_secs(10);

/// The table of processes.
#[derive(Debug, Default)]
pub(super) struct Processes {
    observed: HashMap<u32, ObservedProcess>,
    ended: Vec<(Instant, ObservedProcess)>,
    passed_over: HashMap<u32, FileId>,
}

impl Processes {
    /// The process with this pid: the present one, else the one that ended last.
    pub(super) fn get(&self, pid: u32) -> Option<&ObservedProcess> {
        self.observed.get(&pid).or_else(|| self.recently(pid).next())
    }

    /// The process with this pid that ran the binary in this slot.
    pub(super) fn with_binary(&self, pid: u32, slot: u32) -> Option<&ObservedProcess> {
        self.observed.get(&pid).into_iter().chain(self.recently(pid)).find(|process| process.slot == slot)
    }

    pub(super) fn observed(&self, pid: u32) -> Option<&ObservedProcess> {
        self.observed.get(&pid)
    }

    pub(super) fn observe(&mut self, process: ObservedProcess) {
        self.passed_over.remove(&process.pid);
        self.observed.insert(process.pid, process);
    }

    /// Takes a process that ended out of the observed ones; returns the slot of its binary.
    pub(super) fn end(&mut self, pid: u32) -> Option<u32> {
        let process = self.observed.remove(&pid)?;
        let slot = process.slot;
        self.ended.push((Instant::now(), process));
        Some(slot)
    }

    /// Not to be looked at again while it runs this file.
    pub(super) fn pass_over(&mut self, pid: u32, file: FileId) {
        self.passed_over.insert(pid, file);
    }

    pub(super) fn is_passed_over(&self, pid: u32, file: FileId) -> bool {
        self.passed_over.get(&pid) == Some(&file)
    }

    /// Observed processes that are not among the living.
    pub(super) fn missing_from(&self, living: &HashSet<u32>) -> Vec<u32> {
        self.observed.keys().filter(|pid| !living.contains(pid)).copied().collect()
    }

    /// Forgets what is of no use any more.
    pub(super) fn tidy(&mut self, living: &HashSet<u32>) {
        self.passed_over.retain(|pid, _| living.contains(pid));
        self.ended.retain(|(since, _)| since.elapsed() < KEEP_ENDED);
    }

    fn recently(&self, pid: u32) -> impl Iterator<Item = &ObservedProcess> {
        self.ended.iter().rev().map(|(_, process)| process).filter(move |process| process.pid == pid)
    }
}
