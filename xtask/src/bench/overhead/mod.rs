//! `cargo xtask bench overhead`: the same program, observed in turn by nobody, by Go itself, by the agent and by bpftrace.
//!
//! The ways take turns within every round, and what a way adds is its time minus that of the unobserved program in the same
//! round: so a machine that gets slower for a while slows all of them. Each measurement is a fresh process of the program
//! and of its observer. The aggregator and its ClickHouse, which run on another machine in a fleet, are stopped (SIGSTOP)
//! while the workload runs, and get the events afterwards.

mod report;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::build::Programs;
use super::child::Child;
use super::observer::{Observer, Seen, Target, Way, bpftrace_version, ensure_bpftrace};
use super::region::Region;
use super::statistics::whole;
use super::usage::Memory;
use super::{Built, build, machine, scratch, usage};

/// What `cargo xtask bench overhead` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Two short rounds, to see that it works: no figures worth keeping
    #[arg(long)]
    quick: bool,
    /// Leave bpftrace out
    #[arg(long)]
    without_bpftrace: bool,
    #[command(flatten)]
    built: Built,
}

impl Options {
    fn rounds(&self) -> u32 {
        if self.quick { 2 } else { self.rounds }
    }

    fn run_length(&self) -> &'static str {
        if self.quick { "300ms" } else { "1500ms" }
    }

    fn idle_length(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 20 })
    }

    fn ways(&self) -> Vec<Way> {
        Way::ALL.into_iter().filter(|way| *way != Way::Bpftrace || !self.without_bpftrace).collect()
    }
}

/// What the program does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Workload {
    PingPong,
    Echo,
}

impl Workload {
    const ALL: [Self; 2] = [Self::PingPong, Self::Echo];

    fn argument(self) -> &'static str {
        match self {
            Self::PingPong => "ping-pong",
            Self::Echo => "echo",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::PingPong => "Channel ping-pong: two goroutines, unbuffered channels",
            Self::Echo => "Network echo: 64 bytes over loopback TCP, 8 connections",
        }
    }
}

/// # Errors
/// When something cannot be built, started or measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.without_bpftrace {
        ensure_bpftrace()?;
    }
    let dir = scratch()?;
    let bench = Bench {
        programs: build::syncline(options.built)?,
        program: build::observed(dir.path())?,
        run_length: options.run_length(),
        ways: options.ways(),
        dir: dir.path(),
    };
    let region = Region::start(&bench.programs.aggregator, dir.path())?;
    let idle = bench.idle(&region, options.idle_length())?;
    let mut others = Vec::new();
    let mut rounds = Vec::new();
    for round in 0..options.rounds() {
        let paused = region.pause()?;
        others.push(machine::busy_share());
        drop(paused);
        rounds.push(bench.round(&region, round)?);
    }
    region.end()?;
    report::print(&bench.ways, &rounds, &idle);
    let bpftrace = if options.without_bpftrace { "no bpftrace".to_owned() } else { bpftrace_version()? };
    println!(
        "{}; {}; {bpftrace}; {}; {} rounds. {}",
        machine::description(),
        rounds.first().and_then(|round| round.first()).map_or("no Go", |run| &run.measured.go),
        options.built,
        rounds.len(),
        machine::disturbance(others),
    );
    Ok(())
}

struct Bench<'a> {
    programs: Programs,
    program: PathBuf,
    run_length: &'static str,
    ways: Vec<Way>,
    dir: &'a Path,
}

/// One measurement.
struct Run {
    way: Way,
    workload: Workload,
    measured: Measured,
    observer: Option<Observed>,
}

type Round = Vec<Run>;

/// What the program says of its own run.
#[derive(Deserialize)]
struct Measured {
    go: String,
    pilot_ops: u64,
    ops: u64,
    cpu_ns: u64,
    ns_per_op: f64,
}

impl Measured {
    /// What an observer has seen as well.
    fn all_ops(&self) -> u64 {
        self.pilot_ops + self.ops
    }
}

/// What is known of the observer of a run, pilot included.
struct Observed {
    cpu_share: f64,
    before: Memory,
    after: Memory,
    took: Duration,
    seen: Seen,
}

/// The agent beside a program that sleeps.
struct Idle {
    cpu_share: f64,
    memory: Memory,
}

impl Bench<'_> {
    fn round(&self, region: &Region, round: u32) -> Result<Round> {
        let mut runs = Round::new();
        for workload in Workload::ALL {
            for place in 0..self.ways.len() {
                // Each way comes at each place in turn.
                let way = self.ways[(place + round as usize) % self.ways.len()];
                let context = || format!("{}, {}", way.name(), workload.argument());
                let run = self.measure(region, way, workload).with_context(context)?;
                eprintln!(
                    "round {:>2}  {:<9}  {:>9} ns/op  {}",
                    round + 1,
                    workload.argument(),
                    whole(run.measured.ns_per_op),
                    way.name()
                );
                runs.push(run);
            }
        }
        Ok(runs)
    }

    fn measure(&self, region: &Region, way: Way, workload: Workload) -> Result<Run> {
        let mut program = self.start(way, workload)?;
        let observer = way.attach(&self.target(region, &program))?;
        let before = observer.as_ref().map(|observer| usage_of(observer.pid())).transpose()?;
        let paused = region.pause()?;
        let start = Instant::now();
        program.order("run")?;
        let line = program.line("{")?;
        let took = start.elapsed();
        let after = observer.as_ref().map(|observer| usage_of(observer.pid())).transpose()?;
        drop(paused);
        let seen = observer.map(Observer::end).transpose()?;
        program.end(None)?;
        let observer = before.zip(after).zip(seen).map(|((before, after), seen)| Observed {
            cpu_share: (after.0 - before.0).as_secs_f64() / took.as_secs_f64(),
            before: before.1,
            after: after.1,
            took,
            seen,
        });
        let measured = serde_json::from_str(&line).with_context(|| format!("unexpected result: {line}"))?;
        Ok(Run { way, workload, measured, observer })
    }

    fn idle(&self, region: &Region, length: Duration) -> Result<Idle> {
        let way = Way::AgentInBudget;
        let program = self.start(way, Workload::Echo)?;
        let observer = way.attach(&self.target(region, &program))?.context("nothing is attached")?;
        let before = usage::cpu(observer.pid())?;
        thread::sleep(length);
        let used = usage::cpu(observer.pid())? - before;
        let memory = usage::memory(observer.pid())?;
        observer.end()?;
        program.end(None)?;
        Ok(Idle { cpu_share: used.as_secs_f64() / length.as_secs_f64(), memory })
    }

    fn start(&self, way: Way, workload: Workload) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(["-workload", workload.argument(), "-length", self.run_length]);
        if way == Way::BlockProfile {
            command.arg("-block-profile");
        }
        let program = Child::start("observed", command, self.dir)?;
        program.line("ready")?;
        Ok(program)
    }

    fn target<'a>(&'a self, region: &'a Region, program: &Child) -> Target<'a> {
        let (agent, logs) = (&self.programs.agent, self.dir);
        Target { program: &self.program, pid: program.id(), agent, region, logs }
    }
}

fn usage_of(pid: u32) -> Result<(Duration, Memory)> {
    Ok((usage::cpu(pid)?, usage::memory(pid)?))
}
