//! One scenario, and what the store says of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::scenario::Scenario;
use crate::bench::child::Child;
use crate::bench::region::{self, Region};
use crate::process;

/// How long the program works between two deeds.
const WORKS_FOR: Duration = Duration::from_secs(3);
const AGENT_STOPS_FOR: Duration = Duration::from_secs(2);
const AGGREGATOR_STOPS_FOR: Duration = Duration::from_secs(6);

/// What takes part.
pub(super) struct Programs {
    pub(super) agent: PathBuf,
    pub(super) syncline: PathBuf,
    pub(super) observed: PathBuf,
}

/// What `syncline loss` and `syncline audit` say of a node.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) captured: u64,
    pub(super) events: u64,
    pub(super) short_waits: u64,
    pub(super) lost: u64,
    pub(super) left_out: u64,
    pub(super) waiting: i64,
    pub(super) unexplained: i64,
    pub(super) causes: Vec<(String, u64)>,
    /// Windows in which the program was observed; 0: all the time.
    windows: u64,
    verdict: String,
}

impl Account {
    /// Why this is not what must come of the scenario.
    pub(super) fn failure(&self, scenario: Scenario) -> Option<String> {
        if self.verdict != "adds up" || self.unexplained != 0 {
            return Some(format!("it {}: {self:?}", self.verdict));
        }
        if self.captured == 0 {
            return Some("nothing was captured".to_owned());
        }
        if (scenario == Scenario::Budget) != (self.windows > 0) {
            return Some(format!("it was observed in {} windows", self.windows));
        }
        let cause = scenario.cause()?;
        let is_found = self.causes.iter().any(|(found, count)| found == cause && *count > 0);
        (!is_found).then(|| format!("nothing was lost to {cause}: {:?}", self.causes))
    }
}

pub(super) fn run(scenario: Scenario, programs: &Programs, region: &Region, logs: &Path) -> Result<Account> {
    let mut command = Command::new(&programs.observed);
    command.args(scenario.program());
    let mut observed = Child::start("program", command, logs)?;
    observed.line("ready")?;
    let mut agent = start_agent(scenario, programs, region, &observed, logs)?;
    observed.order("go")?;
    if scenario == Scenario::Crowd {
        observed.line("together")?;
    } else {
        sleep(WORKS_FOR);
    }
    match scenario {
        Scenario::AgentStops => {
            for _ in 0..2 {
                agent.signal(Signal::STOP)?;
                sleep(AGENT_STOPS_FOR);
                agent.signal(Signal::CONT)?;
                sleep(WORKS_FOR);
            }
        }
        Scenario::AggregatorStops => {
            let paused = region.pause()?;
            sleep(AGGREGATOR_STOPS_FOR);
            drop(paused);
            sleep(WORKS_FOR);
        }
        Scenario::Killed => {
            drop(agent);
            agent = start_agent(scenario, programs, region, &observed, logs)?;
            sleep(WORKS_FOR);
        }
        Scenario::KilledApart => {
            let paused = region.pause()?;
            sleep(AGGREGATOR_STOPS_FOR);
            drop(agent);
            drop(paused);
            agent = start_agent(scenario, programs, region, &observed, logs)?;
            sleep(WORKS_FOR);
        }
        Scenario::Budget => sleep(2 * WORKS_FOR),
        Scenario::Calm | Scenario::Everything | Scenario::SmallRing | Scenario::Crowd => {}
    }
    let (_, log) = agent.end(Some(Signal::TERM))?;
    if !log.contains("undelivered=0") {
        bail!("the agent ended before all was delivered: {log}");
    }
    if scenario == Scenario::KilledApart && !log.contains("earlier_batches=") {
        bail!("the agent that was killed left nothing behind: {log}");
    }
    observed.end(None)?;
    region.until_all_is_stored()?;
    account(scenario, programs, region)
}

fn start_agent(
    scenario: Scenario,
    programs: &Programs,
    region: &Region,
    observed: &Child,
    logs: &Path,
) -> Result<Child> {
    let mut command = Command::new(&programs.agent);
    command.args(["run", "--node", scenario.name(), "--region", region::NAME]);
    command.args(["--pid", &observed.id().to_string(), "--aggregator", &format!("http://{}", region.address())]);
    command.args(scenario.agent());
    if !scenario.agent().contains(&"--spool") {
        command.arg("--spool").arg(logs.join(format!("spool-{}", scenario.name())));
    }
    let agent = Child::start("agent", command, logs)?;
    agent.line("ready")?;
    Ok(agent)
}

fn account(scenario: Scenario, programs: &Programs, region: &Region) -> Result<Account> {
    let ask = |what: &str| -> Result<Value> {
        let mut command = Command::new(&programs.syncline);
        command.arg("--store").arg(region.store());
        command.args([what, "--node", scenario.name(), "--from", "-1h", "--format", "json"]);
        // What does not add up is told by the exit code, too.
        let output = command.output().with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{}: {}", process::shown(&command), String::from_utf8_lossy(&output.stderr)))
    };
    let (loss, audit, observed) = (ask("loss")?, ask("audit")?, ask("observed")?);
    let node = &loss["nodes"][0];
    let number = |name: &str| node[name].as_u64().with_context(|| format!("no {name} in {node}"));
    let signed = |name: &str| node[name].as_i64().with_context(|| format!("no {name} in {node}"));
    let windows = observed.as_array().into_iter().flatten().filter_map(|row| row["windows"].as_u64()).sum();
    let cause = |row: &Value| Some((row["cause"].as_str()?.to_owned(), row["count"].as_u64()?));
    Ok(Account {
        captured: number("captured")?,
        events: number("events")?,
        short_waits: number("short_waits")?,
        lost: number("lost")?,
        left_out: number("left_out")?,
        waiting: signed("waiting")?,
        unexplained: signed("unexplained")?,
        causes: loss["causes"].as_array().into_iter().flatten().filter_map(cause).collect(),
        windows,
        verdict: audit["verdict"].as_str().unwrap_or("?").to_owned(),
    })
}
