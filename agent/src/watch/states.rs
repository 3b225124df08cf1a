//! How the goroutines of the watched processes spent their time, in one line.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use syncline_insight::{is_own_reason, span};

use crate::capture::{ProcessTimes, StateTimes};

/// Reasons that are named.
const NAMED: usize = 4;

/// Sums since the start, or since they were reset.
#[derive(Clone, Debug, Default)]
pub(super) struct StateSums {
    times: StateTimes,
    blocked: BTreeMap<Option<&'static str>, u64>,
    handoffs: u64,
    /// Of each process that lives.
    living: BTreeMap<u32, u64>,
}

impl StateSums {
    pub(super) fn add(&mut self, told: &ProcessTimes) {
        let StateTimes { running_ns, runnable_ns, syscall_ns, cgo_ns, blocked } = &told.times;
        let add = |sum: &mut u64, ns: u64| *sum = sum.saturating_add(ns);
        add(&mut self.times.running_ns, *running_ns);
        add(&mut self.times.runnable_ns, *runnable_ns);
        add(&mut self.times.syscall_ns, *syscall_ns);
        add(&mut self.times.cgo_ns, *cgo_ns);
        blocked.iter().for_each(|blocked| add(self.blocked.entry(blocked.reason).or_default(), blocked.total_ns));
        add(&mut self.handoffs, told.handoffs);
        self.living.insert(told.tgid, told.goroutines);
    }

    pub(super) fn end_process(&mut self, tgid: u32) {
        self.living.remove(&tgid);
    }

    /// None before anything was told. `with_own`: with what only Go's own goroutines wait for.
    pub(super) fn text(&self, with_own: bool) -> Option<String> {
        let is_listed = |reason: &Option<&'static str>| with_own || !reason.is_some_and(is_own_reason);
        let blocked: Vec<_> = self.blocked.iter().filter(|(reason, ns)| **ns > 0 && is_listed(reason)).collect();
        let blocked_ns = blocked.iter().fold(0_u64, |sum, (_, ns)| sum.saturating_add(**ns));
        let StateTimes { running_ns, runnable_ns, syscall_ns, cgo_ns, .. } = self.times;
        let parts = [
            ("running", running_ns),
            ("runnable", runnable_ns),
            ("in system calls", syscall_ns),
            ("in C", cgo_ns),
            ("blocked", blocked_ns),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|(_, ns)| *ns > 0).map(|(what, ns)| format!("{what} {}", span(*ns))).collect();
        if parts.is_empty() {
            return None;
        }
        let living = self.living.values().fold(0_u64, |sum, one| sum.saturating_add(*one));
        let handoffs = match self.handoffs {
            0 => String::new(),
            1 => "; 1 processor handed off".to_owned(),
            many => format!("; {many} processors handed off"),
        };
        Some(format!("goroutines ({living} live): {}{}{handoffs}", parts.join(", "), reasons(blocked)))
    }
}

fn reasons(mut blocked: Vec<(&Option<&'static str>, &u64)>) -> String {
    blocked.sort_by_key(|(_, ns)| Reverse(**ns));
    let named = blocked.iter().take(NAMED).map(|(reason, ns)| format!("{} {}", reason.unwrap_or("others"), span(**ns)));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if blocked.len() > NAMED { ", ..." } else { "" };
    if named.is_empty() { named } else { format!(" ({named}{more})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::BlockedTime;

    fn told(tgid: u32, goroutines: u64) -> ProcessTimes {
        let blocked = |reason, total_ns| BlockedTime { reason, count: 1, total_ns };
        ProcessTimes {
            tgid,
            from_mono_ns: 0,
            to_mono_ns: 1,
            times: StateTimes {
                running_ns: 2_000_000,
                blocked: vec![blocked(Some("select"), 5_000_000), blocked(None, 7_000_000)],
                ..StateTimes::default()
            },
            goroutines,
            started: 0,
            ended: 0,
            runs: 1,
            handoffs: 1,
        }
    }

    #[test]
    fn what_only_gos_own_goroutines_wait_for_is_named_where_that_is_asked_for() {
        let mut sums = StateSums::default();
        let idle = BlockedTime { reason: Some("GC worker (idle)"), count: 1, total_ns: 9_000_000 };
        let mut told = told(1, 3);
        told.times.blocked.push(idle);
        sums.add(&told);
        assert!(sums.text(false).unwrap().contains("blocked 12.0 ms (others 7.00 ms, select 5.00 ms)"));
        assert!(sums.text(true).unwrap().contains("blocked 21.0 ms (GC worker (idle) 9.00 ms, others"));
    }

    #[test]
    fn what_is_nothing_is_not_named() {
        let mut sums = StateSums::default();
        assert_eq!(sums.text(false), None);
        sums.add(&told(1, 3));
        let text = "goroutines (3 live): running 2.00 ms, blocked 12.0 ms (others 7.00 ms, select 5.00 ms); 1 processor handed off";
        assert_eq!(sums.text(false).as_deref(), Some(text));
        sums.add(&told(2, 4));
        sums.end_process(1);
        let text = "goroutines (4 live): running 4.00 ms, blocked 24.0 ms (others 14.0 ms, select 10.0 ms); 2 processors handed off";
        assert_eq!(sums.text(false).as_deref(), Some(text));
    }
}
