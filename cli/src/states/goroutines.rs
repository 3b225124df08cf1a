//! Single goroutines, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Found;
use super::query::Goroutine;
use crate::table::{Align, Table};
use crate::{time, units};

/// For programs.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    from: String,
    to: String,
    /// Goroutines that there are; `goroutines` holds the first of them.
    matched: u64,
    /// Of how many processes they are not known somewhere in the window, to keep a budget.
    processes_without: u64,
    goroutines: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    region: &'a str,
    node: &'a str,
    service: &'a str,
    pid: u32,
    goid: u64,
    #[serde(flatten)]
    entry: Entry<'a>,
}

/// How a goroutine spent its time.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    /// When it was first seen.
    since: String,
    /// As of when the rest is; its end if it has ended.
    told: String,
    /// In between: the sum of the states.
    lived_ns: u64,
    /// It began at `since`; else it was there before.
    start_seen: bool,
    fate: &'a str,
    /// Then, or last.
    state: &'a str,
    reason: Option<&'a str>,
    state_ns: u64,
    running_ns: u64,
    runnable_ns: u64,
    syscall_ns: u64,
    cgo_ns: u64,
    blocked_ns: u64,
    blocked_by: &'a BTreeMap<String, u64>,
    blocked_times: &'a BTreeMap<String, u64>,
    runs: u64,
    handoffs: u64,
}

impl<'a> Document<'a> {
    pub(super) fn of(found: &Found, goroutines: &'a [Goroutine]) -> Self {
        let named = |goroutine: &'a Goroutine| Named {
            region: &goroutine.region,
            node: &goroutine.node,
            service: &goroutine.service,
            pid: goroutine.pid,
            goid: goroutine.goid,
            entry: Entry::of(goroutine),
        };
        Self {
            from: time::rfc3339(found.window.from_ns),
            to: time::rfc3339(found.window.to_ns),
            matched: found.matched,
            processes_without: found.without,
            goroutines: goroutines.iter().map(named).collect(),
        }
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn of(goroutine: &'a Goroutine) -> Self {
        Self {
            since: time::rfc3339(goroutine.since_ns),
            told: time::rfc3339(goroutine.told_ns),
            lived_ns: goroutine.lived_ns,
            start_seen: goroutine.start_seen == 1,
            fate: &goroutine.fate,
            state: &goroutine.state,
            reason: Some(goroutine.reason.as_str()).filter(|reason| !reason.is_empty()),
            state_ns: goroutine.state_ns,
            running_ns: goroutine.running_ns,
            runnable_ns: goroutine.runnable_ns,
            syscall_ns: goroutine.syscall_ns,
            cgo_ns: goroutine.cgo_ns,
            blocked_ns: goroutine.blocked_ns,
            blocked_by: &goroutine.blocked_by,
            blocked_times: &goroutine.blocked_times,
            runs: goroutine.runs,
            handoffs: goroutine.handoffs,
        }
    }
}

pub(super) fn table(goroutines: &[Goroutine]) -> Table {
    let mut table = Table::new(&[
        ("REGION", Align::Left),
        ("NODE", Align::Left),
        ("SERVICE", Align::Left),
        ("PID", Align::Right),
        ("GOID", Align::Right),
        ("SEEN FOR", Align::Right),
        ("RUNNING", Align::Right),
        ("RUNNABLE", Align::Right),
        ("SYSCALL", Align::Right),
        ("CGO", Align::Right),
        ("BLOCKED", Align::Right),
        ("RUNS", Align::Right),
        ("HANDOFFS", Align::Right),
        ("LAST", Align::Left),
    ]);
    for goroutine in goroutines {
        let part = |ns: u64| format!("{} ({})", units::span(ns), percent(ns, goroutine.lived_ns));
        let before = if goroutine.start_seen == 1 { "" } else { "> " };
        table.push(&[
            goroutine.region.clone(),
            goroutine.node.clone(),
            goroutine.service.clone(),
            goroutine.pid.to_string(),
            goroutine.goid.to_string(),
            format!("{before}{}", units::span(goroutine.lived_ns)),
            part(goroutine.running_ns),
            part(goroutine.runnable_ns),
            part(goroutine.syscall_ns),
            part(goroutine.cgo_ns),
            part(goroutine.blocked_ns),
            goroutine.runs.to_string(),
            goroutine.handoffs.to_string(),
            last(goroutine),
        ]);
    }
    table
}

/// What is known of one goroutine: a line of it, and a table of its states.
pub(crate) fn split_of_one(goroutine: &Goroutine) -> (String, Table) {
    let seen = if goroutine.start_seen == 1 { "began" } else { "was there already" };
    let line = format!(
        "it {seen} at {}; in the {} until {}: {}; handoffs: {}",
        time::date_and_time(goroutine.since_ns),
        units::span(goroutine.lived_ns),
        time::date_and_time(goroutine.told_ns),
        last(goroutine),
        goroutine.handoffs
    );
    let mut table =
        Table::new(&[("STATE", Align::Left), ("TIME", Align::Right), ("SHARE", Align::Right), ("TIMES", Align::Right)]);
    let mut push = |state: String, ns: u64, times: Option<u64>| {
        let times = times.map_or_else(|| "-".to_owned(), |times| times.to_string());
        table.push(&[state, units::span(ns), percent(ns, goroutine.lived_ns), times]);
    };
    push("running".to_owned(), goroutine.running_ns, Some(goroutine.runs));
    push("runnable".to_owned(), goroutine.runnable_ns, None);
    push("in a system call".to_owned(), goroutine.syscall_ns, None);
    push("in C code".to_owned(), goroutine.cgo_ns, None);
    let mut blocked: Vec<_> = goroutine.blocked_by.iter().collect();
    blocked.sort_by_key(|(reason, ns)| (std::cmp::Reverse(**ns), *reason));
    for (reason, ns) in blocked {
        push(format!("blocked: {reason}"), *ns, goroutine.blocked_times.get(reason).copied());
    }
    (line, table)
}

/// What it did last and what became of it: `blocked (select) for 2.00 s`, `finished`.
fn last(goroutine: &Goroutine) -> String {
    let state = match goroutine.state.as_str() {
        "syscall" => "in a system call",
        "cgo" => "in C code",
        state => state,
    };
    let reason = if goroutine.reason.is_empty() { String::new() } else { format!(" ({})", goroutine.reason) };
    match goroutine.fate.as_str() {
        "finished" => "finished".to_owned(),
        "process_ended" => format!("its process ended, it was {state}{reason} for {}", units::span(goroutine.state_ns)),
        _ => format!("{state}{reason} for {}", units::span(goroutine.state_ns)),
    }
}

fn percent(ns: u64, of_ns: u64) -> String {
    if of_ns == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * ns as f64 / of_ns as f64) }
}
