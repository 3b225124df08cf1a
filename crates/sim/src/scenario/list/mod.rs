//! The numbered scenarios.
//!
//! Limits come from the settings.
//!
//! - A hard bound is at best half the best round trip, plus what it grows by between packets that met no queue. The
//!   rate is known to within the width of the bound over the time that has passed, and a tolerance of 1 ppm on top. That
//!   makes some 10 us on the LAN of these runs (15 us of exponential queueing, one probe a second) and some 300 us on
//!   the WAN (200 us).
//! - The error of a good estimator is that of two floors learned from the probes of a minute, mean queueing / number of
//!   probes each, what the oscillator wanders meanwhile, and half of the path's asymmetry, which nobody can see: below
//!   5 us on the LAN, below 30 us on the WAN.

mod deliveries;
mod edges;
mod frozen;
mod hostile;
mod paths;
mod quiet;
mod references;
mod steered;

use super::{Count, Disorder, Fault, Lie, Limits, MS, SECOND, Sampling, Scenario, US, Width};
use crate::{CounterJump, NodeSettings, OscillatorSettings, PathSettings, WallStep};

/// All scenarios, in order of their numbers.
pub fn all() -> Vec<Scenario> {
    let groups = [
        quiet::scenarios(),
        steered::scenarios(),
        frozen::scenarios(),
        paths::scenarios(),
        references::scenarios(),
        deliveries::scenarios(),
        edges::scenarios(),
        hostile::scenarios(),
    ];
    groups.into_iter().flatten().collect()
}

/// What a good estimator reaches on a LAN with user-space stamps.
fn on_lan() -> Limits {
    Limits { point_ns: Some(5_000), width: Some(Width::HalfBestRoundTripAnd(20_000)), ..Limits::default() }
}

/// Much longer than a round trip: the next exchange shows it, or the one after if it fell inside one.
fn noticed() -> Limits {
    Limits { disruptions: Count::Exactly(1), noticed_within: Some(2), ..on_lan() }
}

/// What a good estimator reaches between regions.
/// Packets scatter by 170 us, so that a minute of them leaves theta open by 20 us.
fn on_wan() -> Limits {
    Limits { point_ns: Some(45_000), width: Some(Width::HalfBestRoundTripAnd(500_000)), ..Limits::default() }
}

/// Samples may be refused for whatever cause, however many.
fn any_refusal() -> Vec<(&'static str, Count)> {
    let causes = [
        "knot_out_of_order",
        "knot_implausible",
        "probe_out_of_order",
        "probe_impossible",
        "probe_without_knot",
        "probe_beyond_knots",
        "probe_across_jump",
    ];
    causes.map(|cause| (cause, Count::Any)).to_vec()
}

/// A quiet node on a LAN, held to what a good estimator reaches there.
fn lan(number: u16, name: &'static str, what: &'static str) -> Scenario {
    Scenario { limits: on_lan(), ..Scenario::quiet(number, name, what) }
}

/// A quiet node behind a path between regions, for fifteen minutes.
fn wan(number: u16, name: &'static str, what: &'static str) -> Scenario {
    let node = NodeSettings { path: PathSettings::wan(), ..NodeSettings::default() };
    Scenario { node, limits: on_wan(), length_ns: 900 * SECOND, ..Scenario::quiet(number, name, what) }
}

/// A node as it is by default, but for its path.
fn behind(path: PathSettings) -> NodeSettings {
    NodeSettings { path, ..NodeSettings::default() }
}

/// In this second, between two exchanges of an agent that probes once a second.
const fn between(second: i64) -> i64 {
    second * SECOND + 333 * MS
}

/// Somebody sets the wall clock.
fn wall_step(at_ns: i64, size_ns: i64) -> Fault {
    Fault::Wall(WallStep { at_ns, size_ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_and_names_are_their_own_and_texts_state_limits() {
        let all = all();
        assert!(all.len() >= 40, "{}", all.len());
        assert!(all.iter().map(|scenario| scenario.number).eq(1..=all.len() as u16));
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
        for scenario in &all {
            let text = scenario.to_string();
            assert!(scenario.what.ends_with('.') && text.contains("Limits: "), "{text}");
        }
    }

    #[test]
    fn a_seed_names_a_run_of_each() {
        for scenario in all().iter().step_by(7) {
            let [first, second] = [5, 5].map(|seed| scenario.generate(seed));
            assert_eq!(format!("{:?}", first.deliveries), format!("{:?}", second.deliveries), "{scenario}");
        }
    }
}
