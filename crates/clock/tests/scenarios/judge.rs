//! What was measured against what was promised.

use std::fmt;

use syncline_sim::scenario::{Count, Fault, Scenario};

use crate::run::{Coverage, Measured, percentile, true_wall_steps};

/// Length of a model's debug text at most, whatever it was shown.
const MODEL_SIZE: usize = 400_000;

/// A kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Hard,
    Width,
    Disruptions,
    Noticed,
    WallSteps,
    Refused,
    Memory,
    EndsBounded,
    Point,
}

/// A limit that was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Miss {
    pub(crate) kind: Kind,
    pub(crate) told: String,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.told)
    }
}

/// All limits of `scenario` that were not kept.
pub(crate) fn misses(scenario: &Scenario, measured: &Measured) -> Vec<Miss> {
    let limits = &scenario.limits;
    let mut misses = Misses::default();
    misses.coverage("held", &measured.held);
    misses.coverage("in hindsight", &measured.hindsight);
    if let Some(width) = limits.width {
        let (most, found) = (width.limit_ns(measured.best_round_trip_ns), percentile(&measured.widths_ns, 95));
        misses
            .miss(Kind::Width, found > most || measured.widths_ns.is_empty(), || format!("{found} ns, not {most} ns"));
    }
    if let Some(most) = limits.point_ns {
        let found = percentile(&measured.errors_ns, 99);
        misses
            .miss(Kind::Point, found > most || measured.errors_ns.is_empty(), || format!("{found} ns, not {most} ns"));
    }
    misses.counted(Kind::Disruptions, "disruptions", limits.disruptions, measured.disruptions);
    if let Some(most) = limits.noticed_within {
        let late = measured.noticed_within.iter().any(|within| within.is_none_or(|within| within > most));
        misses.miss(Kind::Noticed, late, || format!("{:?}, not {most}", measured.noticed_within));
    }
    misses.counted(Kind::WallSteps, "wall steps", limits.wall_steps, measured.wall_steps.len() as u64);
    if let Count::Exactly(_) = limits.wall_steps {
        let right = true_wall_steps(scenario);
        let wrong = !are_close(&measured.wall_steps, &right, slack_ns(scenario));
        misses.miss(Kind::WallSteps, wrong, || format!("{:?}, not {right:?}", measured.wall_steps));
    }
    for (cause, count) in &measured.refused {
        misses.counted(Kind::Refused, cause, limits.refused(cause), *count);
    }
    for (cause, wanted) in limits.refused.iter().filter(|(cause, _)| !measured.refused.contains_key(cause)) {
        misses.counted(Kind::Refused, cause, *wanted, 0);
    }
    misses.miss(Kind::Memory, measured.model_size > MODEL_SIZE, || format!("{}", measured.model_size));
    let lost = limits.ends_bounded && !measured.ends_bounded;
    misses.miss(Kind::EndsBounded, lost, || "nothing is known at the end".to_owned());
    misses.0
}

#[derive(Default)]
struct Misses(Vec<Miss>);

impl Misses {
    fn miss(&mut self, kind: Kind, missed: bool, told: impl FnOnce() -> String) {
        if missed {
            self.0.push(Miss { kind, told: told() });
        }
    }

    fn counted(&mut self, kind: Kind, what: &str, wanted: Count, found: u64) {
        self.miss(kind, !wanted.allows(found), || format!("{found} {what}, not {wanted}"));
    }

    fn coverage(&mut self, when: &str, coverage: &Coverage) {
        let Coverage { asked, outside, worst_ns, first, .. } = coverage;
        self.miss(Kind::Hard, *outside > 0, || {
            format!("{when} {outside} of {asked} outside, by {worst_ns} ns at most; {}", first.as_deref().unwrap_or(""))
        });
        self.miss(Kind::Hard, *asked == 0, || format!("{when}: nothing was asked"));
    }
}

/// How exact the size of a step can be.
fn slack_ns(scenario: &Scenario) -> u64 {
    let widest = scenario.faults.iter().filter_map(|fault| match fault {
        Fault::PreemptedKnots { longest_ns, .. } => Some(longest_ns.unsigned_abs()),
        _ => None,
    });
    widest.max().unwrap_or(0) + 10_000
}

fn are_close(found: &[i64], right: &[i64], slack_ns: u64) -> bool {
    found.len() == right.len() && found.iter().zip(right).all(|(found, right)| found.abs_diff(*right) <= slack_ns)
}
