//! What is told of how a process is observed, so that nobody takes what was not seen for what was not there.

use crate::choice::Settings;
use crate::governor::{Reason, Stage};

/// How a process was observed over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Process id.
    pub tgid: u32,
    /// Begin of the time, CLOCK_MONOTONIC ns.
    pub from_mono_ns: u64,
    /// Its end.
    pub to_mono_ns: u64,
    /// Of that the process was observed, ns.
    pub observed_ns: u64,
    /// In so many windows; 0: all the time, or not at all.
    pub windows: u32,
    /// The stage that it was in.
    pub stage: Stage,
    /// Why it came to be in that.
    pub reason: Reason,
    /// What held for it: the threshold that was in force, the kinds, and the budget.
    pub settings: Settings,
    /// CPU time that observing took of the process's, ns.
    pub cost_ns: u64,
    /// All of the process's CPU time, ns.
    pub cpu_ns: u64,
}

/// What is to be told of a process next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) from_ns: u64,
    pub(super) observed_ns: u64,
    pub(super) windows: u32,
    pub(super) cost_ns: u64,
    pub(super) cpu_ns: u64,
    pub(super) reason: Reason,
}

impl Account {
    pub(super) fn new(from_ns: u64, reason: Reason) -> Self {
        Self { from_ns, observed_ns: 0, windows: 0, cost_ns: 0, cpu_ns: 0, reason }
    }

    /// Closes it, and begins the next one.
    pub(super) fn close(&mut self, tgid: u32, now_ns: u64, stage: Stage, settings: Settings) -> Observation {
        let Self { from_ns, observed_ns, windows, cost_ns, cpu_ns, reason } = *self;
        *self = Self::new(now_ns, reason);
        let span_ns = now_ns.saturating_sub(from_ns);
        let is_whole = stage < Stage::Windows;
        Observation {
            tgid,
            from_mono_ns: from_ns,
            to_mono_ns: now_ns,
            observed_ns: if is_whole { span_ns } else { observed_ns.min(span_ns) },
            windows,
            stage,
            reason,
            settings,
            cost_ns,
            cpu_ns,
        }
    }
}
