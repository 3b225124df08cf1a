//! A file of settings.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::nearest::nearest;
use crate::problem::{At, Problem};

/// Bytes of a file that are worth reading; one that is longer is no file of settings.
pub const MOST_BYTES: u64 = 1 << 20;

/// A TOML file, and where everything in it stands.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    text: String,
}

impl Document {
    /// Reads `text`, which `name` tells people where to find.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn parse(name: impl Into<String>, text: impl Into<String>) -> Result<Self, Problem> {
        let (name, text) = (name.into(), text.into());
        match DeTable::parse(&text) {
            Ok(_) => Ok(Self { name, text }),
            Err(error) => Err(problem(&name, &text, &error)),
        }
    }

    /// What these keys at the top say. Of tables below, `T` says which keys it knows.
    ///
    /// # Errors
    /// Something there is not as `T` has it, or not known to it.
    pub fn read<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<T, Problem> {
        let (span, table) = (self.table().span(), self.table().into_inner());
        let table: DeTable<'_> = table.into_iter().filter(|(key, _)| keys.contains(&key.get_ref().as_ref())).collect();
        let table = Spanned::new(span, table);
        T::deserialize(table.into_deserializer()).map_err(|error| problem(&self.name, &self.text, &error))
    }

    /// The line of a byte, from 1 on.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// Something is wrong with these bytes.
    #[must_use]
    pub fn problem(&self, span: Range<usize>, why: impl Into<String>) -> Problem {
        Problem { place: self.name.clone(), at: Some(At::of(&self.text, span)), why: why.into() }
    }

    /// That all keys at the top are among these.
    pub(crate) fn check_keys(&self, known: &[&str]) -> Result<(), Problem> {
        let is_unknown = |key: &&Spanned<Cow<'_, str>>| !known.contains(&key.get_ref().as_ref());
        match self.table().get_ref().keys().filter(is_unknown).min_by_key(|key| key.span().start) {
            Some(key) => Err(self.problem(key.span(), unknown(key.get_ref(), known))),
            None => Ok(()),
        }
    }

    /// A key at the top, and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(Range<usize>, Spanned<DeValue<'_>>)> {
        let (key, value) = self.table().into_inner().into_iter().find(|(known, _)| known.get_ref() == key)?;
        Some((key.span(), value))
    }

    /// A number as it is written.
    pub(crate) fn written(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// It was parsed before, and is right.
    fn table(&self) -> Spanned<DeTable<'_>> {
        DeTable::parse_recoverable(&self.text).0
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key `{key}`; did you mean `{meant}`?"),
        None => {
            let known: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("unknown key `{key}`, expected one of {}", known.join(", "))
        }
    }
}

fn problem(name: &str, text: &str, error: &Error) -> Problem {
    let message = error.message().trim_end().replace('\n', "; ");
    let why = with_meant(&message).unwrap_or(message);
    Problem { place: name.to_owned(), at: Some(At::of(text, error.span().unwrap_or(0..0))), why }
}

/// What serde says of an unknown field or variant, with the known one that is nearest: "unknown field `a`, expected one of `b`, `c`".
fn with_meant(message: &str) -> Option<String> {
    let (said, expected) = message.split_once("`, expected ")?;
    let (kind, word) = said.split_once(" `")?;
    let words: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let kind = match kind {
        "unknown field" => "unknown key",
        "unknown variant" => "unknown value",
        _ => return None,
    };
    Some(match nearest(word, words.iter().copied()) {
        Some(meant) => format!("{kind} `{word}`; did you mean `{meant}`?"),
        None => format!("{kind} `{word}`, expected {expected}"),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sections {
        #[serde(default)]
        rule: Vec<Spanned<Rule>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        service: Option<String>,
        threshold: Option<u32>,
    }

    #[test]
    fn what_is_below_known_keys_is_read_with_its_place() {
        let document =
            Document::parse("a.toml", "x = 1\n[[rule]]\nservice = \"a\"\n[[rule]]\nthreshold = 2\n").unwrap();
        let sections: Sections = document.read(&["rule"]).unwrap();
        let lines: Vec<usize> = sections.rule.iter().map(|rule| document.line(rule.span().start)).collect();
        assert_eq!(lines, [2, 4]);
        assert!(
            document
                .read::<Sections>(&["rule", "x"])
                .unwrap_err()
                .to_string()
                .starts_with("a.toml:1:1: unknown key `x`")
        );
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands_with_what_was_meant() {
        for (text, told) in [
            ("[[rule]]\nservise = \"a\"", "a.toml:2:1: unknown key `servise`; did you mean `service`?"),
            ("[[rule]]\ncolour = 1", "a.toml:2:1: unknown key `colour`, expected `service` or `threshold`"),
            ("[[rule]]\nthreshold = \"x\"", "a.toml:2:13: invalid type: string \"x\", expected u32"),
            ("rule = 1", "a.toml:1:8: invalid type: integer `1`, expected a sequence"),
        ] {
            let problem = Document::parse("a.toml", text).unwrap().read::<Sections>(&["rule"]).unwrap_err();
            assert_eq!(problem.to_string(), told);
        }
        for text in ["a", "[rule", "a = 1\na = 2", "\u{0}", "a = \"\\q\""] {
            let problem = Document::parse("a.toml", text).unwrap_err();
            assert!(problem.line().is_some() && !problem.to_string().contains('\n'), "{problem}");
        }
    }
}
