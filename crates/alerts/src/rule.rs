//! The rules, and what an alert is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What may be wrong. The order is that of causes before what follows from them: of alerts that come together the first one tells why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A region's reference jumped, or what its aggregator claims of UTC is false.
    Reference,
    /// What two regions measure of one another cannot be true beside all others.
    Regions,
    /// A machine stood still with all its clocks, or they jumped.
    Pause,
    /// Somebody set a wall clock.
    Step,
    /// Messages prove that two clocks are wrong against one another.
    Causality,
    /// A claim about a wall clock cannot be true beside what was measured.
    Claim,
    /// An oscillator is nearly as wrong as the kernel can steer against.
    Frequency,
    /// A wall clock leaves UTC.
    Drift,
    /// A wall clock is off.
    Offset,
    /// So little is known that nothing can be told.
    Bound,
    /// Nothing comes any more.
    Silence,
}

impl Rule {
    /// All, causes first.
    pub const ALL: [Self; 11] = [
        Self::Reference,
        Self::Regions,
        Self::Pause,
        Self::Step,
        Self::Causality,
        Self::Claim,
        Self::Frequency,
        Self::Drift,
        Self::Offset,
        Self::Bound,
        Self::Silence,
    ];

    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Regions => "regions",
            Self::Pause => "pause",
            Self::Step => "step",
            Self::Causality => "causality",
            Self::Claim => "claim",
            Self::Frequency => "frequency",
            Self::Drift => "drift",
            Self::Offset => "offset",
            Self::Bound => "bound",
            Self::Silence => "silence",
        }
    }

    /// The rule of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// What its values and its limit are counted in.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Frequency | Self::Drift => Unit::Ppb,
            _ => Unit::Ns,
        }
    }

    /// It tells of something that happened, and not of a state that lasts.
    pub(crate) const fn is_event(self) -> bool {
        matches!(self, Self::Pause | Self::Step | Self::Causality)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What numbers are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Parts per billion: ns in a second.
    Ppb,
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// All regions alike.
    Fleet,
    /// A region: its reference, or all its nodes alike.
    Region(String),
    /// A region, and the peer that it measures.
    Regions(String, String),
    /// A region and one of its nodes.
    Node(String, String),
    /// Two nodes, each with its region: a sender and a receiver.
    Nodes((String, String), (String, String)),
}

impl Subject {
    /// Its region; none where it is of several.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Region(region) | Self::Node(region, _) => Some(region),
            Self::Nodes((one, _), (other, _)) if one == other => Some(one),
            Self::Fleet | Self::Regions(..) | Self::Nodes(..) => None,
        }
    }

    /// Its node, where it is one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Node(_, node) => Some(node),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Region(region) => f.write_str(region),
            Self::Regions(region, peer) => write!(f, "{region} and {peer}"),
            Self::Node(region, node) => write!(f, "{region}/{node}"),
            Self::Nodes((region, node), (other, receiver)) => write!(f, "{region}/{node} to {other}/{receiver}"),
        }
    }
}

/// An alert's identity: it has one state at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What is wrong.
    pub rule: Rule,
    /// With what.
    pub subject: Subject,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.rule, self.subject)
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be known, nothing to be done.
    Info,
    /// To be looked at in working hours.
    Warning,
    /// Times are wrong by so much, or for so many, that people should be woken.
    Critical,
}

impl Severity {
    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_rules_and_are_written_the_same_everywhere() {
        for rule in Rule::ALL {
            assert_eq!(Rule::of_name(rule.name()), Some(rule));
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
        assert_eq!(Rule::of_name("skew"), None);
    }
}
