//! `cargo xtask demo --clock-faults`: the demo's fleet with everything that may happen to clocks and to what compares them.
//!
//! Agents and aggregators share this machine's oscillator, so the injected clocks are the truth, whatever the paths, the
//! processes and the liar do. See [`plan`] for what goes wrong.

mod first_rows;
mod inflict;
mod path;
mod plan;
mod questions;
mod run;
mod steps;
mod verdict;

use std::path::Path;

use anyhow::{Context, Result};

use self::plan::{HONEST, LIAR};
use self::questions::{Anchors, honest, lying};
use self::run::Outcome;
use self::steps::Steps;
use self::verdict::{Placement, is_outside};
use super::Demo;
use super::check::Findings;
use super::report::Report;
use super::truth::{JudgedRow, Truth};

pub(crate) use self::verdict::Verdict;

/// A row is placed again once a probe has come a minute after it.
const SETTLED_AFTER_NS: i64 = 65_000_000_000;
/// Rows outside their bounds that are shown.
const SHOWN: usize = 8;

impl Demo {
    /// Runs it, and says what was found.
    ///
    /// # Errors
    /// When it cannot run.
    pub(super) async fn find_clock_faults(&self) -> Result<Verdict> {
        let outcome = self.run_with_faults().await?;
        self.say("reading the store");
        let verdict = self.judge(&outcome).await?;
        verdict.show();
        Ok(verdict)
    }

    async fn judge(&self, outcome: &Outcome) -> Result<Verdict> {
        let Outcome { ran, traffic, .. } = outcome;
        let (store, truth) = (self.store(), &ran.truth);
        let report = Report { store: self.store(), truth, window: ran.window()? };
        let timeline = truth.judge(report.rows_where(&honest()).await?)?;
        show_outside("on the fleet's clock", &timeline, ran.observed.start);
        let messages = ran.messages(&self.journals()?)?;
        let findings = Findings::of(&timeline, report.stored_where(&honest()).await?, &messages);

        let anchors = Anchors { by_run: &outcome.anchors, root_ns: truth.root_anchor_ns };
        let live = questions::live(&report.window);
        let at_once = truth.judge(anchors.rows(&store, first_rows::ROWS, &honest()).await?)?;
        show_outside("as first stored", &at_once, ran.observed.start);
        let settled = truth.judge(anchors.rows(&store, &live, &honest()).await?)?;
        show_outside("placed again", &settled, ran.observed.start);
        let had_its_minute = |row: &&JudgedRow| row.end.true_mono_ns < ran.observed.end - SETTLED_AFTER_NS;
        let liars_truth = Truth { clocks: vec![outcome.liars_clock.clone(); HONEST.len()], ..truth.clone() };
        let lies = liars_truth.judge(anchors.rows(&store, &live, &lying()).await?)?;

        let clocks: Vec<_> = HONEST.iter().map(|node| node.name).zip(&truth.clocks).collect();
        let probes = questions::probes(&store).await?;
        Ok(Verdict {
            timeline: findings,
            at_once: Placement::of(at_once.iter()),
            at_once_settled: Placement::of(at_once.iter().filter(had_its_minute)),
            settled: Placement::of(settled.iter().filter(had_its_minute)),
            liar: Placement::of(lies.iter()),
            steps: Steps::of(&clocks, &questions::steps(&store).await?),
            false_disruptions: questions::disruptions(&store).await?,
            traffic: *traffic,
            udp_probes: probes.udp,
            probes: probes.probes,
            captured: self.captured()?,
        })
    }

    /// How many waits the honest agents captured, as they said in the end.
    fn captured(&self) -> Result<usize> {
        HONEST.iter().map(|node| captured(&self.dirs.log_of_agent(node.name))).sum()
    }
}

fn captured(log: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let said =
        text.lines().rev().find_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("captured=")));
    let said = said.with_context(|| format!("{} does not end with what was captured", log.display()))?;
    said.parse().with_context(|| format!("{}: captured={said} is not a number", log.display()))
}

/// The first of the rows that are not where they are said to be, so that it can be seen which fault it was.
fn show_outside(how: &str, rows: &[JudgedRow], since_ns: i64) {
    for row in rows.iter().filter(|row| is_outside(row)).take(SHOWN) {
        let worse = if row.start.is_inside() { row.end } else { row.start };
        println!(
            "outside its bound ({how}): a wait of {} at {:.3} s, off by {:.1} us, bound {:.1} us",
            HONEST.get(row.region).unwrap_or(&LIAR).name,
            (worse.true_mono_ns - since_ns) as f64 / 1e9,
            worse.error_ns() as f64 / 1e3,
            worse.bound_ns.unwrap_or(0) as f64 / 1e3,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_captured_is_in_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("agent-x.log");
        std::fs::write(&log, "INFO x captured nothing\nsyncline-agent: captured=41 stored=40 lost=0\n").unwrap();
        assert_eq!(captured(&log).unwrap(), 41);
        std::fs::write(&log, "INFO x\n").unwrap();
        assert!(captured(&log).unwrap_err().to_string().contains("agent-x.log"));
    }
}
