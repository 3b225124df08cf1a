//! The command line, and what lies beneath it: the environment and a file.

mod args;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use syncline_config::{Document, MOST_BYTES, Options, Problem};

use crate::settings;
pub use args::{Args, Place};

/// How options are named in the environment and the file.
pub const OPTIONS: Options = Options {
    prefix: "SYNCLINE_AGGREGATOR_",
    aliases: &[("store_dir", "SYNCLINE_STORE"), ("clickhouse_url", "SYNCLINE_URL")],
    exclusive: &[&["store_dir", "clickhouse_url"]],
    not_in_file: &["config"],
    elsewhere: &[],
    secret: &["clickhouse_url"],
    tables: settings::KEYS,
};

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Serve.
    Serve(Box<Args>),
    /// Check this file.
    Validate(PathBuf),
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
    let environment = |name: &str| std::env::var_os(name);
    let file = OPTIONS.typed_or_set(&syntax, &arguments, &environment, "config").map(PathBuf::from);
    let file = file.map(|path| read(&path)).transpose().map_err(Refusal::Configuration)?;
    let layered = OPTIONS.layered(syntax, &arguments, &environment, file.as_ref()).map_err(Refusal::Configuration)?;
    let alerts = file.as_ref().map(settings::alerts).transpose().map_err(Refusal::Configuration)?;
    let matches: ArgMatches = layered.try_get_matches_from(arguments).map_err(Refusal::Usage)?;
    let mut args = Args::from_arg_matches(&matches).map_err(Refusal::Usage)?;
    args.alerts = alerts.unwrap_or_default();
    Ok(Task::Serve(Box::new(args)))
}

/// The options as they are typed.
#[must_use]
pub fn syntax() -> Command {
    let file = clap::Arg::new("file").value_name("FILE").help("The file").required(true);
    let file = file.value_parser(clap::value_parser!(PathBuf));
    let validate =
        Command::new("validate").about("Check a file of settings (exit code 78 where something is wrong)").arg(file);
    Args::command().subcommand(validate).subcommand_negates_reqs(true).args_conflicts_with_subcommands(true)
}

/// Checks a whole file: that an aggregator would take it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(path: &Path) -> Result<(), Problem> {
    let document = read(path)?;
    OPTIONS.check(&syntax(), &document)?;
    settings::alerts(&document).map(drop)
}

fn read(path: &Path) -> Result<Document, Problem> {
    let unreadable =
        |why: &dyn std::fmt::Display| Problem::of(path.to_string_lossy(), format!("cannot be read: {why}"));
    let file = std::fs::metadata(path).and_then(|metadata| {
        // Opening a FIFO would wait for who writes it.
        if metadata.is_file() {
            std::fs::File::open(path)
        } else {
            Err(std::io::Error::other("it is not a regular file"))
        }
    });
    let mut text = String::new();
    let read = file.and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| unreadable(&error))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(unreadable(&"it is larger than 1 MiB"));
    }
    Document::parse(path.to_string_lossy(), text)
}
