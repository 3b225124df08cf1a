//! What happens to the reference.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            faults: vec![Fault::ReferenceRestart { at_ns: 300 * SECOND, ahead_ns: 7_300 * MS }],
            ..lan(
                61,
                "aggregator_restart",
                "The aggregator comes back with a reference 7.3 s ahead, and says that it is another.",
            )
        },
        Scenario {
            faults: vec![Fault::SecondReference { every_ns: 30 * SECOND, ahead_ns: -3 * MS }],
            limits: Limits { width: Some(Width::HalfBestRoundTripAnd(60_000)), point_ns: Some(10_000), ..on_lan() },
            ..lan(
                62,
                "two_aggregators",
                "Two aggregators whose references differ by 3 ms get the node's batches in turn, every 30 s.",
            )
        },
        frozen(63, "reference_frozen", "The reference's host is frozen for 200 ms.", between(300)),
        frozen(
            64,
            "reference_frozen_inside_exchange",
            "The reference's host is frozen for 200 ms as it gets a request.",
            300 * SECOND + 850 * MS + 40 * US,
        ),
        stepped(65, "reference_steps", "The reference jumps ahead by 50 ms and does not say so.", 50 * MS),
        stepped(66, "reference_steps_back", "The reference jumps back by 50 ms and does not say so.", -50 * MS),
        Scenario {
            node: NodeSettings { turnaround_ns: 200e6, ..NodeSettings::default() },
            ..lan(67, "slow_reference", "The reference takes up to 200 ms to answer.")
        },
        Scenario {
            faults: vec![
                Fault::Pause { at_ns: 299 * SECOND, length_ns: 2 * SECOND },
                Fault::ReferenceRestart { at_ns: 300 * SECOND, ahead_ns: -40 * SECOND },
            ],
            // The model of the new run begins after the pause and cannot know of it.
            limits: Limits { gap_excused: true, ..on_lan() },
            ..lan(
                68,
                "restart_during_pause",
                "The aggregator restarts with a reference 40 s behind while the node is frozen.",
            )
        },
        Scenario {
            faults: vec![Fault::ReferencePause { at_ns: between(300), length_ns: 30 * MS }],
            limits: Limits { disruptions: Count::AtMost(1), ..on_wan() },
            ..wan(
                69,
                "reference_frozen_unseen",
                "The reference's host is frozen for 30 ms between exchanges, where a round trip takes 40 ms.",
            )
        },
    ]
}

fn frozen(number: u16, name: &'static str, what: &'static str, at_ns: i64) -> Scenario {
    Scenario {
        faults: vec![Fault::ReferencePause { at_ns, length_ns: 200 * MS }],
        sampling: Sampling { late_ns: 0.0, ..Sampling::default() },
        limits: noticed(),
        ..lan(number, name, what)
    }
}

fn stepped(number: u16, name: &'static str, what: &'static str, size_ns: i64) -> Scenario {
    Scenario {
        faults: vec![Fault::ReferenceStep { at_ns: between(300), size_ns }],
        limits: noticed(),
        ..lan(number, name, what)
    }
}
