//! A file of settings.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::below::Laid;
use crate::nearest::nearest;
use crate::problem::{At, Problem};
use crate::secret;
use crate::words::plainly;

/// Bytes of a file that are worth reading; one that is longer is no file of settings.
pub const MOST_BYTES: u64 = 1 << 20;

/// A TOML file, and where everything in it stands.
#[derive(Clone)]
pub struct Document {
    name: String,
    text: String,
    secrets: &'static [&'static str],
    /// What variables say of keys below tables. Their places are behind the end of the text, in this order.
    laid: Vec<Laid>,
}

/// Without its text, which may have secrets in it.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Document {
    /// Reads a file. Of keys called as `secrets` are, at the top or in any table, values are never told.
    ///
    /// # Errors
    /// It cannot be read, or is no TOML.
    pub fn open(path: &Path, secrets: &'static [&'static str]) -> Result<Self, Problem> {
        let unreadable =
            |cause: std::io::Error| Problem::of(path.to_string_lossy(), format!("cannot be read: {cause}"));
        // Opening a FIFO would wait for who writes it.
        let file = std::fs::metadata(path).and_then(|metadata| {
            if metadata.is_file() { File::open(path) } else { Err(std::io::Error::other("it is not a regular file")) }
        });
        let mut bytes = Vec::new();
        file.and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(unreadable(std::io::Error::other("it is larger than 1 MiB")));
        }
        let name = path.to_string_lossy();
        let text = String::from_utf8(bytes).map_err(|error| {
            let (at, text) = (error.utf8_error().valid_up_to(), String::from_utf8_lossy(error.as_bytes()));
            Self::unparsed(&*name, text, secrets).problem(at..at + 1, "what stands here is no text in UTF-8")
        })?;
        Self::parse(name, text, secrets)
    }

    fn unparsed(name: impl Into<String>, text: impl Into<String>, secrets: &'static [&'static str]) -> Self {
        Self { name: name.into(), text: text.into(), secrets, laid: Vec::new() }
    }

    /// Reads `text`, which `name` tells people where to find; `secrets` as of [`Document::open`].
    ///
    /// # Errors
    /// It is no TOML.
    pub fn parse(
        name: impl Into<String>,
        text: impl Into<String>,
        secrets: &'static [&'static str],
    ) -> Result<Self, Problem> {
        let document = Self::unparsed(name, text, secrets);
        match DeTable::parse(&document.text) {
            Ok(_) => Ok(document),
            Err(error) => Err(document.told(&error)),
        }
    }

    /// What these keys at the top say. Of tables below, `T` says which keys it knows.
    ///
    /// # Errors
    /// Something there is not as `T` has it, or not known to it.
    pub fn read<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<T, Problem> {
        let (span, table) = (self.table().span(), self.laid_table());
        let table: DeTable<'_> = table.into_iter().filter(|(key, _)| keys.contains(&key.get_ref().as_ref())).collect();
        let table = Spanned::new(span, table);
        T::deserialize(table.into_deserializer()).map_err(|error| self.told(&error))
    }

    /// The line of a byte, from 1 on.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// Something is wrong with these bytes. Where they may be a secret the line is not shown; `why` must not have the value in it.
    #[must_use]
    pub fn problem(&self, span: Range<usize>, why: impl Into<String>) -> Problem {
        if let Some(laid) = span.start.checked_sub(self.text.len() + 1).and_then(|at| self.laid.get(at)) {
            return Problem::of(&laid.variable, why);
        }
        let is_secret = secret::is_secret(&self.text, &span, self.secrets);
        let at = At::of(&self.text, span);
        Problem { place: self.name.clone(), at: Some(if is_secret { at.hidden() } else { at }), why: why.into() }
    }

    /// As [`Document::problem`], in words of others, which may quote the value.
    pub(crate) fn quoted_problem(&self, span: Range<usize>, why: &str) -> Problem {
        let is_secret = secret::is_secret(&self.text, &span, self.secrets);
        self.problem(span, if is_secret { secret::unquoted(why) } else { why.to_owned() })
    }

    /// Something is wrong with this key at the top, or with the file as a whole where it has none.
    #[must_use]
    pub fn problem_of(&self, key: &str, why: &str) -> Problem {
        match self.entry(key) {
            Some((span, _)) => self.quoted_problem(span, why),
            None => Problem::of(self.name.clone(), why),
        }
    }

    /// Whether values of this key are never told.
    pub(crate) fn is_secret(&self, key: &str) -> bool {
        self.secrets.contains(&key)
    }

    /// What clap says of a command line without anything typed: what is missing, or not to be together.
    #[must_use]
    pub fn missing(&self, error: &clap::Error) -> Problem {
        let why = crate::options::said(error);
        let why = why.split("Usage:").next().unwrap_or_default().trim_end();
        Problem::of(self.name.clone(), format!("{why} (here, or in the environment)"))
    }

    /// The keys at the top whose values are not the same in the other one: their texts, apart from what is around them.
    #[must_use]
    pub fn changed<'d>(&'d self, other: &'d Self) -> BTreeSet<String> {
        let values = |document: &Self| -> BTreeMap<String, String> {
            let table = document.table().into_inner();
            table
                .into_iter()
                .map(|(key, value)| (key.get_ref().to_string(), format!("{:?}", plain(value.get_ref()))))
                .collect()
        };
        let (before, after) = (values(self), values(other));
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
    }

    /// What the parser or serde says.
    fn told(&self, error: &Error) -> Problem {
        let message = error.message().trim_end().replace('\n', "; ");
        let why = with_meant(&message).unwrap_or_else(|| plainly(&message));
        self.quoted_problem(error.span().unwrap_or(0..0), &why)
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

    /// With what variables say over it.
    pub(crate) fn with_laid(self, laid: Vec<Laid>) -> Self {
        Self { laid, ..self }
    }

    pub(crate) fn laid_table(&self) -> DeTable<'_> {
        let mut table = self.table().into_inner();
        for (number, laid) in self.laid.iter().enumerate() {
            let at = self.text.len() + 1 + number;
            laid.lay(&mut table, at..at + 1);
        }
        table
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

/// A value without the places of its parts.
fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Boolean(yes) => toml::Value::Boolean(*yes),
        DeValue::Datetime(at) => toml::Value::Datetime(*at),
        DeValue::Array(items) => toml::Value::Array(items.iter().map(|item| plain(item.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect(),
        ),
        DeValue::Integer(number) => toml::Value::String(number.to_string()),
        DeValue::Float(number) => toml::Value::String(number.to_string()),
    }
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
            Document::parse("a.toml", "x = 1\n[[rule]]\nservice = \"a\"\n[[rule]]\nthreshold = 2\n", &[]).unwrap();
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
            (
                "[[rule]]\nthreshold = \"x\"",
                "a.toml:2:13: invalid type: string \"x\", expected a whole number that is not negative",
            ),
            ("rule = 1", "a.toml:1:8: invalid type: integer `1`, expected a list"),
        ] {
            let problem = Document::parse("a.toml", text, &[]).unwrap().read::<Sections>(&["rule"]).unwrap_err();
            assert_eq!(problem.to_string(), told);
        }
        for text in ["a", "[rule", "a = 1\na = 2", "\u{0}", "a = \"\\q\""] {
            let problem = Document::parse("a.toml", text, &[]).unwrap_err();
            assert!(problem.line().is_some() && !problem.to_string().contains('\n'), "{problem}");
        }
    }

    #[test]
    fn keys_whose_values_differ_are_named_and_not_how_they_are_written() {
        let parse = |text: &str| Document::parse("a.toml", text, &[]).unwrap();
        let before = parse("a = 1\nb = \"x\"\nc = true\n[[rule]]\nd = [1, 2]\n");
        let after = parse("# other words\nb = 'x'\na = 2\ne = 1\n[[rule]]\nd = [1,2]\n");
        assert_eq!(before.changed(&after).into_iter().collect::<Vec<_>>(), ["a", "c", "e"]);
    }

    #[test]
    fn a_file_is_named_where_it_cannot_be_read() {
        let refused = |path: &str| Document::open(Path::new(path), &[]).unwrap_err().to_string();
        assert!(refused("/nonexistent/a.toml").starts_with("/nonexistent/a.toml: cannot be read: "));
        assert!(refused("/").contains("regular file") && refused("/dev/zero").contains("regular file"));
    }

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Document::open(&path, &["url"]).unwrap_err().shown()
        };
        let told = refused(b"a = 1\nb = \"x\xff\"\n");
        assert!(
            told.contains("a.toml:2:7: what stands here is no text in UTF-8") && told.contains("2 | b = "),
            "{told}"
        );
        let told = refused(b"url = \"hunter2\xff\"\n");
        assert!(told.contains("a.toml:1:15: ") && !told.contains("hunter2"), "{told}");
    }
}
