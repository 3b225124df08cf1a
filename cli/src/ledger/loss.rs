//! `syncline loss`: of each node, how much it captured, how much of that is stored, and what the rest was lost to.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Range;
use super::accounts::{self, RunAccount};
use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::time;
use crate::window::{T0, T1};

/// Show how many of the captured waits are stored, and what the others were lost to.
///
/// Of each node, by the batches that were sealed in the window: what the kernel counted there, and where all of it went.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct LossArgs {
    #[command(flatten)]
    range: Range,
}

const HELP: &str = "\
Examples:
  syncline loss                       the last hour
  syncline loss --node web-17 --from -10m
  syncline loss --format json | jq '.nodes[] | select(.unexplained != 0)'

CAPTURED = EVENTS + SHORT + LOST + LEFT OUT + WAITING + UNEXPLAINED. SHORT waits were below the threshold and are stored as sums. LEFT OUT is what is not kept
on purpose: threads without work of Go's scheduler, processes that are left out, waits that began before their window of observation. WAITING is how much more is going on, or on its way, at the end
of the window than at its begin. UNEXPLAINED is not 0 while batches are on their way, where one is missing, or by a fault: `syncline audit`
says which. What an agent did not capture at all, since it does not know the program, is in its own log and in `syncline-agent show`.";

/// Of one node.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct NodeLoss {
    region: String,
    node: String,
    /// None, as the three below, where one of its agents is too old to tell.
    captured: Option<u64>,
    events: u64,
    short_waits: u64,
    lost: u64,
    left_out: Option<u64>,
    waiting: Option<i64>,
    unexplained: Option<i64>,
}

/// A sum of `losses`.
#[derive(Debug, Deserialize, Serialize)]
struct Cause {
    region: String,
    node: String,
    cause: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Found {
    nodes: Vec<NodeLoss>,
    causes: Vec<Cause>,
}

pub(crate) async fn run(store: &StoreArgs, args: &LossArgs) -> anyhow::Result<ExitCode> {
    let window = args.range.window(time::now_ns())?;
    let source = Source::open(store).await?;
    let found = async {
        let nodes = of_nodes(&accounts::find(&source, &args.range, window).await?);
        let (condition, params) = args.range.condition(window);
        // Those of the batches that are counted.
        let sql = format!(
            "SELECT toString(l.region) AS region, toString(l.node) AS node, toString(l.cause) AS cause, sum(l.count) AS count \
            FROM (SELECT * FROM losses WHERE bucket >= toStartOfMinute({T0}) AND {condition}) AS l \
            INNER JOIN (SELECT region, node, boot, run_seq, from_batch, to_batch FROM run_accounts(t0 = {T0}, t1 = {T1})) AS r \
                ON l.region = r.region AND l.node = r.node AND l.boot = r.boot AND l.run_seq = r.run_seq \
            WHERE l.batch >= r.from_batch AND l.batch <= r.to_batch GROUP BY region, node, cause ORDER BY region, node, count DESC, cause"
        );
        let causes = source.rows(&sql, &params).await?;
        anyhow::Ok(Found { nodes, causes })
    }
    .await;
    source.close().await?;
    let found = found?;
    match args.range.format {
        Format::Text => print_text(|width, palette| found.text(width, palette))?,
        Format::Json => print_json(&found)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_nodes(runs: &[RunAccount]) -> Vec<NodeLoss> {
    let mut nodes: BTreeMap<(&str, &str), NodeLoss> = BTreeMap::new();
    for run in runs {
        let node = nodes.entry((&run.region, &run.node)).or_insert_with(|| NodeLoss {
            region: run.region.clone(),
            node: run.node.clone(),
            captured: Some(0),
            left_out: Some(0),
            waiting: Some(0),
            unexplained: Some(0),
            ..NodeLoss::default()
        });
        node.captured = plus(node.captured, run.captured);
        node.left_out = plus(node.left_out, run.left_out);
        node.waiting = node.waiting.zip(run.waiting).map(|(all, one)| all.saturating_add(one));
        node.unexplained = node.unexplained.zip(run.unexplained).map(|(all, one)| all.saturating_add(one));
        node.events = node.events.saturating_add(run.events);
        node.short_waits = node.short_waits.saturating_add(run.short_waits);
        node.lost = node.lost.saturating_add(run.lost.saturating_sub(run.twice));
    }
    nodes.into_values().collect()
}

fn plus(all: Option<u64>, one: Option<u64>) -> Option<u64> {
    all.zip(one).map(|(all, one)| all.saturating_add(one))
}

impl Found {
    fn text(&self, width: usize, palette: Palette) -> String {
        if self.nodes.is_empty() {
            return "no batches were sealed then: is an agent running? a window must have whole minutes in it\n"
                .to_owned();
        }
        let mut lines = with_heading(&self.node_table(), width, palette);
        lines.push(String::new());
        if self.causes.is_empty() {
            lines.push("nothing was lost".to_owned());
        } else {
            lines.extend(with_heading(&self.cause_table(), width, palette));
        }
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn node_table(&self) -> Table {
        let right = |name| (name, Align::Right);
        let names = ["CAPTURED", "EVENTS", "SHORT", "LOST", "LEFT OUT", "WAITING", "UNEXPLAINED"].map(right);
        let mut table = Table::new(&[[("NODE", Align::Left)].as_slice(), &names].concat());
        for node in &self.nodes {
            table.push(&[
                format!("{}/{}", node.region, node.node),
                known(node.captured),
                node.events.to_string(),
                node.short_waits.to_string(),
                node.lost.to_string(),
                known(node.left_out),
                known(node.waiting),
                known(node.unexplained),
            ]);
        }
        table
    }

    fn cause_table(&self) -> Table {
        let mut table = Table::new(&[("NODE", Align::Left), ("LOST TO", Align::Left), ("WAITS", Align::Right)]);
        for Cause { region, node, cause, count } in &self.causes {
            table.push(&[format!("{region}/{node}"), cause.clone(), count.to_string()]);
        }
        table
    }
}

pub(super) fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "not told".to_owned(), |value| value.to_string())
}
