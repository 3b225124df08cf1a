//! What a clock model says, and what a set of samples brought.

use std::collections::BTreeMap;

use syncline_timebase::{ErrorBound, FrequencyError, Mono, Offset, Reference};

use crate::{Disruption, WallStep};

/// How much an estimate is worth, in the words of AWS ClockBound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing is known: no probe yet, none since a disruption that was told, or no knot that places the instant.
    Unknown,
    /// Probes around or shortly before this instant carry it.
    Synchronized,
    /// Carried by the oscillator alone, since the last probe or back from the first.
    FreeRunning,
    /// The clocks were disrupted around this instant; the bound covers both sides.
    Disrupted,
}

/// A node's clock at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// REF - MONO, at best: what the probes say of paths as asymmetric as at the start, inside the hard bounds.
    pub offset: Offset<Mono, Reference>,
    /// Rate of REF - RAW: negative where the node's oscillator is fast.
    pub rate: FrequencyError,
    /// The truth is no further away than this (see the crate's assumptions).
    pub hard: ErrorBound,
    /// What carries it.
    pub status: Status,
    /// Disruptions before it in this boot.
    pub epoch: u32,
}

impl Estimate {
    pub(crate) const fn unknown() -> Self {
        Self {
            offset: Offset::from_ns(0),
            rate: FrequencyError::ZERO,
            hard: ErrorBound::UNBOUNDED,
            status: Status::Unknown,
            epoch: 0,
        }
    }
}

/// Why a sample was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A knot not after the one before it.
    KnotOutOfOrder,
    /// A knot that no clocks show, or that follows from no other: no later one agreed with it.
    KnotImplausible,
    /// A probe not after the one before it.
    ProbeOutOfOrder,
    /// A probe that ended before it began, a negative round trip, or stamps beyond what clocks show.
    ProbeImpossible,
    /// A probe more than a second before the first knot, or without any: it cannot be placed on RAW.
    ProbeWithoutKnot,
    /// A probe more than a minute ahead of all knots, or where they say too little to place it.
    ProbeBeyondKnots,
    /// A probe that began before MONO and RAW jumped against each other, and ended after the last knot before that.
    ProbeAcrossJump,
}

impl Refusal {
    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KnotOutOfOrder => "knot_out_of_order",
            Self::KnotImplausible => "knot_implausible",
            Self::ProbeOutOfOrder => "probe_out_of_order",
            Self::ProbeImpossible => "probe_impossible",
            Self::ProbeWithoutKnot => "probe_without_knot",
            Self::ProbeBeyondKnots => "probe_beyond_knots",
            Self::ProbeAcrossJump => "probe_across_jump",
        }
    }
}

/// What a set of samples brought, with what earlier probes did that had waited for a knot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Steps of the wall clock.
    pub wall_steps: Vec<WallStep>,
    /// Disruptions of the oscillator.
    pub disruptions: Vec<Disruption>,
    /// Samples not used, by cause.
    pub refused: BTreeMap<Refusal, u64>,
    /// For each probe given, whether it was used. One that waits for a knot counts as used; if it is refused later, only
    /// `refused` says so.
    pub used: Vec<bool>,
}

impl Observed {
    pub(crate) fn refuse(&mut self, refusal: Refusal, count: u64) {
        if count > 0 {
            *self.refused.entry(refusal).or_default() += count;
        }
    }

    pub(crate) fn refuse_probe(&mut self, refusal: Refusal, place: Option<usize>) {
        self.refuse(refusal, 1);
        if let Some(used) = place.and_then(|place| self.used.get_mut(place)) {
            *used = false;
        }
    }
}
