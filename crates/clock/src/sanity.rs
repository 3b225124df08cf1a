//! What no exchange of clocks can be, whatever they show.

use syncline_timebase::Probe;

/// More than clocks gain on each other: 1 in so many (the tick 10 %, NTP and oscillators 0.1 %).
const FASTEST: i64 = 8;
/// Readings are no better than this, ns.
const READING: i64 = 1_000_000;
/// A reply may be stamped before the request it answers by so much: two readings jitter, ns.
const JITTER: i64 = 2_000;

/// Whether it ended after it began, was answered no more than [`JITTER`] before it was received, was not longer at the
/// reference than it took, and has stamps that a sum of years does not carry beyond 64 bits.
pub(crate) fn is_possible(probe: &Probe) -> bool {
    let took = probe.returned.ns().checked_sub(probe.sent.ns()).filter(|took| *took >= 0);
    let at_reference = probe.replied.ns().checked_sub(probe.received.ns()).filter(|took| *took >= -JITTER);
    let in_time = took.zip(at_reference).is_some_and(|(took, at_reference)| {
        at_reference <= took.saturating_add(took / FASTEST).saturating_add(READING)
    });
    let apart = [(probe.sent, probe.received), (probe.returned, probe.replied)];
    let far_from_edges = |apart: Option<i64>| apart.is_some_and(|ns| ns.unsigned_abs() < 1 << 62);
    in_time && apart.iter().all(|(node, reference)| far_from_edges(reference.ns().checked_sub(node.ns())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::Instant;

    fn probe([sent, received, replied, returned]: [i64; 4]) -> Probe {
        Probe {
            sent: Instant::from_ns(sent),
            received: Instant::from_ns(received),
            replied: Instant::from_ns(replied),
            returned: Instant::from_ns(returned),
        }
    }

    #[test]
    fn only_what_clocks_can_show_is_possible() {
        assert!(is_possible(&probe([0, 500, 600, 1_000])) && is_possible(&probe([0, 500, 5_000, 1_000])));
        assert!(is_possible(&probe([0, 9_000, 7_000, 20_000])), "stamps jitter");
        let ms = 1_000_000;
        let impossible = [
            [10, 500, 600, 9],
            [0, 9_000, 6_999, 20_000],
            [0, 0, 9 * ms, ms],
            [0, i64::MIN, i64::MIN, 1],
            [0, 1 << 62, 1 << 62, 1],
            [i64::MIN, 0, 0, i64::MAX],
        ];
        impossible.iter().for_each(|stamps| assert!(!is_possible(&probe(*stamps)), "{stamps:?}"));
    }
}
