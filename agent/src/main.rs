//! The agent of a node: captures goroutine blocking with eBPF, probes the clock, ships batches.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use syncline_agent::cli::{self, Command, ConfigError, InspectArgs, Refusal, ShowArgs};
use syncline_agent::control::{Ask, State};
use syncline_agent::inspect::{self, Inspection};
use syncline_agent::{control, replay, run, watch};
use syncline_config::{EX_CONFIG, Problem};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Refusal::Usage(error)) => error.exit(),
        Err(Refusal::Configuration(problem)) => return misconfigured(&problem),
    };
    log_to_stderr(&cli.command);
    match act(cli.command) {
        Ok(summary) => {
            summary.iter().for_each(|summary| tell(summary));
            ExitCode::SUCCESS
        }
        Err(error) => {
            if let Some(ConfigError::File(problem)) = error.downcast_ref() {
                return misconfigured(problem);
            }
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn misconfigured(problem: &Problem) -> ExitCode {
    tell(&format!("error: {}", problem.shown()));
    ExitCode::from(EX_CONFIG)
}

/// Nobody may be reading any more, which is no reason to panic.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "syncline-agent: {line}");
}

/// Does what was asked for; gives the closing line, if there is one.
fn act(command: Command) -> Result<Option<String>> {
    // The main thread only ships and waits for signals; capture and probes have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system refused an event loop")?;
    match command {
        Command::Run(args) => Ok(Some(runtime.block_on(run::run(args.config()?))?.to_string())),
        Command::Replay(args) => {
            let fate = runtime.block_on(replay::replay(args.config()))?;
            Ok(Some(format!("replayed batches={} waits={}", fate.stored_batches, fate.stored_waits)))
        }
        Command::Watch(args) => {
            runtime.block_on(watch::watch(args.config()))?;
            Ok(None)
        }
        Command::Set(args) => {
            let (socket, ask) = args.ask();
            Ok(Some(control::told_of_change(&control::ask(&socket, &ask)?)))
        }
        Command::Show(ShowArgs { control: socket, json }) => show(&control::ask(&socket, &Ask::Show)?.state, json),
        Command::Validate(args) => {
            cli::validate(&args.file).map_err(ConfigError::File)?;
            Ok(Some(format!("{}: a run would take it", args.file.display())))
        }
        Command::Inspect(InspectArgs { subject, json }) => tell_of_inspection(&inspect::inspect(&subject)?, json),
    }
}

fn tell_of_inspection(found: &Inspection, json: bool) -> Result<Option<String>> {
    let text = if json { serde_json::to_string_pretty(found)? + "\n" } else { inspect::text(found) };
    // Nobody may be reading any more.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if found.kinds.iter().any(|of| of.captured) {
        return Ok(None);
    }
    bail!("nothing of it would be captured")
}

fn show(state: &State, json: bool) -> Result<Option<String>> {
    let text = if json { serde_json::to_string_pretty(state)? + "\n" } else { control::told_of_state(state) };
    // Nobody may be reading any more.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(None)
}

/// A watch shows what there is to say; lines of a log would go through its table.
fn log_to_stderr(command: &Command) {
    let usual = if matches!(command, Command::Watch(_)) { "error" } else { "info" };
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
}
