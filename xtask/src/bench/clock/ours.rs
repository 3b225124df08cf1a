//! Our clock model on a run, record by record as the aggregator gets them.

use syncline_clock::{DisruptionCause, NodeClock, OffsetInterval, Tolerance};
use syncline_sim::profile::{Answer, Record, Trace};
use syncline_timebase::{Instant, Mono, Probe, Span};

/// What ours says of one event: the answer with its hard bracket, and the brackets that assume more of paths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) answer: Answer,
    pub(super) budgeted: Bracket,
    pub(super) tight: Bracket,
}

/// From when to when, reference time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    earliest_ns: i64,
    latest_ns: i64,
}

/// What ours says of a run.
#[derive(Default)]
pub(super) struct Replayed {
    pub(super) said: Vec<Said>,
    /// When steps of RAW were declared, reference time.
    pub(super) declared_ns: Vec<i64>,
}

/// What is assumed of a run: defaults, the floor that is known of its path, and the share of asymmetry.
pub(super) fn tolerance(trace: &Trace, asymmetry_share: f64) -> Tolerance {
    Tolerance { path_floor: trace.floor, asymmetry_share, ..Tolerance::default() }
}

/// Answers every event when its record comes, by what came before it.
pub(super) fn online(trace: &Trace, tolerance: Tolerance) -> Replayed {
    let mut clock = NodeClock::new(tolerance);
    let (mut replayed, mut newest, mut frozen) = (Replayed::default(), None, None);
    for record in &trace.records {
        let disruptions = match record {
            Record::Event { id, mono, .. } => {
                replayed.said.extend(say(&clock, *id, *mono));
                continue;
            }
            Record::Knot(knot) => clock.observe(&[*knot], &[]).disruptions,
            Record::Probe { probe, .. } => {
                newest = Some(*probe);
                let since = frozen.take().map(|at: Instant<Mono>| (probe.received - (probe.sent - at)).ns());
                replayed.declared_ns.extend(since);
                clock.observe(&[], &[*probe]).disruptions
            }
        };
        for disruption in disruptions {
            match (record, newest) {
                // The clocks stood still for nobody knows how long: the next probe tells what time it was.
                (Record::Knot(knot), _) if disruption.cause == DisruptionCause::ClocksDisagree => {
                    frozen = Some(knot.mono);
                }
                (_, Some(probe)) => replayed.declared_ns.push(reference_ns(record, &probe)),
                (_, None) => {}
            }
        }
    }
    // No probe tells of the last: the time that the node's clocks went on by.
    if let (Some(at), Some(probe)) = (frozen, newest) {
        replayed.declared_ns.push((probe.replied + (at - probe.returned)).ns());
    }
    replayed
}

/// Answers every event once the run is over. The only place that knows how hindsight is had of the model.
pub(super) fn in_hindsight(trace: &Trace, tolerance: Tolerance) -> Vec<Said> {
    let mut clock = NodeClock::of_whole_stream(tolerance);
    for record in &trace.records {
        match record {
            Record::Knot(knot) => clock.observe(&[*knot], &[]),
            Record::Probe { probe, .. } => clock.observe(&[], &[*probe]),
            Record::Event { .. } => continue,
        };
    }
    let clock = clock.in_hindsight();
    let said = trace.records.iter().filter_map(|record| match record {
        Record::Event { id, mono, .. } => say(&clock, *id, *mono),
        Record::Knot(_) | Record::Probe { .. } => None,
    });
    said.collect()
}

fn say(clock: &NodeClock, id: u32, mono: Instant<Mono>) -> Option<Said> {
    let bounds = clock.bounds(mono)?;
    let bracket = |interval: OffsetInterval| Bracket {
        earliest_ns: (mono + interval.low).ns(),
        latest_ns: (mono + interval.high).ns(),
    };
    let hard = bracket(bounds.hard);
    let answer = Answer {
        id,
        estimate_ns: (mono + clock.estimate(mono).offset).ns(),
        earliest_ns: hard.earliest_ns,
        latest_ns: hard.latest_ns,
    };
    Some(Said { answer, budgeted: bracket(bounds.budgeted), tight: bracket(bounds.tight) })
}

/// The reference's time at a sample, carried on from the newest probe.
fn reference_ns(sample: &Record, newest: &Probe) -> i64 {
    let elapsed = match sample {
        Record::Knot(knot) => knot.mono - newest.returned,
        Record::Probe { .. } | Record::Event { .. } => Span::ZERO,
    };
    (newest.replied + elapsed).ns()
}

impl Bracket {
    pub(super) fn holds(self, at_ns: i64) -> bool {
        (self.earliest_ns..=self.latest_ns).contains(&at_ns)
    }
}
