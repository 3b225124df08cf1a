//! `cargo xtask bench pipeline`: the way of events from gRPC into ClickHouse and what is asked of them there, side by side in one run, and beside
//! an OpenTelemetry Collector that brings the same events into the same engine as logs.
//!
//! Rounds of all sections are interleaved, so that a disturbance does not fall on one alone. Each section is a file here.

mod asked;
mod collector;
mod ingest;
mod memory;
mod plot;
mod programs;
mod queries;
mod spool;
mod target;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::page::Page;
use super::{Built, machine, scratch};
use crate::place;
use collector::Collector;
use ingest::Ingest;
use memory::Memory;
use programs::Programs;
use queries::Queries;
use spool::Spool;
use target::Finding;

/// What `cargo xtask bench pipeline` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these sections, separated by commas
    #[arg(long, value_enum, value_name = "NAMES", value_delimiter = ',', conflicts_with = "write")]
    only: Vec<Section>,
    /// Small sizes and one round, to see that it works: no figures worth keeping
    #[arg(long, conflicts_with_all = ["rounds", "minutes", "write"])]
    quick: bool,
    /// Rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long memory is watched under a steady load
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    minutes: u32,
    #[command(flatten)]
    built: Built,
    /// Write the tables into docs/performance.md and the pictures into docs/img/
    #[arg(long)]
    write: bool,
}

const PAGE: Page = Page { name: "performance.md", mark: "pipeline" };
/// Below the tables.
const PICTURES: &str = "
![Ways of events: events a second, and CPU time an event](img/pipeline-ways.svg)

![How long answers took with more rows and more nodes](img/pipeline-answers.svg)
";

/// What is measured, in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// gRPC in and decoded; from there into rows of ClickHouse; bytes a row
    Ingest,
    /// Group commit of the spool
    Spool,
    /// Questions over 48 M rows, with ten times the rows and the nodes, and re-alignment of an hour
    Queries,
    /// The aggregator's memory under a steady load of 300 nodes
    Memory,
    /// The same events as logs through an OpenTelemetry Collector
    Collector,
}

/// How much of everything.
#[derive(Clone, Copy)]
struct Sizes {
    rounds: u32,
    /// Batches of each node at full speed.
    batches: u32,
    /// Rows of the large store, which has an hour of a quarter of them.
    rows: u64,
    /// Seconds for each row of the spool's table.
    spool_s: f64,
    /// Seconds of the steady load.
    steady_s: u32,
}

impl Sizes {
    fn of(options: &Options) -> Self {
        if options.quick {
            return Self { rounds: 1, batches: 4, rows: 400_000, spool_s: 0.2, steady_s: 10 };
        }
        Self { rounds: options.rounds, batches: 60, rows: 48_000_000, spool_s: 3.0, steady_s: options.minutes * 60 }
    }
}

/// The large store, the two beside it, the logs, and what merging takes for a while.
const DISK_BYTES: u64 = 8 << 30;
const QUICK_DISK_BYTES: u64 = 2 << 30;

/// # Errors
/// When something cannot be built, started or measured, or an event does not arrive exactly once.
pub(crate) fn run(options: &Options) -> Result<()> {
    let dir = scratch()?;
    let needed = if options.quick { QUICK_DISK_BYTES } else { DISK_BYTES };
    check_room(dir.path(), needed)?;
    let is_wanted = |section| options.only.is_empty() || options.only.contains(&section);
    let sizes = Sizes::of(options);
    let with_aggregator = is_wanted(Section::Ingest) || is_wanted(Section::Memory);
    let programs = Programs::build(options.built, with_aggregator, is_wanted(Section::Collector))?;
    let (dir, programs) = (dir.path(), &programs);
    let mut ingest = is_wanted(Section::Ingest).then(|| Ingest::new(programs, sizes));
    let mut spool = is_wanted(Section::Spool).then(|| Spool::new(programs, sizes));
    let mut queries = is_wanted(Section::Queries).then(|| Queries::new(programs, sizes, dir)).transpose()?;
    let mut collector = is_wanted(Section::Collector).then(|| Collector::new(programs, sizes, dir)).transpose()?;
    let mut others = Vec::new();
    for round in 1..=sizes.rounds {
        eprintln!("round {round} of {}", sizes.rounds);
        others.push(machine::busy_share());
        ingest.as_mut().map(Ingest::round).transpose()?;
        spool.as_mut().map(|spool| spool.round(dir)).transpose()?;
        queries.as_mut().map(Queries::round).transpose()?;
        collector.as_mut().map(Collector::round).transpose()?;
    }
    queries.as_mut().map(Queries::realign).transpose()?;
    let memory = is_wanted(Section::Memory).then(|| Memory::measure(programs, sizes)).transpose()?;
    let findings = [
        ingest.as_ref().map(Ingest::findings),
        spool.as_ref().map(Spool::findings),
        queries.as_ref().map(Queries::findings),
        memory.as_ref().map(Memory::findings),
    ];
    let findings: Vec<Finding> = findings.into_iter().flatten().flatten().collect();
    let mut text = target::table(&findings);
    if let Some(queries) = &queries {
        text += &queries.growth();
    }
    if let Some(collector) = &collector {
        text += &collector.table(ingest.as_ref());
    }
    text += &format!(
        "{}; {}, {} rounds. {}\n",
        machine::description(),
        options.built,
        sizes.rounds,
        machine::disturbance(others)
    );
    print!("{text}");
    if options.write {
        PAGE.write(&(text + PICTURES))?;
        plot::write(ingest.as_ref(), queries.as_ref(), collector.as_ref())?;
    }
    Ok(())
}

/// Refuses to begin what would fill the disk.
fn check_room(dir: &std::path::Path, needed: u64) -> Result<()> {
    let free = place::free_bytes(dir)?;
    if free < needed {
        bail!(
            "{} has {} GiB free, and {} are needed: make room, or name another place by CARGO_TARGET_DIR",
            dir.display(),
            free >> 30,
            needed >> 30
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_refused() {
        let here = std::env::temp_dir();
        assert!(check_room(&here, 1).is_ok());
        let error = check_room(&here, 1 << 62).unwrap_err().to_string();
        assert!(error.contains("GiB free"), "{error}");
    }
}
