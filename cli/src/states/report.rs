//! Processes, for people and for programs.

use serde::Serialize;

use super::Found;
use super::query::{Part, Process};
use syncline_insight::is_own_reason;

use crate::table::{Align, Table};
use crate::time;

/// For programs.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    from: String,
    to: String,
    /// Processes that there are; `processes` holds the first of them.
    matched: u64,
    /// Of how many processes they are not known somewhere in the window, to keep a budget.
    processes_without: u64,
    processes: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    region: &'a str,
    node: &'a str,
    service: &'a str,
    pid: u32,
    /// How much of the window was observed.
    observed_ns: u64,
    /// Alive at the end.
    goroutines: u64,
    started: u64,
    ended: u64,
    runs: u64,
    handoffs: u64,
    runs_per_s: f64,
    handoffs_per_s: f64,
    states: Vec<State<'a>>,
}

#[derive(Serialize)]
struct State<'a> {
    state: &'a str,
    /// Of blocked.
    reason: Option<&'a str>,
    /// Time of all goroutines together.
    total_ns: u64,
    /// Of all their time, 0 to 1.
    share: f64,
    /// How many goroutines were in it at a time.
    mean: f64,
    /// How often; null where that is not counted.
    times: Option<u64>,
}

impl<'a> Document<'a> {
    pub(super) fn of(found: &Found, processes: &'a [Process]) -> Self {
        let state = |part: &'a Part| State {
            state: &part.0,
            reason: Some(part.1.as_str()).filter(|reason| !reason.is_empty()),
            total_ns: part.2,
            share: part.3,
            mean: part.4,
            times: part.5,
        };
        let entry = |process: &'a Process| Entry {
            region: &process.region,
            node: &process.node,
            service: &process.service,
            pid: process.pid,
            observed_ns: process.observed_ns,
            goroutines: process.goroutines,
            started: process.started,
            ended: process.ended,
            runs: process.runs,
            handoffs: process.handoffs,
            runs_per_s: process.runs_per_s,
            handoffs_per_s: process.handoffs_per_s,
            states: process.parts.iter().map(state).collect(),
        };
        Self {
            from: time::rfc3339(found.window.from_ns),
            to: time::rfc3339(found.window.to_ns),
            matched: found.matched,
            processes_without: found.without,
            processes: processes.iter().map(entry).collect(),
        }
    }
}

/// `with_own`: what only Go's own goroutines wait for is named, too.
pub(super) fn table(processes: &[Process], with_own: bool) -> Table {
    let mut table = Table::new(&[
        ("REGION", Align::Left),
        ("NODE", Align::Left),
        ("SERVICE", Align::Left),
        ("PID", Align::Right),
        ("GOROUTINES", Align::Right),
        ("RUNNING", Align::Right),
        ("RUNNABLE", Align::Right),
        ("SYSCALL", Align::Right),
        ("CGO", Align::Right),
        ("BLOCKED", Align::Right),
        ("RUNS/S", Align::Right),
        ("HANDOFFS/S", Align::Right),
        ("MOSTLY BLOCKED BY", Align::Left),
    ]);
    for process in processes {
        table.push(&[
            process.region.clone(),
            process.node.clone(),
            process.service.clone(),
            process.pid.to_string(),
            process.goroutines.to_string(),
            in_state(process, "running"),
            in_state(process, "runnable"),
            in_state(process, "syscall"),
            in_state(process, "cgo"),
            in_state(process, "blocked"),
            rate(process.runs_per_s),
            rate(process.handoffs_per_s),
            mostly(process, with_own),
        ]);
    }
    table
}

/// How many goroutines were in a state at a time, and the share of it.
fn in_state(process: &Process, state: &str) -> String {
    let parts = || process.parts.iter().filter(|part| part.0 == state);
    // A sum of no numbers is -0.
    let (mean, share) = parts().fold((0.0, 0.0), |(mean, share), part| (mean + part.4, share + part.3));
    format!("{mean:.2} ({:.1} %)", 100.0 * share)
}

fn rate(per_s: f64) -> String {
    if per_s >= 99.95 { format!("{per_s:.0}") } else { format!("{per_s:.1}") }
}

/// The reason of the longest time blocked, and its share of the time blocked by all reasons that are looked at.
fn mostly(process: &Process, with_own: bool) -> String {
    let is_wanted = |part: &Part| with_own || !is_own_reason(&part.1);
    let blocked = || process.parts.iter().filter(|part| part.0 == "blocked" && is_wanted(part));
    let total_ns = blocked().fold(0_u64, |sum, part| sum.saturating_add(part.2));
    let most = blocked().filter(|part| part.2 > 0).max_by_key(|part| part.2);
    most.map_or_else(String::new, |part| format!("{} ({:.0} %)", part.1, 100.0 * part.2 as f64 / total_ns as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_summed_up_and_the_longest_is_named() {
        let part = |state: &str, reason: &str, ns: u64| {
            Part(state.into(), reason.into(), ns, ns as f64 / 1e3, ns as f64 / 1e2, None)
        };
        let process = Process {
            region: "eu".into(),
            service: "cart".into(),
            node: "eu-1".into(),
            boot: 1,
            pid: 7,
            observed_ns: 1,
            goroutines: 3,
            started: 0,
            ended: 0,
            runs: 5,
            handoffs: 0,
            runs_per_s: 1_234.5,
            handoffs_per_s: 0.04,
            parts: vec![part("running", "", 100), part("blocked", "select", 300), part("blocked", "IO wait", 600)],
        };
        assert_eq!(in_state(&process, "blocked"), "9.00 (90.0 %)");
        assert_eq!(in_state(&process, "cgo"), "0.00 (0.0 %)");
        assert_eq!((rate(process.runs_per_s), rate(process.handoffs_per_s)), ("1234".to_owned(), "0.0".to_owned()));
        assert_eq!(mostly(&process, false), "IO wait (67 %)");
        let with_own = Process {
            parts: [process.parts.clone(), vec![part("blocked", "GC worker (idle)", 2_100)]].concat(),
            ..process.clone()
        };
        assert_eq!(
            [false, true].map(|own| mostly(&with_own, own)),
            ["IO wait (67 %)", "GC worker (idle) (70 %)"],
            "its time is in the sums all the same"
        );
        assert_eq!(in_state(&with_own, "blocked"), "30.00 (300.0 %)");
        assert_eq!(mostly(&Process { parts: vec![part("running", "", 1)], ..process }, false), "");
    }
}
