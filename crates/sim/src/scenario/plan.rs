//! A scenario's faults, sorted by whom they befall.

use crate::reference::{REFERENCE_AT_ZERO_NS, alive_ns};
use crate::{CounterJump, NodeSettings, PathSettings, ReferenceClock, WallStep};

use super::{Fault, Scenario};

/// Who is where and when. All times are true time, ns.
pub(super) struct Plan {
    pub(super) node: NodeSettings,
    pub(super) references: Vec<ReferenceClock>,
    /// From when on which reference serves, in order.
    serving: Vec<(i64, usize)>,
    pub(super) reroutes: Vec<(i64, PathSettings)>,
    outages: Vec<(i64, i64)>,
    knot_gaps: Vec<(i64, i64)>,
    agent_gaps: Vec<(i64, i64)>,
    /// Share of knots, and how long at most, ns.
    pub(super) preempted: Option<(f64, i64)>,
}

impl Plan {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let mut plan = Self {
            node: scenario.node.clone(),
            references: vec![ReferenceClock::default()],
            serving: vec![(0, 0)],
            reroutes: Vec::new(),
            outages: Vec::new(),
            knot_gaps: Vec::new(),
            agent_gaps: Vec::new(),
            preempted: None,
        };
        for fault in &scenario.faults {
            plan.befall(*fault, scenario.length_ns);
        }
        plan.in_order();
        plan
    }

    /// Which reference serves at `true_ns`.
    pub(super) fn serving(&self, true_ns: i64) -> usize {
        self.serving.iter().take_while(|(from, _)| *from <= true_ns).last().map_or(0, |(_, reference)| *reference)
    }

    pub(super) fn is_lost(&self, begun_ns: i64) -> bool {
        within(&self.outages, begun_ns)
    }

    pub(super) fn reads_knots(&self, true_ns: i64) -> bool {
        self.agent_runs(true_ns) && !within(&self.knot_gaps, true_ns)
    }

    pub(super) fn agent_runs(&self, true_ns: i64) -> bool {
        !within(&self.agent_gaps, true_ns)
    }

    fn befall(&mut self, fault: Fault, length_ns: i64) {
        match fault {
            Fault::Pause { at_ns, length_ns } => self.node.pauses.push((at_ns, length_ns)),
            Fault::Suspend { at_ns, length_ns } => {
                self.node.pauses.push((at_ns, length_ns));
                self.node.wall_steps.push(WallStep { at_ns: at_ns + length_ns, size_ns: length_ns });
            }
            Fault::Migration { at_ns, blackout_ns, credited_ns, frequency_ppb } => {
                let at = at_ns + blackout_ns;
                self.node.pauses.push((at_ns, blackout_ns));
                self.node.jumps.push(CounterJump { at_ns: at, all_ns: credited_ns, raw_ns: 0, frequency_ppb });
            }
            Fault::Counter(jump) => self.node.jumps.push(jump),
            Fault::Wall(step) => self.node.wall_steps.push(step),
            Fault::Steering { from_ns, ppb } => self.node.steering.push((from_ns, ppb)),
            Fault::Reroute { at_ns, path } => self.reroutes.push((at_ns, path)),
            Fault::Outage { from_ns, until_ns } => self.outages.push((from_ns, until_ns)),
            Fault::KnotGap { from_ns, until_ns } => self.knot_gaps.push((from_ns, until_ns)),
            Fault::AgentGap { from_ns, until_ns } => self.agent_gaps.push((from_ns, until_ns)),
            Fault::PreemptedKnots { share, longest_ns } => self.preempted = Some((share, longest_ns)),
            Fault::ReferencePause { at_ns, length_ns } => self.references[0].pauses.push((at_ns, length_ns)),
            Fault::ReferenceStep { at_ns, size_ns } => self.references[0].steps.push((at_ns, size_ns)),
            Fault::ReferenceRestart { at_ns, ahead_ns } => {
                let reference = self.another_reference(ahead_ns);
                self.serving.push((at_ns, reference));
            }
            Fault::SecondReference { every_ns, ahead_ns } => {
                let reference = self.another_reference(ahead_ns);
                let turns = (every_ns..length_ns).step_by(usize::try_from(every_ns).unwrap_or(usize::MAX));
                self.serving.extend(turns.zip([reference, 0].into_iter().cycle()));
            }
            Fault::Delivery(_)
            | Fault::Corrupt { .. }
            | Fault::Lying { .. }
            | Fault::Claims { .. }
            | Fault::BrokenClaims { .. } => {}
        }
    }

    fn another_reference(&mut self, ahead_ns: i64) -> usize {
        let anchor_ns = REFERENCE_AT_ZERO_NS.saturating_add(ahead_ns);
        self.references.push(ReferenceClock { anchor_ns, ..ReferenceClock::default() });
        self.references.len() - 1
    }

    /// Faults come in any order; clocks want them in order of time, and steering in time lived through.
    fn in_order(&mut self) {
        self.node.pauses = apart(std::mem::take(&mut self.node.pauses));
        self.node.jumps.sort_by_key(|jump| jump.at_ns);
        self.node.wall_steps.sort_by_key(|step| step.at_ns);
        let pauses = &self.node.pauses;
        self.node.steering.iter_mut().for_each(|(from, _)| *from = alive_ns(pauses, *from));
        self.node.steering.sort_by_key(|(from, _)| *from);
        self.serving.sort_by_key(|(from, _)| *from);
        self.reroutes.sort_by_key(|(at, _)| *at);
        for reference in &mut self.references {
            reference.pauses = apart(std::mem::take(&mut reference.pauses));
            reference.steps.sort_by_key(|(at, _)| *at);
        }
    }
}

fn within(gaps: &[(i64, i64)], true_ns: i64) -> bool {
    gaps.iter().any(|(from, until)| (*from..*until).contains(&true_ns))
}

/// Pauses in order of time; what overlaps is one.
fn apart(mut pauses: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    pauses.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(pauses.len());
    for (from, length) in pauses {
        match apart.last_mut() {
            Some((last, long)) if from <= *last + *long => *long = (*long).max(from + length - *last),
            _ => apart.push((from, length)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{MS, SECOND};

    #[test]
    fn pauses_that_overlap_are_one() {
        assert_eq!(apart(vec![(50, 10), (10, 20), (25, 10), (35, 1)]), [(10, 26), (50, 10)]);
    }

    #[test]
    fn two_references_serve_in_turn_and_steering_counts_time_lived_through() {
        let faults = vec![
            Fault::Steering { from_ns: 30 * SECOND, ppb: 5.0 },
            Fault::Pause { at_ns: 10 * SECOND, length_ns: 250 * MS },
            Fault::SecondReference { every_ns: 20 * SECOND, ahead_ns: 7 },
        ];
        let plan = Plan::of(&Scenario { faults, ..Scenario::quiet(1, "x", "") });
        assert_eq!([0, 19, 20, 39, 40, 60].map(|s| plan.serving(s * SECOND)), [0, 0, 1, 1, 0, 1]);
        assert_eq!(plan.node.steering, [(30 * SECOND - 250 * MS, 5.0)]);
    }
}
