//! A fleet in which nothing is wrong until a test says so.

use syncline_alerts::round::{NodeSeen, RegionSeen, Step};
use syncline_alerts::{Engine, Interval, Kind, Notification, Outcome, Policy, Round, Silence, Transition};

pub(crate) const MS: i64 = 1_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;
/// From round to round.
pub(crate) const EVERY_NS: i64 = 15 * SECOND;
const START: i64 = 1_790_000_000 * SECOND;
/// What bounds are, either way.
const BOUND_NS: u64 = 100_000;

pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) round: Round,
    pub(crate) silences: Vec<Silence>,
}

/// All that came of some rounds.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) notifications: Vec<Notification>,
}

impl Fleet {
    /// So many nodes in each of these regions, `eu-0` and so on, whose clocks are right.
    pub(crate) fn of(regions: &[(&str, usize)]) -> Self {
        let node = |region: &str, number: usize| NodeSeen {
            region: region.to_owned(),
            node: format!("{region}-{number}"),
            skew_ns: Some(Interval::around(0, BOUND_NS)),
            boot: 1,
            run: 7,
            frequency_ppb: Some(20_000),
            round_trip_ns: Some(2 * BOUND_NS),
            ..NodeSeen::default()
        };
        let nodes = regions.iter().flat_map(|(region, nodes)| (0..*nodes).map(move |number| node(region, number)));
        let seen = regions.iter().map(|(region, _)| RegionSeen {
            region: (*region).to_owned(),
            run: 7,
            utc_ns: Some(Interval::around(0, 500_000)),
            false_by_ns: None,
            is_doubted: false,
        });
        let round = Round { at_ns: START, nodes: nodes.collect(), regions: seen.collect(), ..Round::default() };
        Self { engine: Engine::new(Policy::default()).unwrap(), round, silences: Vec::new() }
    }

    pub(crate) fn with(self, policy: Policy) -> Self {
        Self { engine: self.engine.with(policy).unwrap(), ..self }
    }

    pub(crate) fn node(&mut self, name: &str) -> &mut NodeSeen {
        self.round.nodes.iter_mut().find(|node| node.node == name).unwrap()
    }

    /// Moves the wall clock of a node against REF.
    pub(crate) fn skew(&mut self, name: &str, by_ns: i64) {
        let node = self.node(name);
        node.skew_ns = node.skew_ns.map(|skew| skew.against(-by_ns));
    }

    /// Somebody sets the wall clock of a node.
    pub(crate) fn step(&mut self, name: &str, size_ns: i64) {
        self.skew(name, size_ns);
        let at_ns = self.round.at_ns;
        self.node(name).steps.push(Step { at_ns, size_ns, ago_ns: EVERY_NS.unsigned_abs() });
    }

    /// Evaluates the round as it is now; what happened in it is over then.
    pub(crate) fn next(&mut self) -> Told {
        self.round.at_ns += EVERY_NS;
        let Outcome { transitions, notifications } = self.engine.evaluate(&self.round, &self.silences).unwrap();
        for node in &mut self.round.nodes {
            (node.steps, node.claims) = (Vec::new(), Vec::new());
        }
        self.round.violations.clear();
        Told { transitions, notifications }
    }

    /// Evaluates so many rounds, each after `change` to it.
    pub(crate) fn rounds(&mut self, rounds: usize, mut change: impl FnMut(&mut Self, usize)) -> Told {
        let mut all = Told::default();
        for number in 0..rounds {
            change(self, number);
            let Told { transitions, notifications } = self.next();
            all.transitions.extend(transitions);
            all.notifications.extend(notifications);
        }
        all
    }

    pub(crate) fn quiet(&mut self, rounds: usize) -> Told {
        self.rounds(rounds, |_, _| ())
    }
}

impl Told {
    /// What was told as it began: causes in words of their keys.
    pub(crate) fn opened(&self) -> Vec<String> {
        self.of(Kind::Opened)
    }

    pub(crate) fn resolved(&self) -> Vec<String> {
        self.of(Kind::Resolved)
    }

    fn of(&self, kind: Kind) -> Vec<String> {
        let told = self.notifications.iter().filter(|told| told.kind == kind);
        told.map(|told| told.cause.to_string()).collect()
    }

    /// Transitions as `rule of subject: state`.
    pub(crate) fn states(&self) -> Vec<String> {
        self.transitions.iter().map(|one| format!("{}: {}", one.key, one.to.name())).collect()
    }
}
