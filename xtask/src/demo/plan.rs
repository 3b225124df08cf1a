//! What the demo is made of: three regions in a chain, each with a clock of its own and a Go of its own.

use std::time::Duration;

use crate::fetch::GO_VERSIONS;

/// The region whose reference clock is the fleet's.
pub(crate) const ROOT: &str = "us";

/// One region: an aggregator, a node with an agent, a Go service.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    pub(crate) node: &'static str,
    /// The toolchain its service is built with: the oldest, a middle and the newest are all there.
    pub(crate) go: &'static str,
    /// Whether the service is built without symbol table and DWARF.
    pub(crate) stripped: bool,
    /// Goroutines that send requests into the chain.
    pub(crate) workers: u32,
    /// Whether the price cache is refreshed under its lock: the planted cause.
    pub(crate) contended: bool,
    pub(crate) clock: Skew,
    /// The link to the next region of the chain.
    pub(crate) link: Option<Link>,
}

/// What is injected into the stamps of a node.
#[derive(Clone, Copy)]
pub(crate) struct Skew {
    /// Shift of the monotonic clocks' origin, as if the node had booted at another time.
    pub(crate) origin_shift_ns: i64,
    /// Error of the wall clock at the start.
    pub(crate) offset_ns: i64,
    /// Error of the oscillator's frequency.
    pub(crate) drift_ppb: i64,
    /// Step of the wall clock in the middle of the run.
    pub(crate) step_ns: i64,
}

/// One-way delays of a link between two regions.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    pub(crate) delay_back: Duration,
    pub(crate) jitter: Duration,
}

const HOUR_NS: i64 = 3_600_000_000_000;

/// The chain, first caller first.
pub(crate) const REGIONS: [Region; 3] = [
    Region {
        name: ROOT,
        node: "us-1",
        go: GO_VERSIONS[2],
        stripped: false,
        workers: 6,
        contended: false,
        clock: Skew { origin_shift_ns: 11 * HOUR_NS, offset_ns: 12_300_000, drift_ppb: 35_000, step_ns: 0 },
        link: Some(link(4_000, 3_000)),
    },
    Region {
        name: "eu",
        node: "eu-1",
        go: GO_VERSIONS[1],
        stripped: false,
        workers: 2,
        contended: true,
        clock: Skew { origin_shift_ns: 250 * HOUR_NS, offset_ns: -48_700_000, drift_ppb: -20_000, step_ns: 0 },
        link: Some(link(5_000, 5_000)),
    },
    Region {
        name: "ap",
        node: "ap-1",
        go: GO_VERSIONS[0],
        stripped: true,
        workers: 0,
        contended: false,
        clock: Skew { origin_shift_ns: 3 * HOUR_NS, offset_ns: 3_100_000, drift_ppb: 80_000, step_ns: 25_000_000 },
        link: None,
    },
];

const fn link(delay_us: u64, delay_back_us: u64) -> Link {
    Link {
        delay: Duration::from_micros(delay_us),
        delay_back: Duration::from_micros(delay_back_us),
        jitter: Duration::from_micros(300),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_has_one_end_one_planted_cause_and_one_step() {
        assert!(REGIONS.iter().take(2).all(|region| region.link.is_some()) && REGIONS[2].link.is_none());
        assert_eq!(REGIONS.iter().filter(|region| region.contended).count(), 1);
        assert_eq!(REGIONS.iter().filter(|region| region.clock.step_ns != 0).count(), 1);
    }
}
