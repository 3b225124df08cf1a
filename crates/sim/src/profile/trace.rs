//! What the reference receives of one node in a run, and the truth beside it.

use syncline_timebase::{Instant, Knot, Mono, Probe, Span, Wall};

/// Reference time at the start of every run: some day in 2027.
pub(super) const REFERENCE_AT_ZERO_NS: i64 = 1_800_000_000_000_000_000;

/// One run of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Known lower bound of each one-way delay.
    pub floor: Span,
    /// What the reference receives, in the order in which it does: an event comes after the knot that closes its batch.
    pub records: Vec<Record>,
    /// The truth of each event; the event's id is the index.
    pub truth: Vec<EventTruth>,
    /// Jumps of the node's clocks: those of RAW in order, then those of WALL alone in order.
    pub steps: Vec<TrueStep>,
    /// Least delay on the base route: node to reference, and back.
    pub base_delays_ns: [f64; 2],
    /// Changes of the route, in order.
    pub routes: Vec<RouteChange>,
}

impl Trace {
    /// What an estimator that takes the path for symmetric is off by on the base route: estimate - truth, signed.
    pub fn asymmetry_floor_ns(&self) -> f64 {
        (self.base_delays_ns[0] - self.base_delays_ns[1]) / 2.0
    }
}

/// Something that the reference receives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record {
    /// The node read its clocks, ten times a second by its own MONO.
    Knot(Knot),
    /// The node finished an exchange.
    Probe {
        /// Its four stamps.
        probe: Probe,
        /// WALL at its first and its last stamp.
        walls: [Instant<Wall>; 2],
    },
    /// Something happened on the node.
    Event {
        /// Index of its truth.
        id: u32,
        /// MONO when it did.
        mono: Instant<Mono>,
        /// WALL when it did.
        wall: Instant<Wall>,
    },
}

/// The truth of one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventTruth {
    /// When it happened, reference time.
    pub true_ns: i64,
    /// Least delay forward less least delay backward on the route of that time.
    pub asymmetry_ns: f64,
    /// Least delay forward plus least delay backward on the route of that time.
    pub round_trip_ns: f64,
    /// It happened between a disruption of RAW and the end of the first exchange begun after it: what RAW lost is known
    /// to nobody yet.
    pub in_gap: bool,
}

/// A jump of the node's clocks against reference time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueStep {
    /// When, reference time; the resume for a pause.
    pub at_ns: i64,
    /// What reference time less the clock grows by.
    pub size_ns: i64,
    /// All three clocks jump; otherwise only WALL.
    pub raw: bool,
}

/// The path takes another route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteChange {
    /// When, reference time.
    pub at_ns: i64,
    /// Least delay from then on: node to reference, and back.
    pub delays_ns: [f64; 2],
}
