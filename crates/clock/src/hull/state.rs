//! What is known at one instant, and how it is carried to others.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw, Span};

use super::bounds::{Bounds, Rates, Theta};
use crate::Tolerance;

/// The bounds at the end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) at: Instant<Raw>,
    pub(crate) bounds: Bounds,
    /// Hold at every instant from the state before to this one.
    pub(crate) rates: Rates,
    /// Disruptions before it.
    pub(crate) epoch: u32,
}

/// What is known of theta at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) bounds: Bounds,
    pub(crate) rates: Rates,
    pub(crate) epoch: u32,
    /// Somewhere around this instant the clocks were disrupted, and it is not known on which side; or they may have
    /// been.
    pub(crate) disrupted: bool,
    /// How far beyond the first or the last probe; zero between probes.
    pub(crate) carried: Span,
}

impl State {
    /// Carried on, or back, to `raw`.
    pub(super) fn reach(&self, raw: Instant<Raw>, tolerance: &Tolerance) -> Known {
        if raw >= self.at { self.after(raw, tolerance) } else { self.before(raw, tolerance) }
    }

    fn after(&self, raw: Instant<Raw>, tolerance: &Tolerance) -> Known {
        let elapsed = raw - self.at;
        // The rate may wander on from what it was up to this state.
        let wander = tolerance.wander.ppb() * elapsed.ns() as f64 / tolerance.wander_window.ns().max(1) as f64;
        let rates = self.rates.widened(wander, tolerance);
        let bounds = self.bounds.later(rates, elapsed);
        Known { bounds, rates, epoch: self.epoch, disrupted: false, carried: elapsed }
    }

    fn before(&self, raw: Instant<Raw>, tolerance: &Tolerance) -> Known {
        let elapsed = self.at - raw;
        let rates = self.rates.widened(tolerance.wander_over(elapsed).ppb(), tolerance);
        let bounds = self.bounds.earlier(rates, elapsed);
        Known { bounds, rates, epoch: self.epoch, disrupted: false, carried: elapsed }
    }
}

impl Known {
    /// At a state, or between two.
    pub(crate) fn exactly(bounds: Bounds, rates: Rates, epoch: u32) -> Self {
        Self { bounds, rates, epoch, disrupted: false, carried: Span::ZERO }
    }

    /// Either of two may hold: the clocks were disrupted between this and a later one, or may have been.
    pub(super) fn or(self, later: Self) -> Self {
        Self {
            bounds: self.bounds.with(later.bounds, Theta::join),
            rates: self.rates.union(later.rates),
            epoch: later.epoch,
            disrupted: true,
            carried: Span::ZERO,
        }
    }
}
