//! Options of the command line, from a file and the environment.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::DeValue;

use crate::below::Below;
use crate::document::Document;
use crate::problem::Problem;
use crate::secret;

/// How the options of a program are named beside its command line.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of the variables: `SYNCLINE_AGENT_`.
    pub prefix: &'static str,
    /// Keys that have another variable beside, which goes behind.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Keys of which one at most can hold. Given in a place that goes before, one takes the place of the others.
    pub exclusive: &'static [&'static [&'static str]],
    /// Options of the command line and the environment only.
    pub not_in_file: &'static [&'static str],
    /// Options that the program reads from the file itself: they are checked, and not laid beneath the command line.
    pub elsewhere: &'static [&'static str],
    /// Secrets may be in them: their values are not shown.
    pub secret: &'static [&'static str],
    /// Keys of the file that are no options.
    pub tables: &'static [&'static str],
    /// Keys below them that have variables, too.
    pub below: &'static [Below],
}

type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

impl Options {
    /// `command` with what the file and the environment say beneath what is typed, and what of `arguments` it is to parse: what comes of that is the
    /// configuration. Flags that were turned off (`--flag=false`, or by their variables) are off, whatever lies beneath, and exclude nothing.
    ///
    /// # Errors
    /// A key of the file that is not known, or a value, there or in the environment, that its option refuses.
    pub fn layered(
        &self,
        command: Command,
        arguments: &[OsString],
        environment: &Environment<'_>,
        file: Option<&Document>,
    ) -> Result<(Command, Vec<OsString>), Problem> {
        let (arguments, mut off) = without_false(&command, arguments);
        let mut given = typed(&command, &arguments);
        let mut variables = self.variables(&command, environment, &given);
        for (key, name, value) in &variables {
            let arg = argument(&command, key);
            if let Some(why) = arg.and_then(|arg| refusal(arg, &values_of_text(arg, value)).err()) {
                let is_secret = self.secret.contains(&key.as_str());
                return Err(Problem::of(name, if is_secret { secret::unquoted(&why) } else { why }));
            }
        }
        variables.retain(|(key, ..)| !off.contains(key));
        off.extend(
            variables.iter().filter(|(key, _, value)| is_off(&command, key, value)).map(|(key, ..)| key.clone()),
        );
        variables.retain(|(key, ..)| !off.contains(key));
        given.extend(variables.iter().map(|(key, ..)| key.clone()));
        let from_file = file.map(|file| self.of_file(&command, file)).transpose()?.unwrap_or_default();
        let command = command.mut_args(|arg| self.with_variable(arg, &variables));
        let is_wanted =
            |key: &str| !off.contains(key) && !self.is_replaced(key, &given) && !self.elsewhere.contains(&key);
        let command = from_file
            .into_iter()
            .filter(|(key, _)| is_wanted(key))
            .fold(command, |command, (key, values)| command.mut_arg(key, |arg| with_defaults(arg, values)));
        Ok((command, arguments))
    }

    /// What was typed for an option, or else what its variable says: to find the file itself.
    #[must_use]
    pub fn typed_or_set(
        &self,
        command: &Command,
        arguments: &[OsString],
        environment: &Environment<'_>,
        key: &str,
    ) -> Option<OsString> {
        let (arguments, _) = without_false(command, arguments);
        let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments).ok();
        let typed = matches.and_then(|matches| Some(matches.get_raw(key)?.next()?.to_owned()));
        typed.or_else(|| environment(&self.variable(key))).filter(|value| !value.is_empty())
    }

    /// Whether help or the version is asked for, which is answered whatever the file and the environment say.
    #[must_use]
    pub fn is_question(command: &Command, arguments: &[OsString]) -> bool {
        let kind = command.clone().try_get_matches_from(arguments).err().map(|error| error.kind());
        matches!(kind, Some(ErrorKind::DisplayHelp | ErrorKind::DisplayVersion))
    }

    /// Checks a file as [`Options::layered`] does, by itself.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, command: &Command, file: &Document) -> Result<(), Problem> {
        self.of_file(command, file).map(drop)
    }

    /// The options that a file may have.
    pub(crate) fn keys<'c>(&self, command: &'c Command) -> impl Iterator<Item = &'c Arg> {
        let (not_in_file, own) = (self.not_in_file, ["help", "version"]);
        command.get_arguments().filter(move |arg| {
            let id = arg.get_id().as_str();
            arg.get_long().is_some() && !own.contains(&id) && !not_in_file.contains(&id)
        })
    }

    /// The variable of a key.
    pub(crate) fn variable(&self, key: &str) -> String {
        format!("{}{}", self.prefix, key.to_uppercase())
    }

    /// Keys, variables and values that are set, but for those whose place is taken by what was typed.
    fn variables(
        &self,
        command: &Command,
        environment: &Environment<'_>,
        given: &BTreeSet<String>,
    ) -> Vec<(String, String, OsString)> {
        let ids = command.get_arguments().filter(|arg| arg.get_long().is_some()).map(|arg| arg.get_id().as_str());
        let set = |name: String| Some((environment(&name).filter(|value| !value.is_empty())?, name));
        let of_key = |key: &str| {
            let alias = self.aliases.iter().find(|(known, _)| *known == key).map(|(_, name)| (*name).to_owned());
            let (value, name) = set(self.variable(key)).or_else(|| set(alias?))?;
            Some((key.to_owned(), name, value))
        };
        ids.filter_map(of_key).filter(|(key, ..)| !self.is_replaced(key, given)).collect()
    }

    /// Whether another one of its kind was given in a place that goes before.
    fn is_replaced(&self, key: &str, given: &BTreeSet<String>) -> bool {
        let others = self.exclusive.iter().filter(|keys| keys.contains(&key)).flat_map(|keys| keys.iter());
        others.into_iter().any(|other| *other != key && given.contains(*other))
    }

    fn with_variable(&self, arg: Arg, variables: &[(String, String, OsString)]) -> Arg {
        match variables.iter().find(|(key, ..)| key == arg.get_id().as_str()) {
            Some((_, name, _)) => {
                let is_secret = self.secret.contains(&arg.get_id().as_str());
                arg.env(OsStr::from(name.clone())).hide_env_values(is_secret)
            }
            None => arg,
        }
    }

    /// What the file says of options, in the order of the command line.
    fn of_file(&self, command: &Command, file: &Document) -> Result<Vec<(String, Vec<String>)>, Problem> {
        let known = self.keys(command).map(|arg| arg.get_id().as_str()).chain(self.tables.iter().copied());
        file.check_keys(&known.collect::<Vec<_>>())?;
        for keys in self.exclusive {
            let on =
                |key: &str| file.entry(key).filter(|(_, value)| !matches!(value.get_ref(), DeValue::Boolean(false)));
            let mut both = keys.iter().filter_map(|key| Some((*key, on(key)?.0)));
            if let (Some((one, _)), Some((_, span))) = (both.next(), both.next()) {
                return Err(file.problem(span, format!("`{one}` is given, too: leave one of them")));
            }
        }
        let mut found = Vec::new();
        for arg in self.keys(command) {
            let Some((_, value)) = file.entry(arg.get_id().as_str()) else { continue };
            let values = values(arg, &value, file)?;
            refusal(arg, &values).map_err(|why| file.quoted_problem(value.span(), &why))?;
            found.push((arg.get_id().to_string(), values));
        }
        Ok(found)
    }
}

/// The ids of what was typed. What is wrong with it is told when it is parsed in earnest.
fn typed(command: &Command, arguments: &[OsString]) -> BTreeSet<String> {
    let lenient = command.clone().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(arguments) else { return BTreeSet::new() };
    let is_typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    matches.ids().filter(is_typed).map(|id| id.as_str().to_owned()).collect()
}

/// The arguments without flags that were turned off, and their keys: to clap a flag is there or not. `--flag=true` is `--flag`. What is typed later
/// counts.
fn without_false(command: &Command, arguments: &[OsString]) -> (Vec<OsString>, BTreeSet<String>) {
    let flag = |text: &str| {
        let long = text.strip_prefix("--")?;
        let (long, value) = long.split_once('=').map_or((long, "true"), |(long, value)| (long, value));
        let arg = command.get_arguments().find(|arg| is_flag(arg) && arg.get_long() == Some(long))?;
        Some((arg.get_id().to_string(), long.to_owned(), value.parse::<bool>().ok()?))
    };
    let (mut kept, mut off) = (Vec::new(), BTreeSet::new());
    let mut rest = arguments.iter();
    for argument in rest.by_ref() {
        match argument.to_str().and_then(flag) {
            Some((key, long, is_on)) => {
                let plain = OsString::from(format!("--{long}"));
                kept.retain(|kept| *kept != plain);
                if is_on {
                    off.remove(&key);
                    kept.push(plain);
                } else {
                    off.insert(key);
                }
            }
            None => kept.push(argument.clone()),
        }
        if argument == "--" {
            break;
        }
    }
    kept.extend(rest.cloned());
    (kept, off)
}

fn is_off(command: &Command, key: &str, value: &OsString) -> bool {
    argument(command, key).is_some_and(is_flag) && value == "false"
}

fn argument<'c>(command: &'c Command, key: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| arg.get_id() == key)
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// A value of the environment; one for many is separated as on the command line.
fn values_of_text(arg: &Arg, text: &OsString) -> Vec<String> {
    let text = text.to_string_lossy();
    match arg.get_value_delimiter() {
        Some(delimiter) => text.split(delimiter).map(str::to_owned).collect(),
        None => vec![text.into_owned()],
    }
}

/// The values as they would be typed.
fn values(arg: &Arg, value: &Spanned<DeValue<'_>>, file: &Document) -> Result<Vec<String>, Problem> {
    let wrong = |span, wanted: &str| Err(file.problem(span, format!("{wanted} is wanted here")));
    let is_many = matches!(arg.get_action(), ArgAction::Append);
    match value.get_ref() {
        DeValue::Boolean(yes) if is_flag(arg) => Ok(vec![yes.to_string()]),
        _ if is_flag(arg) => wrong(value.span(), "true or false"),
        DeValue::Boolean(yes) if takes_booleans(arg) => Ok(vec![yes.to_string()]),
        DeValue::String(_) if takes_booleans(arg) => wrong(value.span(), "true or false"),
        DeValue::String(text) => Ok(vec![text.to_string()]),
        DeValue::Integer(_) | DeValue::Float(_) => Ok(vec![file.written(value.span()).replace('_', "")]),
        DeValue::Array(items) if is_many => {
            let item = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err(file.problem(item.span(), "a text is wanted here")),
            };
            items.iter().map(item).collect()
        }
        _ if is_many => wrong(value.span(), "a text, or a list of texts,"),
        _ => wrong(value.span(), "a text or a number"),
    }
}

/// An option with a value that is true or false, and no flag.
fn takes_booleans(arg: &Arg) -> bool {
    arg.get_possible_values().iter().any(|value| value.matches("true", false))
}

/// Why the option refuses these values, if it does: by parsing them with a command that has nothing else.
fn refusal(arg: &Arg, values: &[String]) -> Result<(), String> {
    let Some(long) = arg.get_long() else { return Ok(()) };
    if is_flag(arg) {
        let is_bool = values.iter().all(|value| ["true", "false"].contains(&value.as_str()));
        return if is_bool { Ok(()) } else { Err("true or false is wanted here".to_owned()) };
    }
    // Without its relations to other options, and what they do not say is not asked for.
    let alone = Arg::new("value").long(long.to_owned()).action(arg.get_action().clone()).required(false);
    let alone = alone.value_parser(arg.get_value_parser().clone()).allow_hyphen_values(true);
    let alone = match arg.get_value_delimiter() {
        Some(delimiter) => alone.value_delimiter(delimiter),
        None => alone,
    };
    let alone = Command::new("syncline").no_binary_name(true).disable_help_flag(true).arg(alone);
    let typed = values.iter().map(|value| format!("--{long}={value}"));
    alone.try_get_matches_from(typed).map(drop).map_err(|error| said(&error))
}

/// What clap says, without what is about the command line.
pub(crate) fn said(error: &clap::Error) -> String {
    use std::error::Error as _;
    if let Some(why) = error.source() {
        return why.to_string();
    }
    let text = error.to_string();
    let paragraphs =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    paragraphs.map(|line| line.trim_start_matches("error: ")).collect::<Vec<_>>().join(" ")
}

fn with_defaults(arg: Arg, values: Vec<String>) -> Arg {
    let values = values.into_iter().map(OsStr::from);
    // What the file gives need not be typed.
    arg.required(false).default_values(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options {
        prefix: "X_",
        aliases: &[("region", "REGION")],
        exclusive: &[&["pid", "exe"]],
        not_in_file: &["config"],
        elsewhere: &[],
        secret: &[],
        tables: &["rule"],
        below: &[],
    };

    fn command() -> Command {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no number, as 7 is"));
        Command::new("x").args([
            Arg::new("region").long("region").required(true),
            Arg::new("probe_interval").long("probe-interval").value_parser(number).default_value("1"),
            Arg::new("udp").long("udp").action(ArgAction::SetTrue),
            Arg::new("peer").long("peer").action(ArgAction::Append).value_delimiter(','),
            Arg::new("kind").long("kind").value_parser(["park", "cgo"]),
            Arg::new("pid").long("pid").conflicts_with("exe"),
            Arg::new("exe").long("exe"),
            Arg::new("config").long("config"),
        ])
    }

    fn arguments(text: &str) -> Vec<OsString> {
        std::iter::once("x").chain(text.split_whitespace()).map(OsString::from).collect()
    }

    fn layered(typed: &str, file: &str) -> clap::ArgMatches {
        let file = Document::parse("x.toml", file, &[]).unwrap();
        let (command, arguments) = OPTIONS.layered(command(), &arguments(typed), &|_| None, Some(&file)).unwrap();
        command.try_get_matches_from(arguments).unwrap()
    }

    fn refused(file: &str) -> String {
        let file = Document::parse("x.toml", file, &[]).unwrap();
        OPTIONS.layered(command(), &arguments(""), &|_| None, Some(&file)).unwrap_err().to_string()
    }

    fn all<'m>(matches: &'m clap::ArgMatches, id: &str) -> Vec<&'m str> {
        matches.get_many::<String>(id).unwrap_or_default().map(String::as_str).collect()
    }

    #[test]
    fn what_is_typed_goes_before_the_file_and_that_before_the_default() {
        let file = "region = \"eu\"\nprobe_interval = 1_0\nudp = true\npeer = [\"a\", \"b\"]\n[[rule]]\nx = 1\n";
        let matches = layered("", file);
        assert_eq!(all(&matches, "region"), ["eu"]);
        assert_eq!((matches.get_one::<u32>("probe_interval"), matches.get_flag("udp")), (Some(&10), true));
        assert_eq!(all(&matches, "peer"), ["a", "b"]);
        let matches = layered("--region us --probe-interval 3 --peer c", file);
        assert_eq!((all(&matches, "region"), all(&matches, "peer")), (vec!["us"], vec!["c"]));
        assert_eq!(matches.get_one::<u32>("probe_interval"), Some(&3));
        assert_eq!(layered("--region us", "").get_one::<u32>("probe_interval"), Some(&1));
    }

    #[test]
    fn a_flag_of_the_file_is_turned_off_by_what_is_typed_or_set() {
        let file = "region = \"eu\"\nudp = true\n";
        assert!(layered("", file).get_flag("udp") && layered("--udp=true", file).get_flag("udp"));
        assert!(!layered("--udp=false", file).get_flag("udp") && !layered("--udp --udp=false", file).get_flag("udp"));
        assert!(layered("--udp=false --udp", file).get_flag("udp"), "what is typed later counts");
        let set = |value: &'static str| {
            let file = Document::parse("x.toml", file, &[]).unwrap();
            let environment = |name: &str| (name == "X_UDP").then(|| OsString::from(value));
            let layered = OPTIONS.layered(command(), &arguments(""), &environment, Some(&file));
            layered.map(|(command, arguments)| command.try_get_matches_from(arguments).unwrap().get_flag("udp"))
        };
        assert_eq!((set("false"), set("")), (Ok(false), Ok(true)));
        assert_eq!(set("no").unwrap_err().to_string(), "X_UDP: true or false is wanted here");
        let (kept, off) = without_false(&command(), &arguments("--udp=maybe -- --udp=false"));
        assert_eq!((kept, off.len()), (arguments("--udp=maybe -- --udp=false"), 0));
    }

    #[test]
    fn a_flag_that_is_off_excludes_nothing() {
        const EXCLUSIVE: Options = Options { exclusive: &[&["pid", "all"]], ..OPTIONS };
        let syntax = || {
            let all = Arg::new("all").long("all").action(ArgAction::SetTrue).conflicts_with("pid");
            command().mut_arg("region", |arg| arg.required(false)).arg(all)
        };
        let parsed = |typed: &str, set: &'static str, file: &str| {
            let file = Document::parse("x.toml", file, &[]).unwrap();
            let environment = |name: &str| (name == "X_ALL" && !set.is_empty()).then(|| OsString::from(set));
            let (command, arguments) =
                EXCLUSIVE.layered(syntax(), &arguments(typed), &environment, Some(&file)).unwrap();
            let matches = command.try_get_matches_from(arguments).unwrap();
            (matches.get_flag("all"), matches.get_one::<String>("pid").cloned())
        };
        let seven = || Some("7".to_owned());
        assert_eq!(parsed("--all=false --pid 7", "", ""), (false, seven()));
        assert_eq!(parsed("--pid 7", "false", ""), (false, seven()));
        assert_eq!(parsed("", "false", "pid = \"7\""), (false, seven()));
        assert_eq!(parsed("", "", "all = false\npid = \"7\""), (false, seven()));
        // Clap reads a variable itself, which here is none; what it takes the place of is gone.
        assert_eq!(parsed("", "true", "pid = \"7\"").1, None);
    }

    #[test]
    fn of_what_excludes_each_other_the_one_that_goes_before_counts() {
        let matches = layered("--region eu --exe /x", "pid = \"7\"");
        assert_eq!((all(&matches, "exe"), all(&matches, "pid")), (vec!["/x"], vec![]));
        assert_eq!(refused("pid = \"7\"\nexe = \"/x\""), "x.toml:2:1: `pid` is given, too: leave one of them");
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_where_and_by_the_option_itself() {
        for (file, told) in [
            ("regoin = \"eu\"", "x.toml:1:1: unknown key `regoin`; did you mean `region`?"),
            (
                "config = \"x\"",
                "x.toml:1:1: unknown key `config`, expected one of `region`, `probe_interval`, `udp`, `peer`, `kind`, `pid`, `exe`, `rule`",
            ),
            ("probe_interval = \"x\"", "x.toml:1:18: \"x\" is no number, as 7 is"),
            ("udp = \"yes\"", "x.toml:1:7: true or false is wanted here"),
            ("kind = \"disk\"", "x.toml:1:8: invalid value 'disk' for '--kind <value>' [possible values: park, cgo]"),
            ("region = [\"a\"]", "x.toml:1:10: a text or a number is wanted here"),
            ("peer = [1]", "x.toml:1:9: a text is wanted here"),
        ] {
            assert_eq!(refused(file), told);
        }
    }

    #[test]
    fn a_list_may_be_one_text_as_on_the_command_line() {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no number"));
        let list = Arg::new("n").long("n").action(ArgAction::Append).value_delimiter(',').value_parser(number);
        assert_eq!(refusal(&list, &["1,2".to_owned()]), Ok(()));
        assert_eq!(refusal(&list, &["1,x".to_owned()]), Err("\"x\" is no number".to_owned()));
    }

    #[test]
    fn who_asks_for_help_is_helped() {
        assert!(Options::is_question(&command(), &arguments("--help")));
        assert!(
            !Options::is_question(&command(), &arguments("--nonsense"))
                && !Options::is_question(&command(), &arguments(""))
        );
    }

    #[test]
    fn a_variable_that_its_option_refuses_is_named() {
        let set = |name: &str| (name == "X_PROBE_INTERVAL").then(|| OsString::from("soon"));
        let problem = OPTIONS.layered(command(), &arguments(""), &set, None).unwrap_err();
        assert_eq!(problem.to_string(), "X_PROBE_INTERVAL: \"soon\" is no number, as 7 is");
    }

    #[test]
    fn the_own_variable_goes_before_the_other_one_and_an_empty_one_is_none() {
        let found = |set: &[(&str, &str)], given: &[&str]| {
            let get = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            let given = given.iter().map(|key| (*key).to_owned()).collect();
            let found = OPTIONS.variables(&command(), &get, &given);
            found.into_iter().map(|(_, name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("REGION", "a"), ("X_REGION", "b")], &[]), ["X_REGION"]);
        assert_eq!(found(&[("REGION", "a"), ("X_REGION", "")], &[]), ["REGION"]);
        assert_eq!(found(&[("X_PID", "1")], &["exe"]), Vec::<String>::new());
    }
}
