//! What a table shows, as text: the same for a pipe and a terminal.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use syncline_insight::{Frame, Site, State, StateTimes, Sum, Waker, span, waits};

use super::Look;
use super::gather::Seen;

/// Reasons and wakers that are named in one line.
const NAMED: usize = 4;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Numbers stand at the right.
    pub(super) is_number: bool,
}

/// The columns, and the cells of each of these sites. Of the states that a goroutine may be in there are those that were measured;
/// blocked is what is left of the time. NOW is there where goroutines are blocked now.
pub(super) fn table(seen: &Seen, look: &Look, sites: &[&Site]) -> (Vec<Column>, Vec<Vec<String>>) {
    let shape = Shape { total: total(seen, look), has_now: sites.iter().any(|site| site.sum.open > 0) };
    (shape.columns(), sites.iter().map(|site| shape.cells(site)).collect())
}

struct Shape {
    total: Sum,
    has_now: bool,
}

impl Shape {
    fn columns(&self) -> Vec<Column> {
        let number = |name| Column { name, is_number: true };
        let text = |name| Column { name, is_number: false };
        let mut columns = vec![number("TIME"), number("SHARE"), number("COUNT")];
        columns.extend(self.has_now.then(|| number("NOW")));
        columns.extend([text("SITE"), text("REASON")]);
        columns.extend(split(&self.total.times).map(|(state, _)| number(heading(state))));
        columns.extend([number("P50"), number("P99"), number("MAX"), text("WOKEN BY")]);
        columns
    }

    fn cells(&self, site: &Site) -> Vec<String> {
        let dash = || "-".to_owned();
        let of_ended = |share| if site.sum.count > 0 { span(site.quantile_ns(share)) } else { dash() };
        let share = match site.is_inside {
            true => "inside".to_owned(),
            false => percent(site.waited_ns(), self.total.times.waited_ns()),
        };
        let mut cells = vec![span(site.waited_ns()), share, site.sum.waits().to_string()];
        cells.extend(self.has_now.then(|| now(site)));
        cells.extend([site_text(&site.frame), site.reason.to_string()]);
        cells.extend(split(&self.total.times).map(|(state, _)| site.sum.times.get(state).map_or_else(dash, span)));
        cells.extend([of_ended(0.5), of_ended(0.99), span(site.longest_ns()), waker(site)]);
        cells.iter().map(|cell| printable(cell)).collect()
    }
}

/// The sites to show, in their order.
pub(super) fn listed<'a>(seen: &'a Seen, look: &Look, filter: &str) -> Vec<&'a Site> {
    let keep = |site: &Site| is_wanted(site, look) && (filter.is_empty() || site.mentions(filter));
    seen.sites.ranked(look.order, keep)
}

fn is_wanted(site: &Site, look: &Look) -> bool {
    look.runtime || !site.is_of_the_runtime
}

/// All waits that the table is about, whether there is room for their sites or not.
fn total(seen: &Seen, look: &Look) -> Sum {
    seen.sites.total(|site| is_wanted(site, look))
}

/// What stands above the table.
pub(super) fn heading_lines(seen: &Seen, look: &Look) -> Vec<String> {
    let total = total(seen, look);
    let parts = parts(&total.times);
    let only = seen.reason.as_ref().map_or_else(String::new, |reason| format!(" for \"{reason}\""));
    let mut lines = vec![
        format!("{}, {}", span(ns(seen.elapsed)), seen.whose()),
        format!(
            "{}{only} of {} and longer, {} in all{}",
            waits(total.waits()),
            span(ns(seen.threshold)),
            span(total.times.waited_ns()),
            if parts.is_empty() { String::new() } else { format!(": {parts}") }
        ) + &open_text(&total),
    ];
    lines.extend(reasons_line(seen, look));
    lines.extend(seen.states.text(look.runtime));
    lines.iter().map(|line| printable(line)).collect()
}

/// What stands below the table: what is not in it.
pub(super) fn footing_lines(seen: &Seen, look: &Look) -> Vec<String> {
    let mut lines: Vec<String> = seen.short.text().map(|short| format!("shorter: {short}")).into_iter().collect();
    if !look.runtime {
        let own = seen.sites.total(|site| site.is_of_the_runtime);
        if own.waits() > 0 {
            let time = span(own.times.waited_ns());
            lines.push(format!("not listed: {} of Go's own goroutines, {time}", waits(own.waits())));
        }
    }
    lines.push(seen.coverage_text());
    lines
}

/// All that is known of a site: its numbers, who woke, and its stacks.
pub(super) fn detail_lines(seen: &Seen, site: &Site) -> Vec<String> {
    let mut lines = vec![
        format!("{}  {}", site.frame.text(), site.reason),
        format!(
            "{}, {} in all: {}{}",
            waits(site.sum.waits()),
            span(site.waited_ns()),
            parts(&site.sum.times),
            open_text(&site.sum)
        ),
    ];
    if site.is_inside {
        lines.push("inside of calls of C, which are counted".to_owned());
    }
    if site.sum.open > 0 {
        lines.push(format!("blocked now: {}, the longest for {}", site.sum.open, longest_open(site)));
    }
    if site.sum.count > 0 {
        let (p50, p99) = (site.quantile_ns(0.5), site.quantile_ns(0.99));
        lines.push(format!("p50 {}, p99 {}, longest {}", span(p50), span(p99), span(site.max_ns)));
        lines.push(format!("woken by {}", wakers(site, seen.processes.len() > 1)));
    }
    if let Some((frame, count)) = site.waker_sites.top() {
        lines.push(format!("mostly woken in {}, {count} times of {}", frame.text(), site.sum.count));
    }
    let stacks = seen.sites.stacks_of(site);
    for (place, sum) in (1..).zip(&stacks) {
        let (count, time, open) = (waits(sum.sum.waits()), span(sum.sum.times.waited_ns()), open_text(&sum.sum));
        lines.push(String::new());
        lines.push(format!("stack {place} of {}: {count}, {time}, pid {}{open}", stacks.len(), sum.pid));
        lines.extend(sum.stack.frames().map(|frame| format!("    {}", frame.text())));
        if sum.stack.is_cut {
            lines.push("    ... (not taken further)".to_owned());
        }
    }
    lines.iter().map(|line| printable(line)).collect()
}

impl Seen {
    /// Whose waits these are.
    pub(super) fn whose(&self) -> String {
        let living = self.processes.values().filter(|process| !process.has_ended).count();
        let names: std::collections::BTreeSet<&str> = self.processes.values().map(|p| p.name.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        match (self.processes.len(), self.processes.first_key_value()) {
            (1, Some((pid, process))) => {
                let ended = if process.has_ended { ", ended" } else { "" };
                format!("{names} (pid {pid}{ended})")
            }
            (0, _) => "nobody yet".to_owned(),
            (all, _) if all == living => format!("{names} ({all} processes)"),
            (all, _) => format!("{names} ({all} processes, {} ended)", all - living),
        }
    }

    /// What was lost, and what is not whole: always said, also that it is nothing.
    pub(super) fn coverage_text(&self) -> String {
        let mut text = format!("lost: {}", self.lost.total());
        if !self.lost.is_empty() {
            text.push_str(&format!(" ({})", self.lost));
        }
        if self.short_of_frames > 0 {
            text.push_str(&format!("; stacks cut: {}", self.short_of_frames));
        }
        if self.skipped > 0 {
            text.push_str(&format!("; Go processes not observed: {}", self.skipped));
        }
        if let Some((pid, why)) = self.limited.first_key_value() {
            let others =
                if self.limited.len() > 1 { format!(", and {} more", self.limited.len() - 1) } else { String::new() };
            text.push_str(&format!("; goroutines not observed of process {pid}{others}: {why}"));
        }
        let left_out = self.open_passed_over.saturating_add(self.sites.open_left_out());
        if left_out > 0 {
            text.push_str(&format!("; waits that go on, not counted yet for want of room: {left_out}"));
        }
        if let Some(parked) = self.still_parked {
            text.push_str(&format!("; goroutines parked at the end, whose waits are not in this: {parked}"));
        }
        text
    }
}

/// The states beside Blocked that were measured.
fn split(times: &StateTimes) -> impl Iterator<Item = (State, u64)> + '_ {
    times.measured().filter(|(state, _)| *state != State::Blocked)
}

fn heading(state: State) -> &'static str {
    match state {
        State::Blocked => "BLOCKED",
        State::Runnable => "RUNNABLE",
        State::Running => "RUNNING",
        State::Syscall => "SYSCALL",
    }
}

fn reasons_line(seen: &Seen, look: &Look) -> Option<String> {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for site in listed(seen, look, "").into_iter().filter(|site| !site.is_inside) {
        let ns = reasons.entry(&site.reason).or_default();
        *ns = ns.saturating_add(site.waited_ns());
    }
    let mut ranked: Vec<_> = reasons.into_iter().collect();
    ranked.sort_by_key(|(_, ns)| Reverse(*ns));
    let named: Vec<String> = ranked.iter().take(NAMED).map(|(reason, ns)| format!("{reason} {}", span(*ns))).collect();
    let more = if ranked.len() > NAMED { ", ..." } else { "" };
    (!named.is_empty()).then(|| format!("by reason: {}{more}", named.join(", ")))
}

fn site_text(frame: &Frame) -> String {
    let place = frame.short_place();
    if place.is_empty() { frame.function.clone() } else { format!("{} {place}", frame.function) }
}

/// How many goroutines are blocked there now, and for how long the first of them has been.
fn now(site: &Site) -> String {
    if site.sum.open == 0 { String::new() } else { format!("{}, {}", site.sum.open, longest_open(site)) }
}

fn longest_open(site: &Site) -> String {
    let at_least = if site.longest_open_began_before { "at least " } else { "" };
    format!("{at_least}{}", span(site.longest_open_ns))
}

fn open_text(sum: &Sum) -> String {
    match sum.open {
        0 => String::new(),
        1 => "; 1 goes on".to_owned(),
        open => format!("; {open} go on"),
    }
}

fn parts(times: &StateTimes) -> String {
    times.measured().map(|(state, ns)| format!("{} {}", state.name(), span(ns))).collect::<Vec<_>>().join(", ")
}

fn waker(site: &Site) -> String {
    site.wakers.top().map_or_else(String::new, |(waker, count)| {
        format!("{} {}", waker_text(*waker, false), percent(count, site.sum.count))
    })
}

fn wakers(site: &Site, with_pid: bool) -> String {
    let ranked = site.wakers.ranked();
    let named = ranked.iter().take(2 * NAMED).map(|(waker, count)| format!("{} {count}", waker_text(*waker, with_pid)));
    let rest = ranked.iter().skip(2 * NAMED).fold(site.wakers.others(), |sum, (_, count)| sum.saturating_add(*count));
    let others = (rest > 0).then(|| format!("others {rest}"));
    named.chain(others).collect::<Vec<_>>().join(", ")
}

fn waker_text(waker: Waker, with_pid: bool) -> String {
    match waker {
        Waker::Goroutine { pid, goid } if with_pid => format!("g{goid} (pid {pid})"),
        Waker::Goroutine { goid, .. } => format!("g{goid}"),
        Waker::Poller => "poller".to_owned(),
        Waker::Timer => "timer".to_owned(),
        Waker::Return => "return".to_owned(),
        Waker::Unseen => "unseen".to_owned(),
    }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

fn ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Names come from the observed program, and none may steer the reader's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
