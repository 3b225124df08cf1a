//! `cargo xtask truth`: one run of a Go program, observed by us and by Go's own execution tracer.
//!
//! A program (`xtask/truth/program`) waits in all ways, with the tracer on, while `syncline-agent watch` captures it. What the tracer has of it
//! (`xtask/truth/reader`) and what we have is put on one clock and paired: which waits the other side lacks, how far lengths lie apart, and whether
//! reasons and wakers agree. What one side lacks by design is named in a table (`known`), and counted.

mod clock;
mod interval;
mod known;
mod observation;
mod pairing;
mod reasons;
mod report;
mod run;
mod score;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::bench::{self, Built, machine, scratch};
use crate::fetch;
use score::Scores;

/// The newest patch of each minor version that is known here.
const VERSIONS: [&str; 7] =
    ["go1.21.13", "go1.22.10", "go1.23.9", "go1.24.11", "go1.25.5", "go1.26.6", fetch::NEWEST_GO];

/// A version as Go's toolchains are called, which the go command fetches by it.
fn released(text: &str) -> Result<String, String> {
    let version = text.strip_prefix("go").unwrap_or(text);
    let numbers: Vec<Option<u16>> = version.split('.').map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(21..), Some(_)] => Ok(format!("go{version}")),
        _ => Err("give one from 1.21 on with its patch, such as 1.25.5".to_owned()),
    }
}

/// What `cargo xtask truth` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// A Go version to build the program with, such as 1.25.5; repeat it for more
    #[arg(long, value_name = "VERSION", value_parser = released)]
    go: Vec<String>,
    /// How long each workload goes on, ms
    #[arg(long, value_name = "MS", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    length: u32,
    /// Fail where a target is missed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    built: Built,
}

/// # Errors
/// When something cannot be built or run, or, with `--check`, a target is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    fetch::run(fetch::Part::Go)?;
    let dir = scratch()?;
    let agent = bench::agent(options.built)?;
    let reader = run::build_reader(dir.path())?;
    let versions = if options.go.is_empty() { VERSIONS.map(str::to_owned).to_vec() } else { options.go.clone() };
    let (mut lines, mut missed, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for go in versions {
        let program = run::build("program", &go, dir.path())?;
        others.push(machine::busy_share());
        let observation = run::observe(&agent, &reader, &program, options.length, dir.path()).context(go.clone())?;
        let paired = pairing::pair(&observation.ours, &observation.theirs);
        let scores = Scores::of(&paired, &observation.workloads, minor(&go)?);
        report::print(&go, &observation, &scores);
        let all = scores.all_parks();
        lines.push(report::last_line(&go, &all));
        if !report::is_met(&all) {
            missed.push(go);
        }
    }
    println!("{}; {}. {}\n", machine::description(), options.built, machine::disturbance(others));
    lines.iter().for_each(|line| println!("{line}"));
    ensure!(!options.check || missed.is_empty(), "a target is missed with {}", missed.join(", "));
    Ok(())
}

/// The 21 of go1.21.13.
fn minor(go: &str) -> Result<u16> {
    let minor = go.strip_prefix("go1.").and_then(|rest| rest.split('.').next());
    minor.and_then(|digits| digits.parse().ok()).with_context(|| format!("not a Go version: {go}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_released_versions_are_taken() {
        assert_eq!([released("1.25.5"), released("go1.25.5")], [Ok("go1.25.5".to_owned()), Ok("go1.25.5".to_owned())]);
        assert!(["go9.9", "1.20.3", "1.27", "1.27.3-x", ""].iter().all(|text| released(text).is_err()));
    }

    #[test]
    fn minor_versions_are_read() {
        assert_eq!(minor("go1.21.13").unwrap(), 21);
        assert!(minor("go2").is_err() && minor("1.21").is_err());
    }
}
