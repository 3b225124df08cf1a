//! `syncline clock explain`: what carries an estimate, what its bound rests on, and what would narrow it. Pure: from a stored stream to
//! words.

mod words;

use serde::Serialize;
use syncline_clock::{DisruptionCause, NodeClock, OffsetInterval, Status, ToldDisruption, Tolerance};
use syncline_timebase::{Instant, Knot, Mono, Offset, Probe, Raw, Reference, Span};

use super::stored::{StoredProbe, StoredStream};
use crate::units;
use words::hints;

/// Probes that carry an estimate are within so long of it: older ones have been outweighed by the oscillator's wander.
const CARRIED_FOR: Span = Span::from_s(300);
/// A least round trip of a tenth of the window that differs by a tenth from the one before is another route.
const TENTHS: usize = 10;
const OTHER_ROUTE: f64 = 0.1;

/// What is to be said of a node's clock at one time.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Explanation {
    node: String,
    region: String,
    boot: String,
    /// The region's reference clock, ns since 1970.
    at_ns: i64,
    status: &'static str,
    epoch: u32,
    /// REF - MONO.
    offset_ns: i64,
    /// How much too slow (+) the oscillator runs.
    rate_ppb: f64,
    bounds: Bounds,
    carried_by: Carriers,
    /// The probes that the ends of the hard bound rest on.
    low_end: Option<Support>,
    high_end: Option<Support>,
    disruptions: Vec<Event>,
    wall_steps: Vec<Event>,
    routes: Vec<Event>,
    refused: u64,
    hints: Vec<String>,
}

/// Half widths around the offset, and the interval itself, ns.
#[derive(Debug, PartialEq, Serialize)]
struct Bounds {
    hard_ns: [i64; 2],
    budgeted_ns: [i64; 2],
    tight_ns: [i64; 2],
    half_width_ns: u64,
}

/// The probes around the time.
#[derive(Debug, PartialEq, Serialize)]
struct Carriers {
    probes: usize,
    by_kernel_stamps: usize,
    least_round_trip_ns: u64,
    median_round_trip_ns: u64,
    /// From the newest probe to the time; negative if probes lie behind it.
    age_ns: i64,
}

/// A probe that an end of a bound rests on.
#[derive(Debug, PartialEq, Serialize)]
struct Support {
    at_ns: i64,
    round_trip_ns: u64,
    by_kernel_stamps: bool,
    /// Of what it says at its own time the bound has this much more.
    carried_ns: i64,
}

/// Something that happened to the clock.
#[derive(Debug, PartialEq, Serialize)]
struct Event {
    at_ns: i64,
    what: String,
}

/// A time that the stream says nothing about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

/// Explains what `stream` makes of the clock of `node` at `at`.
///
/// # Errors
/// Nothing is known there: no probe was taken.
pub(crate) fn explain(
    node: &str,
    stream: &StoredStream,
    assumed: Tolerance,
    at: Instant<Reference>,
) -> Result<Explanation, Unknown> {
    let mut replayed = Replayed::of(stream, assumed);
    let mono = replayed.mono_at(at).ok_or(Unknown)?;
    let (estimate, bounds) = (replayed.clock.estimate(mono), replayed.clock.bounds(mono).ok_or(Unknown)?);
    // What was before a disruption says nothing of what is behind it.
    let used = replayed.used_in_the_epoch_of(mono);
    let carriers = carriers(&used, at).ok_or(Unknown)?;
    let ends = |interval: OffsetInterval| [interval.low.ns(), interval.high.ns()];
    let hard_ns = ends(bounds.hard);
    let (rate_ppb, wander_ppb) = (estimate.rate.ppb(), assumed.wander.ppb());
    let support = |end: End| support(&used, mono, [rate_ppb, wander_ppb], hard_ns, end);
    let mut explanation = Explanation {
        node: node.to_owned(),
        region: stream.region.clone(),
        boot: format!("{:016x}", stream.boot),
        at_ns: at.ns(),
        status: status_text(estimate.status),
        epoch: estimate.epoch,
        offset_ns: estimate.offset.ns(),
        rate_ppb: estimate.rate.ppb(),
        bounds: Bounds {
            hard_ns,
            budgeted_ns: ends(bounds.budgeted),
            tight_ns: ends(bounds.tight),
            half_width_ns: estimate.hard.ns(),
        },
        low_end: support(End::Low),
        high_end: support(End::High),
        disruptions: std::mem::take(&mut replayed.disruptions),
        wall_steps: std::mem::take(&mut replayed.wall_steps),
        routes: routes(&used),
        refused: replayed.refused,
        carried_by: carriers,
        hints: Vec::new(),
    };
    explanation.hints = hints(&explanation);
    Ok(explanation)
}

/// The stream after it has gone through the model, as it would in an aggregator.
struct Replayed {
    clock: NodeClock,
    used: Vec<StoredProbe>,
    /// Where disruptions were noticed.
    noticed: Vec<Instant<Raw>>,
    disruptions: Vec<Event>,
    wall_steps: Vec<Event>,
    refused: u64,
}

impl Replayed {
    fn of(stream: &StoredStream, assumed: Tolerance) -> Self {
        let clock = NodeClock::new(assumed);
        let (disruptions, wall_steps) = (Vec::new(), Vec::new());
        let (used, noticed) = (Vec::new(), Vec::new());
        let mut replayed = Self { clock, used, noticed, disruptions, wall_steps, refused: 0 };
        let (mut newest, mut told) = (None, stream.told.iter().copied().peekable());
        for stored in &stream.probes {
            let is_new = |knot: &Knot| {
                let is_new = newest.is_none_or(|newest| newest < knot.mono);
                newest = newest.max(Some(knot.mono));
                is_new
            };
            let knots: Vec<Knot> = stored.knots.into_iter().flatten().filter(is_new).collect();
            let told: Vec<_> = std::iter::from_fn(|| told.next_if(|told| told.since < stored.probe.returned)).collect();
            replayed.take(stored, &knots, &told);
        }
        let rest = replayed.clock.settle();
        replayed.refused += rest.refused.values().sum::<u64>();
        replayed
    }

    fn take(&mut self, stored: &StoredProbe, knots: &[Knot], told: &[ToldDisruption]) {
        let observed = self.clock.observe_told(knots, std::slice::from_ref(&stored.probe), told);
        let at_ns = stored.probe.replied.ns();
        for disruption in &observed.disruptions {
            self.noticed.push(disruption.noticed_at);
            let what = match disruption.cause {
                DisruptionCause::ClocksDisagree => "MONO and RAW jumped against each other",
                DisruptionCause::Told => {
                    "the hypervisor says so (VMClock): a pause, a migration or a restored snapshot"
                }
                _ => "the oscillator jumped: a pause, a migration, a suspend, or a step of the reference",
            };
            self.disruptions.push(Event { at_ns, what: what.to_owned() });
        }
        for step in &observed.wall_steps {
            let what = format!("somebody set the wall clock by {}", units::offset(step.size.ns(), None));
            self.wall_steps.push(Event { at_ns, what });
        }
        self.refused += observed.refused.values().sum::<u64>();
        if observed.used == [true] {
            self.used.push(*stored);
        }
    }

    /// The probes between the same two disruptions as `mono`; all, where there are none.
    fn used_in_the_epoch_of(&self, mono: Instant<Mono>) -> Vec<StoredProbe> {
        let epoch = |raw: Instant<Raw>| self.noticed.partition_point(|noticed| *noticed <= raw);
        let of = |stored: &StoredProbe| epoch(raw_at(stored, stored.probe.returned));
        let nearest = self.used.iter().min_by_key(|stored| (stored.probe.returned - mono).abs());
        let wanted = nearest.map(|stored| epoch(raw_at(stored, mono)));
        let used: Vec<StoredProbe> = self.used.iter().filter(|stored| Some(of(stored)) == wanted).copied().collect();
        if used.is_empty() { self.used.clone() } else { used }
    }

    /// The node's MONO at a time of the reference: its own probes say it closely enough to begin with, and then the model.
    fn mono_at(&self, at: Instant<Reference>) -> Option<Instant<Mono>> {
        let nearest = self.used.iter().min_by_key(|stored| (stored.probe.replied - at).abs())?;
        let mut mono = nearest.probe.returned + (at - nearest.probe.replied);
        for _ in 0..3 {
            let estimate = self.clock.estimate(mono);
            if estimate.status == Status::Unknown {
                return None;
            }
            mono = mono + (at - (mono + estimate.offset));
        }
        Some(mono)
    }
}

/// RAW at a MONO near a probe, by the reading beside it.
fn raw_at(stored: &StoredProbe, mono: Instant<Mono>) -> Instant<Raw> {
    let knot = stored.knots[1].or(stored.knots[0]);
    let raw = knot.map_or(Offset::from_ns(0), |knot| knot.mono.offset_to(knot.raw));
    mono + raw
}

fn round_trip_ns(probe: &Probe) -> u64 {
    u64::try_from(probe.round_trip().ns()).unwrap_or(0)
}

fn carriers(used: &[StoredProbe], at: Instant<Reference>) -> Option<Carriers> {
    let near: Vec<&StoredProbe> =
        used.iter().filter(|stored| (stored.probe.replied - at).abs() <= CARRIED_FOR).collect();
    let near = if near.is_empty() { used.iter().collect() } else { near };
    let mut trips: Vec<u64> = near.iter().map(|stored| round_trip_ns(&stored.probe)).collect();
    trips.sort_unstable();
    Some(Carriers {
        probes: near.len(),
        by_kernel_stamps: near.iter().filter(|stored| stored.by_udp).count(),
        least_round_trip_ns: *trips.first()?,
        median_round_trip_ns: *trips.get(trips.len() / 2)?,
        age_ns: (at - near.iter().map(|stored| stored.probe.replied).max()?).ns(),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Low,
    High,
}

/// The probe whose own bound, carried to `mono` at the estimated rate and as far as the oscillator may wander meanwhile, reaches least
/// beyond the other end.
fn support(
    used: &[StoredProbe],
    mono: Instant<Mono>,
    [rate_ppb, wander_ppb]: [f64; 2],
    hard_ns: [i64; 2],
    end: End,
) -> Option<Support> {
    let raw_off = |stored: &StoredProbe| stored.probe.returned.offset_to(raw_at(stored, stored.probe.returned)).ns();
    let said = |stored: &StoredProbe| {
        let Probe { sent, received, replied, returned } = stored.probe;
        match end {
            End::Low => returned.offset_to(replied).ns() - raw_off(stored),
            End::High => sent.offset_to(received).ns() - raw_off(stored),
        }
    };
    let here = used.iter().min_by_key(|stored| (stored.probe.returned - mono).abs())?;
    let carried = |stored: &StoredProbe| {
        let elapsed_s = (mono - stored.probe.returned).ns() as f64 * 1e-9;
        let wander = wander_ppb * elapsed_s.abs();
        let drifted = rate_ppb * elapsed_s;
        let reach = said(stored) as f64 + drifted;
        (if end == End::High { reach + wander } else { reach - wander }) as i64
    };
    let binding = match end {
        End::Low => used.iter().max_by_key(|stored| carried(stored))?,
        End::High => used.iter().min_by_key(|stored| carried(stored))?,
    };
    let published = if end == End::High { hard_ns[1] } else { hard_ns[0] } - raw_off(here);
    let own = said(binding) as f64 + rate_ppb * (mono - binding.probe.returned).ns() as f64 * 1e-9;
    let more = if end == End::High { published - own as i64 } else { own as i64 - published };
    Some(Support {
        at_ns: binding.probe.replied.ns(),
        round_trip_ns: round_trip_ns(&binding.probe),
        by_kernel_stamps: binding.by_udp,
        carried_ns: more.max(0),
    })
}

/// Where the least round trip of a tenth of the window is another than that of the tenth before. That is all that a node sees of a route.
fn routes(used: &[StoredProbe]) -> Vec<Event> {
    let size = used.len().div_ceil(TENTHS).max(8);
    let floors: Vec<(i64, u64)> = used
        .chunks(size)
        .filter(|chunk| chunk.len() >= 8)
        .filter_map(|chunk| {
            let least = chunk.iter().map(|stored| round_trip_ns(&stored.probe)).min()?;
            Some((chunk.first()?.probe.replied.ns(), least))
        })
        .collect();
    let changed = |pair: &[(i64, u64)]| {
        let [(_, before), (at_ns, now)] = *pair else { return None };
        let change = now as f64 / before.max(1) as f64 - 1.0;
        (change.abs() > OTHER_ROUTE).then(|| Event {
            at_ns,
            what: format!(
                "another route, inferred from the least round trip of {size} probes: it went from {} to {}; what lies on the way is not seen",
                units::span(before),
                units::span(now)
            ),
        })
    };
    floors.windows(2).filter_map(changed).collect()
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Unknown => "unknown",
        Status::Synchronized => "synchronized",
        Status::FreeRunning => "free_running",
        Status::Disrupted => "disrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::FrequencyError;

    const START: i64 = 1_790_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    /// A probe each second, 20 us each way; the 30th is the shortest.
    fn stream(seconds: i64) -> StoredStream {
        let probe = |second: i64| {
            let sent = second * SECOND;
            let way = if second == 30 { 15_000 } else { 20_000 + 100 * (second % 7) };
            let reference = |mono: i64| Instant::<Reference>::from_ns(START + mono);
            let knot = |mono: i64| Knot {
                mono: Instant::from_ns(mono),
                raw: Instant::from_ns(mono),
                wall: Instant::from_ns(START + mono + 5),
                bracket: Span::from_ns(60),
            };
            StoredProbe {
                probe: Probe {
                    sent: Instant::from_ns(sent),
                    received: reference(sent + way),
                    replied: reference(sent + way + 1_000),
                    returned: Instant::from_ns(sent + 2 * way + 1_000),
                },
                by_udp: second % 2 == 0,
                knots: [Some(knot(sent - 1_000)), Some(knot(sent + 2 * way + 2_000))],
            }
        };
        StoredStream { region: "eu".into(), boot: 7, probes: (1..=seconds).map(probe).collect(), told: Vec::new() }
    }

    #[test]
    fn the_shortest_round_trip_carries_both_ends_and_the_path_is_the_limit() {
        let explanation =
            explain("n1", &stream(60), Tolerance::default(), Instant::from_ns(START + 32 * SECOND)).unwrap();
        assert_eq!((explanation.status, explanation.offset_ns.abs_diff(START) < 20_000), ("synchronized", true));
        let ends = [&explanation.low_end, &explanation.high_end].map(|end| end.as_ref().unwrap());
        assert!(ends.iter().all(|end| end.round_trip_ns == 30_000), "{ends:?}");
        assert!(ends.iter().all(|end| end.carried_ns < 30_000), "{ends:?}");
        assert_eq!((explanation.carried_by.probes, explanation.carried_by.by_kernel_stamps), (60, 30));
        assert!(explanation.hints[0].contains("half of the least round trip"), "{:?}", explanation.hints);
        let text = explanation.text();
        assert!(text.contains("rests on the probe of") && text.contains("round trip 30.0 µs"), "{text}");
    }

    #[test]
    fn another_route_is_told_with_what_it_is_inferred_from() {
        let mut stream = stream(160);
        for stored in &mut stream.probes[80..] {
            stored.probe.returned = stored.probe.returned + Span::from_ns(20_000);
        }
        let text = explain("n1", &stream, Tolerance::default(), Instant::from_ns(START + 160 * SECOND)).unwrap().text();
        let told = "another route, inferred from the least round trip of 16 probes: it went from 40.0 µs to 60.0 µs";
        let routes: Vec<&str> = text.lines().filter(|line| line.contains("another route")).collect();
        assert!(routes.iter().any(|line| line.contains(told)), "{routes:?}");
    }

    #[test]
    fn a_bound_assumes_what_it_is_told_to_of_oscillators() {
        let width = |ppm| {
            let assumed = Tolerance { absolute: FrequencyError::from_ppm(ppm), ..Tolerance::default() };
            explain("n1", &stream(1), assumed, Instant::from_ns(START + 3 * SECOND)).unwrap().bounds.half_width_ns
        };
        // One probe shows no rate: two seconds behind it the difference is 450 ppm of them, each way.
        let more_ns = width(500.0) - width(50.0);
        assert!((850_000..=950_000).contains(&more_ns), "{more_ns}");
    }

    #[test]
    fn what_happened_is_told_and_a_silent_reference_too() {
        let mut stream = stream(120);
        for stored in &mut stream.probes[60..] {
            let jump = Offset::<Reference, Reference>::from_ns(40_000_000);
            stored.probe.received = stored.probe.received + jump;
            stored.probe.replied = stored.probe.replied + jump;
        }
        let explanation = explain("n1", &stream, Tolerance::default(), Instant::from_ns(START + 160 * SECOND)).unwrap();
        assert_eq!(explanation.disruptions.len(), 1, "{:?}", explanation.disruptions);
        assert_eq!(explanation.status, "free_running");
        let since_ns = START + 60 * SECOND + 40_000_000;
        for end in [&explanation.low_end, &explanation.high_end] {
            let end = end.as_ref().unwrap();
            assert!(end.at_ns > since_ns && end.round_trip_ns >= 40_000, "{end:?}");
        }
        assert_eq!(explanation.carried_by.probes, 60);
        assert!(explanation.hints.iter().any(|hint| hint.contains("older")), "{:?}", explanation.hints);
        let (since, until) = (Instant::from_ns(100 * SECOND + 1_000_000), Instant::from_ns(100 * SECOND + 100_000_000));
        let told = StoredStream { told: vec![ToldDisruption { since, until }], ..stream.clone() };
        let told = explain("n1", &told, Tolerance::default(), Instant::from_ns(START + 121 * SECOND)).unwrap();
        assert_eq!((told.disruptions.len(), told.epoch, told.carried_by.probes), (2, 2, 20));
        assert!(told.text().contains("the hypervisor says so"), "{}", told.text());
        let nothing = StoredStream { probes: Vec::new(), ..stream };
        assert_eq!(explain("n1", &nothing, Tolerance::default(), Instant::from_ns(START)), Err(Unknown));
    }
}
