//! Policies that make sense.

use thiserror::Error;

use crate::{Override, Policy, Rule};

/// What a node may be silent for, ns: something comes each second or so, and who has not been heard for a day is not known any more.
const SILENCE_NS: std::ops::Range<u64> = 1_000_000_000..86_400_000_000_000;
const SILENCE: &str =
    "1000000000 (a second) to less than 86400000000000 (a day; who is silent for so long is not known any more)";
const SILENCE_OF_SOME: &str = "alerts.override.limits.silence";
/// After what a node is gone, ns. In less than a minute one that is started again would be.
const FORGET_NS: std::ops::RangeInclusive<u64> = 60_000_000_000..=2_592_000_000_000_000;
const FORGET: &str = "60000000000 (a minute) to 2592000000000000 (30 days), and longer than alerts.limits.silence";

/// A policy that cannot be evaluated by.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// It would tell of everything, or of nothing.
    #[error("{field}: {found} is not within {wanted}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it may be.
        wanted: &'static str,
    },
    /// The same of an override's limit.
    #[error("override {place}: {field}: {found} is not within {wanted}")]
    OverrideOutOfRange {
        /// Its place among the overrides, from 1.
        place: usize,
        /// Which field.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it may be.
        wanted: &'static str,
    },
    /// An override for nodes of what no node has.
    #[error("override {place}: `{rule}` is of regions, and this override is for nodes: give it a `region` only")]
    NoneOfNode {
        /// Its place among the overrides, from 1.
        place: usize,
        /// The rule.
        rule: Rule,
    },
    /// A node would be gone before its silence is told.
    #[error(
        "alerts.forget: {forget} ns is not longer than alerts.limits.silence, {silence} ns{}: a node is gone, with its alerts, before it is told as silent",
        of_override(*place)
    )]
    ForgetsTooSoon {
        /// After how long a node is gone, ns.
        forget: u64,
        /// How long one may be silent, ns.
        silence: u64,
        /// The place of the override that says so, from 1; none where it is the limit of all.
        place: Option<usize>,
    },
    /// An override of what it does not say.
    #[error("override {place}: it names no rules, and a limit of what is not said; give `rules`")]
    OfNothing {
        /// Its place among the overrides, from 1.
        place: usize,
    },
}

fn of_override(place: Option<usize>) -> String {
    place.map_or_else(String::new, |place| format!(" of override {place}"))
}

impl PolicyError {
    /// The place of the override that it is about, from 1.
    pub(crate) fn place(&mut self) -> Option<&mut usize> {
        match self {
            Self::OverrideOutOfRange { place, .. } | Self::OfNothing { place } | Self::NoneOfNode { place, .. } => {
                Some(place)
            }
            Self::ForgetsTooSoon { place, .. } => place.as_mut(),
            Self::OutOfRange { .. } => None,
        }
    }
}

impl Policy {
    /// Checks it.
    ///
    /// # Errors
    /// What is wrong with it, the first thing only.
    pub fn checked(self) -> Result<Self, PolicyError> {
        let out = |field, found, wanted| Err(PolicyError::OutOfRange { field, found, wanted });
        match () {
            () if !(1..=100).contains(&self.rounds) => return out("rounds", u64::from(self.rounds), "1 to 100"),
            () if self.clear_permille > 1_000 => {
                return out("clear_permille", u64::from(self.clear_permille), "0 to 1000");
            }
            // A point a minute is kept of each node over the window.
            () if !(60_000_000_000..=86_400_000_000_000).contains(&self.drift_window_ns) => {
                return out(
                    "drift_window_ns",
                    self.drift_window_ns,
                    "60000000000 (a minute) to 86400000000000 (a day)",
                );
            }
            () if !SILENCE_NS.contains(&self.limits.silence_ns) => {
                return out("alerts.limits.silence", self.limits.silence_ns, SILENCE);
            }
            () => {}
        }
        if let Some(place) = self.overrides.iter().position(|other| other.when.rules.is_empty()) {
            return Err(PolicyError::OfNothing { place: place + 1 });
        }
        self.check_overrides_of_nodes()?;
        self.check_silences_of_some()?;
        self.check_forgetting()?;
        Ok(self)
    }

    /// What is of regions alone is said of no node.
    fn check_overrides_of_nodes(&self) -> Result<(), PolicyError> {
        let of_nodes = self.overrides.iter().enumerate().filter(|(_, other)| other.when.node.is_some());
        let mut rules = of_nodes.flat_map(|(place, other)| other.when.rules.iter().map(move |rule| (place + 1, *rule)));
        let of_regions = rules.find(|(_, rule)| matches!(rule, Rule::Reference | Rule::Regions));
        of_regions.map_or(Ok(()), |(place, rule)| Err(PolicyError::NoneOfNode { place, rule }))
    }

    /// How long some may be silent, each with the place of the override that says so, from 1.
    fn silences_of_some(&self) -> impl Iterator<Item = (usize, u64)> {
        let is_of_silence = |(_, other): &(usize, &Override)| other.when.rules.contains(&Rule::Silence);
        let others = self.overrides.iter().enumerate().filter(is_of_silence);
        others.filter_map(|(place, other)| Some((place + 1, other.limit?)))
    }

    fn check_silences_of_some(&self) -> Result<(), PolicyError> {
        let out =
            |(place, found)| PolicyError::OverrideOutOfRange { place, field: SILENCE_OF_SOME, found, wanted: SILENCE };
        self.silences_of_some().find(|(_, silence)| !SILENCE_NS.contains(silence)).map_or(Ok(()), |one| Err(out(one)))
    }

    /// A node has to be known for longer than it may be silent, also where others may be silent for longer.
    fn check_forgetting(&self) -> Result<(), PolicyError> {
        let others = self.silences_of_some().map(|(place, silence)| (silence, Some(place)));
        let usual = self.limits.of(Rule::Silence).map(|silence| (silence, None));
        match usual.into_iter().chain(others).find(|(silence, _)| *silence >= self.forget_ns) {
            Some((silence, place)) => Err(PolicyError::ForgetsTooSoon { forget: self.forget_ns, silence, place }),
            None if !FORGET_NS.contains(&self.forget_ns) => {
                Err(PolicyError::OutOfRange { field: "alerts.forget", found: self.forget_ns, wanted: FORGET })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Matcher};

    #[test]
    fn who_may_be_silent_for_as_long_as_they_want_may_be_forgotten_at_once() {
        let limits = Limits { off: vec![Rule::Silence], ..Limits::default() };
        assert!(Policy { limits, forget_ns: 60_000_000_000, ..Policy::default() }.checked().is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        let refused = |policy: Policy| policy.checked().unwrap_err().to_string();
        assert_eq!(refused(Policy { rounds: 0, ..Policy::default() }), "rounds: 0 is not within 1 to 100");
        assert!(refused(Policy { clear_permille: 1_001, ..Policy::default() }).contains("0 to 1000"));
        for drift_window_ns in [5, u64::MAX] {
            assert!(refused(Policy { drift_window_ns, ..Policy::default() }).contains("a minute"));
        }
        for silence_ns in [0, 86_400_000_000_000, u64::MAX] {
            let limits = Limits { silence_ns, ..Limits::default() };
            assert!(
                refused(Policy { limits, forget_ns: u64::MAX, ..Policy::default() }).contains("alerts.limits.silence")
            );
        }
        for forget_ns in [0, 119_000_000_000, 120_000_000_000] {
            let why = refused(Policy { forget_ns, ..Policy::default() });
            assert!(why.contains("alerts.forget") && why.contains("alerts.limits.silence"), "{why}");
        }
        assert!(refused(Policy { forget_ns: u64::MAX, ..Policy::default() }).contains("30 days"));
        let when = Matcher { rules: vec![Rule::Silence], ..Matcher::default() };
        let overrides = vec![Override { when: when.clone(), limit: Some(3_600_000_000_000) }];
        let why = refused(Policy { overrides, forget_ns: 1_800_000_000_000, ..Policy::default() });
        assert!(why.contains("alerts.forget") && why.contains("of override 1"), "{why}");
        for limit in [0, 999_999_999, 86_400_000_000_000, 129_600_000_000_000] {
            let overrides = vec![Override { when: when.clone(), limit: Some(limit) }];
            let why = refused(Policy { overrides, forget_ns: 604_800_000_000_000, ..Policy::default() });
            assert!(why.starts_with(&format!("override 1: alerts.override.limits.silence: {limit} is not")), "{why}");
        }
        for rule in [Rule::Reference, Rule::Regions] {
            for limit in [None, Some(5)] {
                let node = Some("a".to_owned().try_into().unwrap());
                let when = Matcher { node, rules: vec![Rule::Step, rule], ..Matcher::default() };
                let why = refused(Policy { overrides: vec![Override { when, limit }], ..Policy::default() });
                assert!(why.starts_with(&format!("override 1: `{rule}` is of regions")), "{why}");
            }
        }
        let overrides = vec![Override { when: Matcher::default(), limit: Some(1) }];
        assert!(refused(Policy { overrides, ..Policy::default() }).contains("override 1"));
        assert!(serde_json::from_str::<Policy>(r#"{"limits": {"ofset_ns": 1}}"#).is_err());
    }
}
