//! `syncline audit`: whether all that agents captured is stored or counted as lost, and each event is there once.

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Range;
use super::accounts::{self, RunAccount};
use super::loss::known;
use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::time;
use crate::window::{T0, T1, Window};

/// Something is missing, or there twice.
const WRONG: u8 = 3;
/// Some agents are too old to tell what they captured.
const CANNOT_TELL: u8 = 4;

/// Prove that what agents captured is stored or counted as lost, and that nothing is stored twice.
///
/// Of each run of an agent, by the batches that were sealed in the window: whether captured = stored + lost by cause, whether each of these batches is
/// in the store or given up, and whether the tables have each of their rows once. It reads all events of the window.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    range: Range,
    /// Name at most this many gaps, and batches that are not whole
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    top: u32,
}

const HELP: &str = "\
Examples:
  syncline audit                         the last hour
  syncline audit --from -1d --to -5m     what should have arrived by now
  syncline audit --node web-17 --format json

Exit codes: 0 all of it adds up, 1 it failed or there was nothing to audit, 2 it was asked wrongly, 3 it does not add up, 4 it cannot be told (agents of
older versions). What is on its way is missing until it has arrived: let a window end some minutes ago to know.";

/// Batches of a run that are neither stored nor given up, by their numbers.
#[derive(Debug, Deserialize, Serialize)]
struct Gap {
    region: String,
    node: String,
    boot: u64,
    run_seq: u64,
    from_batch: u64,
    to_batch: u64,
    /// Gaps that there are, this one included.
    #[serde(skip_serializing)]
    all: u64,
}

/// A row of `batch_audit` that is not whole.
#[derive(Debug, Deserialize, Serialize)]
struct Broken {
    region: String,
    node: String,
    boot: u64,
    batch: u64,
    first_seq: u64,
    events: u64,
    found_events: u64,
    distinct_events: u64,
    short_waits: u64,
    found_short_waits: u64,
    losses: u64,
    found_losses: u64,
    #[serde(skip_serializing)]
    all: u64,
}

/// A row of `repeated_rows`.
#[derive(Debug, Deserialize, Serialize)]
struct Repeated {
    region: String,
    node: String,
    boot: u64,
    table: String,
    repeated: u64,
    #[serde(skip_serializing)]
    all: u64,
}

#[derive(Debug, Serialize)]
struct Found {
    verdict: &'static str,
    runs: Vec<RunAccount>,
    gaps: Vec<Gap>,
    batches: Vec<Broken>,
    repeated: Vec<Repeated>,
}

pub(crate) async fn run(store: &StoreArgs, args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let window = args.range.window(time::now_ns())?;
    let source = Source::open(store).await?;
    let found = find(&source, args, window).await;
    source.close().await?;
    let found = found?;
    anyhow::ensure!(
        !found.runs.is_empty(),
        "nothing to audit: no two batches of a run were sealed in the minutes of that window; widen it with --from and --to"
    );
    match args.range.format {
        Format::Text => print_text(|width, palette| found.text(width, palette))?,
        Format::Json => print_json(&found)?,
    }
    Ok(found.exit_code())
}

async fn find(source: &Source, args: &AuditArgs, window: Window) -> anyhow::Result<Found> {
    let (runs, (condition, params)) =
        (accounts::find(source, &args.range, window).await?, args.range.condition(window));
    let gaps = source.rows(&gaps_sql(&condition, args.top), &params).await?;
    let sql = format!(
        "SELECT toString(region) AS region, toString(node) AS node, boot, batch, first_seq, events, found_events, distinct_events, short_waits, \
            found_short_waits, losses, found_losses, count() OVER () AS all \
        FROM batch_audit(t0 = {T0}, t1 = {T1}) WHERE NOT is_whole AND {condition} ORDER BY region, node, boot, batch LIMIT {}",
        args.top
    );
    let batches: Vec<Broken> = source.rows(&sql, &params).await?;
    let sql = format!(
        "SELECT toString(region) AS region, toString(node) AS node, boot, table, repeated, count() OVER () AS all \
        FROM repeated_rows(t0 = {T0}, t1 = {T1}) WHERE {condition} ORDER BY region, node, boot, table LIMIT {}",
        args.top
    );
    let repeated: Vec<Repeated> = source.rows(&sql, &params).await?;
    let verdict = if !batches.is_empty() || !repeated.is_empty() || runs.iter().any(is_wrong) {
        "does not add up"
    } else if runs.iter().any(|run| run.captured.is_none()) {
        "cannot be told"
    } else {
        "adds up"
    };
    Ok(Found { verdict, runs, gaps, batches, repeated })
}

/// Numbers between those that are known.
fn gaps_sql(condition: &str, top: u32) -> String {
    format!(
        "WITH runs AS (SELECT region, node, boot, run_seq, from_batch, to_batch FROM run_accounts(t0 = {T0}, t1 = {T1}) WHERE missing != 0 AND {condition}), \
        known AS ( \
            SELECT DISTINCT region, node, boot, run_seq, batch FROM ingest_ledger \
            WHERE bucket >= toStartOfMinute({T0}) AND {condition} \
            UNION DISTINCT SELECT region, node, boot, run_seq, batch FROM dropped_batches \
            WHERE bucket >= toStartOfMinute({T0}) AND {condition}) \
        SELECT toString(region) AS region, toString(node) AS node, boot, run_seq, before + 1 AS from_batch, batch - 1 AS to_batch, count() OVER () AS all \
        FROM ( \
            SELECT k.region AS region, k.node AS node, k.boot AS boot, k.run_seq AS run_seq, k.batch AS batch, \
                lagInFrame(k.batch, 1, toUInt64(r.from_batch - 1)) OVER (PARTITION BY k.region, k.node, k.boot, k.run_seq ORDER BY k.batch \
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before \
            FROM known AS k INNER JOIN runs AS r USING (region, node, boot, run_seq) \
            WHERE k.batch >= r.from_batch AND k.batch <= r.to_batch) \
        WHERE batch > before + 1 ORDER BY region, node, boot, from_batch LIMIT {top}"
    )
}

fn is_wrong(run: &RunAccount) -> bool {
    let is_not_0 = |value: Option<i64>| value.is_some_and(|value| value != 0);
    run.missing != 0 || is_not_0(run.unexplained) || is_not_0(run.miscounted)
}

impl Found {
    fn exit_code(&self) -> ExitCode {
        match self.verdict {
            "adds up" => ExitCode::SUCCESS,
            "cannot be told" => ExitCode::from(CANNOT_TELL),
            _ => ExitCode::from(WRONG),
        }
    }

    fn text(&self, width: usize, palette: Palette) -> String {
        let mut lines = with_heading(&self.run_table(), width, palette);
        lines.push(String::new());
        for Gap { region, node, boot, from_batch, to_batch, .. } in &self.gaps {
            let which = if from_batch == to_batch {
                format!("batch {from_batch}")
            } else {
                format!("batches {from_batch} to {to_batch}")
            };
            lines.push(format!("{region}/{node}, boot {boot:016x}: {which}: neither stored nor given up"));
        }
        lines.extend(more("gaps", self.gaps.len(), self.gaps.first().map(|gap| gap.all)));
        lines.extend(self.batches.iter().map(Broken::text));
        lines.extend(more(
            "batches that are not whole",
            self.batches.len(),
            self.batches.first().map(|broken| broken.all),
        ));
        lines.extend(self.repeated.iter().map(Repeated::text));
        lines.extend(more("tables with such rows", self.repeated.len(), self.repeated.first().map(|one| one.all)));
        lines.push(format!("{} runs, {} batches: {}", self.runs.len(), self.batch_count(), self.verdict));
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn batch_count(&self) -> u64 {
        self.runs.iter().map(|run| run.batches).sum()
    }

    fn run_table(&self) -> Table {
        let right = |name| (name, Align::Right);
        let names = ["BATCHES", "CAPTURED", "EVENTS", "SHORT", "LOST", "LEFT OUT", "WAITING"].map(right);
        let (before, after) = ([("NODE", Align::Left), ("RUN", Align::Right)], [("", Align::Left)]);
        let mut table = Table::new(&[before.as_slice(), &names, &after].concat());
        for run in &self.runs {
            table.push(&[
                format!("{}/{}", run.region, run.node),
                run.run_seq.to_string(),
                run.batches.to_string(),
                known(run.captured),
                run.events.to_string(),
                run.short_waits.to_string(),
                run.lost.saturating_sub(run.twice).to_string(),
                known(run.left_out),
                known(run.waiting),
                what_of(run),
            ]);
        }
        table
    }
}

/// What is to be said of a run.
fn what_of(run: &RunAccount) -> String {
    let mut words = Vec::new();
    match run.missing {
        0 => {}
        missing @ 1.. => words.push(format!("{missing} batches missing")),
        more => words.push(format!("{} batches more than numbers", more.unsigned_abs())),
    }
    match run.unexplained {
        None => words.push("its agent does not tell what it captured".to_owned()),
        Some(0) => {}
        Some(missing @ 1..) => words.push(format!("{missing} waits missing")),
        Some(more) => words.push(format!("{} waits counted twice", more.unsigned_abs())),
    }
    match run.miscounted {
        None | Some(0) => {}
        Some(by) => words.push(format!("at its end {} waited, by its account {by} more", run.open.unwrap_or(0))),
    }
    if words.is_empty() { "adds up".to_owned() } else { words.join(", ") }
}

impl Broken {
    fn text(&self) -> String {
        let Self { region, node, boot, batch, first_seq, events, found_events, distinct_events, .. } = self;
        let mut words = Vec::new();
        if distinct_events < events {
            words
                .push(format!("{} of its {events} events (from {first_seq} on) are missing", events - distinct_events));
        }
        if found_events > distinct_events {
            words.push(format!("{} of its events are there more than once", found_events - distinct_events));
        }
        if self.short_waits != self.found_short_waits {
            words.push(format!("{} waits in sums, by the ledger {}", self.found_short_waits, self.short_waits));
        }
        if self.losses != self.found_losses {
            words.push(format!("{} losses, by the ledger {}", self.found_losses, self.losses));
        }
        format!("{region}/{node}, boot {boot:016x}, batch {batch}: {}", words.join(", "))
    }
}

impl Repeated {
    fn text(&self) -> String {
        let Self { region, node, boot, table, repeated, .. } = self;
        format!("{region}/{node}, boot {boot:016x}: {repeated} rows of {table} are there more than once")
    }
}

fn more(what: &str, shown: usize, all: Option<u64>) -> Option<String> {
    let more = all?.saturating_sub(shown as u64);
    (more > 0).then(|| format!("and {more} more {what} (--top)"))
}
