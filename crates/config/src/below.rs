//! Keys below tables of the file that variables give, too: `offset` of `[alerts.limits]` is `SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFFSET`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Document;
use crate::options::Options;
use crate::problem::Problem;

/// What the text of a variable is to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// true or false.
    Flag,
    /// A whole number.
    Number,
    /// A text, which durations and the like are, too.
    Text,
    /// Texts, separated by commas.
    List,
}

/// A key below a table, as `("alerts.limits.offset", Kind::Text)`.
pub type Below = (&'static str, Kind);

/// What a variable says of a key.
#[derive(Clone)]
pub(crate) struct Laid {
    path: &'static str,
    pub(crate) variable: String,
    text: String,
    kind: Kind,
}

impl Options {
    /// The file with what variables say of keys below its tables laid over it; without a file one that says only that. Problems with those are
    /// problems of their variables.
    ///
    /// # Errors
    /// A variable is no text, or not what its key takes.
    pub fn laid(
        &self,
        file: Option<&Document>,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Document, Problem> {
        let mut all = Vec::new();
        for (path, kind) in self.below {
            let variable = self.variable_below(path);
            let Some(value) = environment(&variable).filter(|value| !value.is_empty()) else { continue };
            let Ok(text) = value.into_string() else { return Err(Problem::of(variable, "is no text in UTF-8")) };
            let is_whole = || matches!(DeValue::parse(&text), Ok(value) if value.get_ref().is_integer());
            match kind {
                Kind::Flag if !["true", "false"].contains(&text.as_str()) => {
                    return Err(Problem::of(variable, "true or false is wanted here"));
                }
                Kind::Number if !is_whole() => return Err(Problem::of(variable, "a whole number is wanted here")),
                _ => all.push(Laid { path, variable, text, kind: *kind }),
            }
        }
        let file = file.cloned().map_or_else(|| Document::parse("the environment", "", &[]), Ok)?;
        Ok(file.with_laid(all))
    }

    /// The variable of a key below a table.
    #[must_use]
    pub fn variable_below(&self, path: &str) -> String {
        self.variable(&path.replace('.', "_"))
    }
}

impl Laid {
    /// Puts it where it belongs. `at` is what stands for its place: no file has that many bytes. What is in the way, and no table, stays, and is told
    /// as it is read.
    pub(crate) fn lay<'d>(&'d self, table: &mut DeTable<'d>, at: Range<usize>) {
        let mut parts: Vec<&str> = self.path.split('.').collect();
        let Some(last) = parts.pop() else { return };
        let mut table = table;
        for part in parts {
            if !table.contains_key(part) {
                let empty = DeValue::Table(DeTable::new());
                table.insert(key(part, &at), Spanned::new(at.clone(), empty));
            }
            match table.get_mut(part).map(Spanned::get_mut) {
                Some(DeValue::Table(below)) => table = below,
                _ => return,
            }
        }
        table.insert(key(last, &at), self.value(&at));
    }

    fn value(&self, at: &Range<usize>) -> Spanned<DeValue<'_>> {
        let text = |text| Spanned::new(at.clone(), DeValue::String(Cow::Borrowed(text)));
        match self.kind {
            Kind::Text => text(&self.text),
            Kind::List => {
                let items = self.text.split(',').map(|item| text(item.trim())).collect();
                Spanned::new(at.clone(), DeValue::Array(items))
            }
            // They were looked at before.
            Kind::Flag | Kind::Number => match DeValue::parse(&self.text) {
                Ok(value) => Spanned::new(at.clone(), value.into_inner()),
                Err(_) => text(&self.text),
            },
        }
    }
}

fn key<'d>(part: &'d str, at: &Range<usize>) -> Spanned<Cow<'d, str>> {
    Spanned::new(at.clone(), Cow::Borrowed(part))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::DurationText;

    const OPTIONS: Options = Options {
        prefix: "X_",
        aliases: &[],
        exclusive: &[],
        not_in_file: &[],
        elsewhere: &[],
        secret: &[],
        tables: &["a"],
        below: &[
            ("a.on", Kind::Flag),
            ("a.rounds", Kind::Number),
            ("a.quiet", Kind::Text),
            ("a.limits.off", Kind::List),
        ],
    };

    #[derive(Debug, Deserialize)]
    struct Top {
        a: Option<Table>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Table {
        on: bool,
        rounds: u32,
        quiet: Option<DurationText>,
        limits: Limits,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        off: Vec<String>,
        step: String,
    }

    fn read(file: &str, set: &[(&str, &str)]) -> Result<Option<Table>, String> {
        let environment = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let file = Document::parse("a.toml", file, &[]).unwrap();
        let laid = OPTIONS.laid(Some(&file), &environment).map_err(|problem| problem.to_string())?;
        laid.read::<Top>(&["a"]).map(|top| top.a).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_is_set_goes_before_the_file_and_needs_none() {
        let set = [("X_A_ON", "true"), ("X_A_ROUNDS", "7"), ("X_A_LIMITS_OFF", "step, drift"), ("X_A_QUIET", "")];
        for file in ["", "[a]\nrounds = 2\non = false\nlimits = { off = [] }\n"] {
            let Table { on, rounds, limits, .. } = read(file, &set).unwrap().unwrap();
            assert_eq!((on, rounds, limits.off), (true, 7, vec!["step".to_owned(), "drift".to_owned()]), "{file}");
        }
        let Table { rounds, limits, .. } =
            read("[a]\nrounds = 2\n[a.limits]\nstep = \"1s\"", &set[2..]).unwrap().unwrap();
        assert_eq!((rounds, limits.step.as_str(), limits.off.len()), (2, "1s", 2), "what is not set stays");
        assert!(read("", &[]).unwrap().is_none());
    }

    #[test]
    fn the_variable_is_to_blame_and_not_the_file() {
        for (set, told) in [
            (("X_A_ON", "yes"), "X_A_ON: true or false is wanted here"),
            (("X_A_ROUNDS", "many"), "X_A_ROUNDS: a whole number is wanted here"),
            (
                ("X_A_ROUNDS", "-1"),
                "X_A_ROUNDS: invalid value: integer `-1`, expected a whole number that is not negative",
            ),
            (("X_A_QUIET", "soon"), "X_A_QUIET: \"soon\" is no duration"),
        ] {
            let problem = read("[a]\nquiet = \"1s\"\n", &[set]).unwrap_err();
            assert!(problem.starts_with(told), "{problem}");
        }
        let wrong = read("a = 5", &[("X_A_ON", "true")]).unwrap_err();
        assert_eq!(wrong, "a.toml:1:5: invalid type: integer `5`, expected a table");
    }
}
