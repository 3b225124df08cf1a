//! `cargo xtask soak`: agents come and go at a program under load, killed at any moment, and the program never notices.
//!
//! The program (`agent/tests/programs/mixed`) does at once whatever probes may get in the way of, and checks what comes of it. An agent observes it
//! and ends at a random instant, of SIGTERM or of SIGKILL, also while it attaches. Then the program's code in memory must be that of its file
//! again: a probe that stays behind is a byte that differs. In the end the program must have counted nothing wrong, and exit with 0.

mod agent;
mod text;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::bench::child::Child;
use crate::bench::{Built, agent as build_agent, scratch, table};
use crate::{fetch, place, process};
use agent::{Coming, End};

/// What `cargo xtask soak` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Agents that come and go at each program
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    cycles: u32,
    /// The Go versions to build the program with, such as go1.25.5; without it all that are tested
    #[arg(long, value_delimiter = ',')]
    go: Vec<String>,
    /// Of the random instants
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    built: Built,
}

/// Probes of a process that was killed go when the kernel gets to it.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// What happened to one program.
#[derive(Default)]
struct Soaked {
    terminated: u32,
    killed: u32,
    killed_while_attaching: u32,
    operations: u64,
    took: Duration,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "agents need root to observe: run this as root");
    let agent = build_agent(options.built)?;
    let versions =
        if options.go.is_empty() { fetch::GO_VERSIONS.map(str::to_owned).to_vec() } else { options.go.clone() };
    let mut rows = Vec::new();
    for version in &versions {
        let dir = scratch()?;
        let program = build_program(version, dir.path())?;
        let soaked = soak(&program, &agent, options, dir.path()).with_context(|| format!("{version}: FAILED"))?;
        eprintln!("{version}: {} agents came and went", options.cycles);
        rows.push(vec![
            version.clone(),
            soaked.terminated.to_string(),
            soaked.killed.to_string(),
            soaked.killed_while_attaching.to_string(),
            soaked.operations.to_string(),
            format!("{:.0}", soaked.took.as_secs_f64()),
        ]);
    }
    table::print(
        &["Go", "ended by SIGTERM", "by SIGKILL, observing", "by SIGKILL, attaching", "operations of the program", "s"],
        &rows,
    );
    println!("soak: OK programs={} cycles={} wrong=0 left_behind=0", versions.len(), options.cycles);
    Ok(())
}

fn build_program(go: &str, dir: &Path) -> Result<PathBuf> {
    let program = dir.join("mixed");
    let mut command = Command::new("go");
    command.current_dir(place::workspace().join("agent/tests/programs/mixed"));
    command.envs([("GOTOOLCHAIN", go), ("CGO_ENABLED", "1"), ("GOFLAGS", "-buildvcs=false")]);
    command.args(["build", "-o"]).arg(&program).arg(".");
    process::run(&mut command).context("the observed program")?;
    Ok(program)
}

fn soak(program: &Path, agent: &Path, options: &Options, logs: &Path) -> Result<Soaked> {
    let (begun, mut chance) = (Instant::now(), Chance(options.seed));
    let mut observed = Child::start("program", Command::new(program), logs)?;
    observed.line("{")?;
    observed.order("go")?;
    let mut soaked = Soaked::default();
    for cycle in 0..options.cycles {
        let coming = Coming::by_chance(&mut chance);
        match agent::come_and_go(agent, &observed, coming, logs)
            .with_context(|| format!("cycle {cycle}, {coming:?}"))?
        {
            End::Terminated => soaked.terminated += 1,
            End::Killed => soaked.killed += 1,
            End::KilledWhileAttaching => soaked.killed_while_attaching += 1,
        }
        until_text_is_whole(observed.id()).with_context(|| format!("after cycle {cycle}, {coming:?}"))?;
    }
    observed.order("enough")?;
    let counted: Value = serde_json::from_str(&observed.line("{")?)?;
    ensure!(counted["wrong"] == serde_json::json!({}), "the program got wrong results: {counted}");
    let counts = counted["counts"].as_object().context("the program does not say what it did")?;
    ensure!(
        counts.values().all(|count| count.as_u64() > Some(0)),
        "the program did not do all that it does: {counted}"
    );
    soaked.operations = counts.values().filter_map(Value::as_u64).sum();
    observed.end(None)?;
    soaked.took = begun.elapsed();
    Ok(soaked)
}

fn until_text_is_whole(pid: u32) -> Result<()> {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let changed = text::changed(pid)?;
        let Some(first) = changed.first() else { return Ok(()) };
        ensure!(
            Instant::now() < deadline,
            "probes are left behind {GONE_WITHIN:?} after their agent ended: {} bytes of code are changed, the first at {first:#x}",
            changed.len()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// One of `0..below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}
