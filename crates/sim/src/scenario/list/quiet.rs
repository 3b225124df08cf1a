//! Nothing happens: paths, oscillators and rhythms of probing.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        lan(1, "quiet_lan", "A plain node on a LAN."),
        wan(2, "quiet_wan", "A plain node behind 20 ms each way with 200 us of queueing."),
        kernel_stamps(),
        Scenario {
            node: oscillating(499_500.0, 50.0, 1.0),
            ..lan(4, "fast_oscillator", "The node's oscillator is fast by 499.5 ppm, all but what is tolerated.")
        },
        Scenario {
            node: oscillating(-499_500.0, 50.0, 1.0),
            ..lan(5, "slow_oscillator", "The node's oscillator is slow by 499.5 ppm, all but what is tolerated.")
        },
        Scenario {
            node: oscillating(20_000.0, 450.0, 1.0),
            length_ns: 1_500 * SECOND,
            ..lan(6, "thermal_swing", "Temperature swings the frequency by 450 ppb either way in 20 minutes.")
        },
        Scenario {
            node: oscillating(-35_000.0, 0.0, 15.0),
            limits: Limits { point_ns: Some(10_000), ..on_lan() },
            ..lan(7, "wandering_oscillator", "The frequency walks at random, 15 ppb in a second and 240 ppb in 256 s.")
        },
        rare_probes(),
        a_probe_a_minute(),
        bursts(),
        Scenario {
            sampling: Sampling { probe_every_ns: 100 * MS, probe_phase_ns: 50 * MS, ..Sampling::default() },
            length_ns: 300 * SECOND,
            limits: Limits { point_ns: Some(1_500), width: Some(Width::HalfBestRoundTripAnd(10_000)), ..on_lan() },
            ..lan(11, "ten_a_second", "Ten probes a second.")
        },
        loopback(),
        satellite(),
        overlapping(),
    ]
}

fn oscillating(frequency_ppb: f64, swing_ppb: f64, walk_ppb: f64) -> NodeSettings {
    let oscillator = OscillatorSettings { frequency_ppb, swing_ppb, walk_ppb, ..OscillatorSettings::default() };
    NodeSettings { oscillator, ..NodeSettings::default() }
}

fn kernel_stamps() -> Scenario {
    let path = PathSettings {
        forward_floor_ns: 8_000.0,
        backward_floor_ns: 8_000.0,
        queueing_ns: 400.0,
        congestion_ns: 20_000.0,
        ..PathSettings::lan()
    };
    Scenario {
        node: behind(path),
        limits: Limits { point_ns: Some(1_000), width: Some(Width::HalfBestRoundTripAnd(4_000)), ..Limits::default() },
        ..lan(3, "kernel_stamps", "Stamps taken in the kernel: 8 us each way with 0.4 us of queueing.")
    }
}

fn rare_probes() -> Scenario {
    rarely(10, [1_800, 300], [15_000, 60_000], lan(8, "rare_probes", "One probe in ten seconds."))
}

fn a_probe_a_minute() -> Scenario {
    let what = "One probe in 64 seconds: between them the oscillator carries it.";
    rarely(64, [3_600, 900], [80_000, 150_000], lan(9, "a_probe_a_minute", what))
}

/// A probe every so many seconds; the length and the settling, s; the error and what is over half the round trip, ns.
fn rarely(every: i64, [length, settling]: [i64; 2], [point_ns, over_half_ns]: [u64; 2], quiet: Scenario) -> Scenario {
    Scenario {
        length_ns: length * SECOND,
        sampling: Sampling { probe_every_ns: every * SECOND, ..Sampling::default() },
        limits: Limits {
            settling_ns: settling * SECOND,
            point_ns: Some(point_ns),
            width: Some(Width::HalfBestRoundTripAnd(over_half_ns)),
            ..Limits::default()
        },
        ..quiet
    }
}

fn bursts() -> Scenario {
    let sampling = Sampling {
        probe_every_ns: 16 * SECOND,
        burst: 8,
        burst_spacing_ns: 100 * MS,
        probe_phase_ns: 50 * MS,
        ..Sampling::default()
    };
    Scenario {
        sampling,
        length_ns: 1_200 * SECOND,
        limits: Limits { settling_ns: 120 * SECOND, width: Some(Width::HalfBestRoundTripAnd(40_000)), ..on_lan() },
        ..lan(10, "bursts", "Eight probes at 10 Hz every 16 seconds.")
    }
}

fn loopback() -> Scenario {
    let path = PathSettings {
        forward_floor_ns: 5_000.0,
        backward_floor_ns: 5_000.0,
        queueing_ns: 3_000.0,
        congestion_ns: 50_000.0,
        ..PathSettings::lan()
    };
    Scenario {
        node: behind(path),
        limits: Limits { point_ns: Some(1_500), width: Some(Width::HalfBestRoundTripAnd(8_000)), ..Limits::default() },
        ..lan(12, "loopback", "The reference is on the same host: 5 us each way with 3 us of queueing.")
    }
}

fn satellite() -> Scenario {
    let path = PathSettings {
        forward_floor_ns: 270e6,
        backward_floor_ns: 270e6,
        queueing_ns: 2e6,
        congested_share: 0.05,
        congestion_ns: 30e6,
        loss: 0.02,
    };
    Scenario {
        node: behind(path),
        limits: Limits { point_ns: Some(300_000), width: Some(Width::HalfBestRoundTripAnd(3_000_000)), ..on_wan() },
        ..wan(13, "satellite", "Geostationary: 270 ms each way with 2 ms of queueing.")
    }
}

fn overlapping() -> Scenario {
    let path = PathSettings {
        forward_floor_ns: 600e6,
        backward_floor_ns: 600e6,
        queueing_ns: 5e6,
        congested_share: 0.1,
        congestion_ns: 300e6,
        loss: 0.02,
    };
    Scenario {
        node: behind(path),
        sampling: Sampling { probe_every_ns: 500 * MS, ..Sampling::default() },
        length_ns: 600 * SECOND,
        limits: Limits { point_ns: Some(500_000), width: Some(Width::HalfBestRoundTripAnd(4_000_000)), ..on_wan() },
        ..wan(14, "overlapping", "Exchanges of 1.2 s, one begun every 0.5 s: they overlap and overtake each other.")
    }
}
