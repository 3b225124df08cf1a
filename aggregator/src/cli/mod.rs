//! The command line, and what lies beneath it: the environment and a file.

mod administration;
mod args;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser as _, Subcommand as _};
use syncline_config::{Document, Given, Options, Problem};

use crate::settings;
pub use administration::{Administration, MigrateArgs, StatusArgs, StoreArgs, UsersArgs};
pub use args::{Args, Contradiction, Place};

/// How options are named in the environment and the file.
pub const OPTIONS: Options = Options {
    prefix: "SYNCLINE_AGGREGATOR_",
    aliases: &[("store_dir", "SYNCLINE_STORE"), ("clickhouse_url", "SYNCLINE_URL")],
    exclusive: &[&["store_dir", "clickhouse_url"]],
    not_in_file: &["config"],
    elsewhere: &[],
    secret: &["clickhouse_url", "kafka_config"],
    tables: settings::KEYS,
    below: settings::BELOW,
};

/// Keys of the file, wherever in it, that may have secrets in them.
pub const SECRETS: &[&str] = &["clickhouse_url", "kafka_config", "headers", "url"];

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Serve.
    Serve(Box<Args>),
    /// Check this file.
    Validate(PathBuf),
    /// Something about the store.
    Administer(Administration),
}

/// The command line cannot be done.
#[derive(Debug)]
pub enum Refusal {
    /// It is wrong, or asks for help.
    Usage(clap::Error),
    /// What lies beneath it is.
    Configuration(Problem),
}

/// Reads the command line and what lies beneath it.
///
/// # Errors
/// Something of it is wrong, or it asks for help.
pub fn parse(arguments: Vec<OsString>) -> Result<Task, Refusal> {
    let syntax = syntax();
    let is_validation = arguments.get(1).is_some_and(|first| first == "validate");
    if is_validation || Options::is_question(&syntax, &arguments) {
        let matches = syntax.try_get_matches_from(arguments).map_err(Refusal::Usage)?;
        let file = matches.subcommand().and_then(|(_, matches)| matches.get_one::<PathBuf>("file"));
        return Ok(Task::Validate(file.cloned().unwrap_or_default()));
    }
    if arguments.get(1).is_some_and(|first| administration::NAMES.iter().any(|name| first == name)) {
        let line = administration::CommandLine::try_parse_from(arguments).map_err(Refusal::Usage)?;
        return Ok(Task::Administer(line.command));
    }
    let environment = |name: &str| std::env::var_os(name);
    let file = OPTIONS.typed_or_set(&syntax, &arguments, &environment, "config").map(PathBuf::from);
    let file = file.map(|path| Document::open(&path, SECRETS)).transpose().map_err(Refusal::Configuration)?;
    let mut args = args(syntax, &arguments, file.as_ref())?;
    args.file = file;
    Ok(Task::Serve(Box::new(args)))
}

/// What is typed, set and in the file, together.
fn args(syntax: Command, arguments: &[OsString], file: Option<&Document>) -> Result<Args, Refusal> {
    let environment = |name: &str| std::env::var_os(name);
    OPTIONS.check_variables(&syntax, std::env::vars_os()).map_err(Refusal::Configuration)?;
    let layered = OPTIONS.layered(syntax, arguments, &environment, file).map_err(Refusal::Configuration)?;
    let alerts = OPTIONS.laid(file, &environment).and_then(|laid| settings::alerts(&laid, &environment));
    let alerts = alerts.map_err(Refusal::Configuration)?;
    let (syntax, arguments) = layered;
    let matches: ArgMatches = syntax.clone().try_get_matches_from(arguments).map_err(Refusal::Usage)?;
    let mut args = Args::from_arg_matches(&matches).map_err(Refusal::Usage)?;
    args.alerts = alerts;
    if let Some(file) = file {
        let typed = |why| clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n"));
        args.check().map_err(|Contradiction { key, why }| {
            match Given::of(&syntax, &matches).problem(file, key, &why) {
                Some(problem) => Refusal::Configuration(problem),
                None => Refusal::Usage(typed(why)),
            }
        })?;
    }
    Ok(args)
}

/// The options as they are typed.
#[must_use]
pub fn syntax() -> Command {
    let file = clap::Arg::new("file").value_name("FILE").help("The file").required(true);
    let file = file.value_parser(clap::value_parser!(PathBuf));
    let validate =
        Command::new("validate").about("Check a file of settings (exit code 78 where something is wrong)").arg(file);
    Administration::augment_subcommands(Args::command())
        .subcommand(validate)
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
}

/// Checks a whole file: that an aggregator that is started with it, in this environment, would take it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(path: &Path) -> Result<(), Problem> {
    read_again(path, &["syncline-aggregator".into()]).map(drop)
}

/// Reads a file as a start with these arguments would.
///
/// # Errors
/// Why that would fail.
pub fn read_again(path: &Path, arguments: &[OsString]) -> Result<Document, Problem> {
    let document = Document::open(path, SECRETS)?;
    OPTIONS.check(&syntax(), &document)?;
    match args(syntax(), arguments, Some(&document)) {
        Ok(_) => Ok(document),
        Err(Refusal::Configuration(problem)) => Err(problem),
        Err(Refusal::Usage(error)) => Err(document.missing(&error)),
    }
}
