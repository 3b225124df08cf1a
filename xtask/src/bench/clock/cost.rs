//! What the clock model costs: time per sample and per event, memory per node.

use std::fs;
use std::hint::black_box;
use std::time::Instant as Stopwatch;

use syncline_clock::{NodeClock, Segment};
use syncline_sim::Random;
use syncline_sim::profile::{Network, Record, Trace, generate};
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};

use super::super::statistics::{Spread, whole};
use super::super::{machine, table};
use super::condition::Condition;
use super::ours;
use super::stream::RawMap;

/// Each measurement is repeated; the median counts.
const ROUNDS: usize = 9;
/// Seconds of the stream, each a batch of about ten knots and a probe, before the measurement.
const WARM: usize = 3_600;
/// Seconds of the stream that are measured.
const MEASURED: usize = 1_800;
/// Nodes beside one another.
const NODES: usize = 1_000;
const EVENTS: usize = 100_000;
/// What one region may have, at a probe a second each.
const REGION_NODES: f64 = 100_000.0;

/// What is sent at a time.
#[derive(Default)]
struct Batch {
    knots: Vec<Knot>,
    probes: Vec<Probe>,
}

struct Cost {
    probe_ns: Spread,
    batch_ns: Spread,
    event_ns: Spread,
    event_of_many_ns: Spread,
    placed_ns: Spread,
    placed_of_many_ns: Spread,
    batch_of_many_ns: Spread,
    node_bytes: f64,
}

/// Measures a steady and a disturbed stream; the table in Markdown.
pub(super) fn text() -> String {
    let condition = |network, stress| Condition { network, asymmetric: false, stress, burst: false };
    // Memory that was freed would be used again, and hide what nodes take: none is until both have grown.
    let subjects = [condition(Network::Lan, false), condition(Network::Wan, true)].map(Subject::new);
    let nodes = subjects.each_ref().map(|subject| grow(&subject.clock));
    let grown = subjects.iter().zip(nodes);
    let costs: Vec<(String, Cost)> =
        grown.map(|(subject, (bytes, nodes))| (subject.condition.name(), Cost::of(subject, bytes, nodes))).collect();
    let headings: Vec<&str> = std::iter::once("").chain(costs.iter().map(|(name, _)| name.as_str())).collect();
    type Cell = fn(&Cost) -> String;
    let lines: [(&str, Cell); 9] = [
        ("a probe alone, ns", |cost| whole(cost.probe_ns.median)),
        ("a probe with its ten knots, ns", |cost| whole(cost.batch_ns.median)),
        ("the same, of 1,000 nodes in turn, ns", |cost| whole(cost.batch_of_many_ns.median)),
        ("an event placed by a segment, one node, ns", |cost| tenths(cost.placed_ns.median)),
        ("the same, 1,000 nodes at random, ns", |cost| tenths(cost.placed_of_many_ns.median)),
        ("an event asked of the model, one node, ns", |cost| whole(cost.event_ns.median)),
        ("the same, 1,000 nodes at random, ns", |cost| whole(cost.event_of_many_ns.median)),
        ("memory of a node, KiB", |cost| whole(cost.node_bytes / 1024.0)),
        ("100,000 nodes, a probe and ten knots a second: cores", |cost| {
            format!("{:.2}", cost.batch_of_many_ns.median * REGION_NODES / 1e9)
        }),
    ];
    let row = |(name, cell): &(&str, Cell)| {
        std::iter::once((*name).to_owned()).chain(costs.iter().map(|(_, cost)| cell(cost))).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    format!(
        "**Cost of ours**: medians of {ROUNDS} repetitions, after an hour of samples; {}, release build. {}\n\n{}\
         The struct itself has {} bytes; what it keeps is on the heap, and its live part is not told apart.\n",
        machine::description(),
        machine::disturbance((0..3).map(|_| machine::busy_share())),
        table::text(&headings, &rows),
        size_of::<NodeClock>(),
    )
}

/// A stream, and models that have had its first part.
struct Subject {
    condition: Condition,
    map: RawMap,
    before: Vec<Batch>,
    measured: Vec<Batch>,
    clock: NodeClock,
    /// Of a node whose MONO is RAW.
    bare: NodeClock,
}

impl Subject {
    fn new(condition: Condition) -> Self {
        let trace = generate(&condition.profile(), 1);
        let tolerance = ours::tolerance(&trace, condition.asymmetry_share());
        let mut before = batches(&trace);
        let mut measured = before.split_off(WARM.min(before.len() / 2));
        measured.truncate(MEASURED);
        let map = RawMap::of(&trace);
        let (mut clock, mut bare) = (NodeClock::new(tolerance), NodeClock::of_oscillator(tolerance));
        feed(&mut clock, &before);
        feed(&mut bare, &on_raw(&before, &map));
        Self { condition, map, before, measured, clock, bare }
    }
}

impl Cost {
    fn of(subject: &Subject, node_bytes: f64, mut nodes: Vec<NodeClock>) -> Self {
        let Subject { map, before, measured, clock, bare, .. } = subject;
        let asked = asked(before);
        Self {
            probe_ns: time_feeding(bare, &on_raw(measured, map)),
            batch_ns: time_feeding(clock, measured),
            event_ns: time_answers(std::slice::from_ref(clock), &asked, NodeClock::estimate),
            event_of_many_ns: time_answers(&nodes, &asked, NodeClock::estimate),
            placed_ns: time_answers(&segments(std::slice::from_ref(clock), before), &asked, Segment::at),
            placed_of_many_ns: time_answers(&segments(&nodes, before), &asked, Segment::at),
            batch_of_many_ns: time_feeding_many(&mut nodes, measured),
            node_bytes,
        }
    }
}

/// The samples up to and with each probe.
fn batches(trace: &Trace) -> Vec<Batch> {
    let (mut batches, mut batch) = (Vec::new(), Batch::default());
    for record in &trace.records {
        match record {
            Record::Knot(knot) => batch.knots.push(*knot),
            Record::Event { .. } => {}
            Record::Probe { probe, .. } => {
                batch.probes.push(*probe);
                batches.push(std::mem::take(&mut batch));
            }
        }
    }
    batches
}

/// As a node whose MONO is RAW would send them: it needs no knots.
fn on_raw(batches: &[Batch], map: &RawMap) -> Vec<Batch> {
    let place = |mono: Instant<Mono>| Instant::from_ns(map.raw_ns(mono.ns()));
    let placed = |probe: &Probe| Probe { sent: place(probe.sent), returned: place(probe.returned), ..*probe };
    let of = |batch: &Batch| Batch { knots: Vec::new(), probes: batch.probes.iter().map(placed).collect() };
    batches.iter().map(of).collect()
}

fn feed(clock: &mut NodeClock, batches: &[Batch]) {
    for batch in batches {
        black_box(clock.observe(&batch.knots, &batch.probes));
    }
}

fn time_feeding(clock: &NodeClock, batches: &[Batch]) -> Spread {
    rounds(batches.len(), || {
        let mut clock = clock.clone();
        let begun = Stopwatch::now();
        feed(&mut clock, batches);
        begun.elapsed().as_secs_f64()
    })
}

/// Each node gets the next batch in turn, so that none is in the cache.
fn time_feeding_many(nodes: &mut [NodeClock], batches: &[Batch]) -> Spread {
    let mut next = batches.chunks(batches.len().div_ceil(ROUNDS).clamp(1, 5));
    rounds(nodes.len(), || {
        let chunk = next.next().unwrap_or_default();
        let begun = Stopwatch::now();
        for batch in chunk {
            nodes.iter_mut().for_each(|node| feed(node, std::slice::from_ref(batch)));
        }
        begun.elapsed().as_secs_f64() / chunk.len() as f64
    })
}

/// Each of `asked` is answered by one of `items`, at random.
fn time_answers<T, A>(items: &[T], asked: &[Instant<Mono>], answer: impl Fn(&T, Instant<Mono>) -> A) -> Spread {
    let mut random = Random::seeded(2);
    let order: Vec<usize> = asked.iter().map(|_| (random.uniform() * items.len() as f64) as usize).collect();
    rounds(asked.len(), || {
        let begun = Stopwatch::now();
        for (item, mono) in order.iter().zip(asked) {
            black_box(items.get(*item).map(|item| answer(item, *mono)));
        }
        begun.elapsed().as_secs_f64()
    })
}

/// The piece of each model over the last second, as it is stored.
fn segments(nodes: &[NodeClock], batches: &[Batch]) -> Vec<Segment> {
    let Some(batch) = batches.last() else { return Vec::new() };
    let newest = batch.knots.last().map_or(Instant::from_ns(0), |knot| knot.mono);
    let probed = batch.probes.iter().map(|probe| probe.returned);
    let inside = || batch.knots.iter().map(|knot| knot.mono).chain(probed.clone());
    nodes.iter().map(|node| node.segment([newest - Span::from_s(1), newest], inside())).collect()
}

/// Events of the last second, in no order.
fn asked(batches: &[Batch]) -> Vec<Instant<Mono>> {
    let newest = batches.last().and_then(|batch| batch.knots.last()).map_or(Instant::from_ns(0), |knot| knot.mono);
    let mut random = Random::seeded(1);
    (0..EVENTS).map(|_| newest - Span::from_ns((random.uniform() * 1e9) as i64)).collect()
}

/// With one digit after the point.
fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

/// Nanoseconds of each of `count` pieces of what takes `seconds`.
fn rounds(count: usize, mut seconds: impl FnMut() -> f64) -> Spread {
    Spread::of((0..ROUNDS).map(|_| seconds() / count as f64)).times(1e9)
}

/// Many copies, and the memory that each takes.
fn grow(clock: &NodeClock) -> (f64, Vec<NodeClock>) {
    let before = resident_bytes();
    let nodes = vec![clock.clone(); NODES];
    ((resident_bytes() - before) / NODES as f64, nodes)
}

/// NaN where the kernel does not tell, which no table hides.
fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_all_samples_in_their_order() {
        let condition = Condition { network: Network::Lan, asymmetric: false, stress: false, burst: false };
        let profile = syncline_sim::profile::Profile { duration_s: 60.0, events: 10, ..condition.profile() };
        let trace = generate(&profile, 1);
        let batches = batches(&trace);
        assert!(batches.len() > 50 && batches.iter().all(|batch| batch.probes.len() == 1));
        let bare = on_raw(&batches, &RawMap::of(&trace));
        assert!(bare.iter().all(|batch| batch.knots.is_empty()) && bare.len() == batches.len());
        let mut clock = NodeClock::of_oscillator(ours::tolerance(&trace, 0.3));
        feed(&mut clock, &bare);
        assert!(clock.last_probe().is_some() && resident_bytes() > 0.0);
    }
}
