//! What is wrong in a round: a pure function of what was read of all nodes, regions and links.
//!
//! A node is alerted on only for what is its own. What most nodes of its region do alike, and most regions, has a common cause, which is
//! told instead: the region's reference, its time source, a leap smear. That is decided on values and not by counting alerts, so
//! that the first node over a limit that all are about to pass is not blamed for it:
//!
//! ```text
//! values of nodes ──► common to the region (median) ──► common to the fleet (median)
//!        └─ its own part beyond the limit?    └─ its own part?        └─ beyond the limit?
//! ```
//!
//! Whatever is beyond its limit is told of something: what is common explains a value only where it is told itself. Where it is about to be,
//! it is waited for ([`WAITS_NS`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::common::{Common, Node, Value, explains, values};
use crate::left_out::LeftOut;
use crate::memory::Reading;
use crate::round::{NodeSeen, Round, Violation};
use crate::{Against, Interval, Key, Policy, Rule, Subject};

/// What is common and about to be told is waited for so long, ns, before what it would explain is told by itself.
const WAITS_NS: i64 = 600_000_000_000;

/// How far a rule is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Level {
    /// Not as far as to begin an alert, too far to end one.
    Holds,
    /// Beyond the limit.
    Breaks,
}

/// A rule that is met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Condition {
    pub(crate) level: Level,
    pub(crate) value: Interval,
    pub(crate) against: Against,
    pub(crate) limit: u64,
}

/// Whether what is common is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Untold,
    /// It is so near to its limit that it may be the next one over it.
    AboutToBe,
    Told,
}

/// What may explain a value, and how that stands.
pub(crate) type Reason = (Interval, Standing);

/// Values that are beyond their limits, since when, ns, and explained by what is not told yet.
pub(crate) type Waiting = BTreeMap<Key, i64>;

/// What is known from before a round.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) left_out: LeftOut<'a>,
    pub(crate) waiting: &'a Waiting,
    /// Whether an alert fires.
    pub(crate) fires: &'a dyn Fn(&Key) -> bool,
}

/// All rules that are met, and what is waited for.
pub(crate) fn conditions(
    nodes: &[Node<'_>],
    (round, violations): (&Round, &[&Violation]),
    before: Before<'_>,
) -> (BTreeMap<Key, Condition>, Waiting) {
    let mut found = Found { at_ns: round.at_ns, before, conditions: BTreeMap::new(), waiting: Waiting::new() };
    found.references(&round.regions);
    found.links(&round.links);
    found.walls(nodes, round);
    found.violations(violations);
    found.jumps(nodes);
    let offsets = found.common(Rule::Offset, nodes, |_, reading| reading.offset_ns);
    let leaving = found.drifts(nodes, &offsets);
    found.claims(nodes, (&offsets, &leaving));
    found.rule(Rule::Step, nodes, |_, reading| Some(Interval::exactly(reading.step_ns)));
    found.rule(Rule::Frequency, nodes, |_, reading| reading.frequency_ppb);
    found.own(Rule::Offset, &found.before.values(Rule::Offset, nodes, |_, reading| reading.offset_ns), &offsets);
    found.rule(Rule::Bound, nodes, half_bound);
    found.rule(Rule::Silence, nodes, |seen, _| Some(exactly(seen.silent_ns)));
    (found.conditions, found.waiting)
}

/// What its bound is, or will be once what is known from before has faded; without limit where nothing becomes known.
fn half_bound(seen: &NodeSeen, reading: &Reading) -> Option<Interval> {
    if reading.is_unknown {
        return Some(exactly(u64::MAX));
    }
    let known = seen.skew_ns.map(Interval::half_width);
    let to_come = seen.round_trip_ns.map(|round_trip| round_trip / 2);
    known.max(to_come).map(exactly)
}

pub(crate) fn exactly(value: u64) -> Interval {
    Interval::exactly(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Before<'_> {
    pub(crate) fn values<'n>(
        &self,
        rule: Rule,
        nodes: &[Node<'n>],
        value: impl Fn(&NodeSeen, &Reading) -> Option<Interval>,
    ) -> Vec<Value<'n>> {
        values((rule, nodes), self.left_out, value)
    }
}

pub(crate) struct Found<'p> {
    at_ns: i64,
    pub(crate) before: Before<'p>,
    conditions: BTreeMap<Key, Condition>,
    waiting: Waiting,
}

/// What a rule has in common, and how that stands for each region.
pub(crate) struct Standings<'a> {
    pub(crate) common: Common<'a>,
    pub(crate) regions: BTreeMap<&'a str, Standing>,
}

impl Found<'_> {
    /// Holds a value against the limits of its alert.
    pub(crate) fn hold(&mut self, key: Key, (value, against): (Interval, Against), reasons: &[Reason]) {
        let limit = self.before.policy.limit(&key);
        self.hold_to(key, limit, (value, against), reasons);
    }

    /// The same by another limit.
    pub(crate) fn hold_to(
        &mut self,
        key: Key,
        limit: Option<u64>,
        (value, against): (Interval, Against),
        reasons: &[Reason],
    ) {
        let Some(limit) = limit else { return };
        let Some(level) = self.level(&key, limit, value, reasons) else { return };
        self.put(key, Condition { level, value, against, limit });
    }

    /// Of several words on the same subject, as of all runs of a region's references, the worst one counts.
    fn put(&mut self, key: Key, condition: Condition) {
        let badness = |condition: &Condition| (condition.level, condition.value.at_least().unsigned_abs());
        if self.conditions.get(&key).is_none_or(|known| badness(known) < badness(&condition)) {
            self.conditions.insert(key, condition);
        }
    }

    /// How far a value is beyond its limits by what nothing that is told explains.
    fn level(&mut self, key: &Key, limit: u64, value: Interval, reasons: &[Reason]) -> Option<Level> {
        let clear = if key.rule.is_event() { limit } else { self.before.policy.clear(limit) };
        let is_explained = |limit: u64, standing: Standing| {
            reasons.iter().any(|(common, stands)| *stands == standing && explains(*common, value, limit))
        };
        if !value.is_beyond(clear) || is_explained(clear, Standing::Told) {
            return None;
        }
        let is_own = value.is_beyond(limit) && !is_explained(limit, Standing::Told);
        let waits = [clear, limit].into_iter().any(|limit| is_explained(limit, Standing::AboutToBe));
        let has_waited = waits && self.has_waited(key, is_own);
        let breaks = is_own && (has_waited || !is_explained(limit, Standing::AboutToBe));
        match () {
            () if breaks => Some(Level::Breaks),
            () if !key.rule.is_event() => Some(Level::Holds),
            () => None,
        }
    }

    /// Since it went beyond its limit, and did not come back far enough to end an alert.
    fn has_waited(&mut self, key: &Key, is_beyond: bool) -> bool {
        let since_ns = self.before.waiting.get(key).copied().or(is_beyond.then_some(self.at_ns));
        self.waiting.extend(since_ns.map(|since_ns| (key.clone(), since_ns)));
        since_ns.is_some_and(|since_ns| self.at_ns.saturating_sub(since_ns) >= WAITS_NS)
    }

    pub(crate) fn is_told(&self, key: &Key) -> bool {
        let level = self.conditions.get(key).map(|condition| condition.level);
        level == Some(Level::Breaks) || level == Some(Level::Holds) && (self.before.fires)(key)
    }

    fn rule(&mut self, rule: Rule, nodes: &[Node<'_>], value: impl Fn(&NodeSeen, &Reading) -> Option<Interval>) {
        let values = self.before.values(rule, nodes, value);
        let standings = self.commons(rule, Common::of(rule, &values, self.before.left_out), &[]);
        self.own(rule, &values, &standings);
    }

    fn common<'n>(
        &mut self,
        rule: Rule,
        nodes: &[Node<'n>],
        value: impl Fn(&NodeSeen, &Reading) -> Option<Interval>,
    ) -> Standings<'n> {
        let common = Common::of(rule, &self.before.values(rule, nodes, value), self.before.left_out);
        self.commons(rule, common, &[])
    }

    /// What nodes have of their own.
    pub(crate) fn own(&mut self, rule: Rule, values: &[Value<'_>], standings: &Standings<'_>) {
        for value in values.iter().filter(|value| value.counts) {
            let reasons: Vec<Reason> = standings.of(value.region).into_iter().collect();
            self.hold(value.key(rule), (value.value, value.against), &reasons);
        }
    }

    /// What nodes have in common, by region and of the fleet; `others` may explain a region's, too.
    pub(crate) fn commons<'a>(&mut self, rule: Rule, common: Common<'a>, others: &[Reason]) -> Standings<'a> {
        let fleet = Key { rule, subject: Subject::Fleet };
        if let Some(limit) = self.before.policy.limit(&fleet) {
            let clear = self.before.policy.clear(limit);
            let of_most = common.of_most(limit).map(|value| (Level::Breaks, value));
            if let Some((level, value)) = of_most.or_else(|| Some((Level::Holds, common.of_most(clear)?))) {
                self.put(fleet.clone(), Condition { level, value, against: Against::Utc, limit });
            }
        }
        let mut reasons = others.to_vec();
        reasons.extend(self.of_fleet(&fleet, &common));
        let mut regions = BTreeMap::new();
        for (region, value) in &common.regions {
            let key = Key { rule, subject: Subject::Region((*region).to_owned()) };
            self.hold(key.clone(), (*value, Against::Utc), &reasons);
            regions.insert(*region, self.standing(&key, (&common, region), &reasons));
        }
        Standings { common, regions }
    }

    /// What the fleet does, where that is told or about to be.
    fn of_fleet(&self, fleet: &Key, common: &Common<'_>) -> Option<Reason> {
        let told = self.conditions.get(fleet).filter(|_| self.is_told(fleet));
        if let Some(condition) = told {
            return Some((condition.value, Standing::Told));
        }
        Some((common.fleet?, self.near(fleet, (common, None))))
    }

    /// How what a region has in common stands: by itself, or by what explains it.
    fn standing(&self, key: &Key, (common, region): (&Common<'_>, &str), reasons: &[Reason]) -> Standing {
        let Some(value) = common.regions.get(region).copied() else { return Standing::Untold };
        let limit = self.before.policy.limit(key).unwrap_or(0);
        let explained = reasons.iter().filter(|(reason, _)| explains(*reason, value, limit)).map(|(_, stands)| *stands);
        let own = if self.is_told(key) { Standing::Told } else { self.near(key, (common, Some(region))) };
        explained.max().unwrap_or(Standing::Untold).max(own)
    }

    /// Whether most are so near to a limit that it is about to be told. Something that happened is over before it could be waited for.
    fn near(&self, key: &Key, (common, region): (&Common<'_>, Option<&str>)) -> Standing {
        let limit = self.before.policy.limit(key).filter(|_| !key.rule.is_event() && key.rule != Rule::Reference);
        let is_near = limit.is_some_and(|limit| common.is_near(region, self.before.policy.clear(limit)));
        if is_near { Standing::AboutToBe } else { Standing::Untold }
    }

    /// Where all jump by the same it is what they are measured against that did.
    fn jumps(&mut self, nodes: &[Node<'_>]) {
        let all = self.before.values(Rule::Pause, nodes, |_, reading| reading.common_jump_ns);
        let references = self.commons(Rule::Reference, Common::of_jumps(&all, self.before.left_out), &[]);
        let own = self.before.values(Rule::Pause, nodes, |_, reading| reading.jump_ns);
        self.own(Rule::Pause, &own, &references);
    }
}

impl Standings<'_> {
    /// What a node's region has in common.
    pub(crate) fn of(&self, region: &str) -> Option<Reason> {
        Some((*self.common.regions.get(region)?, *self.regions.get(region)?))
    }
}
