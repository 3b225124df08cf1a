//! Numbered scenarios: what may happen to a node's clocks, its path, its reference and its messages, and what an
//! estimator is held to while it does.
//!
//! A [`Scenario`] is data. [`Scenario::generate`] makes of it and a seed what an aggregator would receive, batch by
//! batch in the order of arrival, and the truth to ask about. [`all`] gives the list; each states its limits in its
//! text, as the simulation tests of NTP daemons do.
//!
//! ```text
//! Scenario ──► Plan: who is where and when ──► samples: knots and exchanges ──► batches ──► disorder ──► deliveries
//!                                └─────────────────────────── Truth ◄──────────────────────────────────────┘ asks
//! ```

mod delivery;
mod fault;
mod forge;
mod generate;
mod limits;
mod list;
mod plan;
mod truth;

use std::fmt;

use crate::NodeSettings;

pub use delivery::{Claim, Delivery};
pub use fault::{Corruption, Disorder, Fault, Lie};
pub use generate::Generated;
pub use limits::{Count, Limits, Width};
pub use list::all;
pub use truth::Truth;

const US: i64 = 1_000;
const MS: i64 = 1_000 * US;
const SECOND: i64 = 1_000 * MS;

/// How an agent reads its clocks, probes and reports. Its timers count true time: nobody may learn from their rhythm.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// From one knot to the next, ns.
    pub knot_every_ns: i64,
    /// Whether a knot is read right before and right after each exchange too.
    pub knots_beside_probes: bool,
    /// From one probe to the next, or from one burst to the next, ns.
    pub probe_every_ns: i64,
    /// When the first is sent, ns.
    pub probe_phase_ns: i64,
    /// Probes in a burst.
    pub burst: usize,
    /// From one probe of a burst to the next, ns.
    pub burst_spacing_ns: i64,
    /// How late a timer fires, mean of an exponential, ns.
    pub late_ns: f64,
    /// From one batch to the next, ns.
    pub batch_every_ns: i64,
}

impl Default for Sampling {
    /// Knots ten times a second and beside each probe, a probe and a batch once a second, timers 50 us late.
    fn default() -> Self {
        Self {
            knot_every_ns: 100 * MS,
            knots_beside_probes: true,
            probe_every_ns: SECOND,
            probe_phase_ns: 850 * MS,
            burst: 1,
            burst_spacing_ns: 0,
            late_ns: 50_000.0,
            batch_every_ns: SECOND,
        }
    }
}

/// One scenario: what a node is, what happens to it, and what is promised meanwhile.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its number, for ever.
    pub number: u16,
    /// Its short name.
    pub name: &'static str,
    /// What happens, in a sentence or two.
    pub what: &'static str,
    /// How long it lasts, true ns.
    pub length_ns: i64,
    /// The node before anything happens. What happens comes from the faults alone.
    pub node: NodeSettings,
    /// What its agent does.
    pub sampling: Sampling,
    /// What happens.
    pub faults: Vec<Fault>,
    /// What is promised.
    pub limits: Limits,
}

impl Scenario {
    /// Nothing happens to a plain node on a LAN for ten minutes.
    pub fn quiet(number: u16, name: &'static str, what: &'static str) -> Self {
        Self {
            number,
            name,
            what,
            length_ns: 600 * SECOND,
            node: NodeSettings::default(),
            sampling: Sampling::default(),
            faults: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// What an aggregator receives of it, and the truth; a seed names a run for ever.
    pub fn generate(&self, seed: u64) -> Generated {
        generate::generate(self, seed)
    }
}

impl fmt::Display for Scenario {
    /// Number, name, what happens, and the limits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} Limits: {}.", self.number, self.name, self.what, self.limits)
    }
}
