//! Whole runs are what their profile says, and the truth beside them is the truth.
#![allow(clippy::expect_used, reason = "a test may")]

use std::collections::BTreeSet;

use syncline_sim::profile::{Burst, Network, Profile, Record, Trace, generate};
use syncline_timebase::{Knot, Probe};

const SECOND: i64 = 1_000_000_000;

/// Half an hour of it, which is enough for most.
fn short(network: Network, asymmetric: bool, stress: bool) -> Profile {
    Profile { duration_s: 1_800.0, events: 2_000, ..Profile::new(network, asymmetric, stress) }
}

/// The first run of a stressed profile that has a disruption of RAW and a step of WALL alone, and its seed.
fn disrupted(profile: &Profile) -> (u64, Trace) {
    let has = |trace: &Trace, raw: bool| trace.steps.iter().any(|step| step.raw == raw);
    let mut runs = (1..100).map(|seed| (seed, generate(profile, seed)));
    let disrupted = runs.find(|(_, trace)| has(trace, true) && has(trace, false));
    disrupted.expect("of a hundred runs one has both")
}

fn knots(trace: &Trace) -> Vec<Knot> {
    let knot = |record: &Record| if let Record::Knot(knot) = record { Some(*knot) } else { None };
    trace.records.iter().filter_map(knot).collect()
}

fn probes(trace: &Trace) -> Vec<Probe> {
    let probe = |record: &Record| if let Record::Probe { probe, .. } = record { Some(*probe) } else { None };
    trace.records.iter().filter_map(probe).collect()
}

/// MONO and WALL of each event, by id.
fn events(trace: &Trace) -> Vec<(i64, i64)> {
    let events = trace.records.iter().filter_map(|record| match record {
        Record::Event { id, mono, wall } => Some((*id, mono.ns(), wall.ns())),
        _ => None,
    });
    let mut events: Vec<_> = events.collect();
    events.sort_unstable();
    assert!(events.iter().enumerate().all(|(index, event)| index == event.0 as usize));
    events.into_iter().map(|(_, mono, wall)| (mono, wall)).collect()
}

#[test]
fn a_seed_names_a_run() {
    let profile = short(Network::Wan, true, true);
    assert_eq!(generate(&profile, 5), generate(&profile, 5));
    assert_ne!(generate(&profile, 5).records, generate(&profile, 6).records);
}

#[test]
fn a_run_has_the_samples_of_its_profile() {
    for (network, sent, loss) in [(Network::Lan, 1_798, 0.001), (Network::Wan10, 17_975, 0.005)] {
        let trace = generate(&short(network, false, false), 1);
        assert!(trace.steps.is_empty() && trace.truth.len() == 2_000);
        assert!(knots(&trace).len().abs_diff(18_010) <= 10, "{network:?} {}", knots(&trace).len());
        let lost = f64::from(sent) * loss;
        let answered = probes(&trace).len() as f64;
        assert!((answered - f64::from(sent) + lost).abs() < 5.0 * lost.sqrt(), "{network:?} {answered}");
    }
}

#[test]
fn the_shortest_round_trip_is_the_paths() {
    // What the stacks, and stamping in user space, add at least over so many exchanges.
    for (network, least_us) in [(Network::Lan, 0.0..3.0), (Network::LanUser, 50.0..90.0), (Network::Wan, 0.0..60.0)] {
        for seed in 0..5 {
            let mut profile = short(network, false, false);
            profile.path.route_changes_per_h = 0.0;
            let trace = generate(&profile, seed);
            let least_ns: f64 = trace.base_delays_ns.iter().sum();
            let longer_us = |probe: &Probe| (probe.round_trip().ns() as f64 - least_ns) / 1e3;
            let shortest_us = probes(&trace).iter().map(longer_us).fold(f64::INFINITY, f64::min);
            // The node's clock is off by up to 40 ppm, and slews by up to 500.
            let slack_us = 1.0 + least_ns * 550e-9;
            let allowed = least_us.start - slack_us..least_us.end + slack_us;
            assert!(allowed.contains(&shortest_us), "{network:?}, seed {seed}: {shortest_us} us");
        }
    }
}

#[test]
fn reference_time_less_raw_is_continuous_but_for_the_steps() {
    let (_, trace) = disrupted(&short(Network::Lan, false, true));
    let knots = knots(&trace);
    let raw_ahead: Vec<(i64, i64)> =
        knots.iter().map(|knot| (knot.mono.ns(), knot.raw.ns() - knot.mono.ns())).collect();
    let offsets = events(&trace).into_iter().zip(&trace.truth).map(|((mono, _), truth)| {
        let next = raw_ahead.partition_point(|knot| knot.0 <= mono).clamp(1, raw_ahead.len() - 1);
        let (before, after) = (raw_ahead[next - 1], raw_ahead[next]);
        let share = (mono - before.0) as f64 / (after.0 - before.0) as f64;
        let raw = mono + before.1 + ((after.1 - before.1) as f64 * share).round() as i64;
        (truth.true_ns, truth.true_ns - raw)
    });
    let offsets: Vec<(i64, i64)> = offsets.collect();
    let mut stepped = 0;
    for pair in offsets.windows(2) {
        let [(from, before), (until, after)] = [pair[0], pair[1]];
        let steps: Vec<_> =
            trace.steps.iter().filter(|step| step.raw && from < step.at_ns && step.at_ns <= until).collect();
        let expected: i64 = steps.iter().map(|step| step.size_ns).sum();
        // 50 ppm of frequency error; a slew of 500 ppm that begins or ends between two knots bends MONO by 12.5 us.
        // MONO is steered on while the guest is frozen, so that it jumps against RAW between the knots around a pause.
        let near = from - SECOND / 5..until + SECOND / 5;
        let beside = trace.steps.iter().filter(|step| step.raw && near.contains(&step.at_ns));
        let steered: i64 = beside.map(|step| step.size_ns / 1_800).sum();
        let allowed = (until - from) / 20_000 + 13_000 + steered;
        assert!((after - before - expected).abs() <= allowed, "at {from}: {} ns", after - before);
        stepped += steps.len();
    }
    assert!(stepped > 0);
}

#[test]
fn wall_less_mono_changes_only_at_steps_of_wall() {
    let (_, trace) = disrupted(&short(Network::Lan, false, true));
    let ahead = events(&trace).into_iter().zip(&trace.truth).map(|((mono, wall), truth)| (truth.true_ns, wall - mono));
    let ahead: Vec<(i64, i64)> = ahead.collect();
    for pair in ahead.windows(2) {
        let within = |at_ns: i64| pair[0].0 < at_ns && at_ns <= pair[1].0;
        let steps = trace.steps.iter().filter(|step| !step.raw && within(step.at_ns));
        let expected: i64 = steps.map(|step| -step.size_ns).sum();
        assert!((pair[1].1 - pair[0].1 - expected).abs() <= 2, "at {}", pair[0].0);
    }
}

#[test]
fn an_event_comes_after_the_knot_that_closes_its_batch() {
    let (_, trace) = disrupted(&short(Network::Wan10, true, true));
    let mut last_knot = 0;
    for record in &trace.records {
        match record {
            Record::Knot(knot) => {
                assert!(knot.mono.ns() > last_knot - 100_000, "MONO may only fall by its drift over a pause");
                last_knot = knot.mono.ns();
            }
            // The last event is five seconds before the end, so that there is a knot for each.
            Record::Event { mono, .. } => assert!((-300..100_600_000).contains(&(last_knot - mono.ns()))),
            // The reference may reply sooner than its stamps are exact.
            Record::Probe { probe, .. } => {
                assert!(probe.sent < probe.returned && (probe.replied - probe.received).ns() > -1_500);
            }
        }
    }
}

#[test]
fn a_gap_ends_with_the_first_exchange_after_the_disruption() {
    let profile = Profile { events: 200_000, ..short(Network::Lan, false, true) };
    let (_, trace) = disrupted(&profile);
    for step in trace.steps.iter().filter(|step| step.raw) {
        let first = probes(&trace).into_iter().find(|probe| probe.received.ns() > step.at_ns + SECOND / 1_000).unwrap();
        let ended_ns = first.replied.ns();
        for truth in trace.truth.iter().filter(|truth| (step.at_ns..ended_ns).contains(&truth.true_ns)) {
            assert!(truth.in_gap);
        }
        let after = ended_ns + SECOND / 10..ended_ns + SECOND;
        assert!(trace.truth.iter().filter(|truth| after.contains(&truth.true_ns)).all(|truth| !truth.in_gap));
    }
    assert!(trace.truth.iter().any(|truth| truth.in_gap));
}

#[test]
fn a_burst_adds_probes_after_each_disruption_and_changes_nothing_else() {
    let plain = short(Network::Lan, false, true);
    let (seed, without) = disrupted(&plain);
    let burst = Profile { burst: Some(Burst { probes: 8, interval_s: 0.1 }), ..plain };
    let with = generate(&burst, seed);
    let all: BTreeSet<i64> = probes(&with).iter().map(|probe| probe.received.ns()).collect();
    let disruptions: Vec<i64> = with.steps.iter().filter(|step| step.raw).map(|step| step.at_ns).collect();
    assert!(probes(&with).len() - probes(&without).len() >= 8 * disruptions.len() - 1, "all but what is lost");
    for resumed in disruptions {
        let soon = all.range(resumed..resumed + SECOND).count();
        assert!((8..=10).contains(&soon), "{soon} in the first second");
    }
    assert_eq!(knots(&with), knots(&without));
    assert_eq!(events(&with), events(&without));
}

#[test]
fn the_truth_of_a_path_is_that_of_its_routes() {
    let trace = generate(&Profile { duration_s: 7_200.0, ..short(Network::Wan, true, false) }, 3);
    assert!(!trace.routes.is_empty());
    for truth in &trace.truth {
        let route = trace.routes.iter().rev().find(|route| route.at_ns <= truth.true_ns);
        let [forward, backward] = route.map_or(trace.base_delays_ns, |route| route.delays_ns);
        assert!((truth.asymmetry_ns - (forward - backward)).abs() < 1e-3);
        assert!((truth.round_trip_ns - (forward + backward)).abs() < 1e-3);
    }
    let [forward, backward] = trace.base_delays_ns;
    assert!(
        (trace.asymmetry_floor_ns() - (forward - backward) / 2.0).abs() < 1e-9
            && trace.asymmetry_floor_ns().abs() > 0.01 * forward
    );
}
