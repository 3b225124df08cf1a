//! The sites for people and for programs.

use serde::Serialize;
use syncline_insight::{and_more, is_plumbing, waits};

use super::query::{Site, Sites};
use super::{BlockersArgs, By};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::table::{Align, Table, printable};
use crate::waits::function_of;
use crate::window::Window;
use crate::{time, units};

/// Calls outside of a site that its row names.
const CALLERS: usize = 3;

/// The sites for programs.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    from: String,
    to: String,
    /// Waits that were looked at, and their time.
    waits: u64,
    waited_ns: u64,
    /// Sites that were looked at; `sites` holds the first of them.
    matched: u64,
    /// Of Go's own goroutines, not in the above.
    runtime_waits: u64,
    runtime_waited_ns: u64,
    sites: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    service: &'a str,
    site: &'a str,
    reason: &'a str,
    waits: u64,
    nodes: u64,
    processes: u64,
    waited_ns: u64,
    /// Its waits lie inside of others of the same goroutines, which are counted, as system calls of C code inside of the call of C.
    inside: bool,
    /// Of `waited_ns` of all, 0 to 1; null if it is inside.
    share: Option<f64>,
    /// Ready but not running; null where no ready was seen.
    runnable_ns: Option<u64>,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    /// When the longest began.
    longest_start: String,
    /// The commonest of what its waits were for; null where that is not known.
    target: Option<String>,
    /// Of the longest, the innermost frame first.
    stack: &'a [String],
}

impl<'a> Document<'a> {
    pub(super) fn of(window: Window, found: &'a Sites) -> Self {
        let entry = |site: &'a Site| Entry {
            service: &site.service,
            site: &site.site,
            reason: &site.reason,
            waits: site.waits,
            nodes: site.nodes,
            processes: site.processes,
            waited_ns: site.waited_ns,
            inside: site.is_inside == 1,
            share: share(site, found),
            runnable_ns: site.runnable_ns,
            p50_ns: site.p50_ns,
            p99_ns: site.p99_ns,
            max_ns: site.max_ns,
            longest_start: time::rfc3339(site.longest_start_ns),
            target: Some(site.target()).filter(|target| !target.is_empty()),
            stack: &site.stack,
        };
        Self {
            from: time::rfc3339(window.from_ns),
            to: time::rfc3339(window.to_ns),
            waits: found.all_waits,
            waited_ns: found.all_waited_ns,
            matched: found.all_sites,
            runtime_waits: found.own_waits,
            runtime_waited_ns: found.own_waited_ns,
            sites: found.sites.iter().map(entry).collect(),
        }
    }
}

/// The sites for people. `newest_ns` is the end of the newest wait in the store, for where there is no site.
pub(super) fn text(
    window: Window,
    found: &Sites,
    args: &BlockersArgs,
    newest_ns: Option<i64>,
    width: usize,
    palette: Palette,
) -> String {
    let mut lines = if found.sites.is_empty() {
        nothing(window, args, newest_ns)
    } else {
        listed(window, found, args, width, palette)
    };
    if found.own_waits > 0 {
        let time = units::span(found.own_waited_ns);
        lines.push(format!(
            "not listed: {} of Go's own goroutines, {time} (--runtime lists them)",
            waits(found.own_waits)
        ));
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn listed(window: Window, found: &Sites, args: &BlockersArgs, width: usize, palette: Palette) -> Vec<String> {
    let by = match args.by {
        By::Time => "time",
        By::Count => "number",
        By::Max => "longest wait",
    };
    let mut lines = vec![
        format!(
            "{}, {} of waits{}: {} at {}, by {by}",
            span_of(window),
            units::span(found.all_waited_ns),
            of_filters(args),
            waits(found.all_waits),
            if found.all_sites == 1 { "1 site".to_owned() } else { format!("{} sites", found.all_sites) }
        ),
        String::new(),
    ];
    lines.extend(with_heading(&table(found), width, palette));
    let more = and_more(found.all_sites.saturating_sub(found.sites.len() as u64));
    lines.extend(more.map(|more| format!("{more} (--top)")));
    lines
}

fn table(found: &Sites) -> Table {
    let mut table = Table::new(&[
        ("TIME", Align::Right),
        ("SHARE", Align::Right),
        ("WAITS", Align::Right),
        ("NODES", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("MAX", Align::Right),
        ("RUNNABLE", Align::Right),
        ("SERVICE", Align::Left),
        ("REASON", Align::Left),
        ("SITE", Align::Left),
        ("CALLED FROM", Align::Left),
        ("FOR", Align::Left),
    ]);
    for site in &found.sites {
        table.push(&[
            units::span(site.waited_ns),
            share(site, found).map_or_else(|| "inside".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
            site.waits.to_string(),
            site.nodes.to_string(),
            units::span(site.p50_ns),
            units::span(site.p99_ns),
            units::span(site.max_ns),
            site.runnable_ns.map_or_else(|| "-".to_owned(), units::span),
            site.service.clone(),
            site.reason.clone(),
            short(&site.site),
            callers(&site.stack, &site.site),
            site.target(),
        ]);
    }
    table
}

fn nothing(window: Window, args: &BlockersArgs, newest_ns: Option<i64>) -> Vec<String> {
    let hint = match newest_ns {
        None => "the store holds no waits at all: is an agent running, and does it reach its aggregator?".to_owned(),
        Some(newest) if newest < window.from_ns || newest > window.to_ns => format!(
            "the newest wait in the store ended at {}: choose another window with --from and --to",
            time::date_and_time(newest)
        ),
        Some(_) => {
            "there are others in the store: leave out a filter, or choose a longer window with --from".to_owned()
        }
    };
    vec![printable(&format!("no waits{}, {}", of_filters(args), span_of(window))), printable(&hint)]
}

fn span_of(window: Window) -> String {
    let length = units::span(window.to_ns.abs_diff(window.from_ns));
    format!("{} to {} ({length})", time::date_and_time(window.from_ns), time::date_and_time(window.to_ns))
}

fn of_filters(args: &BlockersArgs) -> String {
    match args.filters() {
        filters if filters.is_empty() => String::new(),
        filters => format!(" of {filters}"),
    }
}

/// `function file.go:7` of `function /a/long/way/to/file.go:7`.
pub(crate) fn short(frame: &str) -> String {
    match frame.rsplit_once(' ') {
        Some((function, place)) => format!("{function} {}", place.rsplit('/').next().unwrap_or(place)),
        None => frame.to_owned(),
    }
}

/// The functions of a stack that led to the site: `main.b < main.a`.
pub(crate) fn callers(stack: &[String], site: &str) -> String {
    let function = |frame: &String| function_of(frame).to_owned();
    let outside = stack.iter().skip_while(|frame| *frame != site).skip(1).map(function);
    let named: Vec<String> = outside.filter(|function| !is_plumbing(function)).take(CALLERS).collect();
    named.join(" < ")
}

/// None for what is in no sum.
fn share(site: &Site, found: &Sites) -> Option<f64> {
    (site.is_inside == 0).then(|| site.waited_ns as f64 / found.all_waited_ns.max(1) as f64)
}
