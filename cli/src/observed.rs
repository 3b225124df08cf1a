//! `syncline observed`: how processes were observed, and what that cost them.

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::whose::Whose;
use crate::window::{T0, T1, Window};
use crate::{time, units};

/// The length of a window of which only one end is given, or none.
const USUAL_NS: i64 = 600_000_000_000;
/// Rows at most: a fleet has many processes, and each may change often.
const MOST: u32 = 10_000;

/// Show how processes were observed, what of their time was seen, and what that cost them.
///
/// An agent keeps what observing costs a process inside a budget (its --budget): where it costs more, it raises the threshold, leaves out what is
/// dear, observes it in windows of time, or not at all. What is seen in windows counts by its weight, so that sums are right all the same.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ObservedArgs {
    /// Begin of the window; default: 10 minutes before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window; default: now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Whose observation.
    #[command(flatten)]
    whose: Whose,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline observed                          the last 10 minutes
  syncline observed --service cart --from -1h
  syncline observed --format json | jq '.[] | select(.stage == \"windows\")'

A row is a process in one stage: full (all that was asked for), raised (a higher threshold), lean (without the states of goroutines and kernel
stacks), windows (as lean, and seen for the share SEEN of the time), off (nothing but TCP sessions). WHY it was in that: began, over_budget,
affordable, or rested. COST is the share of the process's CPU time that observing took, as the agent measured it. A process that is not listed
has no budget, and was observed all the time.";

/// A process in a stage.
#[derive(Debug, Deserialize, Serialize)]
struct Observed {
    region: String,
    service: String,
    node: String,
    pid: u32,
    stage: String,
    reason: String,
    /// When it came into that first; the region's clock, ns since 1970.
    since_ns: i64,
    duration_ns: u64,
    observed_ns: u64,
    windows: u64,
    threshold_ns: u64,
    without: String,
    budget_ppm: u32,
    cost_ns: u64,
    cpu_ns: u64,
}

pub(crate) async fn run(store: &StoreArgs, args: &ObservedArgs) -> anyhow::Result<ExitCode> {
    let window = Window::until_now(args.from.as_deref(), args.to.as_deref(), USUAL_NS, time::now_ns())?;
    let source = Source::open(store).await?;
    let found = find(&source, window, &args.whose).await;
    source.close().await?;
    let found = found?;
    match args.format {
        Format::Text => print_text(|width, palette| text(&found, width, palette))?,
        Format::Json => print_json(&found)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(source: &Source, window: Window, whose: &Whose) -> anyhow::Result<Vec<Observed>> {
    let (conditions, params) = conditions(window, whose, BEGINS_IN_WINDOW);
    let sql = format!(
        "SELECT toString(t.region) AS region, toString(t.service) AS service, toString(t.node) AS node, t.pid AS pid, toString(t.stage) AS stage, \
            toString(t.reason) AS reason, toUnixTimestamp64Nano(min(t.aligned)) AS since_ns, sum(t.dur_ns) AS duration_ns, \
            sum(t.observed_ns) AS observed_ns, sum(t.windows) AS windows, t.threshold_ns AS threshold_ns, toString(t.without) AS without, \
            t.budget_ppm AS budget_ppm, sum(t.cost_ns) AS cost_ns, sum(t.cpu_ns) AS cpu_ns \
        FROM observations AS t WHERE {conditions} \
        GROUP BY t.region, t.service, t.node, t.boot, t.pid, t.stage, t.reason, t.threshold_ns, t.without, t.budget_ppm \
        ORDER BY service, node, pid, since_ns LIMIT {MOST}"
    );
    source.rows(&sql, &params).await
}

/// What a row is taken by: where it lies to the begin of the window.
const BEGINS_IN_WINDOW: &str = "aligned >=";
/// Rows are some seconds long: in a window that is shorter none may begin.
const ENDS_BEHIND_BEGIN: &str = "aligned + toIntervalNanosecond(dur_ns) >";

/// Of what lies so to the begin of the window, and begins before its end: a row is of the minute in which it began, by clocks that differ a little.
fn conditions(window: Window, whose: &Whose, taken_by: &str) -> (String, Vec<(String, String)>) {
    let mut conditions = format!(
        "bucket >= toDateTime({T0}, 'UTC') - 120 AND bucket <= toDateTime({T1}, 'UTC') AND {taken_by} {T0} AND aligned < {T1}"
    );
    let mut params = window.params();
    for condition in whose.conditions() {
        conditions += &format!(" AND {}", condition.sql);
        params.push((condition.name.to_owned(), condition.value));
    }
    (conditions, params)
}

/// What an agent leaves out first to keep a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// How goroutines split their time: from the stage `lean` on.
    States,
    /// Goroutines' waits that go on: from the stage `windows` on.
    OpenWaits,
}

/// Of how many processes that was left out from some moment of the window on; 0 in the store of a version without budgets.
pub(crate) async fn count_without(
    source: &Source,
    what: LeftOut,
    window: Window,
    whose: &Whose,
) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Row {
        processes: u64,
    }
    if !source.has("observations").await? {
        return Ok(0);
    }
    let stages = match what {
        LeftOut::States => "'lean', 'windows', 'off'",
        LeftOut::OpenWaits => "'windows', 'off'",
    };
    let (conditions, params) = conditions(window, whose, ENDS_BEHIND_BEGIN);
    let sql = format!(
        "SELECT uniqExact(t.region, t.node, t.boot, t.pid) AS processes FROM observations AS t WHERE {conditions} AND t.stage IN ({stages})"
    );
    let rows: Vec<Row> = source.rows(&sql, &params).await?;
    Ok(rows.first().map_or(0, |row| row.processes))
}

/// The same for people; nothing to say of none.
pub(crate) fn said(what: LeftOut, processes: u64) -> Option<String> {
    let whose = match processes {
        0 => return None,
        1 => "1 process".to_owned(),
        more => format!("{more} processes"),
    };
    Some(match what {
        LeftOut::States => format!("not known: states of {whose}, at times, for a budget (syncline observed)"),
        LeftOut::OpenWaits => {
            format!("not told: waits of {whose} observed in windows of time, or less, for a budget (syncline observed)")
        }
    })
}

fn text(found: &[Observed], width: usize, palette: Palette) -> String {
    if found.is_empty() {
        return "no process with a budget was observed then: those without one are observed all the time\n".to_owned();
    }
    let mut table = Table::new(&[
        ("SERVICE", Align::Left),
        ("NODE", Align::Left),
        ("PID", Align::Right),
        ("STAGE", Align::Left),
        ("WHY", Align::Left),
        ("SINCE", Align::Left),
        ("FOR", Align::Right),
        ("SEEN", Align::Right),
        ("WINDOWS", Align::Right),
        ("COST", Align::Right),
        ("BUDGET", Align::Right),
        ("THRESHOLD", Align::Right),
        ("WITHOUT", Align::Left),
    ]);
    for row in found {
        table.push(&[
            format!("{}/{}", row.region, row.service),
            row.node.clone(),
            row.pid.to_string(),
            row.stage.clone(),
            row.reason.clone(),
            time::time_of_day(row.since_ns, 0),
            units::span(row.duration_ns),
            percent(row.observed_ns, row.duration_ns),
            if row.windows == 0 { "-".to_owned() } else { row.windows.to_string() },
            percent(row.cost_ns, row.cpu_ns),
            percent(row.budget_ppm.into(), 1_000_000),
            units::span(row.threshold_ns),
            row.without.clone(),
        ]);
    }
    with_heading(&table, width, palette).iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// `-` of nothing.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2}%", 100.0 * part as f64 / whole as f64) }
}
