//! Which alerts something is about: who is silenced, who has other limits.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Key, Rule, Subject};

/// An expression may take so much memory once it is compiled; a single `\w` takes some 50 KiB.
const PATTERN_BYTES: usize = 1 << 20;

/// A regular expression that a whole name has to match, as Alertmanager's `=~` does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// A text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("pattern {text:?}: {why}; write a regular expression that matches the whole name, such as eu-.* or web-[0-9]+")]
pub struct PatternError {
    text: String,
    why: String,
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        // The expression by itself first: parentheses that do not pair could else end ours.
        let compiled = Regex::new(&text)
            .and_then(|_| RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_BYTES).build());
        match compiled {
            Ok(regex) => Ok(Self { text, regex }),
            Err(error) => {
                let why = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Err(PatternError { text, why })
            }
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    fn is_met(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// Picks alerts: all that is given has to match. One that gives nothing matches all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// Region of the subject, of two any. What is about all regions matches none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Pattern>,
    /// Name of the node, of two any. What is about no node matches none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Pattern>,
    /// The rules; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

impl Matcher {
    /// Whether it picks this alert.
    pub fn picks(&self, key: &Key) -> bool {
        let is_rule = self.rules.is_empty() || self.rules.contains(&key.rule);
        is_rule && self.picks_subject(&key.subject)
    }

    /// Work on one of two makes what is said of both come true: either is enough.
    fn picks_subject(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Nodes(one, other) => [one, other].iter().any(|(region, node)| self.picks_node(region, node)),
            Subject::Node(region, node) => self.picks_node(region, node),
            Subject::Regions(one, other) => [one, other].iter().any(|region| self.picks_region(region)),
            Subject::Region(region) => self.picks_region(region),
            Subject::Fleet => self.node.is_none() && self.region.is_none(),
        }
    }

    fn picks_region(&self, region: &str) -> bool {
        self.node.is_none() && self.region.as_ref().is_none_or(|wanted| wanted.is_met(region))
    }

    /// Whether it may pick alerts about this node.
    pub(crate) fn picks_node(&self, region: &str, node: &str) -> bool {
        let meets = |pattern: &Option<Pattern>, name| pattern.as_ref().is_none_or(|pattern| pattern.is_met(name));
        meets(&self.region, region) && meets(&self.node, node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Option<Pattern> {
        Some(text.to_owned().try_into().unwrap())
    }

    #[test]
    fn a_whole_name_has_to_match() {
        let matcher = Matcher { region: pattern("eu-.*|us"), node: pattern("web-[0-9]"), ..Matcher::default() };
        assert!(matcher.picks_node("eu-west", "web-1") && matcher.picks_node("us", "web-2"));
        assert!(!matcher.picks_node("us-east", "web-1") && !matcher.picks_node("us", "web-12"));
        assert!(Matcher { node: pattern(r"\w+-\w+\.\w+"), ..Matcher::default() }.picks_node("us", "web-1.lab"));
    }

    #[test]
    fn an_alert_is_picked_by_its_rule_and_its_subject() {
        let key = |rule, subject| Key { rule, subject };
        let node = || Subject::Node("eu".into(), "web-1".into());
        let matcher = Matcher { node: pattern("web-.*"), rules: vec![Rule::Step], ..Matcher::default() };
        assert!(matcher.picks(&key(Rule::Step, node())) && !matcher.picks(&key(Rule::Offset, node())));
        assert!(!matcher.picks(&key(Rule::Step, Subject::Region("eu".into()))));
        let region = Matcher { region: pattern("eu"), ..Matcher::default() };
        assert!(
            region.picks(&key(Rule::Claim, Subject::Region("eu".into()))) && region.picks(&key(Rule::Step, node()))
        );
        assert!(!region.picks(&key(Rule::Claim, Subject::Fleet)));
        assert!(Matcher::default().picks(&key(Rule::Claim, Subject::Fleet)));
        let pair = Subject::Nodes(("eu".into(), "web-1".into()), ("eu".into(), "db".into()));
        assert!(region.picks(&key(Rule::Causality, pair.clone())) && matcher.picks(&key(Rule::Step, pair.clone())));
        let other = Matcher { node: pattern("db-2"), ..Matcher::default() };
        assert!(!other.picks(&key(Rule::Causality, pair)));
        let both = Matcher { region: pattern("us"), node: pattern("web-1"), ..Matcher::default() };
        let pair = Subject::Nodes(("eu".into(), "web-1".into()), ("us".into(), "db".into()));
        assert!(!both.picks(&key(Rule::Causality, pair)), "of the same node both have to match");
        for pair in [Subject::Regions("eu".into(), "us".into()), Subject::Regions("ap".into(), "eu".into())] {
            assert!(region.picks(&key(Rule::Regions, pair.clone())) && !matcher.picks(&key(Rule::Step, pair)));
        }
        assert!(!region.picks(&key(Rule::Regions, Subject::Regions("ap".into(), "us".into()))));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_why() {
        for bad in ["(", "a)(b", "[z-a]", "(?:a{1000}){1000}"] {
            let error = Pattern::try_from(bad.to_owned()).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("whole name"), "{error}");
        }
        assert!(serde_json::from_str::<Matcher>(r#"{"nodes": "a"}"#).unwrap_err().to_string().contains("nodes"));
    }
}
