//! The truth stays inside the hard bound, over simulated nodes whose truth is known.

use proptest::prelude::*;
use syncline_clock::{Estimate, NodeClock, Observed, Refusal, Status, Tolerance};
use syncline_sim::{NodeSettings, OscillatorSettings, PathSettings, SimulatedNode, WallStep};
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

/// Knots at 10 Hz and one probe a second, taken a second at a time as an agent's batches are.
struct Run {
    node: SimulatedNode,
    clock: NodeClock,
    second: i64,
    observed: Vec<Observed>,
    probes: Vec<Probe>,
}

impl Run {
    fn new(settings: NodeSettings, seed: u64) -> Self {
        let (node, clock) = (SimulatedNode::new(settings, seed), NodeClock::new(Tolerance::default()));
        Self { node, clock, second: 0, observed: Vec::new(), probes: Vec::new() }
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            let (knots, probes) = self.samples();
            self.observed.push(self.clock.observe(&knots, &probes));
            self.probes.extend(probes);
            self.second += 1;
        }
    }

    /// One second's samples: as in the agent, a knot is read beside each stamp of a probe.
    fn samples(&mut self) -> (Vec<Knot>, Vec<Probe>) {
        let start = self.second * SECOND;
        let mut at: Vec<i64> = (0..10).map(|tick| start + tick * 100 * MS).collect();
        let asked = start + 950 * MS;
        let (probe, returned) = self.node.probe(asked);
        at.extend(probe.iter().flat_map(|_| [asked - 1_000, returned + 1_000]));
        (at.into_iter().map(|at| self.node.knot(at)).collect(), probe.into_iter().collect())
    }

    fn estimate(&mut self, true_ns: i64) -> (Instant<Mono>, Estimate) {
        let mono = self.node.mono(true_ns);
        (mono, self.clock.estimate(mono))
    }

    /// How far the truth is outside the hard bound at `true_ns`, if it is.
    fn outside(&mut self, true_ns: i64) -> Option<String> {
        let (mono, estimate) = self.estimate(true_ns);
        let error = (mono + estimate.offset - SimulatedNode::reference(true_ns)).abs();
        (error.ns().unsigned_abs() > estimate.hard.ns())
            .then(|| format!("at {true_ns} ns: off by {} ns, {estimate:?}", error.ns()))
    }

    fn assert_inside(&mut self, from_s: i64, to_s: i64) {
        for at in (from_s * SECOND..to_s * SECOND).step_by(13_700_000) {
            assert_eq!(self.outside(at), None);
        }
    }

    fn disruptions(&self) -> usize {
        self.observed.iter().map(|observed| observed.disruptions.len()).sum()
    }
}

#[test]
fn on_a_lan_an_hour_is_covered_within_half_the_best_round_trip() {
    let mut run = Run::new(NodeSettings::default(), 11);
    run.run(3_600);
    run.assert_inside(0, 3_600);
    assert_eq!(run.disruptions(), 0);
    let (_, estimate) = run.estimate(3_590 * SECOND);
    assert_eq!(estimate.status, Status::Synchronized);
    let best_round_trip = run.probes.iter().map(Probe::round_trip).min().unwrap().ns().unsigned_abs();
    let mono = run.node.mono(3_590 * SECOND);
    let hard = run.clock.bounds(mono).unwrap().hard;
    let half_width = hard.high.ns().abs_diff(hard.low.ns()) / 2;
    assert!(half_width < best_round_trip / 2 + 5_000, "{hard:?}, best round trip {best_round_trip} ns");
    let reach = half_width..=2 * half_width + 2;
    assert!(reach.contains(&estimate.hard.ns()), "around the point it reaches both ends, and no further: {estimate:?}");
    let wrong_rate = (estimate.rate.ppb() + 20_000.0).abs();
    assert!(wrong_rate < 2_000.0, "{estimate:?}");
}

#[test]
fn across_a_wide_area_the_bound_holds_and_is_half_the_round_trip() {
    let path = PathSettings { forward_floor_ns: 28e6, backward_floor_ns: 12e6, ..PathSettings::wan() };
    let mut run = Run::new(NodeSettings { path, ..NodeSettings::default() }, 12);
    run.run(3_600);
    run.assert_inside(0, 3_600);
    let (_, estimate) = run.estimate(3_590 * SECOND);
    assert!(estimate.hard.ns() < 20_100_000, "{estimate:?}");
}

#[test]
fn events_as_they_come_are_covered_too() {
    let mut run = Run::new(NodeSettings::default(), 13);
    for second in 1..600 {
        run.run(1);
        assert_eq!(run.outside(second * SECOND + 400 * MS), None);
    }
}

#[test]
fn a_pause_is_one_disruption_and_both_sides_are_covered() {
    let settings = NodeSettings { pauses: vec![(300 * SECOND + 400 * MS, 80 * MS)], ..NodeSettings::default() };
    let mut run = Run::new(settings, 14);
    run.run(600);
    assert_eq!(run.disruptions(), 1);
    run.assert_inside(0, 600);
    assert_eq!(run.estimate(300 * SECOND + 600 * MS).1.status, Status::Disrupted);
    let (_, after) = run.estimate(590 * SECOND);
    assert_eq!((after.status, after.epoch), (Status::Synchronized, 1));
}

#[test]
fn steps_and_slews_of_the_wall_clock_move_nobody_and_are_found() {
    let steps = [(100, 10i64.pow(8) * SECOND), (200, -3 * SECOND), (300, 25 * MS), (400, -40_000)];
    let wall_steps = steps.map(|(at_s, size_ns)| WallStep { at_ns: at_s * SECOND + 50 * MS, size_ns }).to_vec();
    let steering = vec![(0, 20_000.0), (150 * SECOND, 500_000.0), (160 * SECOND, -500_000.0), (170 * SECOND, 0.0)];
    let mut run = Run::new(NodeSettings { wall_steps, steering, ..NodeSettings::default() }, 15);
    run.run(500);
    run.assert_inside(0, 500);
    assert_eq!(run.disruptions(), 0);
    let found: Vec<i64> = run.observed.iter().flat_map(|o| &o.wall_steps).map(|step| step.size.ns()).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().zip(steps).all(|(found, (_, size))| found.abs_diff(size) < 1_000), "{found:?}");
}

#[test]
fn a_new_route_keeps_the_truth_inside() {
    let mut run = Run::new(NodeSettings::default(), 16);
    run.run(300);
    run.node.path().reroute(PathSettings { forward_floor_ns: 900_000.0, ..PathSettings::lan() });
    run.run(300);
    run.node.path().reroute(PathSettings { backward_floor_ns: 20_000.0, ..PathSettings::lan() });
    run.run(300);
    run.assert_inside(0, 900);
}

#[test]
fn half_of_the_probes_may_be_lost() {
    let path = PathSettings { loss: 0.5, ..PathSettings::lan() };
    let mut run = Run::new(NodeSettings { path, ..NodeSettings::default() }, 17);
    run.run(900);
    run.assert_inside(0, 900);
}

#[test]
fn without_probes_it_is_unknown_and_later_free_running() {
    let mut run = Run::new(NodeSettings::default(), 18);
    let (_, before) = run.estimate(0);
    assert_eq!((before.status, before.hard.is_bounded()), (Status::Unknown, false));
    run.run(60);
    let (_, soon) = run.estimate(61 * SECOND);
    let (_, later) = run.estimate(400 * SECOND);
    assert_eq!((soon.status, later.status), (Status::Synchronized, Status::FreeRunning));
    assert!(later.hard > soon.hard);
    run.assert_inside(60, 400);
}

#[test]
fn an_oscillator_by_itself_needs_no_knots_and_is_carried_tightly() {
    let mut node = SimulatedNode::new(NodeSettings::default(), 21);
    let mut clock = NodeClock::of_oscillator(Tolerance::default());
    for second in 0..600 {
        let (probe, _) = node.probe(second * SECOND);
        clock.observe(&[], probe.as_slice());
    }
    for at in (0..610 * SECOND).step_by(31_000_000) {
        let raw = Instant::<Mono>::from_ns(node.raw(at).ns());
        let estimate = clock.estimate(raw);
        let error = (raw + estimate.offset - SimulatedNode::reference(at)).abs();
        assert!(error.ns().unsigned_abs() <= estimate.hard.ns(), "at {at}: {error:?}, {estimate:?}");
    }
    let bound = |at: i64, node: &mut SimulatedNode| clock.estimate(Instant::from_ns(node.raw(at).ns())).hard.ns();
    assert!(bound(609 * SECOND, &mut node) - bound(599 * SECOND, &mut node) < 30_000, "10 s at 1 ppm and its doubt");
}

#[test]
fn a_batch_that_comes_twice_changes_nothing() {
    let mut run = Run::new(NodeSettings::default(), 19);
    run.run(30);
    let (knots, probes) = run.samples();
    run.clock.observe(&knots, &probes);
    let (_, once) = run.estimate(31 * SECOND);
    let again = run.clock.observe(&knots, &probes);
    assert_eq!(run.estimate(31 * SECOND).1, once);
    assert_eq!(again.refused[&Refusal::KnotOutOfOrder], knots.len() as u64);
    assert_eq!(again.refused[&Refusal::ProbeOutOfOrder], probes.len() as u64);
}

#[test]
fn an_impossible_probe_is_refused_and_harms_nobody() {
    let mut run = Run::new(NodeSettings::default(), 20);
    run.run(60);
    let (mut knots, mut probes) = run.samples();
    knots.clear();
    let good = probes.pop().unwrap();
    let negative = Probe { replied: good.received + Span::from_ms(9), ..good };
    let backwards = Probe { replied: good.received - Span::from_ms(9), ..good };
    let edges = [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX].map(|ns| Probe {
        received: Instant::from_ns(ns),
        replied: Instant::from_ns(ns),
        ..good
    });
    let mut all = vec![negative, backwards];
    all.extend(edges);
    let observed = run.clock.observe(&knots, &all);
    assert_eq!(observed.refused[&Refusal::ProbeImpossible], 2 + 4, "{:?}", observed.refused);
    run.second += 1;
    run.run(10);
    run.assert_inside(62, 70);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Any composition of oscillators, paths, slews, steps and pauses.
    #[test]
    fn the_truth_is_inside_whatever_happens(
        seed: u64,
        frequency_ppb in -300_000.0..300_000.0f64,
        swing_ppb in 0.0..150.0f64,
        forward_us in 5.0..30_000.0f64,
        backward_us in 5.0..30_000.0f64,
        loss in 0.0..0.4f64,
        slew_ppb in -500_000.0..500_000.0f64,
        pause_at_s in 100i64..200,
        pause_over_round_trip in 1.5..50.0f64,
    ) {
        let round_trip_ns = (forward_us + backward_us) * 1e3;
        let oscillator = OscillatorSettings { frequency_ppb, swing_ppb, ..OscillatorSettings::default() };
        let path = PathSettings {
            forward_floor_ns: forward_us * 1e3, backward_floor_ns: backward_us * 1e3, loss, ..PathSettings::lan()
        };
        // Longer than a round trip: what is shorter cannot be seen from one probe, and the crate says so.
        let pause = ((pause_over_round_trip * round_trip_ns) as i64 + 5 * MS).min(900 * MS);
        let settings = NodeSettings {
            oscillator, path,
            steering: vec![(0, 0.0), (50 * SECOND, slew_ppb), (80 * SECOND, -slew_ppb)],
            wall_steps: vec![WallStep { at_ns: 120 * SECOND, size_ns: (seed % 1_000) as i64 * MS - 500 * MS }],
            pauses: vec![(pause_at_s * SECOND, pause)],
            ..NodeSettings::default()
        };
        let mut run = Run::new(settings, seed);
        run.run(300);
        // Nothing happens on a frozen guest.
        let frozen = pause_at_s * SECOND..pause_at_s * SECOND + pause;
        for at in (0..300 * SECOND).step_by(173_000_000).filter(|at| !frozen.contains(at)) {
            prop_assert_eq!(run.outside(at), None);
        }
    }

    /// Stamps from outside may be anything.
    #[test]
    fn no_samples_can_make_it_panic(
        knots: Vec<(i64, i64, i64, i64)>, probes: Vec<(i64, i64, i64, i64)>, asked: Vec<i64>,
    ) {
        let mut clock = NodeClock::new(Tolerance::default());
        let knots: Vec<Knot> = knots.into_iter().map(|(mono, raw, wall, bracket)| Knot {
            mono: Instant::from_ns(mono), raw: Instant::from_ns(raw), wall: Instant::from_ns(wall), bracket: Span::from_ns(bracket),
        }).collect();
        let probes: Vec<Probe> = probes.into_iter().map(|(t1, t2, t3, t4)| Probe {
            sent: Instant::from_ns(t1), received: Instant::from_ns(t2), replied: Instant::from_ns(t3), returned: Instant::from_ns(t4),
        }).collect();
        clock.observe(&knots, &probes);
        for mono in asked {
            clock.estimate(Instant::from_ns(mono));
        }
    }
}
