//! Counters that wrap, and stamps near the edges of 64 bits.

use super::*;

/// What is beyond 64 bits, or close to it, may be refused; it may not be believed.
fn anything_refused() -> Limits {
    Limits { refused: any_refusal(), disruptions: Count::AtMost(1), ends_bounded: false, ..Limits::default() }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        raw_wraps(),
        Scenario {
            node: NodeSettings { uptime_ns: i64::MAX - 300 * SECOND, ..NodeSettings::default() },
            limits: anything_refused(),
            ..lan(
                87,
                "mono_wraps",
                "MONO and RAW reach the last nanosecond of 64 bits after 300 s and go on below zero.",
            )
        },
        Scenario {
            node: NodeSettings { uptime_ns: i64::MIN + 5, ..NodeSettings::default() },
            limits: anything_refused(),
            ..lan(88, "mono_at_the_low_edge", "MONO and RAW begin at the lowest number of 64 bits.")
        },
        Scenario {
            node: NodeSettings { uptime_ns: -300 * SECOND, ..NodeSettings::default() },
            ..lan(89, "mono_through_zero", "MONO and RAW begin below zero and pass it after 300 s.")
        },
        reference_at_the_edge(),
        Scenario {
            node: NodeSettings { uptime_ns: 0, ..NodeSettings::default() },
            sampling: Sampling { probe_phase_ns: 3 * MS, ..Sampling::default() },
            ..lan(91, "first_millisecond", "The agent probes 3 ms after boot.")
        },
    ]
}

fn raw_wraps() -> Scenario {
    let uptime_ns = 1 << 40;
    let node = NodeSettings { uptime_ns, raw_wraps_at_ns: Some(uptime_ns + 300 * SECOND), ..NodeSettings::default() };
    Scenario {
        node,
        limits: Limits {
            settling_ns: 60 * SECOND,
            disruptions: Count::AtMost(1),
            refused: vec![("knot_out_of_order", Count::AtMost(20))],
            ..on_lan()
        },
        length_ns: 600 * SECOND,
        faults: vec![Fault::Counter(CounterJump { at_ns: 299_994 * MS, ..CounterJump::default() })],
        ..lan(86, "raw_wraps", "The counter behind RAW wraps to zero after 300 s.")
    }
}

fn reference_at_the_edge() -> Scenario {
    let ahead_ns = i64::MAX - 1_790_000_000 * SECOND - 400 * SECOND;
    Scenario {
        faults: vec![Fault::ReferenceRestart { at_ns: 300 * SECOND, ahead_ns }],
        limits: anything_refused(),
        ..lan(
            90,
            "reference_at_the_edge",
            "The aggregator comes back with a reference at the last nanosecond of 64 bits.",
        )
    }
}
