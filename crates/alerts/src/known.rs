//! What can be told in a round. What cannot be told is not over: an alert ends by what is known, and not because nothing is.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{Against, Alert};
use crate::conditions::Node;
use crate::interval::FEWEST;
use crate::round::Round;
use crate::{Key, Rule, Subject};

/// What is known of nodes, regions and links in a round.
pub(crate) struct Known<'a> {
    nodes: BTreeMap<(&'a str, &'a str), &'a Node<'a>>,
    round: &'a Round,
    /// Regions whose word of UTC was false when something was last known of it.
    doubted: BTreeSet<String>,
}

impl<'a> Known<'a> {
    pub(crate) fn of(nodes: &'a [Node<'a>], round: &'a Round, doubted: BTreeSet<String>) -> Self {
        let nodes = nodes.iter().map(|node| ((node.0.region.as_str(), node.0.node.as_str()), node)).collect();
        Self { nodes, round, doubted }
    }

    /// What the value of a node's alert is against; what several have in common of it is told by UTC alone.
    pub(crate) fn against(&self, key: &Key) -> Against {
        let Subject::Node(region, node) = &key.subject else { return Against::Utc };
        self.node(region, node).map_or(Against::Utc, |(_, reading)| reading.against)
    }

    /// When what the alert tells of happened, as far as this round says, each from and until: of steps to the instant, of a jump since the clock
    /// was last known.
    pub(crate) fn happened(&self, key: &Key) -> Vec<(i64, i64)> {
        let Subject::Node(region, node) = &key.subject else { return Vec::new() };
        match (key.rule, self.node(region, node)) {
            (Rule::Step, Some((_, reading))) => reading.stepped_at_ns.iter().map(|at_ns| (*at_ns, *at_ns)).collect(),
            (Rule::Pause, Some((_, reading))) => reading.jumped_ns.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether enough is known to say that this alert is over.
    pub(crate) fn has(&self, key: &Key, alert: &Alert) -> bool {
        let rule = key.rule;
        let is_node_known =
            |region: &str, node: &str| self.node(region, node).is_some_and(|node| knows(rule, node, alert));
        match &key.subject {
            Subject::Node(region, node) => is_node_known(region, node),
            Subject::Nodes(one, other) => [one, other].into_iter().all(|(region, node)| is_node_known(region, node)),
            Subject::Regions(region, peer) => {
                self.round.links.iter().any(|seen| (&seen.region, &seen.peer) == (region, peer))
            }
            Subject::Region(region) if rule == Rule::Reference => self.has_reference(region, alert),
            Subject::Region(region) => self.has_common(rule, region, alert),
            Subject::Fleet => self.has_fleet(rule, alert),
        }
    }

    fn node(&self, region: &str, node: &str) -> Option<&'a Node<'a>> {
        self.nodes.get(&(region, node)).copied()
    }

    /// A region whose word was false is mended once it is heard beside the others; one that jumped also by what its nodes say.
    fn has_reference(&self, region: &str, alert: &Alert) -> bool {
        let is_seen = self.round.regions.iter().any(|seen| seen.region == region);
        is_seen || !self.doubted.contains(region) && self.has_common(Rule::Reference, region, alert)
    }

    /// What most nodes of a region did they do no more when that is known of most of them. With fewer than have anything in common each is told of by
    /// itself.
    fn has_common(&self, rule: Rule, region: &str, alert: &Alert) -> bool {
        let of_region = || self.nodes.values().filter(|(seen, _)| seen.region == region);
        let (all, known) = (of_region().count(), of_region().filter(|node| knows_common(rule, node, alert)).count());
        all < FEWEST || known >= FEWEST && 2 * known > all
    }

    /// The same of regions, of which it takes two.
    fn has_fleet(&self, rule: Rule, alert: &Alert) -> bool {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        self.nodes.keys().for_each(|(region, _)| *sizes.entry(region).or_default() += 1);
        sizes.retain(|_, nodes| *nodes >= FEWEST);
        let known = sizes.keys().filter(|region| self.has_common(rule, region, alert)).count();
        sizes.len() < 2 || known >= 2 && 2 * known > sizes.len()
    }
}

/// Whether enough is known of a node to say that its alert is over.
fn knows(rule: Rule, (seen, reading): &Node<'_>, alert: &Alert) -> bool {
    match rule {
        Rule::Silence => true,
        Rule::Drift => reading.drift_ppb.is_some_and(|drift| alert.is_told_by(drift)),
        Rule::Offset => reading.offset_ns.is_some_and(|offset| alert.is_told_by(offset)),
        Rule::Frequency => reading.frequency_ppb.is_some(),
        Rule::Claim => seen.skew_ns.is_some() && !reading.is_doubted,
        _ => seen.skew_ns.is_some(),
    }
}

/// Against most wall clocks of the region nothing is known of what these have in common.
fn knows_common(rule: Rule, node: &Node<'_>, alert: &Alert) -> bool {
    let is_by_utc = node.1.against == Against::Utc || !matches!(rule, Rule::Drift | Rule::Offset);
    is_by_utc && knows(rule, node, alert)
}
