//! Values of nodes, and what is common to the nodes of each region and to the regions.

use std::collections::{BTreeMap, BTreeSet};

use crate::interval::FEWEST;
use crate::left_out::LeftOut;
use crate::memory::Reading;
use crate::round::NodeSeen;
use crate::{Against, Interval, Key, Rule, Subject};

/// A common value that is below such a part of one's own explains nothing of it.
const EXPLAINS: u64 = 4;
/// One node of so many may not have jumped with its region's reference, as far as is known.
const NEARLY_ALL: usize = 10;

/// A node as it was seen, and what its past says of it.
pub(crate) type Node<'a> = (&'a NodeSeen, Reading);

/// One rule's value of one node.
pub(crate) struct Value<'a> {
    pub(crate) region: &'a str,
    pub(crate) node: &'a str,
    pub(crate) value: Interval,
    pub(crate) against: Against,
    /// It is told where it is beyond the limit; what it has in common with others counts in any case.
    pub(crate) counts: bool,
    /// It is no part of what its region has in common.
    is_left_out: bool,
}

/// What is common to the nodes of each region, and to the regions.
pub(crate) struct Common<'a> {
    pub(crate) regions: BTreeMap<&'a str, Interval>,
    pub(crate) fleet: Option<Interval>,
    /// What most have, at best: the same of the middles of their values, however wide those are.
    middles: BTreeMap<&'a str, Interval>,
    fleet_middle: Option<Interval>,
    /// Regions that are no part of the fleet's.
    left_out: BTreeSet<&'a str>,
    /// How many regions those are that most of are the fleet, also such as nothing was kept of.
    counted: usize,
}

pub(crate) fn values<'a>(
    (rule, nodes): (Rule, &[Node<'a>]),
    left_out: LeftOut<'_>,
    value: impl Fn(&NodeSeen, &Reading) -> Option<Interval>,
) -> Vec<Value<'a>> {
    let of = |(seen, reading): &Node<'a>| {
        let value = value(seen, reading)?;
        let (region, node) = (seen.region.as_str(), seen.node.as_str());
        let is_left_out = left_out.is_node(rule, region, node, reading.happened(rule));
        let against = if matches!(rule, Rule::Offset | Rule::Drift) { reading.against } else { Against::Utc };
        Some(Value { region, node, value, against, counts: true, is_left_out })
    };
    nodes.iter().filter_map(of).collect()
}

impl Value<'_> {
    pub(crate) fn key(&self, rule: Rule) -> Key {
        Key { rule, subject: Subject::Node(self.region.to_owned(), self.node.to_owned()) }
    }
}

impl<'a> Common<'a> {
    /// What most nodes of each region agree on.
    pub(crate) fn of(rule: Rule, values: &[Value<'a>], left_out: LeftOut<'_>) -> Self {
        Self::by(rule, values, left_out, |all| Interval::common(all.iter().copied()))
    }

    /// By how much what nodes are measured against jumped: by what nearly all of them did. One that is known not to have jumped, or by another
    /// amount, speaks against it.
    pub(crate) fn of_jumps(values: &[Value<'a>], left_out: LeftOut<'_>) -> Self {
        let nearly_all = |all: &[Interval]| {
            let (shared, count) = Interval::shared(all)?;
            (all.len() >= FEWEST && all.len() - count <= all.len() / NEARLY_ALL).then_some(shared)
        };
        Self::by(Rule::Reference, values, left_out, nearly_all)
    }

    fn by(
        rule: Rule,
        values: &[Value<'a>],
        left_out: LeftOut<'_>,
        common: impl Fn(&[Interval]) -> Option<Interval>,
    ) -> Self {
        let mut by_region: BTreeMap<&'a str, Vec<Interval>> = BTreeMap::new();
        for value in values.iter().filter(|value| !value.is_left_out) {
            by_region.entry(value.region).or_default().push(value.value);
        }
        let middles = by_region.iter().filter_map(|(region, all)| Some((*region, middle(all.iter().copied())?)));
        let middles = middles.collect();
        let regions: BTreeMap<&'a str, Interval> =
            by_region.into_iter().filter_map(|(region, all)| Some((region, common(&all)?))).collect();
        let left_out = regions.keys().copied().filter(|region| left_out.is_region(rule, region)).collect();
        let mut this = Self { regions, fleet: None, middles, fleet_middle: None, left_out, counted: 0 };
        this.counted = this.of_fleet(&this.regions).count();
        this.put_together();
        this
    }

    /// Only of these regions.
    pub(crate) fn keep(&mut self, is_it: impl Fn(&str, Interval) -> bool) {
        self.regions.retain(|region, value| is_it(region, *value));
        self.middles.retain(|region, _| self.regions.contains_key(region));
        self.put_together();
    }

    /// What the fleet has in common. Where regions that are kept are not most of them, they are not the fleet.
    fn put_together(&mut self) {
        let is_most = 2 * self.of_fleet(&self.regions).count() > self.counted;
        self.fleet = Interval::common(self.of_fleet(&self.regions)).filter(|_| is_most);
        self.fleet_middle = middle(self.of_fleet(&self.middles)).filter(|_| is_most);
    }

    fn of_fleet(&self, values: &BTreeMap<&'a str, Interval>) -> impl Iterator<Item = Interval> {
        values.iter().filter(|(region, _)| !self.left_out.contains(*region)).map(|(_, value)| *value)
    }

    /// Whether more than half of a region, or of the regions, are beyond `limit` on one side, at best.
    pub(crate) fn is_near(&self, region: Option<&str>, limit: u64) -> bool {
        let middle = region.map_or(self.fleet_middle, |region| self.middles.get(region).copied());
        middle.is_some_and(|middle| middle.is_beyond(limit))
    }

    /// Whether more than half of the regions, and two at least, are beyond `limit` on the same side; by what they agree on.
    pub(crate) fn of_most(&self, limit: u64) -> Option<Interval> {
        let beyond: Vec<Interval> = self.of_fleet(&self.regions).filter(|value| value.is_beyond(limit)).collect();
        let ahead: Vec<Interval> = beyond.iter().copied().filter(|value| value.low > 0).collect();
        let behind: Vec<Interval> = beyond.into_iter().filter(|value| value.high < 0).collect();
        let most = if ahead.len() >= behind.len() { ahead } else { behind };
        let is_most = most.len() >= 2 && 2 * most.len() > self.counted;
        most.into_iter().min_by_key(|value| value.at_least().unsigned_abs()).filter(|_| is_most)
    }
}

fn middle(all: impl Iterator<Item = Interval>) -> Option<Interval> {
    Interval::common(all.map(|one| Interval::exactly(one.middle())))
}

/// Whether `common` is why `value` is beyond `limit`: it leaves too little of it, or nothing on that side.
pub(crate) fn explains(common: Interval, value: Interval, limit: u64) -> bool {
    let (common, own) = (common.middle(), value.at_least());
    let is_part = common.signum() == own.signum() && common.unsigned_abs() >= own.unsigned_abs() / EXPLAINS;
    let rest = value.against(common);
    is_part && !(rest.is_beyond(limit) && rest.at_least().signum() == own.signum())
}
