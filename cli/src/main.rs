//! `syncline`: what a person types against a running fleet.
//!
//! [`args`] is the command line; each command has its own module; [`source`] is the one door to the store. Pictures and judgements are pure functions, what they are made of is read at the edge.

mod alerts;
mod answer;
mod args;
mod bias;
mod blockers;
mod clock;
mod colour;
mod doctor;
mod ending;
mod errno;
mod export;
mod failure;
mod goroutine;
mod ledger;
mod message_pairs;
mod observed;
mod output;
mod place;
mod region_pairs;
mod sends;
mod skew;
mod source;
mod sql;
mod states;
mod stuck;
mod symbols;
mod table;
mod target;
mod terminal;
mod time;
mod timeline;
mod units;
mod waits;
mod whose;
mod window;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    // An embedded store's engine is this very program, started again.
    syncline_store::run_engine_if_child();
    failure::finish(run(&Cli::parse()))
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("starting the async runtime")?;
    match &cli.command {
        Command::Sql(args) => runtime.block_on(sql::run(&cli.store, args)),
        Command::Blockers(args) => runtime.block_on(blockers::run(&cli.store, args)),
        Command::Stuck(args) => runtime.block_on(stuck::run(&cli.store, args)),
        Command::States(args) => runtime.block_on(states::run(&cli.store, args)),
        Command::Loss(args) => runtime.block_on(ledger::loss(&cli.store, args)),
        Command::Audit(args) => runtime.block_on(ledger::audit(&cli.store, args)),
        Command::Symbols(args) => runtime.block_on(symbols::run(&cli.store, args)),
        Command::Sends(args) => runtime.block_on(sends::run(&cli.store, args)),
        Command::Observed(args) => runtime.block_on(observed::run(&cli.store, args)),
        Command::Goroutine(args) => runtime.block_on(goroutine::run(&cli.store, args)),
        Command::Timeline(args) => runtime.block_on(timeline::run(&cli.store, args)),
        Command::Export(args) => runtime.block_on(export::run(&cli.store, args)),
        Command::Skew(args) => runtime.block_on(skew::run(&cli.store, args)),
        Command::Alerts(args) => runtime.block_on(alerts::run(&cli.store, args)),
        Command::Doctor(args) => doctor::run(&cli.store, args),
        Command::Bias(args) => {
            // It waits for processes, not for futures; but signals are heard meanwhile.
            let _runtime = runtime.enter();
            bias::run(args)
        }
        Command::Clock(args) => runtime.block_on(clock::run(&cli.store, args)),
    }
}

/// Warnings only, unless `RUST_LOG` asks for more; never on standard output, which carries answers.
fn log_to_stderr() {
    let filter =
        tracing_subscriber::EnvFilter::builder().with_default_directive(tracing::Level::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
