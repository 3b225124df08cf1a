//! Nodes that lie, and claims that are wrong. A liar hurts only itself, and only as long as it lies.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        lying(92, "noisy_liar", "For a minute the node's stamps are off by anything up to 2 ms.", Lie::Noise(2 * MS)),
        lying(93, "shifted_liar", "For a minute the node sends stamps 35 ms late.", Lie::Shifted(35 * MS)),
        lying(94, "exact_liar", "For a minute the node claims exchanges without delay, 5 ms off.", Lie::Narrow(5 * MS)),
        plausible(),
        lying(
            96,
            "liar_from_the_future",
            "For a minute the node's knots and probes are a day ahead.",
            Lie::Future(86_400 * SECOND),
        ),
        lying(97, "garbage", "For a minute each batch holds 200 knots and probes of random bits.", Lie::Garbage(200)),
        Scenario {
            faults: vec![claims(80e3)],
            ..lan(
                98,
                "claims",
                "The node's NTP claims every 16 s how far its wall clock is off, within 300 us, and is right.",
            )
        },
        Scenario {
            faults: vec![
                claims(80e3),
                Fault::BrokenClaims { from_ns: 200 * SECOND, until_ns: 400 * SECOND, off_ns: 4 * MS },
            ],
            ..lan(
                99,
                "broken_claim",
                "For 200 s the claims of the node's NTP are off by 4 ms, thirteen times what they say.",
            )
        },
        Scenario {
            faults: vec![claims(10e3), Fault::BrokenClaims { from_ns: 0, until_ns: 600 * SECOND, off_ns: 350 * US }],
            ..lan(
                100,
                "slightly_broken_claim",
                "The claims are always off by a little more than they say: 350 us, not 300 us.",
            )
        },
        everything(),
    ]
}

/// Nothing is asked of what it makes of the time of the lie; a minute later it is as good as before.
fn lying(number: u16, name: &'static str, what: &'static str, lie: Lie) -> Scenario {
    Scenario {
        faults: vec![Fault::Lying { from_ns: 300 * SECOND, until_ns: 360 * SECOND, lie }],
        limits: Limits {
            settling_ns: 90 * SECOND,
            recovery_ns: 60 * SECOND,
            disruptions: Count::Any,
            wall_steps: Count::Any,
            refused: any_refusal(),
            ..on_lan()
        },
        ..lan(number, name, what)
    }
}

/// A lie that no honest exchange contradicts: it wears off as the bound grows, by about 1 us a second.
fn plausible() -> Scenario {
    let what = "For a minute the node claims exchanges without delay, 40 us off: inside the bound.";
    let scenario = lying(95, "plausible_liar", what, Lie::Narrow(40 * US));
    let limits = Limits { recovery_ns: 120 * SECOND, settling_ns: 150 * SECOND, ..scenario.limits };
    Scenario { limits, length_ns: 720 * SECOND, ..scenario }
}

/// Every 16 s, within 300 us; off by `error_ns`, standard deviation.
fn claims(error_ns: f64) -> Fault {
    Fault::Claims { every_ns: 16 * SECOND, error_ns, bound_ns: 300_000 }
}

fn everything() -> Scenario {
    let path = PathSettings { forward_floor_ns: 400e3, backward_floor_ns: 90e3, loss: 0.2, ..PathSettings::lan() };
    Scenario {
        faults: vec![
            Fault::Steering { from_ns: 0, ppb: -20_000.0 },
            Fault::Steering { from_ns: 150 * SECOND, ppb: 500_000.0 },
            Fault::Steering { from_ns: 170 * SECOND, ppb: -20_000.0 },
            wall_step(160 * SECOND + 20 * MS, -SECOND),
            Fault::Reroute { at_ns: 200 * SECOND, path },
            Fault::Pause { at_ns: between(260), length_ns: 40 * MS },
            Fault::Migration { at_ns: between(320), blackout_ns: 200 * MS, credited_ns: 0, frequency_ppb: 30_000.0 },
            Fault::Outage { from_ns: 380 * SECOND, until_ns: 400 * SECOND },
            Fault::Suspend { at_ns: 450 * SECOND, length_ns: 30 * SECOND },
            Fault::ReferencePause { at_ns: between(520), length_ns: 60 * MS },
            Fault::PreemptedKnots { share: 0.05, longest_ns: MS },
            Fault::Delivery(Disorder::Repeated(0.1)),
            Fault::Delivery(Disorder::Late { share: 0.02, by: 1 }),
            Fault::Delivery(Disorder::Lost(0.02)),
        ],
        limits: Limits {
            disruptions: Count::Exactly(4),
            wall_steps: Count::Exactly(2),
            refused: ["knot_out_of_order", "probe_out_of_order"].map(|cause| (cause, Count::Any)).to_vec(),
            ..Limits::default()
        },
        ..lan(
            101,
            "everything",
            "Slew, leap second, new route, loss, pause, migration, outage, suspend, a frozen reference; batches lost, \
             late and twice.",
        )
    }
}
