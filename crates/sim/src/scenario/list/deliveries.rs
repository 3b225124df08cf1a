//! Batches and samples that come twice, late, never, or wrong; knots that are missing or wide.

use super::super::Corruption;
use super::*;

const KNOTS: &str = "knot_out_of_order";
const ORDER: &str = "probe_out_of_order";
const IMPOSSIBLE: &str = "probe_impossible";

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        disordered(70, "batches_twice", "Every batch comes twice.", Disorder::Repeated(1.0), &[KNOTS, ORDER], 20),
        Scenario {
            sampling: four_a_batch(),
            ..disordered(
                71,
                "probes_twice",
                "Half of the probes are twice in their batch.",
                Disorder::RepeatedProbes(0.5),
                &[ORDER],
                20,
            )
        },
        Scenario {
            sampling: four_a_batch(),
            ..disordered(
                72,
                "probes_shuffled",
                "The four probes of a batch come in any order.",
                Disorder::ShuffledProbes,
                &[ORDER],
                20,
            )
        },
        disordered(
            73,
            "batches_late",
            "One batch in ten comes three batches late.",
            Disorder::Late { share: 0.1, by: 3 },
            &[KNOTS, ORDER],
            400,
        ),
        disordered(74, "batches_lost", "30 % of all batches never come.", Disorder::Lost(0.3), &[], 1_200),
        Scenario {
            faults: vec![Fault::KnotGap { from_ns: 300 * SECOND, until_ns: 330 * SECOND }],
            ..lan(75, "knot_gap", "For 30 s the agent reads no knots but those beside its probes.")
        },
        rare_knots(),
        Scenario {
            faults: vec![Fault::PreemptedKnots { share: 0.2, longest_ns: 2 * MS }],
            limits: Limits { point_ns: Some(10_000), width: Some(Width::Ns(400_000)), ..on_lan() },
            ..lan(77, "preempted_knots", "One knot in five takes up to 2 ms to read.")
        },
        late_knots(),
        Scenario {
            faults: vec![Fault::AgentGap { from_ns: 300 * SECOND, until_ns: 360 * SECOND }],
            ..lan(79, "agent_restart", "The agent is gone for a minute.")
        },
        corrupted(
            80,
            "returned_before_sent",
            "One probe in ten ends before it began.",
            Corruption::ReturnedBeforeSent,
            IMPOSSIBLE,
        ),
        corrupted(
            81,
            "replied_before_received",
            "One probe in ten was answered before it came.",
            Corruption::RepliedBeforeReceived,
            IMPOSSIBLE,
        ),
        corrupted(
            82,
            "negative_delay",
            "One probe in ten took longer at the reference than altogether.",
            Corruption::NegativeDelay,
            IMPOSSIBLE,
        ),
        corrupted(
            83,
            "stamps_at_the_edges",
            "One probe in ten has stamps at the edges of 64 bits.",
            Corruption::Edges,
            IMPOSSIBLE,
        ),
        corrupted(
            84,
            "earlier_boot",
            "One probe in ten is of an earlier boot.",
            Corruption::EarlierBoot(80_000 * SECOND),
            ORDER,
        ),
        corrupted(
            85,
            "other_boot",
            "One probe in ten is of a boot with a day more of uptime.",
            Corruption::LaterBoot(86_400 * SECOND),
            "probe_beyond_knots",
        ),
    ]
}

fn four_a_batch() -> Sampling {
    Sampling { probe_every_ns: 250 * MS, probe_phase_ns: 50 * MS, ..Sampling::default() }
}

/// What is not newer than what came before is refused, so what it costs is samples.
fn disordered(
    number: u16,
    name: &'static str,
    what: &'static str,
    disorder: Disorder,
    refused: &[&'static str],
    more_us: u64,
) -> Scenario {
    Scenario {
        faults: vec![Fault::Delivery(disorder)],
        limits: Limits {
            refused: refused.iter().map(|cause| (*cause, Count::Any)).collect(),
            width: Some(Width::HalfBestRoundTripAnd(more_us * 1_000)),
            ..on_lan()
        },
        ..lan(number, name, what)
    }
}

fn corrupted(number: u16, name: &'static str, what: &'static str, how: Corruption, cause: &'static str) -> Scenario {
    Scenario {
        faults: vec![Fault::Corrupt { from_ns: 30 * SECOND, share: 0.1, how }],
        limits: Limits { refused: vec![(cause, Count::AtLeast(20))], ..on_lan() },
        ..lan(number, name, what)
    }
}

/// Steering may change MONO by 0.1 % of the time from the nearest knot.
fn rare_knots() -> Scenario {
    Scenario {
        sampling: Sampling { knot_every_ns: SECOND, knots_beside_probes: false, ..Sampling::default() },
        limits: Limits { point_ns: Some(20_000), width: Some(Width::HalfBestRoundTripAnd(2_000_000)), ..on_lan() },
        ..lan(76, "rare_knots", "One knot a second and none beside the probes.")
    }
}

fn late_knots() -> Scenario {
    Scenario {
        sampling: Sampling { knots_beside_probes: false, ..Sampling::default() },
        faults: vec![Fault::KnotGap { from_ns: 0, until_ns: 60 * SECOND }],
        limits: Limits { refused: vec![("probe_without_knot", Count::AtLeast(50))], ..on_lan() },
        ..lan(78, "late_knots", "No knots in the first minute, only probes.")
    }
}
