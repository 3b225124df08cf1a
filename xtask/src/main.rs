//! Everything a developer types: fetch, test, ci, demo, bench, verify, truth, soak, chaos, fuzz.
//!
//! This program must build on a machine that has Rust alone, since it installs the rest.

mod bench;
mod chaos;
mod ci;
mod demo;
mod engine;
mod fetch;
mod fuzz;
mod place;
mod process;
mod soak;
mod spooled;
mod steps;
mod test;
mod truth;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of Syncline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install or fetch what the build, the tests and the demo need and this machine lacks
    Fetch {
        /// What to make sure of
        #[arg(value_enum, default_value_t = fetch::Part::All)]
        part: fetch::Part,
    },
    /// Run every test: unit, property, integration, the real eBPF path, the embedded engine, the demo's check
    Test(test::Options),
    /// Run what a change must pass: format, lints, dependencies, all tests with nothing skipped, and the short form of chaos
    Ci(ci::Options),
    /// Run three regions with skewed clocks on this machine, find the skews and the planted cause
    Demo(demo::Options),
    /// Measure what observing costs, how much the way into ClickHouse carries, what the spool does, and how far clock estimates are off
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// Hold what is claimed of large inputs against what others say of them
    #[command(subcommand)]
    Verify(verify::Claim),
    /// Hold what is captured of Go programs against what Go's own execution tracer says of the same run
    Truth(truth::Options),
    /// Let agents come and go at Go programs under load, killed at any moment: nothing may go wrong, and no probe stay behind
    Soak(soak::Options),
    /// Kill, stop and cut off everything under load: each event must be stored once in the end
    Chaos(chaos::Options),
    /// Try made-up inputs, millions of them, and keep those that find something new
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Fetch { part } => fetch::run(part),
        Command::Test(options) => test::run(&options),
        Command::Ci(options) => ci::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(benchmark) => bench::run(&benchmark),
        Command::Verify(claim) => verify::run(&claim),
        Command::Truth(options) => truth::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
    }
}
