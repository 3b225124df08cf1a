//! The states of one alert.
//!
//! ```text
//!          breaks              breaks in `rounds` on end           below the clear limit for `quiet`
//! (none) ─────────► pending ───────────────────────────► firing ─────────────────────────────────────► resolved
//!                      └── does not break: resolved        ▲ └── breaks or holds: quiet begins anew
//! ```

use serde::{Deserialize, Serialize};

use crate::conditions::{Condition, Level};
use crate::{Interval, Key, Policy, Severity};

/// How far an alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its rule is met, not yet for long enough.
    Pending,
    /// It is so.
    Firing,
    /// It is not any more, or was not for long enough.
    Resolved,
}

impl State {
    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What an offset is from, and a drift away from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// UTC, as claims and links have it.
    #[default]
    Utc,
    /// What most wall clocks of the region say, as nobody claims to know UTC.
    Region,
    /// What most wall clocks of other regions say, as nobody claims to know UTC.
    OtherRegions,
    /// What other regions say of UTC, of which one may be what is false.
    OtherWords,
}

impl Against {
    pub(crate) fn is_utc(&self) -> bool {
        *self == Self::Utc
    }
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Pending or firing.
    pub state: State,
    /// Since when its rule is met, ns since 1970.
    pub since_ns: i64,
    /// When it began to fire; none while pending.
    pub fired_ns: Option<i64>,
    /// The newest value that met the rule, in the rule's unit.
    pub value: Interval,
    /// The one furthest beyond the limit.
    pub worst: Interval,
    /// What that one is against. A state that does not say it is against UTC.
    #[serde(default, skip_serializing_if = "Against::is_utc")]
    pub against: Against,
    /// The limit that it is beyond.
    pub limit: u64,
    /// The incident that it is part of; none while pending.
    pub incident: Option<u64>,
    /// A silence covered it when it began to fire; of an event, all of it that happened.
    pub was_silenced: bool,
    rounds: u32,
    /// Since when it is below the clear limit.
    quiet_ns: Option<i64>,
    /// Since when nothing has been known that could end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown_ns: Option<i64>,
    /// When what it tells of happened last, by the clock that rounds are by, where that is known to the instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) happened_ns: Option<i64>,
}

/// An alert has another state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Which alert.
    pub key: Key,
    /// Before; none where there was no such alert.
    pub from: Option<State>,
    /// Now.
    pub to: State,
    /// When, ns since 1970.
    pub at_ns: i64,
    /// Since when its rule is met.
    pub since_ns: i64,
    /// When what it tells of happened last, where that is known to the instant: of steps.
    pub happened_ns: Option<i64>,
    /// The value that met the rule last, in its unit.
    pub value: Interval,
    /// The one furthest beyond the limit.
    pub worst: Interval,
    /// What that one is against.
    pub against: Against,
    /// The limit.
    pub limit: u64,
    /// How much it matters.
    pub severity: Severity,
    /// What it is part of; none where it never fired.
    pub incident: Option<u64>,
    /// A silence covers it.
    pub is_silenced: bool,
}

impl Alert {
    pub(crate) fn new(at_ns: i64, condition: &Condition) -> Self {
        Self {
            state: State::Pending,
            since_ns: at_ns,
            fired_ns: None,
            value: condition.value,
            worst: condition.value,
            against: condition.against,
            limit: condition.limit,
            incident: None,
            was_silenced: false,
            rounds: 0,
            quiet_ns: None,
            unknown_ns: None,
            happened_ns: None,
        }
    }

    /// Takes when what it tells of happened in a round, each from and until; of one that is `begun` in it that is between the rounds, where no more is known.
    /// A silence that is over, or has not begun, when this comes covers what happened in it, and nothing else.
    pub(crate) fn note_happened(
        &mut self,
        happened: Vec<(i64, i64)>,
        begun: Option<(i64, i64)>,
        is_silenced: impl Fn((i64, i64)) -> bool,
    ) {
        let instants = happened.iter().filter(|(from_ns, until_ns)| from_ns == until_ns).map(|(at_ns, _)| *at_ns);
        self.happened_ns = instants.max().or(self.happened_ns);
        let between = begun.filter(|_| happened.is_empty());
        let is_quiet = begun.is_some() || self.was_silenced;
        self.was_silenced = is_quiet && happened.into_iter().chain(between).all(is_silenced);
    }

    /// Takes a round in which its condition is this, or none; the state after it. `is_known` is false where nothing can be told
    /// of its subject, which ends nothing.
    pub(crate) fn take(&mut self, at_ns: i64, condition: Option<&Condition>, is_known: bool, policy: &Policy) -> State {
        if let Some(condition) = condition {
            (self.value, self.limit) = (condition.value, condition.limit);
            if condition.value.at_least().unsigned_abs() > self.worst.at_least().unsigned_abs() {
                (self.worst, self.against) = (condition.value, condition.against);
            }
        }
        let is_unknown = condition.is_none() && !is_known;
        self.unknown_ns = is_unknown.then_some(self.unknown_ns.unwrap_or(at_ns));
        let breaks = condition.is_some_and(|condition| condition.level == Level::Breaks);
        if self.state == State::Pending {
            return self.take_pending(at_ns, breaks, is_known, policy.rounds);
        }
        if condition.is_some() || !is_known {
            self.quiet_ns = None;
            return State::Firing;
        }
        let quiet_ns = *self.quiet_ns.get_or_insert(at_ns);
        let is_over = at_ns.saturating_sub(quiet_ns) >= i64::try_from(policy.quiet_ns).unwrap_or(i64::MAX);
        if is_over { State::Resolved } else { State::Firing }
    }

    fn take_pending(&mut self, at_ns: i64, breaks: bool, is_known: bool, rounds: u32) -> State {
        match (breaks, is_known) {
            (true, _) => {
                self.rounds += 1;
                if self.rounds >= rounds {
                    (self.state, self.fired_ns) = (State::Firing, Some(at_ns));
                }
                self.state
            }
            (false, false) => State::Pending,
            (false, true) => State::Resolved,
        }
    }

    /// Whether a value that does not meet the rule says that it is over. One that is known far worse than before, as while UTC is known by links
    /// alone, says nothing.
    pub(crate) fn is_told_by(&self, value: Interval) -> bool {
        value.half_width() <= self.limit.max(self.worst.half_width()).saturating_mul(2)
    }

    /// What there is to say of another state of it: before and now.
    pub(crate) fn transition(
        &self,
        key: Key,
        (from, to): (Option<State>, State),
        at_ns: i64,
        (severity, is_silenced): (Severity, bool),
    ) -> Transition {
        let Self { since_ns, happened_ns, value, worst, against, limit, incident, .. } = *self;
        Transition {
            key,
            from,
            to,
            at_ns,
            since_ns,
            happened_ns,
            value,
            worst,
            against,
            limit,
            severity,
            incident,
            is_silenced,
        }
    }

    /// As if all of it had been so much earlier.
    pub(crate) fn set_back(&mut self, by_ns: u64) {
        self.since_ns = self.since_ns.saturating_sub_unsigned(by_ns);
        let others = [&mut self.fired_ns, &mut self.quiet_ns, &mut self.unknown_ns, &mut self.happened_ns];
        for at_ns in others.into_iter().flatten() {
            *at_ns = at_ns.saturating_sub_unsigned(by_ns);
        }
    }

    /// Whether its rule was met in the newest round.
    pub fn is_met(&self) -> bool {
        self.quiet_ns.is_none()
    }
}
