//! What cannot be true together: words of regions, links, messages; and wall clocks of regions that links hold against one another.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::Node;
use crate::conditions::{Found, exactly};
use crate::interval::FEWEST;
use crate::round::{LinkSeen, RegionSeen, Round, Violation};
use crate::{Against, Interval, Key, Rule, Subject};

/// Region and node, or region and the run of its reference.
type Name = (String, String);
type Run<'a> = (&'a str, u64);

impl Found<'_> {
    /// Where bounds do not tell which of two words is false, neither is accused.
    pub(crate) fn references(&mut self, regions: &[RegionSeen]) {
        for seen in regions {
            let Some(by_ns) = seen.false_by_ns else { continue };
            let (subject, against) = match (seen.is_doubted, other(&seen.region, regions)) {
                (true, Some(other)) => (pair(&seen.region, other), Against::Utc),
                (true, None) => (Subject::Region(seen.region.clone()), Against::OtherWords),
                (false, _) => (Subject::Region(seen.region.clone()), Against::Utc),
            };
            self.hold(Key { rule: Rule::Reference, subject }, (exactly(by_ns), against), &[]);
        }
    }

    pub(crate) fn links(&mut self, links: &[LinkSeen]) {
        for LinkSeen { region, peer, false_by_ns, .. } in links {
            let Some(by_ns) = *false_by_ns else { continue };
            let key = Key { rule: Rule::Regions, subject: Subject::Regions(region.clone(), peer.clone()) };
            self.hold(key, (exactly(by_ns), Against::Utc), &[]);
        }
    }

    /// Where nobody knows UTC, wall clocks of regions are held against one another over links. A region that is apart from two others or more is
    /// what is wrong there. Of what is left nobody can say which of the two it is.
    pub(crate) fn walls(&mut self, nodes: &[Node<'_>], round: &Round) {
        let mut apart = self.apart(nodes, round);
        while let Some((region, of_it)) = furthest(&apart) {
            let subject = Subject::Region(region.clone());
            self.hold_walls(subject, of_it);
            apart.retain(|((one, other), _)| *one != region && *other != region);
        }
        for ((region, peer), value) in apart {
            self.hold_walls(Subject::Regions(region, peer), value);
        }
    }

    /// By the limit of an offset, if the rule is on.
    fn hold_walls(&mut self, subject: Subject, value: Interval) {
        let limit = |rule: Rule| self.before.policy.limit(&Key { rule, subject: subject.clone() });
        let limit = limit(Rule::Regions).and(limit(Rule::Offset));
        self.hold_to(Key { rule: Rule::Regions, subject }, limit, (value, Against::OtherRegions), &[]);
    }

    /// How far most wall clocks of a region are ahead of those of its peer, where that is beyond what ends an alert; of several runs of either the most.
    fn apart(&self, nodes: &[Node<'_>], round: &Round) -> Vec<(Name, Interval)> {
        let by_utc = round.regions.iter().filter(|seen| seen.utc_ns.is_some());
        let by_utc: BTreeSet<Run<'_>> = by_utc.map(|seen| (seen.region.as_str(), seen.run)).collect();
        let walls = self.walls_of(nodes);
        let mut apart: BTreeMap<Name, Interval> = BTreeMap::new();
        for link in &round.links {
            let ends = [(link.region.as_str(), link.run), (link.peer.as_str(), link.peer_run)];
            let is_by_utc = ends.iter().any(|end| by_utc.contains(end));
            let [Some(wall), Some(other)] = ends.map(|end| walls.get(&end)) else { continue };
            let value = wall.minus(*other).minus(link.apart_ns);
            let key = Key { rule: Rule::Offset, subject: Subject::Regions(link.region.clone(), link.peer.clone()) };
            let clear = self.before.policy.limit(&key).map(|limit| self.before.policy.clear(limit));
            if link.region == link.peer || is_by_utc || !clear.is_some_and(|clear| value.is_beyond(clear)) {
                continue;
            }
            let most = apart.entry((link.region.clone(), link.peer.clone())).or_insert(value);
            if most.at_least().unsigned_abs() < value.at_least().unsigned_abs() {
                *most = value;
            }
        }
        apart.into_iter().collect()
    }

    /// WALL - REF of most nodes that are measured against a reference; of fewer than have anything in common whatever any of them may be.
    fn walls_of<'n>(&self, nodes: &[Node<'n>]) -> BTreeMap<Run<'n>, Interval> {
        let mut all: BTreeMap<Run<'n>, Vec<Interval>> = BTreeMap::new();
        for (seen, _) in nodes {
            if !self.before.left_out.is_node(Rule::Offset, &seen.region, &seen.node, &[]) {
                all.entry((&seen.region, seen.run)).or_default().extend(seen.skew_ns);
            }
        }
        let wall = |all: Vec<Interval>| match all.len() {
            FEWEST.. => Interval::common(all.into_iter()),
            _ => Interval::hull(all.into_iter()),
        };
        all.into_iter().filter_map(|(run, all)| Some((run, wall(all)?))).collect()
    }

    /// A node in messages with two others or more is what is wrong there. Of what is left nobody can say which of the two it is.
    pub(crate) fn violations(&mut self, violations: &[&Violation]) {
        let mut left = violations.to_vec();
        while let Some((node, _)) = most_involved(&left).filter(|(_, others)| *others >= 2) {
            let is_of = |violation: &&Violation| violation.from == node || violation.to == node;
            let by_ns = left.iter().copied().filter(is_of).map(|violation| violation.by_ns).max().unwrap_or_default();
            left.retain(|violation| !is_of(violation));
            let key = Key { rule: Rule::Causality, subject: Subject::Node(node.0, node.1) };
            self.hold(key, (exactly(by_ns), Against::Utc), &[]);
        }
        for Violation { from, to, by_ns, .. } in left {
            let key = Key { rule: Rule::Causality, subject: Subject::Nodes(from.clone(), to.clone()) };
            self.hold(key, (exactly(*by_ns), Against::Utc), &[]);
        }
    }
}

/// The only other region that says anything of UTC.
pub(crate) fn other<'a>(region: &str, regions: &'a [RegionSeen]) -> Option<&'a str> {
    let others = regions.iter().filter(|other| other.region != region);
    let others: BTreeSet<&str> = others.map(|other| other.region.as_str()).collect();
    others.first().filter(|_| others.len() == 1).copied()
}

fn pair(one: &str, other: &str) -> Subject {
    Subject::Regions(one.min(other).to_owned(), one.max(other).to_owned())
}

/// The region that is ahead of most others, and of two at least, or behind them, and by how much it is from the furthest of those; of several
/// the first by name.
fn furthest(apart: &[(Name, Interval)]) -> Option<(String, Interval)> {
    let mut sides: BTreeMap<(&str, bool), Vec<Interval>> = BTreeMap::new();
    for ((region, peer), value) in apart {
        let is_ahead = value.at_least() > 0;
        let turned = Interval { low: value.high.saturating_neg(), high: value.low.saturating_neg() };
        sides.entry((region, is_ahead)).or_default().push(*value);
        sides.entry((peer, !is_ahead)).or_default().push(turned);
    }
    let ((region, _), all) = sides.into_iter().rev().max_by_key(|(_, all)| all.len())?;
    let furthest = all.iter().copied().max_by_key(|value| value.at_least().unsigned_abs())?;
    (all.len() >= 2).then(|| (region.to_owned(), furthest))
}

/// The node whose messages with most others are violated, and how many those are; of several the first by name.
fn most_involved(violations: &[&Violation]) -> Option<(Name, usize)> {
    let mut others: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for Violation { from, to, .. } in violations {
        others.entry(from).or_default().insert(to);
        others.entry(to).or_default().insert(from);
    }
    let most = others.into_iter().rev().max_by_key(|(_, others)| others.len())?;
    Some((most.0.clone(), most.1.len()))
}
