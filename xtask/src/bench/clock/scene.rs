//! Moments that are worth a look: how far estimates are off before, through and after them.

use anyhow::{Context, Result};
use syncline_sim::profile::{Answer, Network, Record, Trace, generate};

use super::condition::Condition;
use super::ours;
use super::rivals::Rival;
use super::stream::{Scale, Stream};

/// The two best of the others under most conditions.
pub(super) const SHOWN: [Rival; 2] =
    [Rival { name: "hull", scale: Scale::Raw }, Rival { name: "chrony-like", scale: Scale::Raw }];

/// What is shown around the moment, s.
pub(super) const BEFORE_S: f64 = 60.0;
pub(super) const AFTER_S: f64 = 240.0;

/// A seed without the moment in so many is not looked for further.
const SEEDS: u64 = 200;

/// What happens, where, and how to find it.
struct Scene {
    title: &'static str,
    network: Network,
    asymmetric: bool,
    /// Reference time of the moment, in a run that has one.
    find: fn(&Trace) -> Option<i64>,
}

/// The three that are shown.
const SCENES: [Scene; 3] = [
    Scene { title: "pause of the guest, lan", network: Network::Lan, asymmetric: false, find: pause },
    Scene { title: "new route one way, lan", network: Network::Lan, asymmetric: true, find: new_route },
    Scene { title: "pause within an exchange, wan", network: Network::Wan, asymmetric: false, find: hidden_pause },
];

/// Seconds from the moment, and the largest error in the second that begins there, us.
pub(super) type Curve = Vec<(f64, f64)>;

/// A scene played: the curves of ours and of each that is shown.
pub(super) struct Played {
    pub(super) title: String,
    pub(super) curves: Vec<Curve>,
}

/// Plays all.
///
/// # Errors
/// When no seed has the moment, or a rival does not exist.
pub(super) fn play() -> Result<Vec<Played>> {
    SCENES.iter().map(Scene::play).collect()
}

impl Scene {
    fn play(&self) -> Result<Played> {
        let condition = Condition { network: self.network, asymmetric: self.asymmetric, stress: true, burst: false };
        let profile = condition.profile();
        let found = (1..=SEEDS).find_map(|seed| {
            let trace = generate(&profile, seed);
            (self.find)(&trace).map(|at_ns| (seed, trace, at_ns))
        });
        let (seed, trace, at_ns) = found.with_context(|| format!("no seed has a {}", self.title))?;
        let said = ours::online(&trace, ours::tolerance(&trace, condition.asymmetry_share())).said;
        let mut curves = vec![curve(&trace, at_ns, said.iter().map(|said| said.answer))];
        let stream = Stream::of(&trace, Scale::Raw);
        for rival in SHOWN {
            curves.push(curve(&trace, at_ns, stream.replay(rival.peer()?.as_mut()).into_iter()));
        }
        Ok(Played { title: format!("{} (seed {seed})", self.title), curves })
    }
}

fn curve(trace: &Trace, at_ns: i64, answers: impl Iterator<Item = Answer>) -> Curve {
    let mut seconds = std::collections::BTreeMap::<i64, f64>::new();
    for answer in answers {
        let Some(truth) = trace.truth.get(answer.id as usize) else { continue };
        let since_s = (truth.true_ns - at_ns) as f64 / 1e9;
        if (-BEFORE_S..AFTER_S).contains(&since_s) {
            let error_us = ((answer.estimate_ns - truth.true_ns) as f64 - trace.asymmetry_floor_ns()).abs() / 1e3;
            let worst = seconds.entry(since_s.floor() as i64).or_default();
            *worst = worst.max(error_us);
        }
    }
    seconds.into_iter().map(|(second, error_us)| (second as f64, error_us)).collect()
}

/// A disruption with nothing else of its kind around it.
fn pause(trace: &Trace) -> Option<i64> {
    disruptions(trace).find(|at_ns| is_alone(trace, *at_ns))
}

/// The first change of the route that moves the two ways apart by 20 us and more.
fn new_route(trace: &Trace) -> Option<i64> {
    let mut before = trace.base_delays_ns;
    for route in &trace.routes {
        let [there, back] = [0, 1].map(|way| route.delays_ns[way] - before[way]);
        if (there - back).abs() > 20e3 && is_alone(trace, route.at_ns) {
            return Some(route.at_ns);
        }
        before = route.delays_ns;
    }
    None
}

/// A disruption that hid most of an exchange's round trip.
fn hidden_pause(trace: &Trace) -> Option<i64> {
    let least_ns: f64 = trace.base_delays_ns.iter().sum();
    let is_short = |at_ns: i64| {
        trace.records.iter().any(|record| match record {
            Record::Probe { probe, .. } => {
                let near = probe.replied.ns().abs_diff(at_ns) < 2_000_000_000;
                near && (probe.round_trip().ns() as f64) < least_ns / 2.0
            }
            Record::Knot(_) | Record::Event { .. } => false,
        })
    };
    disruptions(trace).find(|at_ns| is_alone(trace, *at_ns) && is_short(*at_ns))
}

fn disruptions(trace: &Trace) -> impl Iterator<Item = i64> {
    trace.steps.iter().filter(|step| step.raw).map(|step| step.at_ns)
}

/// There are events all around it, and no other disruption or change of the route.
fn is_alone(trace: &Trace, at_ns: i64) -> bool {
    let shown_ns = at_ns - (BEFORE_S * 1e9) as i64..at_ns + (AFTER_S * 1e9) as i64;
    let events = trace.truth.first().zip(trace.truth.last());
    let has_events = events.is_some_and(|(first, last)| first.true_ns < shown_ns.start && shown_ns.end < last.true_ns);
    let mut others = disruptions(trace).chain(trace.routes.iter().map(|route| route.at_ns));
    has_events && !others.any(|other_ns| other_ns != at_ns && shown_ns.contains(&other_ns))
}

#[cfg(test)]
mod tests {
    use syncline_sim::profile::Profile;

    use super::*;

    #[test]
    fn a_curve_keeps_the_worst_of_each_second() {
        let profile = Profile { events: 2_000, ..Profile::new(Network::Lan, false, true) };
        let trace = generate(&profile, 1);
        let at_ns = trace.truth[1_000].true_ns;
        let answer = |(id, error_ns): (usize, i64)| {
            let estimate_ns = trace.truth[id].true_ns + error_ns;
            Answer { id: id as u32, estimate_ns, earliest_ns: 0, latest_ns: 0 }
        };
        assert_eq!(curve(&trace, at_ns, [(1_000, -3_000), (0, 9_000)].into_iter().map(answer)), [(0.0, 3.0)]);
    }
}
