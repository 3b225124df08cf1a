//! What is known of a fleet's clocks at one moment: what rules are evaluated on.
//!
//! Everything in it was measured, with the interval that holds it; nothing is a guess. Signs: a skew is the wall clock less what it is
//! compared with, so positive is ahead; a frequency is positive where the oscillator is fast.

use serde::{Deserialize, Serialize};

use crate::Interval;

/// A fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// When, ns since 1970; each round is after the one before.
    pub at_ns: i64,
    /// Nodes that are known, each once.
    pub nodes: Vec<NodeSeen>,
    /// Regions' references, each run once.
    pub regions: Vec<RegionSeen>,
    /// Regions that measure one another, by their runs.
    pub links: Vec<LinkSeen>,
    /// Messages that were received before they were sent, since the round before.
    pub violations: Vec<Violation>,
}

/// A node at the moment of a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeSeen {
    /// Its region.
    pub region: String,
    /// Its name.
    pub node: String,
    /// Its boot. What was known of another says nothing of this one.
    pub boot: u64,
    /// The run of the reference that its clock model speaks of.
    pub run: u64,
    /// Disruptions of its clocks, or of the reference, in this boot, as the clock model counts them. Fewer than before is another
    /// model. Like `run`, of meaning with `skew_ns` only.
    pub epoch: u32,
    /// For how long nothing has come from it.
    pub silent_ns: u64,
    /// WALL - REF of its region, by the hard bound; none where nothing is known.
    pub skew_ns: Option<Interval>,
    /// Frequency error of its oscillator against REF, as estimated. It counts once it has stood for a while.
    pub frequency_ppb: Option<i64>,
    /// The least round trip of its probes since the round before: no later bound can become narrower than half of it but by what is
    /// known from before.
    pub round_trip_ns: Option<u64>,
    /// Steps of its wall clock that became known since the round before.
    pub steps: Vec<Step>,
    /// What it claimed of its wall clock since the round before, and whether that can be true.
    pub claims: Vec<ClaimSeen>,
}

/// Somebody set a wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, ns since 1970 on REF.
    pub at_ns: i64,
    /// By how much; positive is forward.
    pub size_ns: i64,
    /// How long before the end of the round that was, by the clock that rounds are by, as well as REF is known by it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ago_ns: u64,
}

fn is_zero(ago_ns: &u64) -> bool {
    *ago_ns == 0
}

/// A claim of a node about its wall clock, beside what was measured: both are REF - WALL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimSeen {
    /// Who says it: `kernel`, `chrony`.
    pub source: String,
    /// The two intervals, where they have nothing in common; none where both may be true.
    pub contradiction: Option<Contradiction>,
}

/// Two intervals of REF - WALL that cannot both be true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradiction {
    /// What was claimed.
    pub claimed_ns: Interval,
    /// What was measured.
    pub measured_ns: Interval,
}

impl Contradiction {
    /// How far the wall clock is ahead of what is claimed of it, at least; negative where it is behind.
    pub fn gap_ns(self) -> i64 {
        // REF - WALL claimed above measured: WALL is further ahead than it says.
        self.claimed_ns.minus(self.measured_ns).at_least()
    }
}

/// A reference of a region at the moment of a round. Aggregators of one region have one each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionSeen {
    /// The region.
    pub region: String,
    /// The run of the reference.
    pub run: u64,
    /// REF - UTC, from all that is known of all regions; none where nobody claims to know.
    pub utc_ns: Option<Interval>,
    /// What its aggregator claims of UTC cannot be true beside all others: off by at least so much.
    pub false_by_ns: Option<u64>,
    /// That is likely, and not proved: it may be another's claim that is false.
    #[serde(default)]
    pub is_doubted: bool,
}

/// Two regions that measure one another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkSeen {
    /// One region.
    pub region: String,
    /// The run of its reference.
    #[serde(default)]
    pub run: u64,
    /// The other.
    pub peer: String,
    /// The run of its reference.
    #[serde(default)]
    pub peer_run: u64,
    /// REF of the peer - REF of the region, from all that is known.
    pub apart_ns: Interval,
    /// What the two measure of one another cannot be true beside all others: off by at least so much.
    pub false_by_ns: Option<u64>,
}

/// Messages from one node to another that prove two clocks wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Sender: region and node.
    pub from: (String, String),
    /// Receiver: region and node.
    pub to: (String, String),
    /// Messages.
    pub messages: u64,
    /// The two clocks are off against one another by at least so much.
    pub by_ns: u64,
}
