//! Draws a run.

use syncline_timebase::{Instant, Knot, Probe, Reference, Scale, Span, Wall};

use super::clock::Clocks;
use super::network::Profile;
use super::path::{Direction, PathRun};
use super::trace::{EventTruth, REFERENCE_AT_ZERO_NS, Record, RouteChange, Trace, TrueStep};
use crate::Random;

/// MONO between two knots, s.
const KNOT_PERIOD_S: f64 = 0.1;
/// Mean time by which the agent is late for a knot, s.
const KNOT_LATENESS_S: f64 = 50e-6;
/// Deviation of each stamp of a probe, s.
const STAMP_JITTER_S: f64 = 0.2e-6;
/// The reference's own time is gamma with shape 2 and this scale, s.
const TURNAROUND_S: f64 = 10e-6;
/// A reply that lands in a pause is read at most this long after the resume, s.
const LATE_READ_S: f64 = 2e-3;

/// Draws the run of `profile` that `seed` names. The profiles of one seed that differ in their path, burst or events
/// share their clocks; those that differ in their clocks share what is drawn of the path.
pub fn generate(profile: &Profile, seed: u64) -> Trace {
    let parts = Parts(seed);
    let duration_s = profile.duration_s;
    let clocks = Clocks::draw(&profile.clock, duration_s, &mut parts.random(1));
    let path = PathRun::draw(&profile.path, duration_s, &mut parts.random(2));
    let mut exchanges = regular_exchanges(profile, &clocks, &path, &mut parts.random(3));
    exchanges.extend(burst_exchanges(profile, &clocks, &path, &mut parts.random(4)));
    let knots = knot_times(duration_s, &clocks, &mut parts.random(5));
    let events = event_times(profile, &clocks, &mut parts.random(6));

    let reader = Reader { clocks: &clocks, jitter_s: profile.clock.read_jitter_s };
    let mut records = Records::with_capacity(knots.len() + exchanges.len() + events.len());
    reader.read_knots(&knots, &mut records, &mut parts.random(7));
    reader.stamp_exchanges(&exchanges, &mut records, &mut parts.random(8));
    reader.stamp_events(&events, &knots, &mut records, &mut parts.random(9));
    let gaps = gaps(&clocks, &exchanges);
    Trace {
        floor: Span::from_ns((path.floor_s * 1e9) as i64),
        records: records.in_causal_order(),
        truth: events.iter().map(|at_s| event_truth(*at_s, &path, &gaps)).collect(),
        steps: true_steps(&clocks),
        base_delays_ns: path.base_s.map(|base_s| base_s * 1e9),
        routes: route_changes(&path),
    }
}

/// Each part of a run has its own random numbers, so that a change of one leaves the others as they are.
struct Parts(u64);

impl Parts {
    fn random(&self, part: u64) -> Random {
        Random::seeded(self.0 ^ (part << 56))
    }
}

/// True times of one exchange, s.
#[derive(Clone, Copy)]
struct Exchange {
    sent_s: f64,
    received_s: f64,
    replied_s: f64,
    returned_s: f64,
}

fn regular_exchanges(profile: &Profile, clocks: &Clocks, path: &PathRun, random: &mut Random) -> Vec<Exchange> {
    let interval_s = profile.probe_interval_s;
    let sends = ((profile.duration_s - 2.5) / interval_s).ceil().max(0.0) as usize;
    let exchanges = (0..sends).filter_map(|send| {
        let sent_s = 0.5 + (send as f64 + random.between(-0.1, 0.1)) * interval_s;
        exchange(sent_s, clocks, path, random)
    });
    exchanges.collect()
}

fn burst_exchanges(profile: &Profile, clocks: &Clocks, path: &PathRun, random: &mut Random) -> Vec<Exchange> {
    let Some(burst) = profile.burst else {
        return Vec::new();
    };
    let sends = clocks
        .pauses()
        .flat_map(|(_, resume_s)| (1..=burst.probes).map(move |probe| resume_s + f64::from(probe) * burst.interval_s));
    let sends: Vec<f64> = sends.filter(|sent_s| *sent_s < profile.duration_s - 2.0).collect();
    sends.into_iter().filter_map(|sent_s| exchange(sent_s, clocks, path, random)).collect()
}

/// One exchange, unless the node is frozen when it would send or the exchange is lost.
fn exchange(sent_s: f64, clocks: &Clocks, path: &PathRun, random: &mut Random) -> Option<Exchange> {
    let lost = random.uniform() < path.loss();
    if lost || clocks.is_paused(sent_s) {
        return None;
    }
    let received_s = sent_s + path.delay_s(sent_s, Direction::Forward, random);
    let replied_s = received_s + random.gamma(2.0, TURNAROUND_S);
    let mut returned_s = replied_s + path.delay_s(replied_s, Direction::Backward, random);
    for (from_s, resume_s) in clocks.pauses() {
        if from_s < returned_s && returned_s < resume_s {
            returned_s = resume_s + random.between(0.0, LATE_READ_S);
        }
    }
    Some(Exchange { sent_s, received_s, replied_s, returned_s })
}

/// True times of the knots: paced by the node's own clock, and always a little late.
fn knot_times(duration_s: f64, clocks: &Clocks, random: &mut Random) -> Vec<f64> {
    let mut times = clocks.ticks(KNOT_PERIOD_S, duration_s + 1.0);
    times.iter_mut().for_each(|at_s| *at_s += random.exponential(KNOT_LATENESS_S));
    times.retain(|at_s| !clocks.is_paused(*at_s));
    times.sort_by(f64::total_cmp);
    times
}

fn event_times(profile: &Profile, clocks: &Clocks, random: &mut Random) -> Vec<f64> {
    let (from_s, until_s) = (0.1 * profile.duration_s, profile.duration_s - 5.0);
    let mut times: Vec<f64> = (0..profile.events).map(|_| random.between(from_s, until_s)).collect();
    times.retain(|at_s| !clocks.is_paused(*at_s));
    times.sort_by(f64::total_cmp);
    times
}

/// Records with the time at which the reference has them, and their rank among those of one time.
struct Records(Vec<(f64, u8, Record)>);

impl Records {
    fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    fn push(&mut self, at_s: f64, record: Record) {
        let rank = match record {
            Record::Knot(_) => 0,
            Record::Probe { .. } => 1,
            Record::Event { .. } => 2,
        };
        self.0.push((at_s, rank, record));
    }

    fn in_causal_order(mut self) -> Vec<Record> {
        self.0.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.0.into_iter().map(|(_, _, record)| record).collect()
    }
}

/// Reads a node's clocks.
struct Reader<'a> {
    clocks: &'a Clocks,
    jitter_s: f64,
}

impl Reader<'_> {
    fn read_knots(&self, times: &[f64], records: &mut Records, random: &mut Random) {
        let bracket = Span::from_ns((4.0 * self.jitter_s * 1e9).round() as i64);
        for &at_s in times {
            let raw = local(self.clocks.raw(at_s) + random.normal(self.jitter_s));
            let wall = wall(self.clocks.wall(at_s) + random.normal(self.jitter_s));
            records.push(at_s, Record::Knot(Knot { mono: local(self.clocks.mono(at_s)), raw, wall, bracket }));
        }
    }

    fn stamp_exchanges(&self, exchanges: &[Exchange], records: &mut Records, random: &mut Random) {
        for exchange in exchanges {
            let [sent, received, replied, returned] = [(); 4].map(|()| random.normal(STAMP_JITTER_S));
            let probe = Probe {
                sent: local(self.clocks.mono(exchange.sent_s) + sent),
                received: reference(exchange.received_s + received),
                replied: reference(exchange.replied_s + replied),
                returned: local(self.clocks.mono(exchange.returned_s) + returned),
            };
            let walls = [(exchange.sent_s, sent), (exchange.returned_s, returned)];
            let walls = walls.map(|(at_s, jitter_s)| wall(self.clocks.wall(at_s) + jitter_s));
            records.push(exchange.returned_s, Record::Probe { probe, walls });
        }
    }

    /// Stamps events, each of which travels with the next knot.
    fn stamp_events(&self, events: &[f64], knots: &[f64], records: &mut Records, random: &mut Random) {
        for (id, &at_s) in (0..).zip(events) {
            let next = knots.partition_point(|knot_s| *knot_s <= at_s);
            let sent_s = knots.get(next).or(knots.last()).copied().unwrap_or(at_s);
            let jitter_s = random.normal(self.jitter_s);
            let (mono_s, wall_s) = (self.clocks.mono(at_s), self.clocks.wall(at_s));
            records.push(sent_s, Record::Event { id, mono: local(mono_s + jitter_s), wall: wall(wall_s + jitter_s) });
        }
    }
}

/// From each disruption of RAW to the end of the first exchange begun after it, s.
fn gaps(clocks: &Clocks, exchanges: &[Exchange]) -> Vec<(f64, f64)> {
    let gap = |(_, resume_s): (f64, f64)| {
        let later = exchanges.iter().filter(|exchange| exchange.sent_s >= resume_s);
        let first = later.min_by(|a, b| a.sent_s.total_cmp(&b.sent_s));
        (resume_s, first.map_or(f64::INFINITY, |exchange| exchange.returned_s))
    };
    clocks.pauses().map(gap).collect()
}

fn event_truth(at_s: f64, path: &PathRun, gaps: &[(f64, f64)]) -> EventTruth {
    let [forward_s, backward_s] = path.least_both_s(at_s);
    EventTruth {
        true_ns: reference(at_s).ns(),
        asymmetry_ns: (forward_s - backward_s) * 1e9,
        round_trip_ns: (forward_s + backward_s) * 1e9,
        in_gap: gaps.iter().any(|(from_s, until_s)| *from_s <= at_s && at_s <= *until_s),
    }
}

fn true_steps(clocks: &Clocks) -> Vec<TrueStep> {
    let step = |raw: bool| {
        move |(at_s, ahead_s): (f64, f64)| TrueStep { at_ns: reference(at_s).ns(), size_ns: whole_ns(-ahead_s), raw }
    };
    let raw = clocks.pauses().map(|(from_s, resume_s)| (resume_s, from_s - resume_s)).map(step(true));
    let wall = clocks.wall_steps().as_slice().iter().map(|jump| (jump.at_s, jump.size_s)).map(step(false));
    raw.chain(wall).collect()
}

fn route_changes(path: &PathRun) -> Vec<RouteChange> {
    let changes = path.routes.iter().skip(1).map(|route| RouteChange {
        at_ns: reference(route.from_s).ns(),
        delays_ns: path.least_both_s(route.from_s).map(|least_s| least_s * 1e9),
    });
    changes.collect()
}

/// A stamp of a clock that counts from near the start of the run.
fn local<S: Scale>(at_s: f64) -> Instant<S> {
    Instant::from_ns(whole_ns(at_s))
}

fn wall(at_s: f64) -> Instant<Wall> {
    Instant::from_ns(REFERENCE_AT_ZERO_NS + whole_ns(at_s))
}

fn reference(at_s: f64) -> Instant<Reference> {
    Instant::from_ns(REFERENCE_AT_ZERO_NS + whole_ns(at_s))
}

/// Whole nanoseconds of seconds since the start of the run: the epoch is added after, for an `f64` of seconds since
/// 1970 counts in steps of 200 ns.
fn whole_ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}
