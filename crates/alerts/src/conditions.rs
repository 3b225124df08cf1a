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

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::memory::Reading;
use crate::round::{LinkSeen, NodeSeen, RegionSeen, Violation};
use crate::{Interval, Key, Policy, Rule, Subject};

/// A common value that is below such a part of one's own explains nothing of it.
const EXPLAINS: u64 = 4;

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
    pub(crate) limit: u64,
}

/// A node as it was seen, and what its past says of it.
pub(crate) type Node<'a> = (&'a NodeSeen, Reading);

/// One rule's value of one node.
struct Value<'a> {
    region: &'a str,
    node: &'a str,
    value: Interval,
    /// It is told where it is beyond the limit; what it has in common with others counts in any case.
    counts: bool,
}

/// What is common to the nodes of each region, and to the regions.
struct Common<'a> {
    regions: BTreeMap<&'a str, Interval>,
    fleet: Option<Interval>,
}

/// All rules that are met.
pub(crate) fn conditions(
    nodes: &[Node<'_>],
    (regions, links, violations): (&[RegionSeen], &[LinkSeen], &[&Violation]),
    policy: &Policy,
) -> BTreeMap<Key, Condition> {
    let mut found = Found { policy, conditions: BTreeMap::new() };
    let offsets = Common::of(&values(nodes, |_, reading| reading.offset_ns));
    found.references(regions);
    found.links(links);
    let jumps = values(nodes, |seen, reading| {
        // What has not jumped says so, where it can be known.
        reading.jump_ns.or(seen.skew_ns.map(|_| Interval::exactly(0)))
    });
    found.rule(Rule::Pause, &jumps, &Common::of(&jumps));
    let steps = values(nodes, |_, reading| Some(Interval::exactly(reading.step_ns)));
    found.rule(Rule::Step, &steps, &Common::of(&steps));
    found.claims(nodes, &offsets);
    let frequencies = values(nodes, |_, reading| reading.frequency_ppb);
    found.rule(Rule::Frequency, &frequencies, &Common::of(&frequencies));
    found.drifts(nodes, &offsets);
    found.rule(Rule::Offset, &values(nodes, |_, reading| reading.offset_ns), &offsets);
    let bounds = values(nodes, half_bound);
    found.rule(Rule::Bound, &bounds, &Common::of(&bounds));
    let silences = values(nodes, |seen, _| Some(exactly(seen.silent_ns)));
    found.rule(Rule::Silence, &silences, &Common::of(&silences));
    found.violations(violations);
    found.conditions
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

fn exactly(value: u64) -> Interval {
    Interval::exactly(i64::try_from(value).unwrap_or(i64::MAX))
}

fn values<'a>(nodes: &[Node<'a>], value: impl Fn(&NodeSeen, &Reading) -> Option<Interval>) -> Vec<Value<'a>> {
    let of = |(seen, reading): &Node<'a>| {
        let value = value(seen, reading)?;
        Some(Value { region: &seen.region, node: &seen.node, value, counts: true })
    };
    nodes.iter().filter_map(of).collect()
}

impl<'a> Common<'a> {
    fn of(values: &[Value<'a>]) -> Self {
        let mut by_region: BTreeMap<&'a str, Vec<Interval>> = BTreeMap::new();
        for value in values {
            by_region.entry(value.region).or_default().push(value.value);
        }
        let common = |(region, all): (&'a str, Vec<Interval>)| Some((region, Interval::common(all.into_iter())?));
        let regions: BTreeMap<_, _> = by_region.into_iter().filter_map(common).collect();
        let fleet = Interval::common(regions.values().copied());
        Self { regions, fleet }
    }

    /// Whether more than half of the regions, and two at least, are beyond `limit` on the same side; by what they agree on.
    fn of_most(&self, limit: u64) -> Option<Interval> {
        let beyond: Vec<Interval> = self.regions.values().copied().filter(|value| value.is_beyond(limit)).collect();
        let ahead: Vec<Interval> = beyond.iter().copied().filter(|value| value.low > 0).collect();
        let behind: Vec<Interval> = beyond.into_iter().filter(|value| value.high < 0).collect();
        let most = if ahead.len() >= behind.len() { ahead } else { behind };
        let is_most = most.len() >= 2 && 2 * most.len() > self.regions.len();
        most.into_iter().min_by_key(|value| value.at_least().unsigned_abs()).filter(|_| is_most)
    }
}

/// Whether `value` is beyond `limit`, and also what `common` does not explain of it.
fn is_own(value: Interval, common: Option<Interval>, limit: u64) -> bool {
    if !value.is_beyond(limit) {
        return false;
    }
    let Some(common) = common.map(Interval::middle) else { return true };
    let own = value.at_least();
    let explains = common.signum() == own.signum() && common.unsigned_abs() >= own.unsigned_abs() / EXPLAINS;
    let rest = value.against(common);
    !explains || rest.is_beyond(limit) && rest.at_least().signum() == own.signum()
}

struct Found<'p> {
    policy: &'p Policy,
    conditions: BTreeMap<Key, Condition>,
}

impl Found<'_> {
    /// Holds a value against the limits of its alert.
    fn hold(&mut self, key: Key, value: Interval, is_beyond: impl Fn(u64) -> bool) {
        let Some(limit) = self.policy.limit(&key) else { return };
        let level = match () {
            () if is_beyond(limit) => Level::Breaks,
            () if !key.rule.is_event() && is_beyond(self.policy.clear(limit)) => Level::Holds,
            () => return,
        };
        let condition = Condition { level, value, limit };
        // Of several words on the same subject, as of all runs of a region's references, the worst one counts.
        let badness = |condition: &Condition| (condition.level, condition.value.at_least().unsigned_abs());
        if self.conditions.get(&key).is_none_or(|known| badness(known) < badness(&condition)) {
            self.conditions.insert(key, condition);
        }
    }

    fn rule(&mut self, rule: Rule, values: &[Value<'_>], common: &Common<'_>) {
        self.own(rule, values, common);
        self.common(rule, common, |_, _| true);
    }

    fn own(&mut self, rule: Rule, values: &[Value<'_>], common: &Common<'_>) {
        for Value { region, node, value, .. } in values.iter().filter(|value| value.counts) {
            let key = Key { rule, subject: Subject::Node((*region).to_owned(), (*node).to_owned()) };
            let of_region = common.regions.get(region).copied();
            self.hold(key, *value, |limit| is_own(*value, of_region, limit));
        }
    }

    /// What nodes have in common. Where they all jump it is what they are measured against that did.
    fn common(&mut self, rule: Rule, common: &Common<'_>, is_of_region: impl Fn(&str, Interval) -> bool) {
        let rule = if rule == Rule::Pause { Rule::Reference } else { rule };
        let fleet = Key { rule, subject: Subject::Fleet };
        let clear = self.policy.limit(&fleet).map(|limit| self.policy.clear(limit));
        if let Some(value) = clear.and_then(|clear| common.of_most(clear)) {
            self.hold(fleet.clone(), value, |limit| common.of_most(limit).is_some());
        }
        let is_of_all = self.conditions.get(&fleet).is_some_and(|condition| condition.level == Level::Breaks);
        for (region, value) in
            common.regions.iter().filter(|(region, value)| !is_of_all && is_of_region(region, **value))
        {
            let key = Key { rule, subject: Subject::Region((*region).to_owned()) };
            self.hold(key, *value, |limit| is_own(*value, common.fleet, limit));
        }
    }

    fn references(&mut self, regions: &[RegionSeen]) {
        for RegionSeen { region, false_by_ns, .. } in regions {
            let Some(by_ns) = *false_by_ns else { continue };
            let key = Key { rule: Rule::Reference, subject: Subject::Region(region.clone()) };
            self.hold(key, exactly(by_ns), |limit| by_ns > limit);
        }
    }

    fn links(&mut self, links: &[LinkSeen]) {
        for LinkSeen { region, peer, false_by_ns, .. } in links {
            let Some(by_ns) = *false_by_ns else { continue };
            let key = Key { rule: Rule::Regions, subject: Subject::Regions(region.clone(), peer.clone()) };
            self.hold(key, exactly(by_ns), |limit| by_ns > limit);
        }
    }

    /// A claim of a node's is held against what its region's aggregator claims. Where all wall clocks are off alike, that is why claims
    /// are false.
    fn claims(&mut self, nodes: &[Node<'_>], offsets: &Common<'_>) {
        let mut gaps = values(nodes, |_, reading| reading.gap_ns.map(Interval::exactly));
        let common = Common::of(&gaps);
        for gap in &mut gaps {
            gap.counts = is_own(gap.value, offsets.regions.get(gap.region).copied(), 0);
        }
        self.own(Rule::Claim, &gaps, &common);
        self.common(Rule::Claim, &common, |_, gap| is_own(gap, offsets.fleet, 0));
    }

    /// Drift counts where it has led away from UTC, and a node's own from where its region is. Towards it is what daemons are for.
    fn drifts(&mut self, nodes: &[Node<'_>], offsets: &Common<'_>) {
        let window_s = (self.policy.drift_window_ns / 1_000_000_000).cast_signed();
        let has_left = |drift_ppb: i64, offset_ns: i64| {
            let before_ns = offset_ns.saturating_sub(drift_ppb.saturating_mul(window_s));
            offset_ns.unsigned_abs() > before_ns.unsigned_abs()
        };
        let mut drifts = values(nodes, |_, reading| reading.drift_ppb);
        let mut common = Common::of(&drifts);
        let own = |value: Interval, common: &Common<'_>, region: &str| {
            value.middle().saturating_sub(common.regions.get(region).map_or(0, |common| common.middle()))
        };
        let with_drift = nodes.iter().filter(|(_, reading)| reading.drift_ppb.is_some());
        for (drift, (_, reading)) in drifts.iter_mut().zip(with_drift) {
            let own_ppb = own(drift.value, &common, drift.region);
            let own_ns = reading.offset_ns.map(|offset| own(offset, offsets, drift.region));
            drift.counts = own_ns.is_some_and(|own_ns| has_left(own_ppb, own_ns));
        }
        self.own(Rule::Drift, &drifts, &common);
        let of_region = |region: &str| offsets.regions.get(region).copied();
        let is_leaving = |region: &str, drift: Interval| {
            of_region(region).is_some_and(|offset| has_left(drift.middle(), offset.middle()))
        };
        common.regions.retain(|region, drift| is_leaving(region, *drift));
        self.common(Rule::Drift, &common, |_, _| true);
    }

    /// A node in messages with two others or more is what is wrong there. Of what is left nobody can say which of the two it is.
    fn violations(&mut self, violations: &[&Violation]) {
        let mut left = violations.to_vec();
        while let Some((node, _)) = most_involved(&left).filter(|(_, others)| *others >= 2) {
            let is_of = |violation: &&Violation| violation.from == node || violation.to == node;
            let by_ns = left.iter().copied().filter(is_of).map(|violation| violation.by_ns).max().unwrap_or_default();
            left.retain(|violation| !is_of(violation));
            let key = Key { rule: Rule::Causality, subject: Subject::Node(node.0, node.1) };
            self.hold(key, exactly(by_ns), |limit| by_ns > limit);
        }
        for Violation { from, to, by_ns, .. } in left {
            let key = Key { rule: Rule::Causality, subject: Subject::Nodes(from.clone(), to.clone()) };
            self.hold(key, exactly(*by_ns), |limit| *by_ns > limit);
        }
    }
}

/// The node whose messages with most others are violated, and how many those are; of several the first by name.
fn most_involved(violations: &[&Violation]) -> Option<((String, String), usize)> {
    let mut others: BTreeMap<&(String, String), BTreeSet<&(String, String)>> = BTreeMap::new();
    for Violation { from, to, .. } in violations {
        others.entry(from).or_default().insert(to);
        others.entry(to).or_default().insert(from);
    }
    let most = others.into_iter().rev().max_by_key(|(_, others)| others.len())?;
    Some((most.0.clone(), most.1.len()))
}
