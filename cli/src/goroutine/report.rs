//! The story for people.

use syncline_insight::waits;

use super::GoroutineArgs;
use super::open::OpenWait;
use super::query::{Event, Who};
use super::story::Part;
use crate::blockers::short;
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::states::{self, Goroutine};
use crate::table::{Align, Table, printable};
use crate::waits::site;
use crate::window::Window;
use crate::{time, units};

/// What was found.
pub(super) struct Found {
    pub(super) window: Window,
    pub(super) who: Option<Who>,
    /// How it spent its time by state; none where its agent does not tell.
    pub(super) states: Option<Goroutine>,
    /// Waits and wakes in the window; the story holds the last of them.
    pub(super) matched: u64,
    pub(super) story: Vec<Part>,
    /// Waits that have not ended.
    pub(super) open: Vec<OpenWait>,
    pub(super) now_ns: i64,
    /// Where nothing was found: when the newest wait in the store ended, or was seen to go on.
    pub(super) newest_ns: Option<i64>,
}

/// The story for people.
pub(super) fn text(found: &Found, args: &GoroutineArgs, width: usize, palette: Palette) -> String {
    let lines = match &found.who {
        None => nothing(found, args),
        Some(who) => told(found, who, args, width, palette),
    };
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn told(found: &Found, who: &Who, args: &GoroutineArgs, width: usize, palette: Palette) -> Vec<String> {
    let wakes = found.story.iter().filter(|part| matches!(part, Part::Wake { .. })).count();
    let counted: Vec<u64> = found.story.iter().filter_map(counted_ns).collect();
    let waited_ns = counted.iter().fold(0_u64, |sum, ns| sum.saturating_add(*ns));
    let Who { region, node, service, .. } = who;
    let mut lines = vec![
        printable(&format!(
            "goroutine {} of {service}/{} on {node} ({region}), {}",
            args.goid,
            args.pid,
            span_of(found.window)
        )),
        format!("{}, {} in all; wakes of others: {wakes}", waits(counted.len() as u64), units::span(waited_ns)),
    ];
    let left_out = found.matched.saturating_sub(found.story.len() as u64);
    if left_out > 0 {
        lines.push(format!("waits and wakes before, left out: {left_out} (--limit)"));
    }
    lines.extend(by_state(found, width, palette));
    if !found.story.is_empty() {
        lines.push(String::new());
        lines.extend(with_heading(&table(&found.story), width, palette));
    }
    if !found.open.is_empty() {
        lines.push(String::new());
        lines.extend(found.open.iter().map(|wait| printable(&wait.text(found.now_ns))));
    }
    lines
}

fn by_state(found: &Found, width: usize, palette: Palette) -> Vec<String> {
    let Some(goroutine) = &found.states else {
        return vec![
            "its time by state (running, runnable, ...) is not known: its agent did not tell of it".to_owned(),
        ];
    };
    let (line, table) = states::split_of_one(goroutine);
    [printable(&line), String::new()].into_iter().chain(with_heading(&table, width, palette)).collect()
}

fn table(story: &[Part]) -> Table {
    let mut table = Table::new(&[
        ("TIME (UTC)", Align::Left),
        ("BOUND", Align::Right),
        ("GAP", Align::Right),
        ("WAITED", Align::Right),
        ("RUNNABLE", Align::Right),
        ("WOKEN BY", Align::Left),
        ("WHAT", Align::Left),
    ]);
    let dash = || "-".to_owned();
    for part in story {
        table.push(&match part {
            Part::Wait { event, gap_ns, is_inside } => [
                time::time_of_day(event.start_ns, 6),
                units::bound(event.bound_ns),
                gap_ns.map_or_else(dash, units::span),
                units::span(event.duration_ns),
                event.run_delay_ns.map_or_else(dash, units::span),
                waker(event),
                format!("{}{}", if *is_inside { "inside: " } else { "" }, what(event)),
            ],
            Part::Wake { event, at_ns } => [
                time::time_of_day(*at_ns, 6),
                units::bound(event.end_bound_ns),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                format!(
                    "woke g{}, which had waited {} for {}{}",
                    event.goid,
                    units::span(waited_until_ready(event)),
                    event.reason,
                    in_place(site(&event.stack))
                ),
            ],
        });
    }
    table
}

fn nothing(found: &Found, args: &GoroutineArgs) -> Vec<String> {
    let on = |name: &str, value: &Option<String>| value.as_ref().map_or_else(String::new, |v| format!(" {name} {v:?}"));
    let (region, node) = (on("in region", &args.region), on("on node", &args.node));
    let hint = match found.newest_ns {
        None => "the store holds no waits at all: is an agent running, and does it reach its aggregator?".to_owned(),
        Some(newest) => format!(
            "the newest wait in the store ended at {}, or went on then: choose another window with --from and --to; \
             `syncline timeline` lists goroutines as PID gGOID, `syncline stuck --each` those that still wait",
            time::date_and_time(newest)
        ),
    };
    let what = format!(
        "no waits of goroutine {} of a process {}{node}{region}, {}",
        args.goid,
        args.pid,
        span_of(found.window)
    );
    vec![printable(&what), hint]
}

fn span_of(window: Window) -> String {
    let length = units::span(window.to_ns.abs_diff(window.from_ns));
    format!("{} to {} ({length})", time::date_and_time(window.from_ns), time::date_and_time(window.to_ns))
}

/// How long a goroutine had waited when it was made ready.
pub(super) fn waited_until_ready(event: &Event) -> u64 {
    event.duration_ns.saturating_sub(event.run_delay_ns.unwrap_or(0))
}

/// How long a goroutine was blocked in a wait, each moment once; none for what is not counted.
fn counted_ns(part: &Part) -> Option<u64> {
    match part {
        Part::Wait { event, is_inside: false, .. } if event.blocks == 1 => Some(event.duration_ns),
        _ => None,
    }
}

fn waker(event: &Event) -> String {
    if event.kind != "goroutine" {
        // A call returns, a thread gets its CPU.
        return "-".to_owned();
    }
    match (event.ending.waker_goid, event.by_netpoll, event.run_delay_ns) {
        (None, 1, _) => "poller".to_owned(),
        (None, _, Some(_)) => "timer".to_owned(),
        (None, _, None) => "unseen".to_owned(),
        (Some(goid), ..) => format!("g{goid}{}", in_place(event.ending.waker_site.as_deref())),
    }
}

/// `IO wait in main.readNet conn.go:12 for tcp 10.0.0.9:443`
fn what(event: &Event) -> String {
    let (target, failed) = (event.target.after_place_with_address(&event.reason), event.ending.after_place());
    format!("{}{}{target}{failed}", event.reason, in_place(site(&event.stack)))
}

fn in_place(site: Option<&str>) -> String {
    site.map_or_else(String::new, |site| format!(" in {}", short(site)))
}
