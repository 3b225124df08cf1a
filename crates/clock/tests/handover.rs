//! A model that goes on against another reference: the truth stays inside, and what was known is not lost.
#![allow(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;
use syncline_clock::{NodeClock, Status, Tolerance};
use syncline_sim::{CounterJump, NodeSettings, OscillatorSettings, PathSettings, SimulatedNode};
use syncline_timebase::{Instant, Knot, Probe, Reference, Span};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

/// A node and two references, each an oscillator of its own; the second probes the first, as aggregators of a region do.
struct Run {
    node: SimulatedNode,
    first: SimulatedNode,
    second: SimulatedNode,
    clock: NodeClock,
    link: NodeClock,
}

/// Whose reference a node's probes speak of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    First,
    Second,
}

impl Run {
    fn new(node: NodeSettings, second: NodeSettings, seed: u64) -> Self {
        let oscillator = OscillatorSettings { frequency_ppb: -7_000.0, ..OscillatorSettings::default() };
        let first = NodeSettings { oscillator, uptime_ns: 40 * SECOND, ..NodeSettings::default() };
        Self {
            node: SimulatedNode::new(node, seed),
            first: SimulatedNode::new(first, seed ^ 1),
            second: SimulatedNode::new(second, seed ^ 2),
            clock: NodeClock::new(Tolerance::default()),
            link: NodeClock::of_oscillator(Tolerance::default()),
        }
    }

    /// REF of one of the two at a true time.
    fn reference(&mut self, of: Of, true_ns: i64) -> Instant<Reference> {
        let clock = if of == Of::First { &mut self.first } else { &mut self.second };
        Instant::from_ns(clock.raw(true_ns).ns())
    }

    /// A probe whose stamps at the other end are `of`'s instead of the truth.
    fn told(&mut self, of: Of, probe: Probe) -> Probe {
        let true_ns = |stamp: Instant<Reference>| (stamp - SimulatedNode::reference(0)).ns();
        let [received, replied] = [probe.received, probe.replied].map(|stamp| self.reference(of, true_ns(stamp)));
        Probe { received, replied, ..probe }
    }

    /// Probes and knots of these seconds, in which nothing happens to the clocks.
    fn observe(&mut self, of: Of, seconds: std::ops::Range<i64>) {
        assert_eq!(self.observe_all(of, seconds.clone()), 0, "disruptions in {seconds:?}");
    }

    /// Probes and knots of these seconds; how many disruptions show.
    fn observe_all(&mut self, of: Of, seconds: std::ops::Range<i64>) -> usize {
        let mut disruptions = 0;
        for second in seconds {
            let start = second * SECOND;
            let asked = start + 950 * MS;
            let (probe, returned) = self.node.probe(asked);
            let mut at: Vec<i64> = (0..10).map(|tick| start + tick * 100 * MS).collect();
            at.extend(probe.iter().flat_map(|_| [asked - 1_000, returned + 1_000]));
            let knots: Vec<Knot> = at.into_iter().map(|at| self.node.knot(at)).collect();
            let probe: Vec<Probe> = probe.into_iter().map(|probe| self.told(of, probe)).collect();
            disruptions += self.clock.observe(&knots, &probe).disruptions.len();
        }
        disruptions
    }

    /// Knots alone: they are what waits are placed by.
    fn observe_knots(&mut self, seconds: std::ops::Range<i64>) {
        for at in (seconds.start * 10..seconds.end * 10).map(|tick| tick * 100 * MS) {
            let knot = self.node.knot(at);
            self.clock.observe(&[knot], &[]);
        }
    }

    /// The second reference probes the first.
    fn link(&mut self, seconds: std::ops::Range<i64>) {
        for second in seconds {
            if let (Some(probe), _) = self.second.probe(second * SECOND + 300 * MS) {
                let probe = self.told(Of::First, probe);
                self.link.observe(&[], &[probe]);
            }
        }
    }

    /// The hard bound at a true time; the truth is inside it.
    fn bound(&mut self, of: Of, true_ns: i64) -> u64 {
        let (mono, truth) = (self.node.mono(true_ns), self.reference(of, true_ns));
        let estimate = self.clock.estimate(mono);
        let error = (mono + estimate.offset - truth).abs();
        assert!(error.ns().unsigned_abs() <= estimate.hard.ns(), "at {true_ns} ns: off by {error:?}, {estimate:?}");
        estimate.hard.ns()
    }
}

fn lan_with(frequency_ppb: f64, loss: f64) -> NodeSettings {
    let oscillator = OscillatorSettings { frequency_ppb, ..OscillatorSettings::default() };
    NodeSettings { oscillator, path: PathSettings { loss, ..PathSettings::lan() }, ..NodeSettings::default() }
}

#[test]
fn a_node_that_changes_keeps_its_bounds_and_its_rate() {
    let mut run = Run::new(lan_with(20_000.0, 0.001), lan_with(-3_000.0, 0.001), 5);
    run.link(0..300);
    run.observe(Of::First, 0..300);
    let before = run.bound(Of::First, 300 * SECOND);
    let handed = run.clock.handed_over(&run.link).unwrap();
    run.clock = handed;
    let after = run.bound(Of::Second, 300 * SECOND);
    let link = run.link.estimate(Instant::from_ns(run.second.raw(300 * SECOND).ns())).hard.ns();
    assert!((before..before + link + 2_000).contains(&after), "{before} and {link} ns make {after} ns");
    // Nothing but the oscillators carries it on: the rate is known, which a new model takes minutes to learn.
    run.observe_knots(300..311);
    let later = run.bound(Of::Second, 310 * SECOND);
    assert!(later < after + 30_000, "{after} ns, and {later} ns ten seconds later");
    let at = run.node.mono(300 * SECOND);
    assert_eq!(run.clock.estimate(at).status, Status::Synchronized);
    // What came before is told of by the new reference, too.
    for second in 120..300 {
        assert!(run.bound(Of::Second, second * SECOND) < 2 * (before + link));
    }
    run.observe(Of::Second, 311..320);
    assert!(run.bound(Of::Second, 319 * SECOND) < 80_000);
}

/// A doubt stands in the way now and then, no more.
#[test]
fn most_nodes_are_handed_over() {
    let handed = (0..200).filter(|seed| {
        let mut run = Run::new(lan_with(20_000.0, 0.01), lan_with(-3_000.0, 0.01), *seed);
        run.link(0..60);
        run.observe(Of::First, 0..60);
        run.clock.handed_over(&run.link).is_some()
    });
    assert!(handed.count() > 190);
}

#[test]
fn nothing_is_handed_over_where_nothing_leads_there() {
    let mut run = Run::new(lan_with(20_000.0, 0.0), lan_with(-3_000.0, 0.0), 6);
    assert!(run.clock.handed_over(&run.link).is_none(), "nothing is known at all");
    run.observe(Of::First, 0..20);
    assert!(run.clock.handed_over(&run.link).is_none(), "the references do not know of one another");
    run.link(0..20);
    assert!(run.clock.handed_over(&run.link).is_some());
    run.clock.disrupt();
    assert!(run.clock.handed_over(&run.link).is_none(), "where the node's clocks are now nobody knows");
}

#[test]
fn what_the_link_says_of_before_its_own_disruption_is_not_used() {
    // The second reference's machine is suspended, and its clock with it.
    let pauses = vec![(100 * SECOND, 30 * SECOND)];
    let mut run = Run::new(lan_with(20_000.0, 0.0), NodeSettings { pauses, ..lan_with(-3_000.0, 0.0) }, 7);
    run.observe(Of::First, 0..99);
    let left = run.clock.clone();
    run.observe(Of::First, 99..200);
    run.link(0..100);
    run.link(130..200);
    // Where it left before the disruption, the link of then leads there.
    if let Some(handed) = left.handed_over(&run.link) {
        let now = std::mem::replace(&mut run.clock, handed);
        run.bound(Of::Second, 98 * SECOND);
        run.clock = now;
    }
    run.clock = run.clock.handed_over(&run.link).unwrap();
    for second in (1..100).chain(135..200) {
        run.bound(Of::Second, second * SECOND);
    }
}

#[test]
fn where_a_moment_may_lie_on_either_side_of_a_disruption_nothing_is_said_of_it() {
    // Over a quarter of an hour the references go some 0.4 s apart.
    for (at_ms, frequency_ppb) in (0..40).flat_map(|step| [(step * 25, -450_000.0), (step * 25, 430_000.0)]) {
        let at_ns = 100 * SECOND + at_ms * MS;
        let jumps = vec![CounterJump { at_ns, all_ns: 7 * SECOND, ..CounterJump::default() }];
        let second = NodeSettings { jumps, ..lan_with(frequency_ppb, 0.0) };
        let mut run = Run::new(lan_with(-5_000.0, 0.0), second, 9);
        run.link(0..1_000);
        run.observe(Of::First, 0..1_000);
        let Some(handed) = run.clock.handed_over(&run.link) else { panic!("nothing is in doubt now") };
        run.clock = handed;
        for at in (90 * SECOND..120 * SECOND).step_by(50_000_000) {
            run.bound(Of::Second, at);
        }
    }
}

#[test]
fn a_disruption_that_the_link_did_not_see_any_more_is_found_after_it() {
    let pauses = vec![(60 * SECOND, SECOND)];
    let mut run = Run::new(lan_with(20_000.0, 0.0), NodeSettings { pauses, ..lan_with(-3_000.0, 0.0) }, 10);
    run.link(0..50);
    run.observe(Of::First, 0..100);
    run.clock = run.clock.handed_over(&run.link).unwrap();
    let (before, after) = (run.node.mono(30 * SECOND), run.node.mono(100 * SECOND));
    assert_eq!(run.clock.estimate(after).status, Status::Synchronized, "nobody can know yet");
    run.observe_all(Of::Second, 100..110);
    for at in (SECOND..110 * SECOND).step_by(170_000_000) {
        run.bound(Of::Second, at);
    }
    assert_eq!(run.clock.estimate(before).status, Status::Synchronized);
    assert_eq!(run.clock.estimate(run.node.mono(70 * SECOND)).status, Status::Disrupted);
}

#[test]
fn what_one_of_the_three_saw_and_the_others_did_not_leads_nowhere() {
    let pauses = vec![(60 * SECOND, SECOND)];
    // The reference so far stood still after the link's last probe, and the node saw it.
    let mut run = Run::new(lan_with(20_000.0, 0.0), lan_with(-3_000.0, 0.0), 11);
    run.first = SimulatedNode::new(NodeSettings { pauses: pauses.clone(), ..NodeSettings::default() }, 12);
    run.link(0..50);
    run.observe_all(Of::First, 0..60);
    run.observe_all(Of::First, 62..100);
    assert!(run.clock.handed_over(&run.link).is_none());
    run.link(100..103);
    run.observe(Of::First, 100..103);
    assert!(run.clock.handed_over(&run.link).is_some(), "now the link has seen it too");
    // The other one stood still after the node's last probe, and the link saw it.
    let mut run = Run::new(lan_with(20_000.0, 0.0), NodeSettings { pauses, ..lan_with(-3_000.0, 0.0) }, 13);
    run.observe(Of::First, 0..55);
    run.link(0..60);
    run.link(62..100);
    assert!(run.clock.handed_over(&run.link).is_none());
}

#[test]
fn links_that_make_no_sense_do_no_harm() {
    let mut run = Run::new(lan_with(20_000.0, 0.0), lan_with(-3_000.0, 0.0), 8);
    run.observe(Of::First, 0..20);
    for (sent, received) in [(i64::MIN + 10, i64::MAX - 10), (0, i64::MAX / 2), (i64::MAX / 2, 0), (0, i64::MIN / 2)] {
        let mut link = NodeClock::of_oscillator(Tolerance::default());
        let [sent, returned] = [sent, sent.saturating_add(1_000)].map(Instant::from_ns);
        let received = Instant::from_ns(received);
        link.observe(&[], &[Probe { sent, received, replied: received + Span::from_ns(1), returned }]);
        if let Some(handed) = run.clock.handed_over(&link) {
            handed.estimate(run.node.mono(21 * SECOND));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever the oscillators and the paths are, and however long nobody probes in between.
    #[test]
    fn the_truth_stays_inside(
        seed: u64,
        node_ppb in -200_000.0..200_000.0f64,
        second_ppb in -200_000.0..200_000.0f64,
        there_us in 5.0..5_000.0f64,
        back_us in 5.0..5_000.0f64,
        loss in 0.0..0.3f64,
        seconds in 5i64..200,
        link_ends_before in 0i64..20,
        gap in 0i64..60,
    ) {
        let path = PathSettings {
            forward_floor_ns: there_us * 1e3, backward_floor_ns: back_us * 1e3, loss, ..PathSettings::lan()
        };
        let with = |ppb| NodeSettings { path, ..lan_with(ppb, loss) };
        let mut run = Run::new(with(node_ppb), with(second_ppb), seed);
        run.link(0..(seconds - link_ends_before).max(3));
        run.observe(Of::First, 0..seconds);
        let Some(handed) = run.clock.handed_over(&run.link) else { return Ok(()) };
        run.clock = handed;
        for at in (seconds / 2..=seconds).map(|second| second * SECOND - 123 * MS) {
            run.bound(Of::Second, at);
        }
        run.observe_knots(seconds..seconds + gap);
        run.bound(Of::Second, (seconds + gap) * SECOND);
        run.observe(Of::Second, seconds + gap..seconds + gap + 20);
        for at in (seconds..seconds + gap + 20).map(|second| second * SECOND + 77 * MS) {
            run.bound(Of::Second, at);
        }
    }
}
