//! The agent of a node: captures goroutine blocking with eBPF, probes the clock, ships batches.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use syncline_agent::cli::{Cli, Command, with_default_command};
use syncline_agent::{replay, run};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse_from(with_default_command(std::env::args_os()));
    log_to_stderr();
    match act(cli.command) {
        Ok(summary) => {
            tell(&summary);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Nobody may be reading any more, which is no reason to panic.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "syncline-agent: {line}");
}

/// Does what was asked for; gives the closing line.
fn act(command: Command) -> Result<String> {
    // The main thread only ships and waits for signals; capture and probes have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system refused an event loop")?;
    match command {
        Command::Run(args) => Ok(runtime.block_on(run::run(args.config()?))?.to_string()),
        Command::Replay(args) => {
            let fate = runtime.block_on(replay::replay(args.config()))?;
            Ok(format!("replayed batches={} waits={}", fate.stored_batches, fate.stored_waits))
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
}
