//! Policies that make sense.

use thiserror::Error;

use crate::{Override, Policy, Rule};

/// What a node may be silent for, ns: something comes each second or so, and who has not been heard for a day is not known any more.
const SILENCE_NS: std::ops::Range<u64> = 1_000_000_000..86_400_000_000_000;
const SILENCE: &str =
    "1000000000 ns (a second) to less than 86400000000000 (a day; who is silent for so long is not known any more)";
/// After what a node is gone, ns. In less than a minute one that is started again would be.
const FORGET_NS: std::ops::RangeInclusive<u64> = 60_000_000_000..=2_592_000_000_000_000;
const FORGET: &str = "60000000000 ns (a minute) to 2592000000000000 (30 days), and longer than alerts.limits.silence";

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
    /// A node would be gone before its silence is told.
    #[error(
        "alerts.forget: {forget} ns is not longer than alerts.limits.silence, {silence} ns{whose}: a node is gone, with its alerts, before it is told as silent"
    )]
    ForgetsTooSoon {
        /// After how long a node is gone, ns.
        forget: u64,
        /// How long one may be silent, ns.
        silence: u64,
        /// Whose, in words; empty where it is the one of all.
        whose: String,
    },
    /// An override of what it does not say.
    #[error("override {place}: it names no rules, and a limit of what is not said; give `rules`")]
    OfNothing {
        /// Its place among the overrides, from 1.
        place: usize,
    },
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
            () => self.check_forgetting()?,
        }
        match self.overrides.iter().position(|other| other.when.rules.is_empty()) {
            Some(place) => Err(PolicyError::OfNothing { place: place + 1 }),
            None => Ok(self),
        }
    }

    /// A node has to be known for longer than it may be silent, also where others may be silent for longer.
    fn check_forgetting(&self) -> Result<(), PolicyError> {
        let is_of_silence = |(_, other): &(usize, &Override)| other.when.rules.contains(&Rule::Silence);
        let others = self.overrides.iter().enumerate().filter(is_of_silence);
        let others = others.filter_map(|(place, other)| Some((other.limit?, format!(" of override {}", place + 1))));
        let usual = self.limits.of(Rule::Silence).map(|silence| (silence, String::new()));
        match usual.into_iter().chain(others).find(|(silence, _)| *silence >= self.forget_ns) {
            Some((silence, whose)) => Err(PolicyError::ForgetsTooSoon { forget: self.forget_ns, silence, whose }),
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
        let overrides = vec![Override { when: Matcher::default(), limit: Some(1) }];
        assert!(refused(Policy { overrides, ..Policy::default() }).contains("override 1"));
        assert!(serde_json::from_str::<Policy>(r#"{"limits": {"ofset_ns": 1}}"#).is_err());
    }
}
