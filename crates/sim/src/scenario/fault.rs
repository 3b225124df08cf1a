//! What happens in a scenario. All times are true time from the start of the run.

use crate::{CounterJump, PathSettings, WallStep};

/// One thing that happens to a node, its path, its reference, or to what it sends.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The guest is frozen with all its clocks.
    Pause {
        /// From when, ns.
        at_ns: i64,
        /// For how long, ns.
        length_ns: i64,
    },
    /// Suspend to RAM: MONO and RAW stand still, WALL is set by the battery clock when it wakes.
    Suspend {
        /// From when, ns.
        at_ns: i64,
        /// For how long, ns.
        length_ns: i64,
    },
    /// A live migration: frozen, then on another host's oscillator.
    Migration {
        /// From when, ns.
        at_ns: i64,
        /// How long the guest is frozen, ns.
        blackout_ns: i64,
        /// What the new host adds to the guest's counter to make up for it, ns; may be more than the blackout.
        credited_ns: i64,
        /// How much faster the new oscillator is, ppb.
        frequency_ppb: f64,
    },
    /// The counter behind the clocks jumps or runs at another rate, with the guest running.
    Counter(CounterJump),
    /// Somebody sets the wall clock.
    Wall(WallStep),
    /// From now on NTP steers MONO and WALL against RAW by so much.
    Steering {
        /// From when, ns.
        from_ns: i64,
        /// How much faster MONO runs than RAW, ppb.
        ppb: f64,
    },
    /// The path changes.
    Reroute {
        /// When, ns.
        at_ns: i64,
        /// To what.
        path: PathSettings,
    },
    /// No exchange begun in this time comes back.
    Outage {
        /// From when, ns.
        from_ns: i64,
        /// Until when, ns.
        until_ns: i64,
    },
    /// The reference's host is frozen with its clock.
    ReferencePause {
        /// From when, ns.
        at_ns: i64,
        /// For how long, ns.
        length_ns: i64,
    },
    /// The reference jumps and does not say so.
    ReferenceStep {
        /// When, ns.
        at_ns: i64,
        /// By how much, ns.
        size_ns: i64,
    },
    /// The aggregator comes back with another reference: a new run, and it says so.
    ReferenceRestart {
        /// When, ns.
        at_ns: i64,
        /// What the new reference is ahead of the old one, ns.
        ahead_ns: i64,
    },
    /// A second aggregator with a reference of its own; the node's batches go to each of the two in turn.
    SecondReference {
        /// How long to each, ns.
        every_ns: i64,
        /// What the second reference is ahead of the first, ns.
        ahead_ns: i64,
    },
    /// The agent reads no knots but those beside its probes.
    KnotGap {
        /// From when, ns.
        from_ns: i64,
        /// Until when, ns.
        until_ns: i64,
    },
    /// The agent is gone: neither knots nor probes.
    AgentGap {
        /// From when, ns.
        from_ns: i64,
        /// Until when, ns.
        until_ns: i64,
    },
    /// The agent is preempted between the two MONO reads of some knots.
    PreemptedKnots {
        /// Of how many, 0 to 1.
        share: f64,
        /// For how long at most, ns.
        longest_ns: i64,
    },
    /// What is sent comes otherwise.
    Delivery(Disorder),
    /// Some finished probes come with stamps that cannot be.
    Corrupt {
        /// From when, ns.
        from_ns: i64,
        /// How many, 0 to 1.
        share: f64,
        /// How.
        how: Corruption,
    },
    /// The node sends what it never measured.
    Lying {
        /// From when, ns.
        from_ns: i64,
        /// Until when, ns.
        until_ns: i64,
        /// What it sends.
        lie: Lie,
    },
    /// The node's own discipline claims to know how far WALL is off.
    Claims {
        /// One in so long, ns.
        every_ns: i64,
        /// How far a claim is off, standard deviation, ns; never beyond `bound_ns`.
        error_ns: f64,
        /// The bound that it claims, ns.
        bound_ns: u64,
    },
    /// Claims of this time are wrong by more than they say.
    BrokenClaims {
        /// From when, ns.
        from_ns: i64,
        /// Until when, ns.
        until_ns: i64,
        /// By how much they are moved, ns.
        off_ns: i64,
    },
}

/// What becomes of batches on their way.
#[derive(Clone, Copy, Debug)]
pub enum Disorder {
    /// This share of batches comes twice.
    Repeated(f64),
    /// This share of probes is twice in its batch.
    RepeatedProbes(f64),
    /// The probes of a batch are in any order.
    ShuffledProbes,
    /// This share of batches comes `by` batches later.
    Late {
        /// How many, 0 to 1.
        share: f64,
        /// By how many batches.
        by: usize,
    },
    /// This share of batches never comes.
    Lost(f64),
}

/// Stamps that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// T4 before T1.
    ReturnedBeforeSent,
    /// T3 before T2.
    RepliedBeforeReceived,
    /// The reference took longer than the whole exchange.
    NegativeDelay,
    /// T2 and T3 at the edges of `i64`.
    Edges,
    /// T1 and T4 of an earlier boot: so many ns of MONO before.
    EarlierBoot(i64),
    /// T1 and T4 of another boot, with an uptime so many ns longer.
    LaterBoot(i64),
}

/// What a lying node sends instead of what it measured.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    /// T1 and T4 moved by anything up to so many ns either way, each by its own.
    Noise(i64),
    /// T1 and T4 moved by the same so many ns.
    Shifted(i64),
    /// An exchange without any delay, its middle moved by so many ns: it promises to be very exact.
    Narrow(i64),
    /// Knots and probes so many ns in the future.
    Future(i64),
    /// As many knots and probes of random bits in each batch, beside the honest ones.
    Garbage(usize),
}

impl Fault {
    /// The time that it takes to happen, ns: what was learned before may not hold after.
    pub(super) fn disturbs(&self) -> Option<(i64, i64)> {
        match *self {
            Self::Pause { at_ns, length_ns }
            | Self::Suspend { at_ns, length_ns }
            | Self::Migration { at_ns, blackout_ns: length_ns, .. }
            | Self::ReferencePause { at_ns, length_ns } => Some((at_ns, at_ns + length_ns)),
            Self::Counter(CounterJump { at_ns, .. })
            | Self::Reroute { at_ns, .. }
            | Self::ReferenceStep { at_ns, .. }
            | Self::ReferenceRestart { at_ns, .. } => Some((at_ns, at_ns)),
            Self::Outage { from_ns, until_ns }
            | Self::AgentGap { from_ns, until_ns }
            | Self::KnotGap { from_ns, until_ns }
            | Self::Lying { from_ns, until_ns, .. } => Some((from_ns, until_ns)),
            _ => None,
        }
    }

    /// When REF against RAW has jumped, ns: a disruption that an estimator may be asked to notice.
    pub(super) fn breaks_at(&self) -> Option<i64> {
        match self {
            Self::Pause { .. }
            | Self::Suspend { .. }
            | Self::Migration { .. }
            | Self::ReferencePause { .. }
            | Self::ReferenceStep { .. }
            | Self::Counter(_) => self.disturbs().map(|(_, end)| end),
            _ => None,
        }
    }
}
