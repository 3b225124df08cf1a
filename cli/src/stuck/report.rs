//! What is stuck, for people and for programs.

use serde::Serialize;

use super::StuckArgs;
use super::query::{Stuck, Wait};
use super::sites::{Site, sites};
use crate::blockers::{callers, short};
use crate::colour::Palette;
use crate::observed::{LeftOut, said};
use crate::skew::with_heading;
use crate::table::{Align, Table};
use crate::target::Target;
use crate::{time, units};

/// For programs.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    /// Goroutines that are stuck; `waits` holds those that are longest.
    stuck: usize,
    /// Of Go's own, not in the above.
    runtime: u64,
    /// Not told of again although they should have been, not in the above.
    silent: u64,
    /// Processes that were observed in windows, or less, in the last minute: of those it is not told.
    untold_processes: u64,
    waits: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    region: &'a str,
    node: &'a str,
    service: &'a str,
    pid: u32,
    goid: u64,
    kind: &'a str,
    reason: &'a str,
    site: &'a str,
    since: String,
    age_ns: u64,
    /// It was found going on at `since`, when the agent came, and is older.
    began_before: bool,
    /// When it was looked at last.
    seen: String,
    #[serde(flatten)]
    target: &'a Target,
    /// The innermost frame first.
    stack: &'a [String],
}

impl<'a> Document<'a> {
    pub(super) fn of(found: &'a Stuck, untold_processes: u64, top: u32, now_ns: i64) -> Self {
        let entry = |wait: &'a Wait| Entry {
            region: &wait.region,
            node: &wait.node,
            service: &wait.service,
            pid: wait.pid,
            goid: wait.goid,
            kind: &wait.kind,
            reason: &wait.reason,
            site: wait.site(),
            since: time::rfc3339(wait.since_ns),
            age_ns: age_ns(wait, now_ns),
            began_before: wait.began_before(),
            seen: time::rfc3339(wait.seen_ns),
            target: &wait.target,
            stack: &wait.stack,
        };
        let waits = found.waits.iter().take(top as usize).map(entry).collect();
        Self { stuck: found.waits.len(), runtime: found.own, silent: found.silent, untold_processes, waits }
    }
}

pub(super) fn text(
    found: &Stuck,
    untold_processes: u64,
    args: &StuckArgs,
    now_ns: i64,
    width: usize,
    palette: Palette,
) -> String {
    let top = args.top as usize;
    let mut lines = Vec::new();
    if found.waits.is_empty() {
        lines.push("no goroutine is known to be stuck".to_owned());
    } else if args.each {
        lines.push(format!("{}, the oldest wait first", goroutines(found)));
        lines.push(String::new());
        lines.extend(with_heading(&table_of_waits(found.waits.iter().take(top), now_ns), width, palette));
        more(&mut lines, found.waits.len().saturating_sub(top), "goroutine");
    } else {
        let sites = sites(&found.waits);
        lines.push(format!("{} at {}", goroutines(found), counted(sites.len() as u64, "place")));
        lines.push(String::new());
        lines.extend(with_heading(&table_of_sites(sites.iter().take(top), now_ns), width, palette));
        more(&mut lines, sites.len().saturating_sub(top), "place");
    }
    if found.own > 0 {
        lines.push(format!("not listed: {} of Go's own (--runtime lists them)", counted(found.own, "goroutine")));
    }
    if found.silent > 0 {
        let silent = counted(found.silent, "goroutine");
        lines.push(format!("not listed: {silent} last seen longer ago than should be: is their agent still there?"));
    }
    if found.is_cut {
        lines.push("there are more: choose with --service, --node, --reason or --min-duration".to_owned());
    }
    lines.extend(said(LeftOut::OpenWaits, untold_processes));
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn goroutines(found: &Stuck) -> String {
    counted(found.waits.len() as u64, "goroutine") + if found.waits.len() == 1 { " is stuck" } else { " are stuck" }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn more(lines: &mut Vec<String>, left: usize, what: &str) {
    if left > 0 {
        lines.push(format!("and {} more (--top)", counted(left as u64, what)));
    }
}

fn age_ns(wait: &Wait, now_ns: i64) -> u64 {
    now_ns.saturating_sub(wait.since_ns).max(0).unsigned_abs()
}

/// In words: of one that was there before its agent, that it is older.
fn age(wait: &Wait, now_ns: i64) -> String {
    let at_least = if wait.began_before() { "at least " } else { "" };
    format!("{at_least}{}", units::span(age_ns(wait, now_ns)))
}

fn table_of_sites<'a>(sites: impl Iterator<Item = &'a Site<'a>>, now_ns: i64) -> Table {
    let mut table = Table::new(&[
        ("STUCK", Align::Right),
        ("OLDEST", Align::Right),
        ("NODES", Align::Right),
        ("SERVICE", Align::Left),
        ("REASON", Align::Left),
        ("SITE", Align::Left),
        ("CALLED FROM", Align::Left),
        ("FOR", Align::Left),
    ]);
    for site in sites {
        table.push(&[
            site.waits.to_string(),
            age(site.oldest, now_ns),
            site.nodes.to_string(),
            site.oldest.service.clone(),
            site.oldest.reason.clone(),
            short(site.oldest.site()),
            callers(&site.oldest.stack, site.oldest.site()),
            site.target.clone(),
        ]);
    }
    table
}

fn table_of_waits<'a>(waits: impl Iterator<Item = &'a Wait>, now_ns: i64) -> Table {
    let mut table = Table::new(&[
        ("AGE", Align::Right),
        ("SEEN AGO", Align::Right),
        ("REGION", Align::Left),
        ("NODE", Align::Left),
        ("SERVICE", Align::Left),
        ("PID", Align::Right),
        ("GOID", Align::Right),
        ("REASON", Align::Left),
        ("SITE", Align::Left),
        ("FOR", Align::Left),
    ]);
    for wait in waits {
        table.push(&[
            age(wait, now_ns),
            units::span(now_ns.saturating_sub(wait.seen_ns).max(0).unsigned_abs()),
            wait.region.clone(),
            wait.node.clone(),
            wait.service.clone(),
            wait.pid.to_string(),
            wait.goid.to_string(),
            wait.reason.clone(),
            short(wait.site()),
            wait.target.text(),
        ]);
    }
    table
}
