//! Disruptions that only somebody who tells of them knows: too small for any probe to show.
#![allow(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;
use syncline_clock::{DisruptionCause, NodeClock, Observed, Refusal, Status, ToldDisruption, Tolerance};
use syncline_sim::{CounterJump, NodeSettings, PathSettings, SimulatedNode};
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// All clocks stand still for so long, which is less than queues make of this path's delays.
const FREEZE: (i64, i64) = (300 * SECOND + 430 * MS, 100_000);

/// Almost no delay there and some back, so that one end of a hard bound is close to the truth; with much queueing.
fn one_sided() -> PathSettings {
    PathSettings {
        forward_floor_ns: 5_000.0,
        backward_floor_ns: 2_000_000.0,
        queueing_ns: 200_000.0,
        ..PathSettings::lan()
    }
}

/// Knots at 10 Hz and a probe a second, taken a second at a time.
struct Run {
    node: SimulatedNode,
    clock: NodeClock,
    second: i64,
    disruptions: Vec<DisruptionCause>,
}

impl Run {
    fn new(settings: NodeSettings, seed: u64) -> Self {
        let (node, clock) = (SimulatedNode::new(settings, seed), NodeClock::new(Tolerance::default()));
        Self { node, clock, second: 0, disruptions: Vec::new() }
    }

    fn frozen(seed: u64) -> Self {
        Self::new(NodeSettings { path: one_sided(), pauses: vec![FREEZE], ..NodeSettings::default() }, seed)
    }

    /// The next second, in which this is told.
    fn next(&mut self, told: &[ToldDisruption]) -> Observed {
        let start = self.second * SECOND;
        let asked = start + 950 * MS;
        let (probe, returned) = self.node.probe(asked);
        let mut at: Vec<i64> = (0..10).map(|tick| start + tick * 100 * MS).collect();
        at.extend(probe.iter().flat_map(|_| [asked - 1_000, returned + 1_000]));
        let knots: Vec<Knot> = at.into_iter().map(|at| self.node.knot(at)).collect();
        let probes: Vec<Probe> = probe.into_iter().collect();
        let observed = self.clock.observe_told(&knots, &probes, told);
        self.disruptions.extend(observed.disruptions.iter().map(|disruption| disruption.cause));
        self.second += 1;
        observed
    }

    fn run_until(&mut self, second: i64) {
        while self.second < second {
            self.next(&[]);
        }
    }

    /// What somebody tells who looked a tenth of a second before `true_ns` and after it.
    fn between_looks(&mut self, true_ns: i64) -> ToldDisruption {
        let look = true_ns / (100 * MS) * 100 * MS;
        ToldDisruption { since: self.node.mono(look), until: self.node.mono(look + 100 * MS + 1_000) }
    }

    fn is_inside(&mut self, true_ns: i64) -> bool {
        let mono = self.node.mono(true_ns);
        let estimate = self.clock.estimate(mono);
        (mono + estimate.offset - SimulatedNode::reference(true_ns)).abs().ns().unsigned_abs() <= estimate.hard.ns()
    }

    /// Of the last second, as waits of a batch are placed.
    fn last_second_is_inside(&mut self) -> bool {
        let start = (self.second - 1) * SECOND;
        (0..90).all(|step| self.is_inside(start + step * 10 * MS))
    }

    fn assert_inside(&mut self, seconds: std::ops::Range<i64>) {
        for at in (seconds.start * SECOND..seconds.end * SECOND).step_by(13_700_000) {
            assert!(self.is_inside(at), "at {at} ns");
        }
    }
}

/// In how many of so many runs the truth was outside some time, as events came.
fn outside(is_told: bool) -> usize {
    let broke = |seed: u64| {
        let mut run = Run::frozen(seed);
        let told = run.between_looks(FREEZE.0);
        run.run_until(300);
        let told = if is_told { vec![told] } else { Vec::new() };
        run.next(&told);
        let mut inside = run.last_second_is_inside();
        while run.second < 330 {
            run.next(&[]);
            inside &= run.last_second_is_inside();
        }
        !inside
    };
    (0..20).filter(|seed| broke(*seed)).count()
}

#[test]
fn a_freeze_that_no_probe_shows_breaks_bounds_unless_it_is_told() {
    assert!(outside(false) >= 10, "{} of 20: the freeze shows by itself", outside(false));
    assert_eq!(outside(true), 0);
}

#[test]
fn what_is_told_is_a_disruption_and_the_next_probe_begins_anew() {
    let mut run = Run::frozen(1);
    run.run_until(300);
    let told = run.between_looks(FREEZE.0);
    run.next(&[told]);
    run.run_until(360);
    assert_eq!(run.disruptions, [DisruptionCause::Told]);
    let (before, inside, after) =
        [200 * SECOND, 300 * SECOND + 450 * MS, 350 * SECOND].map(|at| run.node.mono(at)).into();
    let status = |mono: Instant<Mono>| run.clock.estimate(mono).status;
    assert_eq!([before, inside, after].map(status), [Status::Synchronized, Status::Disrupted, Status::Synchronized]);
    assert_eq!((run.clock.estimate(before).epoch, run.clock.estimate(after).epoch), (0, 1));
    assert_eq!(run.clock.estimate(told.since - Span::from_ms(1)).status, Status::Synchronized);
    run.assert_inside(0..360);
}

#[test]
fn until_the_next_probe_nothing_is_known_after_it() {
    let mut run = Run::frozen(2);
    run.run_until(300);
    let told = run.between_looks(FREEZE.0);
    run.clock.observe_told(&[], &[], &[told]);
    assert_eq!(run.clock.estimate(told.until).status, Status::Unknown);
    assert_eq!(run.clock.estimate(run.node.mono(299 * SECOND)).status, Status::Synchronized);
}

#[test]
fn told_late_it_takes_back_what_the_probes_since_then_said() {
    let mut run = Run::frozen(3);
    run.run_until(310);
    let told = run.between_looks(FREEZE.0);
    run.next(&[told]);
    run.run_until(340);
    run.assert_inside(0..340);
    let between = run.node.mono(305 * SECOND);
    assert_eq!(
        run.clock.estimate(between).status,
        Status::Disrupted,
        "the probes of then are of neither side for sure"
    );
}

#[test]
fn a_probe_that_may_have_met_it_is_refused() {
    let freeze = (300 * SECOND + 950 * MS + 500_000, 100_000);
    let settings = NodeSettings { path: one_sided(), pauses: vec![freeze], ..NodeSettings::default() };
    let mut run = Run::new(settings, 4);
    run.run_until(300);
    let told = run.between_looks(freeze.0);
    let observed = run.next(&[told]);
    let later = run.next(&[]);
    let refused = [&observed, &later].map(|observed| observed.refused.get(&Refusal::ProbeAcrossJump).copied());
    assert!(refused == [Some(1), None] || refused == [None, Some(1)], "{refused:?}");
    run.run_until(330);
    run.assert_inside(0..330);
}

#[test]
fn a_probe_that_may_have_met_the_first_of_two_is_refused_though_it_is_placed_after_both_are_told() {
    let freeze = (300 * SECOND + 950 * MS + 500_000, 100_000);
    let settings = NodeSettings { path: one_sided(), pauses: vec![freeze], ..NodeSettings::default() };
    let mut run = Run::new(settings, 4);
    run.run_until(300);
    let first = run.between_looks(freeze.0);
    let probe = run.node.probe(300 * SECOND + 950 * MS).0.unwrap();
    let second = ToldDisruption { since: first.until, until: first.until + Span::from_ms(50) };
    assert!(first.since < probe.sent && probe.returned < first.until);
    let knots = [101, 102, 103].map(|tick| run.node.knot(300 * SECOND + 1_100 * MS + tick * MS));
    let observed = run.clock.observe_told(&knots, &[probe], &[first, second]);
    assert_eq!(observed.refused.get(&Refusal::ProbeAcrossJump), Some(&1));
    run.second = 302;
    run.run_until(330);
    run.assert_inside(0..330);
}

#[test]
fn told_again_it_changes_nothing() {
    let mut run = Run::frozen(5);
    run.run_until(300);
    let told = run.between_looks(FREEZE.0);
    run.next(&[told]);
    run.run_until(320);
    let now = run.node.mono(320 * SECOND);
    let before = run.clock.estimate(now);
    assert_eq!(run.clock.observe_told(&[], &[], &[told]), Observed::default());
    assert_eq!(run.clock.estimate(now), before);
}

/// Where knots are read so badly that probes wait for better ones, it waits as the second one is told.
#[test]
fn a_probe_that_met_the_first_of_two_is_refused_though_the_second_came_after_it() {
    let at = |ms: i64| Instant::<Mono>::from_ns(ms * MS);
    let knot = |ms: i64| {
        let (raw, wall) = (Instant::from_ns(ms * MS), Instant::from_ns(ms * MS));
        Knot { mono: at(ms), raw, wall, bracket: Span::from_ns(10_000) }
    };
    let probe = |ms: i64| {
        let reference = Instant::from_ns((ms + 15) * MS);
        Probe { sent: at(ms), received: reference, replied: reference, returned: at(ms + 30) }
    };
    let told = |from_ms: i64, to_ms: i64| ToldDisruption { since: at(from_ms), until: at(to_ms) };
    let mut clock = NodeClock::new(Tolerance::default());
    for second in 0..10 {
        let knots: Vec<Knot> = (0..10).map(|tick| knot(second * 1_000 + tick * 100)).collect();
        assert!(clock.observe(&knots, &[probe(second * 1_000 + 500)]).refused.is_empty());
    }
    let knots = [knot(9_950), knot(10_040), knot(10_050), knot(10_600)];
    let observed = clock.observe_told(&knots, &[probe(9_990)], &[told(9_950, 10_010), told(10_040, 10_050)]);
    assert_eq!(observed.refused.get(&Refusal::ProbeAcrossJump), Some(&1), "{observed:?}");
}

#[test]
fn what_is_told_of_a_time_to_come_holds_up_probes_for_no_longer_than_a_minute() {
    for since_s in [60, 65, 9_000, i64::MAX / SECOND] {
        let mut run = Run::new(NodeSettings::default(), 8);
        run.run_until(60);
        let told = ToldDisruption { since: Instant::from_ns(since_s * SECOND), until: Instant::from_ns(i64::MAX) };
        run.next(&[told]);
        run.run_until(130);
        assert_eq!(run.clock.estimate(run.node.mono(129 * SECOND)).status, Status::Synchronized, "{since_s} s");
        run.assert_inside(0..130);
    }
}

#[test]
fn what_knots_show_too_is_one_disruption() {
    let jump = CounterJump { at_ns: FREEZE.0, raw_ns: 3 * MS, ..CounterJump::default() };
    let mut run = Run::new(NodeSettings { jumps: vec![jump], ..NodeSettings::default() }, 6);
    run.run_until(300);
    let told = run.between_looks(FREEZE.0);
    run.next(&[told]);
    run.run_until(320);
    assert_eq!(run.disruptions, [DisruptionCause::Told]);
    run.assert_inside(0..320);
}

#[test]
fn it_is_kept_in_a_snapshot() {
    let mut run = Run::frozen(7);
    run.run_until(300);
    let told = run.between_looks(FREEZE.0);
    run.clock.observe_told(&[], &[], &[told]);
    run.clock = NodeClock::restore(&run.clock.snapshot()).unwrap();
    run.run_until(320);
    run.assert_inside(0..320);
    assert_eq!(run.clock.estimate(run.node.mono(310 * SECOND)).epoch, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// What is told beside may be false, late, or told in any order: that costs width, and never the truth.
    #[test]
    fn whatever_else_is_told_the_truth_stays_inside(
        seed: u64,
        lies in prop::collection::vec((1i64..120, 0.0..1.0f64, 0i64..5_000), 0..6),
        freeze_at_s in 20i64..110,
        freeze_ns in 10_000i64..400_000,
    ) {
        let freeze = (freeze_at_s * SECOND + 430 * MS, freeze_ns);
        let settings = NodeSettings { path: one_sided(), pauses: vec![freeze], ..NodeSettings::default() };
        let mut run = Run::new(settings, seed);
        while run.second < 120 {
            let mut told = Vec::new();
            if run.second == freeze_at_s {
                told.push(run.between_looks(freeze.0));
            }
            for (at_s, share, length_ms) in lies.iter().filter(|(at_s, ..)| *at_s == run.second) {
                let until = (*at_s as f64 * 1e9 * share) as i64;
                let until = run.node.mono(until);
                told.push(ToldDisruption { since: until - Span::from_ms(*length_ms), until });
            }
            run.next(&told);
        }
        for at in (0..120 * SECOND).step_by(171_000_000) {
            prop_assert!(run.is_inside(at), "at {} ns", at);
        }
    }
}
