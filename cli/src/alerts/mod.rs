//! `syncline alerts`: what is wrong with clocks, why it is said, and what would have been said of an earlier time.

mod about;
mod common;
mod evidence;
mod explain;
mod history;
mod list;
mod minutes;
mod pairs;
mod plot;
mod probes;
mod series;
mod silence;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::args::{Format, StoreArgs};
use crate::source::Source;

/// Show alerts on clock skew and drift.
///
/// An aggregator, the root's as a rule, evaluates them every 15 s. What is told is an incident: one cause, with all alerts that came of it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    command: Option<AlertsCommand>,
    /// Those that are over, too
    #[arg(long)]
    all: bool,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    Explain(ExplainArgs),
    Test(TestArgs),
    Silence(silence::SilenceArgs),
    Silences(silence::SilencesArgs),
    Unsilence(silence::UnsilenceArgs),
}

/// Show what an incident rests on: its alerts, the offsets with their bounds around it, probes, steps, claims.
#[derive(Args, Debug)]
struct ExplainArgs {
    /// Number of the incident, as `syncline alerts` lists it
    id: u64,
    /// Of this node, where the incident is about several: its name, or REGION/NAME where several regions have one of that name
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

/// Evaluate alerts on stored history and print what would have been told.
///
/// Silences that people declared are applied. What is so at --from already is told as what lasts: the time before it that drift is measured over, and in
/// which alerts end, is read too.
#[derive(Args, Debug)]
struct TestArgs {
    /// From when
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true)]
    from: String,
    /// Until when
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// By the limits, overrides and maintenance in this file of the aggregator's; what its variables say is not known here
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another limit for a rule, such as offset=5ms or drift=1ppm; `off` turns it off; may be given several times
    #[arg(long, value_name = "RULE=LIMIT", value_parser = history::limit)]
    limit: Vec<history::NewLimit>,
    /// As if nobody had declared silences (`syncline alerts silence`)
    #[arg(long)]
    no_silences: bool,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline alerts                              what is pending and firing now
  syncline alerts --all                        what is over, too
  syncline alerts explain 7                    what incident 7 rests on
  syncline alerts test --from -24h --to now    what the last day would have told
  syncline alerts test --config aggregator.toml
                                               and by the limits of the aggregator's file
  syncline alerts test --limit offset=5ms      and with another limit
  syncline alerts silence --node 'db-.*' --for 2h --comment 'new disks'
                                               work on machines: their alerts are listed, and not told

What each rule means, and its limit: docs/alerts.md.";

pub(crate) async fn run(store: &StoreArgs, args: &AlertsArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.command {
        Some(AlertsCommand::Silence(wanted)) => silence::declare(store, wanted).await?,
        Some(AlertsCommand::Silences(wanted)) => silence::list(store, wanted).await?,
        Some(AlertsCommand::Unsilence(wanted)) => silence::end(store, wanted).await?,
        _ => asked(store, args).await?,
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What only reads.
async fn asked(store: &StoreArgs, args: &AlertsArgs) -> anyhow::Result<String> {
    let source = Source::open(store).await?;
    let text = match &args.command {
        Some(AlertsCommand::Explain(wanted)) => explain::text(&source, wanted.id, wanted.node.as_deref()).await,
        Some(AlertsCommand::Test(wanted)) => history::text(&source, wanted).await,
        _ => list::text(&source, args.all, args.format).await,
    };
    source.close().await?;
    text
}
