//! `bench alerts`: a scripted day of 300 nodes in three regions, and what is told of it, beside the rules that people know.
//!
//! ```text
//! plan ─┬─► node    clocks, daemon, probes ─► NodeClock ─┐
//!       ├─► region  references, links, claims ─► fusion ─┼─► day: rounds ─► syncline-alerts ─► verdict ─► report
//!       └─► peer    what node_exporter shows ─► node-mixin's rules ────────────────────────────┘
//! ```

mod day;
mod detectable;
mod node;
mod peer;
mod plan;
mod region;
mod report;
mod verdict;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use super::clock::again_in_release;
use super::page::Page;
use day::Day;
use verdict::Verdict;

const PAGE: Page = Page { name: "alerts.md", mark: "bench alerts" };

/// How to run it.
#[derive(Args)]
pub(crate) struct Options {
    /// The first day's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Days
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// Fail unless every planted fault is told once and in time, and nothing else is
    #[arg(long)]
    check: bool,
    /// Write the table of the first day, and the sums of all, into docs/alerts.md
    #[arg(long)]
    write: bool,
}

/// # Errors
/// When the page cannot be written, or with `--check` if what is promised does not hold.
pub(crate) fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release();
    }
    let (mut verdicts, mut page) = (Vec::new(), String::new());
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        let start = Instant::now();
        let day = Day::simulate(seed)?;
        let simulated = start.elapsed();
        let verdict = Verdict::of(&day, &day.evaluate()?);
        let text = report::text(&verdict);
        eprintln!(
            "day {seed}: simulated in {:.0} s, evaluated in {:.0} s",
            simulated.as_secs_f64(),
            (start.elapsed() - simulated).as_secs_f64()
        );
        if page.is_empty() {
            page.clone_from(&text);
        }
        print!("{text}");
        verdicts.push(verdict);
    }
    let (is_met, line) = last_line(&verdicts);
    if options.write {
        PAGE.write(&format!("{page}{}: `{line}`", days(options)))?;
    }
    println!("{line}");
    if options.check && !is_met {
        bail!("what is promised of alerts does not hold: see the lines in capitals above");
    }
    Ok(())
}

fn days(options: &Options) -> String {
    match options.seeds {
        1 => format!("Seed {}, {}", options.seed, report::pace()),
        seeds => format!("Seeds {} to {}, {}", options.seed, options.seed + seeds - 1, report::pace()),
    }
}

fn last_line(verdicts: &[Verdict]) -> (bool, String) {
    let sum = |count: fn(&Verdict) -> usize| verdicts.iter().map(count).sum::<usize>();
    let is_met = verdicts.iter().all(Verdict::is_met);
    let line = format!(
        "alerts: {} planted={} alerted={} late={} false={} notifications={} peer_false={} peer_missed={}",
        if is_met { "OK" } else { "FAILED" },
        sum(|verdict| verdict.planted.len()),
        sum(Verdict::alerted),
        sum(Verdict::late),
        sum(|verdict| verdict.wrong.len()),
        sum(|verdict| verdict.notifications),
        sum(|verdict| verdict.peer_wrong),
        sum(Verdict::peer_missed),
    );
    (is_met, line)
}
