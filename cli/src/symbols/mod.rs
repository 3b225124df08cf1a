//! `syncline symbols`: which builds have addresses without names, and executables to name them from.

mod list;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::args::{Format, StoreArgs};

/// Show which builds have addresses without names, and hand in executables to name them from.
///
/// Agents name the addresses of stacks from the executables they observe. Where one could not read the file, its stacks have bare
/// addresses, which are named from the same build's executable, stripped or not, once somebody hands it in.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SymbolsArgs {
    #[command(subcommand)]
    command: SymbolsCommand,
}

#[derive(Debug, Subcommand)]
enum SymbolsCommand {
    /// The builds in the store: who runs them, their stacks, and how many of their addresses have no name
    List(ListArgs),
    /// Name addresses from an executable, those in the store now and those that come within 90 days
    ///
    /// The executable goes into the store; aggregators name from it what comes later, within half a minute. Uploading it again changes
    /// nothing but that what has no name yet is named.
    Upload(UploadArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Only builds that have addresses without names
    #[arg(long)]
    unnamed: bool,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Args, Debug)]
struct UploadArgs {
    /// The Go executable
    binary: PathBuf,
    /// Take it although nothing in the store is of its build yet: as of a release that is to be rolled out
    #[arg(long)]
    ahead: bool,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline symbols list --unnamed
  syncline symbols upload /srv/build/checkout
  syncline --url http://user@ch.example:8123 symbols upload --ahead ./checkout    of a release that nothing runs yet
  syncline symbols list --format json | jq '.builds[] | select(.unnamed > 0) | .build'";

pub(crate) async fn run(store: &StoreArgs, args: &SymbolsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        SymbolsCommand::List(args) => list::run(store, args).await,
        SymbolsCommand::Upload(args) => upload::run(store, args).await,
    }
}
