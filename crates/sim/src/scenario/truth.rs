//! The truth behind what was delivered.

use syncline_timebase::{Instant, Mono, Raw, Reference, Wall};

use crate::{ReferenceClock, SimulatedNode};

use super::plan::Plan;
use super::{Fault, Scenario};

/// How far around a fault events are asked about, ns, both ways.
const AROUND_FAULTS: [i64; 8] =
    [1, 40_000, 1_000_000, 9_000_000, 60_000_000, 300_000_000, 1_200_000_000, 5_000_000_000];

/// The truth of a run. All times are true time from its start, ns.
pub struct Truth {
    pub(super) node: SimulatedNode,
    references: Vec<ReferenceClock>,
    length_ns: i64,
    breaks: Vec<i64>,
    disturbed: Vec<(i64, i64)>,
    /// Nobody is held to what it makes of these times.
    excused: Vec<(i64, i64)>,
    settling_ns: i64,
    probe_every_ns: i64,
}

impl Truth {
    pub(super) fn of(scenario: &Scenario, plan: &Plan, node: SimulatedNode) -> Self {
        let faults = scenario.faults.iter();
        let mut breaks: Vec<i64> = faults.clone().filter_map(Fault::breaks_at).collect();
        breaks.sort_unstable();
        Self {
            node,
            references: plan.references.clone(),
            length_ns: scenario.length_ns,
            breaks,
            disturbed: faults.clone().filter_map(Fault::disturbs).collect(),
            excused: faults.filter_map(|fault| excused(scenario, fault)).collect(),
            settling_ns: scenario.limits.settling_ns,
            probe_every_ns: scenario.sampling.probe_every_ns,
        }
    }

    /// The node's `CLOCK_MONOTONIC`.
    pub fn mono(&mut self, true_ns: i64) -> Instant<Mono> {
        self.node.mono(true_ns)
    }

    /// The node's `CLOCK_MONOTONIC_RAW`.
    pub fn raw(&mut self, true_ns: i64) -> Instant<Raw> {
        self.node.raw(true_ns)
    }

    /// The node's `CLOCK_REALTIME`.
    pub fn wall(&mut self, true_ns: i64) -> Instant<Wall> {
        self.node.wall(true_ns)
    }

    /// What this reference shows; the first one where there is no such.
    pub fn reference(&self, reference: usize, true_ns: i64) -> Instant<Reference> {
        let clock = self.references.get(reference).or(self.references.first());
        clock.map_or(Instant::from_ns(true_ns), |clock| clock.at(true_ns))
    }

    /// When REF against RAW jumped, in order, ns.
    pub fn breaks(&self) -> &[i64] {
        &self.breaks
    }

    /// Whether the node runs: nothing happens on a frozen one.
    pub fn is_awake(&self, true_ns: i64) -> bool {
        self.node.awake_ns(true_ns) == true_ns
    }

    /// Whether an estimator is held to its hard bound at this time.
    pub fn is_held_to(&self, true_ns: i64) -> bool {
        !self.excused.iter().any(|(from, until)| (*from..*until).contains(&true_ns))
    }

    /// Whether an estimator has had the time to settle, and no disturbance is about to come between this time and the
    /// next probe.
    pub fn is_settled(&self, true_ns: i64) -> bool {
        let disturbed = |(from, until): &(i64, i64)| {
            (from - 2 * self.probe_every_ns..until.saturating_add(self.settling_ns)).contains(&true_ns)
        };
        true_ns >= self.settling_ns && !self.disturbed.iter().any(disturbed)
    }

    /// Events to ask about, in order: one every `every_ns`, and more around all that happens; none on a frozen node.
    pub fn events(&self, every_ns: i64) -> Vec<i64> {
        let step = usize::try_from(every_ns).unwrap_or(1).max(1);
        let near = |at: i64| AROUND_FAULTS.into_iter().flat_map(move |away| [at - away, at + away]);
        let edges = self.disturbed.iter().flat_map(|(from, until)| [*from, *until]);
        let mut events: Vec<i64> = (every_ns / 2..self.length_ns).step_by(step).chain(edges.flat_map(near)).collect();
        events.retain(|event| (0..self.length_ns).contains(event) && self.is_awake(*event));
        events.sort_unstable();
        events.dedup();
        events
    }
}

/// What is learned of the time around it is wrong on both sides until it is noticed.
fn excused(scenario: &Scenario, fault: &Fault) -> Option<(i64, i64)> {
    let recovery = scenario.limits.recovery_ns;
    let (from, until) = match fault {
        Fault::Lying { .. } => fault.disturbs()?,
        _ => fault.breaks_at().map(|at| (at, at))?,
    };
    (recovery > 0).then_some((from - recovery, until + recovery))
}
