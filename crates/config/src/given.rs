//! Where the values of options are from, which is where to mend them.

use std::collections::{BTreeMap, BTreeSet};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::document::Document;
use crate::problem::Problem;
use crate::secret;

/// Options that were typed or set. All others are the file's, or nobody's.
#[derive(Clone, Debug, Default)]
pub struct Given {
    typed: BTreeSet<String>,
    /// And the variables that did it.
    set: BTreeMap<String, String>,
}

impl Given {
    /// What `matches` has of the options of `command`, which is as [`crate::Options::layered`] made it.
    #[must_use]
    pub fn of(command: &Command, matches: &ArgMatches) -> Self {
        let mut given = Self::default();
        for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
            let key = arg.get_id().to_string();
            match (matches.value_source(&key), arg.get_env()) {
                (Some(ValueSource::CommandLine), _) => drop(given.typed.insert(key)),
                (Some(ValueSource::EnvVariable), Some(name)) => {
                    given.set.insert(key, name.to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
        given
    }

    /// A problem with a key: of its variable, or of the file. None where it was typed, and the file is not to blame.
    #[must_use]
    pub fn problem(&self, file: &Document, key: &str, why: &str) -> Option<Problem> {
        if self.typed.contains(key) {
            return None;
        }
        Some(match self.set.get(key) {
            Some(name) if file.is_secret(key) => Problem::of(name, secret::unquoted(why)),
            Some(name) => Problem::of(name, why),
            None => file.problem_of(key, why),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn who_gave_the_value_is_blamed() {
        let options = ["root", "peer", "listen", "spool"].map(|key| Arg::new(key).long(key));
        let command = Command::new("x").args(options).mut_arg("peer", |arg| arg.env("PATH"));
        let matches = command.clone().try_get_matches_from(["x", "--root", "b"]).unwrap();
        let given = Given::of(&command, &matches);
        let file = Document::parse("a.toml", "root = \"a\"\nlisten = \"c\"\n", &["peer"]).unwrap();
        let told = |key| given.problem(&file, key, "not \"x\"").map(|problem| problem.to_string());
        assert_eq!(told("root"), None);
        assert_eq!(told("peer").unwrap(), "PATH: not (not shown: it may be a secret)");
        assert_eq!(told("listen").unwrap(), "a.toml:2:1: not \"x\"");
        assert_eq!(told("spool").unwrap(), "a.toml: not \"x\"");
    }
}
