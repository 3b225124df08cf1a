//! A name, or a part of one with `*` for the rest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Matches texts: `*` is any text, also none and also with slashes; everything else is itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// The pattern of this text.
    ///
    /// # Errors
    /// If it is empty, or has a line end or another control character in it, which no name has.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty name fits nothing; * fits every name".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{text:?} has a control character in it, which no name has"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the text is as the pattern has it, from its begin to its end.
    pub fn fits(&self, text: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == text };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(text) = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)) else { return false };
        // The leftmost place of each part leaves the most to those behind it.
        let behind = |text: Option<&str>, part: &str| {
            let text = text?;
            text.find(part).and_then(|at| text.get(at + part.len()..)).map(str::to_owned)
        };
        let mut left = Some(text.to_owned());
        for part in middle.split('*') {
            left = behind(left.as_deref(), part);
        }
        left.is_some()
    }

    pub(super) fn is_path(&self) -> bool {
        self.0.contains('/')
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_the_rest_is_itself() {
        for (pattern, fitting, others) in [
            ("shop", &["shop"][..], &["shop2", "ashop", ""][..]),
            ("*", &["", "shop", "a/b"], &[]),
            ("shop-*", &["shop-", "shop-a"], &["shop", "ashop-a"]),
            ("*-api", &["-api", "a-api"], &["a-api2"]),
            ("a*b*c", &["abc", "a-b-c", "abbcc"], &["ab", "acb", "abcd"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*b*b*", &["bb", "abab"], &["ab"]),
            ("/opt/*/bin/*", &["/opt/x/bin/y", "/opt/x/y/bin/"], &["/opt/bin"]),
            ("ü*ß", &["üß", "ü-ß"], &["uß"]),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            fitting.iter().for_each(|text| assert!(compiled.fits(text), "{pattern} fits {text:?}"));
            others.iter().for_each(|text| assert!(!compiled.fits(text), "{pattern} does not fit {text:?}"));
        }
    }

    #[test]
    fn what_can_fit_nothing_is_refused() {
        assert!(Pattern::new("").unwrap_err().contains('*'));
        assert!(Pattern::new("a\nb").is_err());
    }
}
