//! Our clock model on a run, record by record as the aggregator gets them.

use syncline_clock::{NodeClock, OffsetInterval, Tolerance};
use syncline_sim::profile::{Answer, Record, Trace};
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};

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
    let (mut replayed, mut newest) = (Replayed::default(), None);
    for record in &trace.records {
        let disrupted = match record {
            Record::Event { id, mono, .. } => {
                replayed.said.extend(say(&clock, *id, *mono));
                continue;
            }
            Record::Knot(knot) => observe_knot(&mut clock, *knot),
            Record::Probe { probe, .. } => {
                newest = Some(*probe);
                observe_probe(&mut clock, *probe)
            }
        };
        if let (true, Some(probe)) = (disrupted, newest) {
            replayed.declared_ns.push(reference_ns(record, &probe));
        }
    }
    replayed
}

/// Answers every event once the run is over. The only place that knows how hindsight is had of the model.
pub(super) fn in_hindsight(trace: &Trace, tolerance: Tolerance) -> Vec<Said> {
    let mut clock = NodeClock::of_whole_stream(tolerance);
    for record in &trace.records {
        match record {
            Record::Knot(knot) => observe_knot(&mut clock, *knot),
            Record::Probe { probe, .. } => observe_probe(&mut clock, *probe),
            Record::Event { .. } => false,
        };
    }
    let clock = clock.in_hindsight();
    let said = trace.records.iter().filter_map(|record| match record {
        Record::Event { id, mono, .. } => say(&clock, *id, *mono),
        Record::Knot(_) | Record::Probe { .. } => None,
    });
    said.collect()
}

/// Whether it showed a step of RAW.
fn observe_knot(clock: &mut NodeClock, knot: Knot) -> bool {
    !clock.observe(&[knot], &[]).disruptions.is_empty()
}

/// Whether it showed a step of RAW.
fn observe_probe(clock: &mut NodeClock, probe: Probe) -> bool {
    !clock.observe(&[], &[probe]).disruptions.is_empty()
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
