//! Declared silences: work on machines that need not be told of.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Key, Matcher, Pattern, PatternError, Rule};

/// Alerts that are not told for a time. They are evaluated and listed all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Which.
    pub when: Matcher,
    /// From when, ns since 1970.
    pub from_ns: i64,
    /// Until when; not included.
    pub until_ns: i64,
    /// Why, and who says so.
    pub comment: String,
}

/// A silence that is declared by texts is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SilenceError {
    /// A name is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// There is no such rule.
    #[error("there is no rule {0:?}: the rules are {names}", names = Rule::ALL.map(Rule::name).join(", "))]
    NoRule(String),
    /// It is over before it begins.
    #[error("it ends before it begins")]
    Empty,
}

impl Silence {
    /// The silence of a region and a node by their patterns, and of rules by their names separated by commas; what is empty is any.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn declared(
        (region, node, rules): (&str, &str, &str),
        (from_ns, until_ns): (i64, i64),
        comment: &str,
    ) -> Result<Self, SilenceError> {
        let pattern = |text: &str| (!text.is_empty()).then(|| Pattern::try_from(text.to_owned())).transpose();
        let rule = |name: &str| Rule::of_name(name).ok_or_else(|| SilenceError::NoRule(name.to_owned()));
        let rules =
            rules.split(',').map(str::trim).filter(|name| !name.is_empty()).map(rule).collect::<Result<_, _>>()?;
        if until_ns <= from_ns {
            return Err(SilenceError::Empty);
        }
        let when = Matcher { region: pattern(region)?, node: pattern(node)?, rules };
        Ok(Self { when, from_ns, until_ns, comment: comment.to_owned() })
    }

    /// Whether it keeps this alert quiet at `at_ns`.
    pub fn covers(&self, key: &Key, at_ns: i64) -> bool {
        self.touches(key, (at_ns, at_ns))
    }

    /// Whether it keeps this alert quiet at some time of these, ends included.
    pub(crate) fn touches(&self, key: &Key, (from_ns, until_ns): (i64, i64)) -> bool {
        self.from_ns <= until_ns && from_ns < self.until_ns && self.when.picks(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subject;

    #[test]
    fn a_silence_is_declared_by_texts() {
        let silence = Silence::declared(("eu", "db-.*", "step, pause"), (10, 20), "x").unwrap();
        let key = |node: &str, rule| Key { rule, subject: Subject::Node("eu".to_owned(), node.to_owned()) };
        assert!(silence.covers(&key("db-1", Rule::Pause), 10) && !silence.covers(&key("db-1", Rule::Pause), 20));
        assert!(!silence.covers(&key("web-1", Rule::Pause), 10) && !silence.covers(&key("db-1", Rule::Claim), 10));
        let any = Silence::declared(("", "", ""), (10, 20), "").unwrap();
        assert!(any.covers(&key("web-1", Rule::Claim), 15));
    }

    #[test]
    fn what_makes_no_silence_is_told() {
        let refused = |names, times| Silence::declared(names, times, "").unwrap_err().to_string();
        assert!(refused(("(", "", ""), (1, 2)).contains("regular expression"));
        assert!(refused(("", "", "steps"), (1, 2)).contains("step, causality"));
        assert!(refused(("", "", ""), (2, 2)).contains("before it begins"));
    }
}
