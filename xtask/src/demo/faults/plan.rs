//! What goes wrong, where and when. Seconds count from the moment at which all agents are capturing.

use std::time::Duration;

use syncline_sim::{InjectedClock, InjectedSlew, InjectedStep};

use crate::demo::knots::Knot;
use crate::demo::plan::{Link, REGIONS, ROOT, Region};

/// How long the services are observed: the last fault, then the minute after which stored rows are placed again.
pub(super) const OBSERVED: Duration = Duration::from_secs(118);

/// A node's clock and what is done to it.
pub(super) struct Node {
    pub(super) name: &'static str,
    /// Index of the region.
    pub(super) region: usize,
    /// Address of its path to its aggregator, the last byte of 127.0.3.x.
    host: u8,
    origin_shift_h: i64,
    offset_us: i64,
    drift_ppm: i64,
    /// Jumps of the wall clock: when, and by how much.
    steps_s_us: &'static [(i64, i64)],
    /// MONO and WALL steered against RAW: from when to when, and how fast.
    slews_s_ppm: &'static [(i64, i64, i64)],
    /// What it falsifies the stamps of its probes by.
    lie_us: i64,
    pub(super) route: Link,
}

/// The honest nodes, in the order of the regions.
pub(super) const HONEST: [Node; 3] = [
    Node {
        name: REGIONS[0].node,
        region: 0,
        host: 1,
        origin_shift_h: 11,
        offset_us: 12_300,
        drift_ppm: 200,
        // The second comes while the agent is stopped.
        steps_s_us: &[(4, 40_000), (20, 5_000), (43, -22_000)],
        slews_s_ppm: &[],
        lie_us: 0,
        route: route(400, 300, 150),
    },
    Node {
        name: REGIONS[1].node,
        region: 1,
        host: 2,
        origin_shift_h: 250,
        offset_us: -48_700,
        drift_ppm: -35,
        steps_s_us: &[(7, -30_000)],
        slews_s_ppm: &[(9, 17, -400)],
        lie_us: 0,
        route: route(300, 450, 200),
    },
    Node {
        name: REGIONS[2].node,
        region: 2,
        host: 3,
        origin_shift_h: 3,
        offset_us: 3_100,
        drift_ppm: -200,
        // The second comes about when the aggregator is killed.
        steps_s_us: &[(6, 25_000), (28, -3_000), (45, -9_000)],
        slews_s_ppm: &[(42, 49, 450)],
        lie_us: 0,
        route: route(500, 500, 200),
    },
];

/// The node that lies. It has the aggregator of an honest one, and observes that one's link, which is a Go program too.
pub(super) const LIAR: Node = Node {
    name: "eu-2",
    region: 1,
    host: 4,
    origin_shift_h: 70,
    offset_us: 900,
    drift_ppm: 50,
    steps_s_us: &[],
    slews_s_ppm: &[],
    lie_us: 30_000,
    route: route(350, 350, 150),
};

/// The way of a region's aggregator to the root's.
pub(super) fn route_to_root(region: &Region) -> Link {
    if region.name == REGIONS[1].name { route(600, 500, 150) } else { route(700, 900, 200) }
}

/// Address of a region's path to the root, the last byte of 127.0.3.x.
pub(super) fn host_to_root(region: usize) -> u8 {
    u8::try_from(region).map_or(u8::MAX, |region| 100 + region)
}

/// The share of the packets that are lost, on each path.
pub(super) const LOSS: f64 = 0.03;

/// What is done from outside, beside what the injected clocks do by themselves.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    /// The packets of a node's path take another route.
    Reroute { node: usize, route: Link },
    /// The packets between a region and the root take another route.
    RerouteToRoot { region: usize, route: Link },
    /// A node's agent is stopped once its next probe has left, for so long.
    Pause { node: usize, lasts: Duration },
    /// A region's aggregator is killed, and started again with what it left.
    Restart { region: usize },
    /// The same, with a reference that has been stepped meanwhile.
    StepReference { region: usize, by_ns: i64 },
}

/// In order of time.
pub(super) const SCHEDULE: [(u64, Fault); 6] = [
    (14, Fault::Reroute { node: 0, route: route(1_300, 300, 150) }),
    (19, Fault::Pause { node: 0, lasts: Duration::from_millis(1_800) }),
    (24, Fault::RerouteToRoot { region: 2, route: route(700, 1_700, 200) }),
    (28, Fault::Restart { region: 2 }),
    (34, Fault::StepReference { region: 1, by_ns: 35_000_000 }),
    (46, Fault::Reroute { node: 2, route: route(900, 1_000, 200) }),
];

const fn route(delay_us: u64, delay_back_us: u64, jitter_us: u64) -> Link {
    Link {
        delay: Duration::from_micros(delay_us),
        delay_back: Duration::from_micros(delay_back_us),
        jitter: Duration::from_micros(jitter_us),
    }
}

impl Node {
    /// Where its agent finds its aggregator, with the port of that.
    pub(super) fn address(&self) -> [u8; 4] {
        [127, 0, 3, self.host]
    }

    /// Its clock where seconds count from true MONO `zero_ns`, and its drift begins at `start`.
    pub(super) fn clock(&self, start: Knot, zero_ns: i64) -> InjectedClock {
        let at = |seconds: i64| zero_ns + seconds * 1_000_000_000;
        let step = |(second, us): &(i64, i64)| InjectedStep { size_ns: us * 1_000, at_ns: at(*second) };
        let slew = |(from, to, ppm): &(i64, i64, i64)| InjectedSlew {
            rate_ppb: ppm * 1_000,
            from_ns: at(*from),
            to_ns: at(*to),
        };
        InjectedClock {
            origin_shift_ns: self.origin_shift_h * 3_600_000_000_000,
            t0_ns: start.mono,
            raw0_ns: start.raw,
            offset_ns: self.offset_us * 1_000,
            drift_ppb: self.drift_ppm * 1_000,
            steps: self.steps_s_us.iter().map(step).collect(),
            slews: self.slews_s_ppm.iter().map(slew).collect(),
            probe_lie_ns: self.lie_us * 1_000,
        }
    }
}

impl Fault {
    /// In the words of the report.
    pub(super) fn name(&self) -> String {
        let region = |region: usize| REGIONS.get(region).map_or("?", |region| region.name);
        let node = |node: usize| HONEST.get(node).map_or("?", |node| node.name);
        match self {
            Self::Reroute { node: of, .. } => format!("another route between {} and its aggregator", node(*of)),
            Self::RerouteToRoot { region: of, .. } => format!("another route between {} and {ROOT}", region(*of)),
            Self::Pause { node: of, lasts } => {
                format!("the agent of {} is stopped inside an exchange, for {} ms", node(*of), lasts.as_millis())
            }
            Self::Restart { region: of } => format!("the aggregator of {} is killed and started again", region(*of)),
            Self::StepReference { region: of, by_ns } => {
                format!("the reference of {} is stepped by {} ms", region(*of), by_ns / 1_000_000)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_comes_and_has_its_minute_afterwards() {
        let all = HONEST.iter().flat_map(|node| node.steps_s_us);
        assert!(all.clone().any(|(_, us)| *us > 0) && all.clone().any(|(_, us)| *us < 0));
        let drifts = HONEST.map(|node| node.drift_ppm);
        assert!(drifts.contains(&200) && drifts.contains(&-200));
        let slews = HONEST.iter().flat_map(|node| node.slews_s_ppm);
        let last = all.map(|(at, _)| *at).chain(slews.map(|(_, to, _)| *to)).max().unwrap();
        let last = last.max(SCHEDULE.iter().map(|(at, _)| *at as i64).max().unwrap());
        assert!(last as u64 + 65 < OBSERVED.as_secs(), "{last}");
        assert!(SCHEDULE.is_sorted_by_key(|(at, _)| *at));
        assert!(HONEST.iter().enumerate().all(|(index, node)| node.region == index && node.lie_us == 0));
    }

    #[test]
    fn a_clock_does_what_the_plan_says_at_its_time() {
        let (start, zero, s) = (Knot { mono: 5, raw: 9, wall: 0 }, 1_000_000_000_000, 1_000_000_000);
        let clock = HONEST[0].clock(start, zero);
        let error = |second: i64| clock.wall_error_ns(zero + second * s);
        assert_eq!(error(4) - error(3), 40_000_000 + 200_000);
        assert_eq!(error(43) - error(42), -22_000_000 + 200_000);
        let slewed = HONEST[1].clock(start, zero);
        assert_eq!(slewed.mono(zero + 11 * s) - slewed.mono(zero + 10 * s), s - 35_000 - 400_000);
    }
}
