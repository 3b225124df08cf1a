//! A day: simulated, measured by the clock model, and evaluated round by round.

use std::collections::BTreeMap;

use anyhow::Result;
use syncline_alerts::round::Violation;
use syncline_alerts::{Engine, Kind, Matcher, Notification, Pattern, Policy, Round, Silence, State, Transition};
use syncline_sim::Random;

use super::super::clock::each;
use super::node::{self, Seen};
use super::plan::{DAY, NODES, NODES_PER_REGION, Plan, REGIONS, SECOND, name, region};
use super::region;

/// From round to round, as the aggregator evaluates.
pub(super) const EVERY_NS: i64 = 15 * SECOND;
/// Others that each node sends something to in a round.
const RECEIVERS: usize = 2;
/// How long messages take: at least, and on average beyond that, ns.
const MESSAGES_NS: (f64, f64) = (80_000.0, 200_000.0);

/// All that was seen of a day.
pub(super) struct Day {
    pub(super) plan: Plan,
    /// By node and round.
    pub(super) nodes: Vec<Vec<Seen>>,
    pub(super) regions: Vec<region::Seen>,
    /// By round.
    pub(super) violations: Vec<Vec<Violation>>,
}

/// What was told.
pub(super) struct Word {
    /// In which round.
    pub(super) round: usize,
    pub(super) notification: Notification,
    /// The alert that tells why, as it began to fire.
    pub(super) cause: Option<Transition>,
}

impl Day {
    /// Simulates the day that `seed` names.
    ///
    /// # Errors
    /// Regions cannot be fused, which would be a fault of ours.
    pub(super) fn simulate(seed: u64) -> Result<Self> {
        let plan = Plan::draw(seed);
        let references = region::draw(&plan);
        let regions = region::rounds(&references, &plan, EVERY_NS)?;
        let numbers: Vec<u64> = (0..NODES as u64).collect();
        let mut nodes = Vec::with_capacity(NODES);
        let simulate = |number: u64| node::rounds(number as usize, &plan, &references, EVERY_NS);
        each(&numbers, simulate, |seen| nodes.push(seen));
        let mut random = Random::seeded(seed ^ 0x5E4D);
        let violations = (0..rounds()).map(|round| violations(&nodes, round, &mut random)).collect();
        Ok(Self { plan, nodes, regions, violations })
    }

    /// What is told of it.
    ///
    /// # Errors
    /// The rounds are not in order, which would be a fault of ours.
    pub(super) fn evaluate(&self) -> Result<Vec<Word>> {
        let mut engine = Engine::new(Policy::default())?;
        let silences = [self.silence()?];
        let (mut told, mut fired) = (Vec::new(), BTreeMap::new());
        for round in 0..rounds() {
            let outcome = engine.evaluate(&self.round(round), &silences)?;
            let alerts = outcome.transitions.into_iter().filter(|one| one.to == State::Firing);
            fired.extend(alerts.map(|one| (one.key.clone(), one)));
            let opened = outcome.notifications.into_iter().filter(|told| told.kind == Kind::Opened);
            told.extend(opened.map(|notification| {
                let cause = fired.get(&notification.cause).cloned();
                Word { round, notification, cause }
            }));
        }
        Ok(told)
    }

    fn round(&self, round: usize) -> Round {
        Round {
            at_ns: at_ns(round),
            nodes: self.nodes.iter().enumerate().map(|(number, seen)| seen[round].as_node(number)).collect(),
            regions: self.regions[round].regions.clone(),
            links: self.regions[round].links.clone(),
            violations: self.violations[round].clone(),
        }
    }

    /// Of the work that was announced.
    fn silence(&self) -> Result<Silence> {
        let (node, from_ns, until_ns) = self.plan.maintenance;
        let when = Matcher { node: Some(Pattern::try_from(name(node))?), ..Matcher::default() };
        Ok(Silence { when, from_ns, until_ns, comment: "work on the machine".to_owned() })
    }
}

/// Rounds of a day.
pub(super) fn rounds() -> usize {
    (DAY / EVERY_NS) as usize
}

/// The end of a round, true ns.
pub(super) fn at_ns(round: usize) -> i64 {
    (round as i64 + 1) * EVERY_NS
}

/// Messages that the model of one of the two nodes must have placed wrongly: received before they were sent.
fn violations(nodes: &[Vec<Seen>], round: usize, random: &mut Random) -> Vec<Violation> {
    let mut found: BTreeMap<(usize, usize), (u64, u64)> = BTreeMap::new();
    for from in 0..nodes.len() {
        for _ in 0..RECEIVERS {
            let other = (random.uniform() * NODES_PER_REGION as f64) as usize;
            let to = region(from) * NODES_PER_REGION + other;
            let takes_ns = (MESSAGES_NS.0 + random.exponential(MESSAGES_NS.1)) as i64;
            let placed = nodes[from][round].aligned_ns.zip(nodes[to][round].aligned_ns);
            let Some((sent, received)) = placed.filter(|_| from != to) else { continue };
            let by_ns = sent.low.saturating_sub(received.high).saturating_sub(takes_ns);
            if by_ns > 0 {
                let (messages, most) = found.entry((from, to)).or_default();
                (*messages, *most) = (*messages + 1, by_ns.unsigned_abs().max(*most));
            }
        }
    }
    let of = |node: usize| (REGIONS[region(node)].to_owned(), name(node));
    found
        .into_iter()
        .map(|((from, to), (messages, by_ns))| Violation { from: of(from), to: of(to), messages, by_ns })
        .collect()
}
