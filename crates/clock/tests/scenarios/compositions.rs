//! Random compositions of what happens in the scenarios, and streams of garbage.
//!
//! What is found by evidence alone is not among them: freezes inside an exchange or shorter than a round trip, and lies.

use proptest::collection::vec;
use proptest::prelude::*;
use syncline_clock::{NodeClock, Tolerance};
use syncline_sim::scenario::{Corruption, Disorder, Fault, Scenario};
use syncline_sim::{CounterJump, NodeSettings, OscillatorSettings, PathSettings, WallStep};
use syncline_timebase::{Instant, Knot, Probe, Span};

use crate::run::run;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// Each fault has so long for itself: two that cancel out between two exchanges are one that nobody can see.
const SLOT: i64 = 40 * SECOND;
/// Longest floor of a path, each way.
const LONGEST_FLOOR_US: f64 = 25_000.0;
/// What a frozen clock must lose for an exchange to show it: the longest round trip, and what a bound may have grown by
/// in an outage.
const LEAST_JUMP: i64 = 130 * MS;

fn path() -> impl Strategy<Value = PathSettings> {
    let floor = || prop_oneof![5.0..200.0f64, 200.0..LONGEST_FLOOR_US];
    (floor(), floor(), 0.3..40.0f64, 0.0..0.4f64).prop_map(|(forward_us, backward_us, queueing_us, loss)| {
        PathSettings {
            forward_floor_ns: forward_us * 1e3,
            backward_floor_ns: backward_us * 1e3,
            queueing_ns: queueing_us * 1e3,
            loss,
            ..PathSettings::lan()
        }
    })
}

/// Within the tolerance: 500 ppm, and 1 ppm in 256 s.
fn oscillator() -> impl Strategy<Value = OscillatorSettings> {
    (-495_000.0..495_000.0f64, 0.0..300.0f64, 1_000.0..3_000.0f64, 0.0..4.0f64).prop_map(
        |(frequency_ppb, swing_ppb, swing_period_s, walk_ppb)| OscillatorSettings {
            frequency_ppb,
            swing_ppb,
            swing_period_s,
            walk_ppb,
        },
    )
}

/// Something that happens early in the slot that begins at `from_ns`, between two exchanges.
fn fault(from_ns: i64) -> impl Strategy<Value = Fault> {
    let at = (0..20i64, 100 * MS..800 * MS).prop_map(move |(second, within)| from_ns + second * SECOND + within);
    let jump = || LEAST_JUMP..3 * SECOND;
    prop_oneof![
        (at.clone(), jump()).prop_map(|(at_ns, length_ns)| Fault::Pause { at_ns, length_ns }),
        (at.clone(), jump()).prop_map(|(at_ns, length_ns)| Fault::Suspend { at_ns, length_ns }),
        (at.clone(), jump(), any::<bool>(), -4_000.0..4_000.0f64).prop_map(|(at_ns, blackout_ns, overpaid, ppb)| {
            let credited_ns = if overpaid { 2 * blackout_ns } else { 0 };
            Fault::Migration { at_ns, blackout_ns, credited_ns, frequency_ppb: ppb }
        }),
        (at.clone(), -(10i64.pow(17))..10i64.pow(17))
            .prop_map(|(at_ns, size_ns)| Fault::Wall(WallStep { at_ns, size_ns })),
        (at.clone(), -500_000.0..500_000.0f64).prop_map(|(from_ns, ppb)| Fault::Steering { from_ns, ppb }),
        (at.clone(), path()).prop_map(|(at_ns, path)| Fault::Reroute { at_ns, path }),
        (at.clone(), 1..20i64).prop_map(|(from_ns, s)| Fault::Outage { from_ns, until_ns: from_ns + s * SECOND }),
        (at.clone(), jump()).prop_map(|(at_ns, length_ns)| Fault::ReferencePause { at_ns, length_ns }),
        (at.clone(), jump(), any::<bool>()).prop_map(|(at_ns, size, back)| {
            Fault::ReferenceStep { at_ns, size_ns: if back { -size } else { size } }
        }),
        (at.clone(), -(10i64.pow(15))..10i64.pow(15))
            .prop_map(|(at_ns, ahead_ns)| Fault::ReferenceRestart { at_ns, ahead_ns }),
        (at.clone(), LEAST_JUMP..10i64.pow(13), any::<bool>()).prop_map(|(at_ns, size, back)| {
            let raw_ns = if back { -size } else { size };
            Fault::Counter(CounterJump { at_ns, raw_ns, ..CounterJump::default() })
        }),
        (at.clone(), 1..20i64).prop_map(|(from_ns, s)| Fault::KnotGap { from_ns, until_ns: from_ns + s * SECOND }),
        (at, 1..20i64).prop_map(|(from_ns, s)| Fault::AgentGap { from_ns, until_ns: from_ns + s * SECOND }),
        on_the_way(),
    ]
}

/// What happens all the time to what is sent.
fn on_the_way() -> impl Strategy<Value = Fault> {
    let share = 0.0..0.5f64;
    let how = prop_oneof![
        Just(Corruption::ReturnedBeforeSent),
        Just(Corruption::RepliedBeforeReceived),
        Just(Corruption::NegativeDelay),
        Just(Corruption::Edges),
        Just(Corruption::EarlierBoot(80_000 * SECOND)),
        (70..10i64.pow(6)).prop_map(|s| Corruption::LaterBoot(s * SECOND)),
    ];
    prop_oneof![
        share.clone().prop_map(|share| Fault::Delivery(Disorder::Repeated(share))),
        share.clone().prop_map(|share| Fault::Delivery(Disorder::RepeatedProbes(share))),
        Just(Fault::Delivery(Disorder::ShuffledProbes)),
        (0.0..0.2f64, 1..4usize).prop_map(|(share, by)| Fault::Delivery(Disorder::Late { share, by })),
        (0.0..0.2f64).prop_map(|share| Fault::Delivery(Disorder::Lost(share))),
        (share.clone(), 1_000..5 * MS).prop_map(|(share, longest_ns)| Fault::PreemptedKnots { share, longest_ns }),
        (share, how).prop_map(|(share, how)| Fault::Corrupt { from_ns: 20 * SECOND, share, how }),
    ]
}

fn composition() -> impl Strategy<Value = Scenario> {
    let faults = (1..=5i64).prop_flat_map(|count| (1..=count).map(|slot| fault(slot * SLOT)).collect::<Vec<_>>());
    (oscillator(), path(), faults).prop_map(|(oscillator, path, faults)| Scenario {
        node: NodeSettings { oscillator, path, ..NodeSettings::default() },
        length_ns: (faults.len() as i64 + 2) * SLOT,
        faults,
        ..Scenario::quiet(0, "composition", "One to five things that happen.")
    })
}

/// Numbers of any size, and close to one another often enough to be believed.
fn stamp() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..100 * SECOND,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
    ]
}

fn knot() -> impl Strategy<Value = Knot> {
    [stamp(), stamp(), stamp(), stamp()].prop_map(|[mono, raw, wall, bracket]| Knot {
        mono: Instant::from_ns(mono),
        raw: Instant::from_ns(raw),
        wall: Instant::from_ns(wall),
        bracket: Span::from_ns(bracket),
    })
}

fn probe() -> impl Strategy<Value = Probe> {
    [stamp(), stamp(), stamp(), stamp()].prop_map(|[sent, received, replied, returned]| Probe {
        sent: Instant::from_ns(sent),
        received: Instant::from_ns(received),
        replied: Instant::from_ns(replied),
        returned: Instant::from_ns(returned),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_truth_is_inside_whatever_is_composed(scenario in composition(), seed: u64) {
        let measured = run(&scenario, seed);
        let (asked, bounded) = (measured.held.asked, measured.held.bounded);
        prop_assert!(asked > 500 && bounded > asked / 2, "{bounded} bounded of {asked} asked");
        prop_assert_eq!((measured.held.outside, measured.held.first), (0, None));
        prop_assert_eq!((measured.hindsight.outside, measured.hindsight.first), (0, None));
    }

    #[test]
    fn no_stream_of_garbage_can_make_it_panic(
        batches in vec((vec(knot(), 0..40), vec(probe(), 0..40)), 1..12), asked in vec(stamp(), 1..40),
    ) {
        let mut clock = NodeClock::new(Tolerance::default());
        for (mut knots, probes) in batches {
            clock.observe(&knots, &probes);
            knots.sort_by_key(|knot| knot.mono);
            clock.observe(&knots, &probes);
            for mono in &asked {
                clock.estimate(Instant::from_ns(*mono));
            }
        }
    }
}
