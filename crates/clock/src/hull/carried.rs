//! An epoch: what is carried from exchange to exchange.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw, Span};

use super::anchors::Anchors;
use super::bounds::{Bounds, Rate, Theta};
use super::state::State;
use crate::Tolerance;

/// What budgeted bounds remember, once or twice. A route beyond the budget cannot be told from one within it, so it has
/// to be forgotten soon after it is left.
pub(super) const MEMORY: Span = Span::from_ms(800);
/// An epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Carried {
    pub(super) last: State,
    /// Without the newest exchange: clean of a disruption inside it.
    pub(super) clean: State,
    pub(super) anchors: Anchors,
    recent: Recent,
}

/// The budgeted bounds of the newest exchanges alone: a bucket of [`MEMORY`] at most, after which it begins again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Recent {
    since: Instant<Raw>,
    budgeted: Theta,
}

impl Carried {
    /// Begins with this state.
    pub(super) fn starting(state: State) -> Self {
        let recent = Recent { since: state.at, budgeted: state.bounds.budgeted };
        Self { last: state, clean: state, anchors: Anchors::starting(state.at, &state.bounds), recent }
    }

    /// What is carried on of `budgeted`, the exchange's `own` among it, at a rate within `firm` since the last state.
    pub(super) fn recall(&mut self, at: Instant<Raw>, own: Theta, budgeted: Theta, firm: Rate) -> Theta {
        let carried = self.recent.budgeted.later(firm, at - self.last.at);
        let recent = carried.meet(own).unwrap_or(own);
        let is_over = at - self.recent.since >= MEMORY;
        self.recent =
            if is_over { Recent { since: at, budgeted: own } } else { Recent { budgeted: recent, ..self.recent } };
        if is_over { recent } else { budgeted }
    }

    /// Half the least round trip was taken for `by_ns` more than it is, so the classes that build on it were too narrow.
    pub(super) fn widen(&mut self, by_ns: i64, tolerance: &Tolerance) {
        self.recent.budgeted = self.recent.budgeted.widened(share_of(by_ns, tolerance));
        for state in [&mut self.last, &mut self.clean] {
            state.bounds = widened(state.bounds, by_ns, tolerance);
            state.rates.tight = state.rates.firm;
        }
        self.anchors.widen_tight(by_ns);
    }
}

/// What budgeted bounds change by where tight ones change by `by_ns`.
fn share_of(by_ns: i64, tolerance: &Tolerance) -> i64 {
    ((1.0 - tolerance.share()) * by_ns as f64).ceil() as i64
}

pub(super) fn widened(bounds: Bounds, by_ns: i64, tolerance: &Tolerance) -> Bounds {
    let (budgeted, tight) = (bounds.budgeted.widened(share_of(by_ns, tolerance)), bounds.tight.widened(by_ns));
    Bounds { hard: bounds.hard, budgeted, tight }.nested()
}
