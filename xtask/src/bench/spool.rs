//! `cargo xtask bench spool`: what a spool makes durable in a second, and how long one of 1 GiB takes to open.
//!
//! Each round is a process of its own (`crates/spool/examples/measure.rs`). Beside it stands what the disk does by itself: as many bytes
//! written and synced, one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::page::Page;
use super::statistics::{Spread, whole};
use super::{machine, scratch, table};
use crate::{place, process};

/// What `cargo xtask bench spool` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Seconds for each row of a round
    #[arg(long, default_value_t = 4.0, value_parser = seconds)]
    seconds: f64,
    /// Where to write; a directory on the disk that is asked about [default: below the target directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write the table into docs/performance.md
    #[arg(long)]
    write: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and 600 is possible".to_owned()) }
}

const PAGE: Page = Page { name: "performance.md", mark: "spool" };

/// As the program says.
#[derive(Deserialize)]
pub(super) struct Round {
    pub(super) bare_small: Row,
    bare_large: Row,
    commit_small: Row,
    commit_large: Row,
    pub(super) group_small: Row,
    group_large: Row,
    reopen: Reopen,
}

#[derive(Deserialize)]
pub(super) struct Row {
    pub(super) records_per_s: f64,
    p50_ms: f64,
    pub(super) p99_ms: f64,
    cpu_us_per_record: f64,
}

#[derive(Deserialize)]
struct Reopen {
    mib: f64,
    open_s: f64,
    read_mib_per_s: f64,
}

/// # Errors
/// When something cannot be built, or measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = measuring_program()?;
    let below = scratch()?;
    let directory = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory)
            .with_context(|| format!("--directory {}: cannot write there", directory.display()))?,
        None => below,
    };
    let (mut rounds, mut others) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        others.push(machine::busy_share());
        rounds.push(one(&program, directory.path(), options.seconds)?);
    }
    let text = format!(
        "{}{}; {} rounds of {} s for each row. {}\n",
        rows(&rounds),
        machine::description(),
        options.rounds,
        options.seconds,
        machine::disturbance(others),
    );
    print!("{text}");
    if options.write {
        PAGE.write(&text)?;
    }
    Ok(())
}

/// Builds it.
pub(super) fn measuring_program() -> Result<PathBuf> {
    let mut command = process::cargo();
    command.args(["build", "--release", "-p", "syncline-spool", "--example", "measure"]);
    process::run(&mut command)?;
    Ok(place::target().join("release/examples/measure"))
}

/// A round in that directory, so many seconds for each row.
pub(super) fn one(program: &Path, directory: &Path, seconds: f64) -> Result<Round> {
    let output = process::capture(Command::new(program).arg(directory).arg(seconds.to_string()))?;
    serde_json::from_slice(&output.stdout).context("what was measured of the spool")
}

fn rows(rounds: &[Round]) -> String {
    let row = |what: &str, of: fn(&Round) -> &Row| {
        let spread = |number: fn(&Row) -> f64| Spread::of(rounds.iter().map(|round| number(of(round))));
        let per_s = spread(|row| row.records_per_s);
        vec![
            what.to_owned(),
            format!("{} ({} to {})", whole(per_s.median), whole(per_s.min), whole(per_s.max)),
            shown(spread(|row| row.p50_ms)),
            shown(spread(|row| row.p99_ms)),
            shown(spread(|row| row.cpu_us_per_record)),
        ]
    };
    let committed = [
        row("the disk alone, 16 KiB written and synced", |round| &round.bare_small),
        row("64 records of 256 B, then a commit", |round| &round.commit_small),
        row("4,096 records of 256 B on the way, group commit", |round| &round.group_small),
        row("the disk alone, 20 KiB written and synced", |round| &round.bare_large),
        row("a record of 20 KiB, then a commit", |round| &round.commit_large),
        row("64 records of 20 KiB on the way, group commit", |round| &round.group_large),
    ];
    let headings = ["median (least to most) of the rounds", "records/s", "p50, ms", "p99, ms", "CPU, us a record"];
    let reopen = |number: fn(&Reopen) -> f64| Spread::of(rounds.iter().map(|round| number(&round.reopen)));
    let reopened = [
        vec!["size, MiB".to_owned(), whole(reopen(|reopen| reopen.mib).median)],
        vec!["opened, and the first record read, s".to_owned(), shown(reopen(|reopen| reopen.open_s))],
        vec!["read to the end, MiB/s".to_owned(), shown(reopen(|reopen| reopen.read_mib_per_s))],
    ];
    table::text(&headings, &committed) + &table::text(&["1 GiB of records of 20 KiB, not in memory", ""], &reopened)
}

fn shown(spread: Spread) -> String {
    let digits = |number: f64| if number < 100.0 { format!("{number:.2}") } else { whole(number) };
    format!("{} ({} to {})", digits(spread.median), digits(spread.min), digits(spread.max))
}
