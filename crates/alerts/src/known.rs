//! What can be told in a round. What cannot be told is not over: an alert ends by what is known, and not because nothing is.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{Against, Alert};
use crate::common::Node;
use crate::interval::FEWEST;
use crate::left_out::LeftOut;
use crate::round::Round;
use crate::{Key, Rule, Subject};

/// What is known of nodes, regions and links in a round.
pub(crate) struct Known<'a> {
    nodes: BTreeMap<(&'a str, &'a str), &'a Node<'a>>,
    round: &'a Round,
    /// Regions whose word of UTC was false when something was last known of it.
    doubted: BTreeSet<String>,
    left_out: LeftOut<'a>,
}

impl<'a> Known<'a> {
    pub(crate) fn of(
        nodes: &'a [Node<'a>],
        round: &'a Round,
        doubted: BTreeSet<String>,
        left_out: LeftOut<'a>,
    ) -> Self {
        let nodes = nodes.iter().map(|node| ((node.0.region.as_str(), node.0.node.as_str()), node)).collect();
        Self { nodes, round, doubted, left_out }
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
            Subject::Regions(region, peer) if rule == Rule::Reference => self.is_seen(region) && self.is_seen(peer),
            Subject::Regions(region, peer) => self.has_link(alert, region, |other| other == peer),
            Subject::Region(region) if rule == Rule::Regions => self.has_link(alert, region, |_| true),
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
        self.is_seen(region) || !self.doubted.contains(region) && self.has_common(Rule::Reference, region, alert)
    }

    fn is_seen(&self, region: &str) -> bool {
        self.round.regions.iter().any(|seen| seen.region == region)
    }

    /// Wall clocks of regions are known to be near one another by what is known of both, besides the link.
    fn has_link(&self, alert: &Alert, region: &str, is_peer: impl Fn(&str) -> bool) -> bool {
        let is_one = |one: &str, other: &str| one == region && is_peer(other);
        let mut links =
            self.round.links.iter().filter(|seen| is_one(&seen.region, &seen.peer) || is_one(&seen.peer, &seen.region));
        let has_wall =
            |region: &str| self.nodes.values().any(|(seen, _)| seen.region == region && seen.skew_ns.is_some());
        let needs_walls = alert.against == Against::OtherRegions;
        links.any(|seen| !needs_walls || has_wall(&seen.region) && has_wall(&seen.peer))
    }

    /// What most nodes of a region did they do no more when that is known of most of them, but for those that are left out. With fewer than have
    /// anything in common each is told of by itself.
    fn has_common(&self, rule: Rule, region: &str, alert: &Alert) -> bool {
        let is_part =
            |(seen, _): &&&Node<'_>| seen.region == region && !self.left_out.is_node(rule, region, &seen.node, &[]);
        let of_region = || self.nodes.values().filter(is_part);
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
