//! What the store has, asked as a person asks it, against what is known of the modelled nodes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{REGION, fleet, now};
use crate::process;

/// As in `agent/examples/modelled_nodes/traffic.rs`: the first number, the boot of node 0, and how long the wait of a number is.
const FIRST_SEQ: u64 = 1_000;
const BOOT: u64 = 0xc4a0_5000;
const DURATION: &str = "1000000 + seq * 7919 % 100000000";
/// Each batch has a probe: a wider bound says that no clock model placed it, and would hold anything.
const MOST_BOUND_NS: u64 = 1_000_000_000;
/// Batches at the edges of the audit's window.
const AROUND: Duration = Duration::from_secs(120);

/// The store, and where the modelled nodes keep what they know.
pub(crate) struct Store {
    pub(crate) cli: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) nodes_dir: PathBuf,
    pub(crate) nodes: u32,
    /// In each batch.
    pub(crate) waits: u32,
}

/// What the store has of the modelled nodes, against what they made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Durable at the nodes, or stored.
    pub(crate) events: u64,
    pub(crate) rows: u64,
    pub(crate) lost: u64,
    pub(crate) duplicate: u64,
    /// Rows of numbers that nobody has made, of other content, or that are placed elsewhere.
    pub(crate) foreign: u64,
}

/// What a node knows of itself: when it began, ns since 1970, and how many of its events are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Made {
    begin_ns: u64,
    events: u64,
}

/// What there is of one boot of a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
struct Found {
    node: String,
    boot: u64,
    rows: u64,
    /// Different numbers.
    numbers: u64,
    /// Of these, those that were made.
    expected: u64,
    /// Rows of other content, or placed elsewhere.
    wrong: u64,
}

/// What `syncline audit` says.
#[derive(Debug, Deserialize)]
struct Audit {
    verdict: String,
    runs: Vec<AuditedRun>,
}

#[derive(Debug, Deserialize)]
struct AuditedRun {
    node: String,
    run_seq: u64,
    /// None where its agent did not tell.
    captured: Option<u64>,
}

impl Audit {
    fn verdict(&self) -> Result<usize> {
        let untold: Vec<_> = self.runs.iter().filter(|run| run.captured.is_none()).collect();
        if let Some(run) = untold.iter().find(|run| run.node != fleet::OBSERVER) {
            bail!("{} does not tell what its run {} captured", run.node, run.run_seq);
        }
        let expected = if untold.is_empty() { "adds up" } else { "cannot be told" };
        ensure!(self.verdict == expected, "it {}", self.verdict);
        Ok(untold.len())
    }
}

impl Difference {
    pub(crate) fn failures(&self) -> Vec<String> {
        let Self { lost, duplicate, foreign, events, .. } = *self;
        let told = [(lost, "are lost"), (duplicate, "are there twice"), (foreign, "are none that were made")];
        let mut failures: Vec<String> =
            told.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} events {what}")).collect();
        if events == 0 {
            failures.push("nothing was made".to_owned());
        }
        failures
    }

    /// Adds what was made and found of a node.
    fn add(&mut self, made: u64, found: &Found) {
        self.events += made;
        self.rows += found.rows;
        self.duplicate += found.rows - found.numbers;
        self.lost += made.saturating_sub(found.expected);
        self.foreign += found.wrong + found.numbers - found.expected;
    }
}

fn name(number: u32) -> String {
    format!("modelled-{number}")
}

/// Of each boot of a node, what there is of the numbers that it made, and what is of other content. Where a wait truly was follows from its number, too;
/// its bound leads there, which is one, and its bucket is the minute.
fn difference_sql(made: &[Made], waits: u32) -> String {
    let names: Vec<String> = (0..).zip(made).map(|(number, _)| format!("'{}'", name(number))).collect();
    let of_node = |of: &dyn Fn(&Made) -> u64| {
        let values: Vec<String> = made.iter().map(|made| format!("toUInt64({})", of(made))).collect();
        format!("transform(toString(events.node), [{}], [{}], toUInt64(0))", names.join(", "), values.join(", "))
    };
    let (begin_ns, end) = (of_node(&|made| made.begin_ns), of_node(&|made| FIRST_SEQ + made.events));
    format!(
        "WITH toInt64({begin_ns} + intDiv((seq - {FIRST_SEQ}) * 1000000000, {waits})) - toInt64({DURATION}) AS truly_ns \
         SELECT toString(node) AS node, boot, count() AS rows, groupBitmap(seq) AS numbers, \
         groupBitmapIf(seq, seq >= {FIRST_SEQ} AND seq < {end}) AS expected, \
         countIf(dur_ns != {DURATION} OR abs(toInt64(mono_ns) + al_off - truly_ns) > err_ns OR err_ns > {MOST_BOUND_NS} \
             OR toUnixTimestamp(bucket) != intDiv(truly_ns, 60000000000) * 60) AS wrong \
         FROM events WHERE events.node LIKE 'modelled-%' GROUP BY events.node, boot \
         SETTINGS output_format_json_quote_64bit_integers = 0"
    )
}

impl Store {
    /// Events that are known to be durable so far.
    pub(crate) fn made(&self) -> u64 {
        (0..self.nodes).map(|number| self.made_by(number).events).sum()
    }

    fn made_by(&self, number: u32) -> Made {
        let text = fs::read_to_string(self.nodes_dir.join(name(number)).join("durable")).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
        let (begin_ns, batches) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Made { begin_ns, events: batches * u64::from(self.waits) }
    }

    /// # Errors
    /// When the store does not answer.
    pub(crate) fn difference(&self) -> Result<Difference> {
        let made: Vec<Made> = (0..self.nodes).map(|number| self.made_by(number)).collect();
        let sql = difference_sql(&made, self.waits);
        let text = self.ask(&["sql", "--format", "jsonl", &sql])?;
        let lines = text.lines().filter(|line| !line.is_empty());
        let mut found: Vec<Found> =
            lines.map(serde_json::from_str).collect::<Result<_, _>>().context("unexpected rows")?;
        let mut difference = Difference::default();
        for (number, made) in (0..self.nodes).zip(made) {
            let is_it = |one: &Found| one.node == name(number) && one.boot == BOOT + u64::from(number);
            let one = found.iter().position(is_it).map(|place| found.swap_remove(place)).unwrap_or_default();
            difference.add(made.events, &one);
        }
        difference.foreign += found.iter().map(|stranger| stranger.rows).sum::<u64>();
        Ok(difference)
    }

    /// Events of the observed program.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) fn observed(&self) -> Result<u64> {
        let sql = format!("SELECT count() FROM events WHERE node = '{}'", fleet::OBSERVER);
        let text = self.ask(&["sql", "--format", "tsv", &sql])?;
        let number = text.split_whitespace().find_map(|word| word.parse().ok());
        number.with_context(|| format!("unexpected: {text:?}"))
    }

    /// How many runs the audit cannot tell of: of the agent that observes a program those that were killed before they told what they captured.
    ///
    /// # Errors
    /// When it does not say that all others add up, of all nodes since then.
    pub(crate) fn audit(&self, since: Duration) -> Result<usize> {
        let (from, to) = ((since - AROUND).as_secs().to_string(), (now() + AROUND).as_secs().to_string());
        let output =
            self.command(&["audit", "--region", REGION, "--format", "json", "--from", &from, "--to", &to]).output()?;
        let audit: Audit = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())?;
        audit.verdict()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.cli);
        command.arg("--store").arg(&self.dir).args(words);
        command
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = self.command(words);
        let output = command.output().with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            let lines: Vec<_> =
                said.lines().chain(told.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
            bail!("{}", lines[lines.len().saturating_sub(6)..].join(" / "));
        }
        Ok(said.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(made: u64, rows: u64, numbers: u64, expected: u64, wrong: u64) -> Difference {
        let mut difference = Difference::default();
        difference.add(made, &Found { rows, numbers, expected, wrong, ..Found::default() });
        difference
    }

    #[test]
    fn what_is_equal_has_no_failures() {
        let equal = of(100, 100, 100, 100, 0);
        assert_eq!(equal, Difference { events: 100, rows: 100, ..Difference::default() });
        assert!(equal.failures().is_empty());
    }

    #[test]
    fn each_way_to_differ_is_a_failure() {
        assert_eq!(of(100, 99, 99, 99, 0).failures(), ["1 events are lost"]);
        assert_eq!(of(100, 101, 100, 100, 0).failures(), ["1 events are there twice"]);
        assert_eq!(of(100, 0, 0, 0, 0).failures(), ["100 events are lost"]);
        assert_eq!(of(100, 101, 101, 100, 0).failures(), ["1 events are none that were made"]);
        assert_eq!(of(100, 100, 100, 100, 1).failures(), ["1 events are none that were made"]);
        let instead = of(100, 100, 100, 99, 0).failures();
        assert_eq!(instead, ["1 events are lost", "1 events are none that were made"]);
        assert_eq!(of(0, 0, 0, 0, 0).failures(), ["nothing was made"]);
    }

    #[test]
    fn only_runs_of_the_agent_that_is_killed_may_be_untold() {
        let audit = |verdict: &str, node: &str, captured| {
            let runs = vec![AuditedRun { node: node.to_owned(), run_seq: 1, captured }];
            Audit { verdict: verdict.to_owned(), runs }.verdict().ok()
        };
        assert_eq!(audit("adds up", "modelled-0", Some(1)), Some(0));
        assert_eq!(audit("cannot be told", fleet::OBSERVER, None), Some(1));
        assert_eq!(audit("cannot be told", "modelled-0", None), None);
        assert_eq!(audit("does not add up", fleet::OBSERVER, None), None);
        assert_eq!(audit("does not add up", "modelled-0", Some(1)), None);
    }
}
