//! Whole simulated runs in hindsight. Stamps are placed on RAW when they come, as long as the map knows their time well.

use std::collections::VecDeque;

use syncline_sim::profile::{EventTruth, Network, Profile, Record, Trace, generate};
use syncline_timebase::{Instant, Probe, Raw};

use super::history::Stretch;
use crate::Tolerance;
use crate::hull::Exchange;
use crate::mono_raw::{KnotVerdict, MonoToRaw};
use crate::theta::Theta;

/// An event: its truth, where it lies on RAW, and its error when it came, ns.
struct Asked {
    truth: EventTruth,
    raw: Instant<Raw>,
    at_once_ns: f64,
}

struct Run {
    trace: Trace,
    theta: Theta,
    asked: Vec<Asked>,
}

impl Run {
    /// Takes all of a trace, then looks back over it.
    fn of(profile: &Profile, seed: u64) -> Self {
        let trace = generate(profile, seed);
        let tolerance = Tolerance { path_floor: trace.floor, ..Tolerance::default() };
        let mut run = Self { asked: Vec::new(), theta: Theta::whole(tolerance), trace };
        let (mut map, mut waiting) = (MonoToRaw::default(), VecDeque::new());
        for record in run.trace.records.clone() {
            match record {
                Record::Probe { probe, .. } => waiting.push_back(probe),
                Record::Event { id, mono, .. } => {
                    let truth = run.trace.truth[id as usize];
                    if let Some(raw) = map.at(mono).map(|point| point.raw) {
                        run.asked.push(Asked { truth, raw, at_once_ns: run.error_ns(raw, &truth) });
                    }
                }
                Record::Knot(knot) => {
                    if matches!(map.observe(&knot).verdict, KnotVerdict::Jumped { .. }) {
                        run.theta.disrupt(None);
                    }
                    while let Some(probe) = waiting.pop_front_if(|probe: &mut Probe| probe.returned <= knot.mono) {
                        if let Some(exchange) = placed(&probe, &map) {
                            let _ = run.theta.observe(&exchange);
                        }
                    }
                }
            }
        }
        run.theta.look_back();
        run
    }

    /// How far the answer at `raw` is off what the path's asymmetry lets anybody know, ns.
    fn error_ns(&self, raw: Instant<Raw>, truth: &EventTruth) -> f64 {
        let theta_ns = self.theta.point_at(raw).map_or(i64::MAX / 2, |point| point.theta_ns);
        (raw.ns() + theta_ns - truth.true_ns) as f64 - self.trace.asymmetry_floor_ns()
    }

    fn in_hindsight_ns(&self, asked: &Asked) -> f64 {
        self.error_ns(asked.raw, &asked.truth)
    }

    /// The largest error in hindsight of events from `from_s` to `to_s` before `at_ns`, and after it; none lies in a gap.
    fn worst_around_ns(&self, at_ns: i64, from_s: f64, to_s: f64) -> [f64; 2] {
        let mut worst = [0.0f64; 2];
        for asked in self.asked.iter().filter(|asked| !asked.truth.in_gap) {
            let since_s = (asked.truth.true_ns - at_ns) as f64 * 1e-9;
            if (from_s..to_s).contains(&since_s.abs()) {
                let side = &mut worst[usize::from(since_s >= 0.0)];
                *side = side.max(self.in_hindsight_ns(asked).abs());
            }
        }
        worst
    }

    fn stretches(&self) -> &[Stretch] {
        self.theta.history().stretches()
    }
}

fn placed(probe: &Probe, map: &MonoToRaw) -> Option<Exchange> {
    if map.is_broken(probe.sent, probe.returned) {
        return None;
    }
    let (sent, returned) = (map.at(probe.sent)?, map.at(probe.returned)?);
    let (received, replied) = (probe.received, probe.replied);
    let slack = sent.slack.max(returned.slack);
    Some(Exchange { sent: sent.raw, received, replied, returned: returned.raw, slack })
}

/// The 99th percentile of the sizes.
fn p99(errors_ns: impl Iterator<Item = f64>) -> f64 {
    let mut sizes: Vec<f64> = errors_ns.map(f64::abs).collect();
    sizes.sort_by(f64::total_cmp);
    sizes[sizes.len() * 99 / 100]
}

fn half_an_hour(disturb: impl Fn(&mut Profile)) -> Profile {
    let mut profile = Profile { duration_s: 1_800.0, events: 5_000, ..Profile::new(Network::Lan, false, false) };
    disturb(&mut profile);
    profile
}

#[test]
fn over_two_hours_on_a_lan_hindsight_is_better_and_inside_the_hard_bounds() {
    let run = Run::of(&Profile::new(Network::Lan, false, false), 4);
    assert!(run.asked.len() > 19_000, "{}", run.asked.len());
    let later = p99(run.asked.iter().map(|asked| run.in_hindsight_ns(asked)));
    let at_once = p99(run.asked.iter().map(|asked| asked.at_once_ns));
    assert!(later <= 0.7 * at_once, "{later} ns in hindsight, {at_once} ns at once");
    for asked in &run.asked {
        let hard = run.theta.bounds_at(asked.raw).expect("there were probes").bounds.hard;
        let theta_ns = asked.truth.true_ns - asked.raw.ns();
        // Both the reading of the map and the stamp of the event may be off by some 100 ns.
        assert!((hard.low - 500..=hard.high + 500).contains(&theta_ns), "{theta_ns} {hard:?}");
    }
}

#[test]
fn a_pause_is_not_smoothed_over() {
    let profile = half_an_hour(|profile| profile.clock.oscillator.pauses_per_h = 4.0);
    let mut pauses = 0;
    for seed in 0..3 {
        let run = Run::of(&profile, seed);
        assert_eq!(run.stretches().len(), 1 + run.trace.steps.iter().filter(|step| step.raw).count());
        for step in run.trace.steps.iter().filter(|step| step.raw) {
            // Between the knots around a pause the map knows no better.
            let frozen_s = step.size_ns as f64 * 1e-9;
            let [before, after] = run.worst_around_ns(step.at_ns, frozen_s + 0.1, 30.0);
            assert!(before < 1_500.0 && after < 1_500.0, "seed {seed}, {step:?}: {before} ns before, {after} ns after");
            pauses += 1;
        }
    }
    assert!(pauses >= 3, "{pauses}");
}

#[test]
fn a_new_route_of_one_way_is_right_on_both_sides() {
    let one_way = half_an_hour(|profile| {
        profile.path.route_changes_per_h = 4.0;
        profile.path.route_s = 30e-6;
        profile.path.route_symmetric = false;
    });
    let mut changes = 0;
    for seed in 0..4 {
        let run = Run::of(&one_way, seed);
        let delays =
            std::iter::once(run.trace.base_delays_ns).chain(run.trace.routes.iter().map(|route| route.delays_ns));
        for (route, before) in run.trace.routes.iter().zip(delays) {
            let longer = [0, 1].map(|way: usize| (route.delays_ns[way] - before[way]).abs());
            if longer[0].min(longer[1]) == 0.0 && longer[0].max(longer[1]) > 10_000.0 {
                let [before, after] = run.worst_around_ns(route.at_ns, 0.0, 60.0);
                assert!(before < 1_500.0 && after < 1_500.0, "seed {seed}, {route:?}: {before} ns, {after} ns");
                changes += 1;
            }
        }
        assert_eq!(run.stretches().len(), 1, "a new route breaks nothing");
    }
    assert!(changes >= 3, "{changes}");
}

#[test]
fn two_runs_are_identical_to_the_last_bit() {
    let profile = half_an_hour(|profile| profile.clock.oscillator.pauses_per_h = 4.0);
    let answers = || {
        let run = Run::of(&profile, 1);
        let point = |asked: &Asked| run.theta.point_at(asked.raw);
        let bits = run.asked.iter().filter_map(point);
        bits.map(|point| (point.theta_ns, point.rate_ppb.to_bits(), point.deviation_ns.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(answers(), answers());
}
