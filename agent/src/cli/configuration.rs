//! The options of a run, from the command line, the environment and the file.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command as Syntax, CommandFactory as _, FromArgMatches as _};
use syncline_config::{Document, Given, Options, Problem};

use super::{Cli, Command, ConfigError, RunArgs, with_default_command};
use crate::choice;

/// How options are named in the environment and the file.
pub const OPTIONS: Options = Options {
    prefix: "SYNCLINE_AGENT_",
    aliases: &[("node", "SYNCLINE_NODE"), ("region", "SYNCLINE_REGION"), ("aggregator", "SYNCLINE_AGGREGATOR")],
    exclusive: &[&["pid", "exe", "all"], &["keep_trying", "require_aggregator"]],
    not_in_file: &["config", "kernel_stacks", "inject_clock"],
    elsewhere: &["observe", "threshold", "open_after", "budget", "without", "with"],
    secret: SECRETS,
    tables: &["rule"],
    below: &[],
};

/// Keys of the file that may have secrets in them.
const SECRETS: &[&str] = &["kafka_config"];

/// The command line cannot be done.
#[derive(Debug)]
pub enum Refusal {
    /// It is wrong, or asks for help.
    Usage(clap::Error),
    /// What lies beneath it is.
    Configuration(Problem),
}

/// Options of `validate`.
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What was typed of the options that the file has, too, and may be given another value by while the agent runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Typed {
    pub(super) observe: bool,
    pub(super) threshold: bool,
    pub(super) open_after: bool,
    pub(super) budget: bool,
    pub(super) without: bool,
    pub(super) with: bool,
}

impl Typed {
    fn of(matches: &ArgMatches) -> Self {
        let is_typed =
            |id| matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        Self {
            observe: is_typed("observe"),
            threshold: is_typed("threshold"),
            open_after: is_typed("open_after"),
            budget: is_typed("budget"),
            without: is_typed("without"),
            with: is_typed("with"),
        }
    }
}

/// Reads the command line, and for a run what lies beneath it.
///
/// # Errors
/// Something of it is wrong, or it asks for help.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let mut arguments = with_default_command(arguments);
    let (mut syntax, mut run) = (Cli::command(), run_syntax());
    let is_run = arguments.get(1).is_some_and(|command| command == "run");
    if is_run && !Options::is_question(&syntax, &arguments) {
        let of_run;
        (run, of_run) = layered(arguments.get(1..).unwrap_or_default()).map_err(Refusal::Configuration)?;
        arguments.truncate(1);
        arguments.extend(of_run);
        syntax = syntax.mut_subcommand("run", |_| run.clone());
    }
    let matches = syntax.try_get_matches_from(arguments).map_err(Refusal::Usage)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(Refusal::Usage)?;
    if let (Command::Run(args), Some(matches)) = (&mut cli.command, matches.subcommand_matches("run")) {
        args.typed = Typed::of(matches);
        args.given = Given::of(&run, matches);
    }
    Ok(cli)
}

/// The options of a run, as they are typed.
#[must_use]
pub fn run_syntax() -> Syntax {
    Cli::command().find_subcommand("run").cloned().unwrap_or_default()
}

/// Checks a whole file: that a run that is started with it, in this environment, would take it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(path: &Path) -> Result<(), Problem> {
    let document = open(path)?;
    choice::layer(&document)?;
    let arguments: [OsString; 3] = ["run".into(), "--config".into(), path.into()];
    let (syntax, arguments) = layered(&arguments)?;
    let matches = syntax.clone().try_get_matches_from(arguments).map_err(|error| document.missing(&error))?;
    let mut run = RunArgs::from_arg_matches(&matches).map_err(|error| document.missing(&error))?;
    run.typed = Typed::of(&matches);
    run.given = Given::of(&syntax, &matches);
    run.config().map(drop).map_err(|error| match error {
        ConfigError::File(problem) => problem,
        error => Problem::of(path.to_string_lossy(), error.to_string()),
    })
}

/// The same as a problem of the variable or the file, where that is where to mend it.
pub(super) fn of_file(error: ConfigError, path: &Path, given: &Given) -> ConfigError {
    match (error, Document::open(path, SECRETS)) {
        (ConfigError::File(problem), _) => ConfigError::File(problem),
        (error, Ok(document)) => match given.problem(&document, error.key(), &error.to_string()) {
            Some(problem) => ConfigError::File(problem),
            None => error,
        },
        (error, Err(_)) => error,
    }
}

/// Opens a file and checks what in it is not about processes.
pub(super) fn open(path: &Path) -> Result<Document, Problem> {
    let document = Document::open(path, SECRETS)?;
    OPTIONS.check(&run_syntax(), &document)?;
    Ok(document)
}

/// The options of a run over what lies beneath them, and what of the arguments is to be parsed.
fn layered(arguments: &[OsString]) -> Result<(Syntax, Vec<OsString>), Problem> {
    let syntax = run_syntax();
    let environment = |name: &str| std::env::var_os(name);
    OPTIONS.check_variables(&syntax, std::env::vars_os())?;
    let file = OPTIONS.typed_or_set(&syntax, arguments, &environment, "config");
    let file = file.as_deref().map(OsStr::new).map(Path::new).map(open).transpose()?;
    OPTIONS.layered(syntax, arguments, &environment, file.as_ref())
}
