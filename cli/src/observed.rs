//! `syncline observed`: how processes were observed, and what that cost them.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::whose::Whose;
use crate::window::{Window, Wish};
use crate::{terminal, time, units};

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
    /// When it came into that first; the fleet's clock, ns since 1970.
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
    let now_ns = time::now_ns();
    let window = match Wish::parse(args.from.as_deref(), args.to.as_deref(), USUAL_NS, now_ns)? {
        Wish::Given(window) => window,
        Wish::NewestData => Window::ending_at(now_ns, USUAL_NS),
    };
    let source = Source::open(store).await?;
    let found = find(&source, window, &args.whose).await;
    source.close().await?;
    let found = found?;
    let mut out = io::stdout().lock();
    match args.format {
        Format::Text => {
            let width = if terminal::is_terminal() { terminal::width() } else { usize::MAX };
            out.write_all(text(&found, width, Palette { enabled: terminal::wants_colour() }).as_bytes())?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &found).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(source: &Source, window: Window, whose: &Whose) -> anyhow::Result<Vec<Observed>> {
    let mut params = vec![("t0".to_owned(), window.from_ns.to_string()), ("t1".to_owned(), window.to_ns.to_string())];
    let mut conditions = String::new();
    for condition in whose.conditions() {
        params.push((condition.name.to_owned(), condition.value));
        conditions += " AND ";
        conditions += condition.sql;
    }
    let sql = format!(
        "SELECT toString(t.region) AS region, toString(t.service) AS service, toString(t.node) AS node, t.pid AS pid, toString(t.stage) AS stage, \
            toString(t.reason) AS reason, toUnixTimestamp64Nano(min(t.aligned)) AS since_ns, sum(t.dur_ns) AS duration_ns, \
            sum(t.observed_ns) AS observed_ns, sum(t.windows) AS windows, t.threshold_ns AS threshold_ns, toString(t.without) AS without, \
            t.budget_ppm AS budget_ppm, sum(t.cost_ns) AS cost_ns, sum(t.cpu_ns) AS cpu_ns \
        FROM observations AS t \
        WHERE bucket >= toDateTime(intDiv(toInt64({{t0:Int64}}), 1000000000) - 60, 'UTC') AND bucket <= toDateTime(intDiv(toInt64({{t1:Int64}}), 1000000000), 'UTC') \
            AND aligned >= fromUnixTimestamp64Nano(toInt64({{t0:Int64}}), 'UTC') AND aligned < fromUnixTimestamp64Nano(toInt64({{t1:Int64}}), 'UTC'){conditions} \
        GROUP BY t.region, t.service, t.node, t.boot, t.pid, t.stage, t.reason, t.threshold_ns, t.without, t.budget_ppm \
        ORDER BY service, node, pid, since_ns LIMIT {MOST}"
    );
    source.rows(&sql, &params).await
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
