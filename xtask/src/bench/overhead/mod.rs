//! `cargo xtask bench overhead`: the same programs, observed in turn by nobody, by Go itself, by empty probes, by the agent and by bpftrace.
//!
//! The ways take turns within every round, and what a way costs is its figure beside that of the unobserved program in the same
//! round: so a machine that gets slower for a while slows all of them. Each measurement is a fresh process of the program
//! and of its observer. The aggregator and its ClickHouse, which run on another machine in a fleet, are stopped (SIGSTOP)
//! while the workload runs, and get the events afterwards.

mod figures;
mod plot;
mod report;
mod stage;
mod targets;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::observer::{Observer, Target, Way};
use super::page::Page;
use super::region::Region;
use super::statistics::whole;
use super::{Built, build, machine, scratch, usage};
use crate::fetch;
use figures::{Figures, Observed, Run};
use stage::{Cast, Stage};
use workload::{ALL, Workload, named};

const PAGE: Page = Page { name: "overhead.md", mark: "overhead" };

/// What `cargo xtask bench overhead` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Two short rounds, to see that it works: no figures worth keeping
    #[arg(long, conflicts_with_all = ["rounds", "write"])]
    quick: bool,
    /// Only these workloads, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = named, conflicts_with = "write")]
    only: Vec<&'static Workload>,
    /// Leave bpftrace out
    #[arg(long)]
    without_bpftrace: bool,
    /// Write the tables into docs/overhead.md, and the pictures beside it
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    built: Built,
}

impl Options {
    fn rounds(&self) -> u32 {
        if self.quick { 2 } else { self.rounds }
    }

    fn run_length(&self) -> Duration {
        Duration::from_millis(if self.quick { 500 } else { 2_000 })
    }
}

/// # Errors
/// When something cannot be built, started or measured. What could be measured is printed, and written, nevertheless.
pub(crate) fn run(options: &Options) -> Result<()> {
    let dir = scratch()?;
    let bench = Bench::prepare(options, dir.path())?;
    let region = Region::start(&bench.aggregator, dir.path())?;
    let mut measured = Measured::default();
    for round in 0..options.rounds() {
        let paused = region.pause()?;
        measured.others.push(machine::busy_share());
        drop(paused);
        bench.round(&region, round, &mut measured);
    }
    region.end()?;
    let figures = Figures { runs: &measured.runs };
    let text = format!(
        "{}{}{}{}; {}; {}; {}; {} rounds of {} s. {}\n",
        report::caution(&measured.others),
        report::text(&bench.workloads, &bench.ways, &figures),
        report::left_out(&bench.left_out, &measured.failures),
        machine::description(),
        fetch::NEWEST_GO,
        bench.tools.join("; "),
        options.built,
        options.rounds(),
        bench.run_length.as_secs_f64(),
        machine::disturbance(measured.others),
    );
    print!("{text}");
    if options.write {
        PAGE.write(&text)?;
        plot::write(&bench.ways, &figures)?;
    }
    let failed = measured.failures.len();
    ensure!(failed == 0, "{failed} measurements failed, beside {} that did not", measured.runs.len());
    Ok(())
}

struct Bench<'a> {
    agent: PathBuf,
    aggregator: PathBuf,
    empty_uprobes: PathBuf,
    cast: Cast,
    workloads: Vec<&'static Workload>,
    ways: Vec<Way>,
    run_length: Duration,
    /// Of others, with their versions.
    tools: Vec<String>,
    /// What cannot be measured here, and why.
    left_out: Vec<String>,
    dir: &'a Path,
}

#[derive(Default)]
struct Measured {
    runs: Vec<Run>,
    failures: Vec<String>,
    others: Vec<f64>,
}

impl<'a> Bench<'a> {
    fn prepare(options: &Options, dir: &'a Path) -> Result<Self> {
        fetch::run(fetch::Part::Go)?;
        let programs = build::syncline(options.built)?;
        let observed = build::go_program("xtask/bench", fetch::NEWEST_GO, dir)?;
        let unobserved = dir.join("unobserved");
        std::fs::copy(&observed, &unobserved)?;
        let mut bench = Self {
            agent: programs.agent,
            aggregator: programs.aggregator,
            empty_uprobes: build::empty_uprobes(options.built)?,
            cast: Cast { observed, unobserved, caddy: None },
            workloads: if options.only.is_empty() { ALL.iter().collect() } else { options.only.clone() },
            ways: Way::ALL.to_vec(),
            run_length: options.run_length(),
            tools: Vec::new(),
            left_out: Vec::new(),
            dir,
        };
        if let Err(why) = bench.add_caddy() {
            bench.workloads.retain(|workload| !workload.needs_caddy());
            bench.left_out.push(format!("caddy under wrk: {why:#}"));
        }
        if options.without_bpftrace {
            bench.ways.retain(|way| *way != Way::Bpftrace);
        } else if let Err(why) = bench.add_bpftrace() {
            bench.ways.retain(|way| *way != Way::Bpftrace);
            bench.left_out.push(format!("bpftrace: {why:#}"));
        }
        ensure!(!bench.workloads.is_empty(), "nothing can be measured: {}", bench.left_out.join("; "));
        Ok(bench)
    }

    /// caddy and who asks it, where they are needed.
    fn add_caddy(&mut self) -> Result<()> {
        if self.workloads.iter().any(|workload| workload.needs_caddy()) {
            self.tools.push(fetch::overhead::wrk()?);
            self.cast.caddy = Some(build::caddy(self.dir, true)?);
            self.tools.push("caddy v2.10.2".to_owned());
        }
        Ok(())
    }

    fn add_bpftrace(&mut self) -> Result<()> {
        self.tools.push(fetch::overhead::bpftrace()?);
        Ok(())
    }

    fn round(&self, region: &Region, round: u32, measured: &mut Measured) {
        for workload in &self.workloads {
            for place in 0..self.ways.len() {
                // Each way comes at each place in turn.
                let way = self.ways[(place + round as usize) % self.ways.len()];
                let head = format!("round {:>2}  {:<11}", round + 1, workload.name);
                match self.measure(region, way, workload, round) {
                    Ok(run) => {
                        let rate = whole(figures::ops_per_s(&run));
                        eprintln!("{head}  {rate:>9} op/s  p99 {:>9} us  {}", whole(figures::p99_us(&run)), way.name());
                        measured.runs.push(run);
                    }
                    Err(error) => {
                        eprintln!("{head}  failed: {}: {error:#}", way.name());
                        measured.failures.push(format!("{}, {}: {error:#}", workload.name, way.name()));
                    }
                }
            }
        }
    }

    fn measure(&self, region: &Region, way: Way, workload: &'static Workload, round: u32) -> Result<Run> {
        let mut stage = Stage::start(workload, &self.cast, way, self.dir)?;
        let observer = way.attach(&self.target(region, workload, stage.pid())?)?;
        let paused = region.pause()?;
        let settled = stage.run(way.settling())?;
        let pid = stage.pid();
        let used = || Ok::<_, anyhow::Error>((usage::cpu(pid)?, observer.as_ref().map(used_by).transpose()?));
        let (cpu_before, observer_before) = used()?;
        let outcome = stage.run(self.run_length)?;
        let (cpu_after, observer_after) = used()?;
        drop(paused);
        let seen = observer.map(Observer::end).transpose()?;
        stage.end()?;
        way.clean_up(self.dir)?;
        let observed = observer_before.zip(observer_after).zip(seen).map(|((before, after), seen)| Observed {
            cpu_ns: ns(after.0 - before.0),
            peak_bytes: after.1,
            seen,
        });
        let (all_ops, cpu_ns) = (settled.ops + outcome.ops, ns(cpu_after - cpu_before));
        Ok(Run { round, way, workload, outcome, all_ops, cpu_ns, observed })
    }

    fn target<'t>(&'t self, region: &'t Region, workload: &Workload, pid: u32) -> Result<Target<'t>> {
        let program = self.cast.observed(workload)?;
        Ok(Target { program, pid, agent: &self.agent, empty_uprobes: &self.empty_uprobes, region, logs: self.dir })
    }
}

/// CPU time, and the most memory, bytes, so far.
fn used_by(observer: &Observer) -> Result<(Duration, u64)> {
    Ok((usage::cpu(observer.pid())?, usage::peak_memory(observer.pid())?))
}

fn ns(span: Duration) -> f64 {
    span.as_secs_f64() * 1e9
}
