//! Paths that are lopsided, change, drown and vanish.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            node: behind(PathSettings { forward_floor_ns: 28e6, backward_floor_ns: 12e6, ..PathSettings::wan() }),
            limits: Limits { point_ns: Some(8_030_000), ..on_wan() },
            ..wan(
                48,
                "asymmetric",
                "28 ms there, 12 ms back, always: nobody can see it, half of the difference is the error.",
            )
        },
        rerouted(49, "longer_there", "The way there becomes 0.84 ms longer.", &[(300, 900.0, 60.0)]),
        rerouted(50, "shorter_back", "The way back falls from 60 us to 20 us.", &[(300, 60.0, 20.0)]),
        rerouted(51, "longer_both_ways", "Both ways become 0.7 ms longer.", &[(300, 760.0, 760.0)]),
        flapping(),
        Scenario {
            faults: vec![reroute(
                300,
                PathSettings { forward_floor_ns: 23e6, backward_floor_ns: 17e6, ..PathSettings::wan() },
            )],
            limits: Limits { point_ns: Some(3_030_000), disruptions: Count::AtMost(1), ..on_wan() },
            ..wan(
                53,
                "hidden_route",
                "The way there becomes 3 ms longer, the way back 3 ms shorter: the round trip stays.",
            )
        },
        Scenario {
            node: behind(PathSettings { loss: 0.5, ..PathSettings::lan() }),
            limits: Limits { width: Some(Width::HalfBestRoundTripAnd(35_000)), ..on_lan() },
            ..lan(54, "half_lost", "Half of all exchanges are lost.")
        },
        Scenario {
            faults: vec![Fault::Outage { from_ns: 300 * SECOND, until_ns: 600 * SECOND }],
            length_ns: 900 * SECOND,
            ..lan(55, "outage", "No exchange comes back for five minutes.")
        },
        Scenario {
            faults: vec![Fault::Outage { from_ns: 300 * SECOND, until_ns: 2_100 * SECOND }],
            length_ns: 2_400 * SECOND,
            ..lan(56, "long_outage", "No exchange comes back for half an hour.")
        },
        Scenario {
            node: behind(PathSettings { congested_share: 0.6, congestion_ns: 2e6, ..PathSettings::lan() }),
            // One round trip in six meets no queue, and at the start nothing else is known of the path.
            limits: Limits {
                settling_ns: 180 * SECOND,
                point_ns: Some(15_000),
                width: Some(Width::HalfBestRoundTripAnd(40_000)),
                ..on_lan()
            },
            ..lan(57, "congested", "60 % of all packets queue for 2 ms.")
        },
        full_upload(),
        Scenario {
            node: behind(PathSettings { congested_share: 1.0, congestion_ns: 5e6, ..PathSettings::lan() }),
            faults: vec![reroute(45, PathSettings::lan())],
            ..lan(59, "congested_start", "All packets queue for 5 ms in the first 45 s.")
        },
        creeping(),
    ]
}

fn reroute(at_s: i64, path: PathSettings) -> Fault {
    Fault::Reroute { at_ns: at_s * SECOND, path }
}

/// A LAN with these floors, us.
fn floors(forward_us: f64, backward_us: f64) -> PathSettings {
    PathSettings { forward_floor_ns: forward_us * 1e3, backward_floor_ns: backward_us * 1e3, ..PathSettings::lan() }
}

/// The oscillator holds the time while the new floors are learned, so the error stays what it was. The bound is that of
/// the present route, so its limit is in ns.
fn rerouted(number: u16, name: &'static str, what: &'static str, changes: &[(i64, f64, f64)]) -> Scenario {
    let widest = changes.iter().map(|(_, there, back)| (there + back) / 2.0).fold(60.0, f64::max);
    Scenario {
        faults: changes.iter().map(|(at_s, there, back)| reroute(*at_s, floors(*there, *back))).collect(),
        limits: Limits { point_ns: Some(8_000), width: Some(Width::Ns(widest as u64 * 1_000 + 20_000)), ..on_lan() },
        ..lan(number, name, what)
    }
}

fn flapping() -> Scenario {
    let turn = |turn: i64| if turn % 2 == 1 { (turn * 60, 400.0, 60.0) } else { (turn * 60, 60.0, 60.0) };
    let changes: Vec<(i64, f64, f64)> = (2..10).map(turn).collect();
    let mut scenario = rerouted(
        52,
        "flapping_route",
        "The way there becomes 0.34 ms longer and shorter by turns, every 60 s.",
        &changes,
    );
    scenario.limits = Limits { settling_ns: 20 * SECOND, point_ns: Some(15_000), ..scenario.limits };
    scenario
}

fn full_upload() -> Scenario {
    Scenario {
        faults: vec![reroute(300, floors(60.0, 100_060.0)), reroute(420, floors(60.0, 60.0))],
        limits: Limits {
            settling_ns: 10 * SECOND,
            point_ns: Some(15_000),
            width: Some(Width::Ns(200_000)),
            ..Limits::default()
        },
        ..lan(58, "full_upload", "For two minutes the way back stands in a full buffer of 100 ms.")
    }
}

fn creeping() -> Scenario {
    let changes: Vec<Fault> =
        (0..40).map(|turn| reroute(100 + turn * 5, floors(60.0 + 5.0 * turn as f64, 60.0))).collect();
    Scenario {
        faults: changes,
        // No step of it stands out of the noise, and taken for both ways alike half of it is in theta: 0.1 ms.
        limits: Limits { point_ns: Some(110_000), width: Some(Width::Ns(180_000)), ..on_lan() },
        ..lan(60, "creeping_route", "The way there becomes longer by 5 us every 5 s, forty times.")
    }
}
