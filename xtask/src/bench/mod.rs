//! `cargo xtask bench`: the figures in docs/accuracy.md, docs/overhead.md and docs/performance.md, and how to get them again.
//!
//! Progress goes to standard error; the tables of the pages, in Markdown, go to standard output.

mod alerts;
pub(crate) mod build;
pub(crate) mod child;
mod clock;
mod dots;
mod export;
pub(crate) mod machine;
mod observer;
mod overhead;
mod page;
mod pipeline;
mod probes;
pub(crate) mod region;
mod regions;
mod spool;
mod statistics;
mod svg;
mod symbols;
pub(crate) mod table;
mod throughput;
pub(crate) mod usage;
mod waits;

use std::fmt;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

pub(crate) use build::agent;
pub(crate) use statistics::{quantile, whole};

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Benchmark {
    /// How far clock estimates are off in simulation, ours beside those of others
    Clock(clock::Options),
    /// What is told of a scripted day of 300 simulated nodes, beside node-mixin's rules
    Alerts(alerts::Options),
    /// How fast waits go into files of other tools' formats, and how large those are
    Export(export::Options),
    /// How far the references of regions are known against each other in simulation
    Regions(regions::Options),
    /// What observing costs programs, beside Go's own observers, bpftrace and empty probes
    Overhead(overhead::Options),
    /// The way of events from gRPC into ClickHouse and what is asked of them there, beside an OpenTelemetry Collector
    Pipeline(pipeline::Options),
    /// What a clock probe costs at both of its ends
    Probes(probes::Options),
    /// What a spool makes durable in a second, and how long one of 1 GiB takes to open
    Spool(spool::Options),
    /// What opening a large Go binary and looking addresses up costs, beside blazesym and go tool addr2line
    Symbols(symbols::Options),
    /// How many events a second go from the agents' side into ClickHouse
    Throughput(throughput::Options),
    /// What is captured of a program that measures its waits itself
    Waits(waits::Options),
}

/// How Syncline is built for a measurement.
#[derive(Args, Clone, Copy)]
pub(crate) struct Built {
    /// Cargo profile; figures worth keeping are made with release
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Built {
    /// As the tests are built.
    pub(crate) fn dev() -> Self {
        Self { profile: Profile::Dev }
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.profile {
            Profile::Dev => "dev build",
            Profile::Release => "release build",
        })
    }
}

/// # Errors
/// When something cannot be built, started or measured.
pub(crate) fn run(benchmark: &Benchmark) -> Result<()> {
    match benchmark {
        Benchmark::Clock(options) => clock::run(options),
        Benchmark::Alerts(options) => alerts::run(options),
        Benchmark::Export(options) => export::run(options),
        Benchmark::Regions(options) => regions::run(options),
        Benchmark::Overhead(options) => overhead::run(options),
        Benchmark::Pipeline(options) => pipeline::run(options),
        Benchmark::Probes(options) => probes::run(options),
        Benchmark::Spool(options) => spool::run(options),
        Benchmark::Symbols(options) => symbols::run(options),
        Benchmark::Throughput(options) => throughput::run(options),
        Benchmark::Waits(options) => waits::run(options),
    }
}

/// A directory that is gone with the run, on a disk and not in memory where possible: a store lives in it.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    let target = crate::place::target();
    std::fs::create_dir_all(&target)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix("bench-").tempdir_in(&target).with_context(|| format!("cannot write to {}", target.display()))
}
