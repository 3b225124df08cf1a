//! theta = REF - RAW: intervals that hold it.
//!
//! An exchange (L1, T2, T3, L4), L on RAW and T on REF, says with d the delays there and back, each at least the floor:
//!
//! ```text
//! theta(L1) = T2 - L1 - d_there  <=  T2 - L1 - floor          (an upper bound, at L1)
//! theta(L4) = T3 - L4 + d_back   >=  T3 - L4 + floor          (a lower bound, at L4)
//! ```
//!
//! Bounds are carried from probe to probe by the rate of theta, itself an interval: over any stretch between two probes
//! the mean rate lies between (low_now - high_then) / tau and (high_now - low_then) / tau, and the rate at any instant of
//! that stretch is within the oscillator's wander of the mean. What results is the convex-hull bound of Moon, Skelly and
//! Towsley (INFOCOM 1999) and Zhang, Liu and Xia (INFOCOM 2002), made recursive and made to hold for an oscillator that
//! wanders, instead of for a straight line.
//!
//! # Classes
//! The same recursion with another floor, where Dm = (Df + Db) / 2 is half the least round trip of the present path:
//!
//! ```text
//! hard      floor                          nothing is assumed of paths but this
//! budgeted  Dm - alpha (Dm - floor)        follows from |Df - Db| / 2 <= alpha (Dm - floor)
//! tight     Dm                             symmetric paths: alpha = 0
//! ```
//!
//! Dm is estimated from below, over the last 17 to 34 minutes (see [`round_trips`]). When the estimate falls by d, what
//! is carried was too narrow by (1 - alpha) d each way and is widened by that. When it rises nothing was wrong. A class
//! that contradicts itself while the hard bound does not begins again from the exchange that showed it. A budget that a
//! route exceeds without contradiction cannot be noticed at all, so budgeted bounds remember little more than a second.
//!
//! # Breaks
//! An exchange that contradicts the hard bound shows that the clocks were disrupted after the exchange before it began:
//! one that met the disruption says things of before that are true only of after. So the old side ends with the last
//! exchange that came before both, the new side begins with the one that showed it, and between them either may hold.
//!
//! A jump smaller than the round trip contradicts nothing hard. But it moves both directions by the same amount, at an
//! unchanged round trip: the tight bounds are then apart. A path can do that only by becoming longer one way by what it
//! becomes shorter the other way. So a gap of more than a sixteenth of the round trip is doubted: bounds cover both
//! sides until another exchange confirms it, which makes it a break, or contradicts it. If it was the path, the bound is
//! wider than it need be for a while, and still true.
//!
//! A freeze inside an exchange hides as much of its round trip. What is much shorter than the least is not believed until
//! another is like it.

mod anchors;
mod bounds;
mod carried;
mod checked;
mod doubt;
mod exchange;
mod handover;
mod history;
mod live;
mod round_trips;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use bounds::Theta;
#[cfg(test)]
pub(crate) use bounds::{Bounds, Rates};
pub(crate) use checked::Checked;
pub(crate) use exchange::{BadExchange, Exchange};
pub(crate) use live::Violations;
pub(crate) use state::Known;

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw};

use crate::Tolerance;
use history::History;
use live::{Ahead, Live};

/// States kept: thinned with age, they reach back some hours.
const CAPACITY: usize = 160;

/// Why an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DisruptionCause {
    /// A probe showed an offset that the oscillator cannot have reached: the guest was paused, moved or suspended, or
    /// the reference stepped.
    ProbeContradicts,
    /// Both directions moved by the same amount, by less than the round trip.
    OffsetJumped,
    /// MONO and RAW jumped against each other.
    ClocksDisagree,
    /// Somebody who knows told of it.
    Told,
}

/// The node's clocks did not run on as oscillators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// Where on RAW it was noticed; it happened between this and the beginning of the exchange before, or what was told.
    pub noticed_at: Instant<Raw>,
    /// How it showed.
    pub cause: DisruptionCause,
}

/// What others make of an exchange. What contradicts the hard bound is a break whatever they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on as before. What was in doubt is forgotten.
    #[default]
    Consistent,
    /// An epoch may have ended after the exchange before this one began: from there on bounds cover both.
    Doubtful,
    /// An epoch has ended: after the exchange before this one began, or where the doubt did.
    Broken,
}

/// The bounds of one boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hull {
    tolerance: Tolerance,
    live: Live,
    history: History,
}

impl Hull {
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        Self::keeping(CAPACITY, tolerance)
    }

    /// Keeps about `states` states; `usize::MAX` to keep a whole stream.
    pub(crate) fn keeping(states: usize, tolerance: Tolerance) -> Self {
        Self { tolerance, live: Live::default(), history: History::new(states) }
    }

    /// The clocks jumped after `since`, or, where that is not known, after the last probe began: what was known does not lead beyond it.
    pub(crate) fn disrupt(&mut self, since: Option<Instant<Raw>>) {
        self.live.disrupt(since);
    }

    /// An exchange beside what is known; whether it can be taken at all.
    pub(crate) fn check(&self, exchange: &Exchange) -> Result<Checked, BadExchange> {
        if self.live.newest_at().is_some_and(|newest| exchange.returned <= newest) {
            return Err(BadExchange::OutOfOrder);
        }
        let sides = exchange.sides(&self.tolerance)?;
        let expected = self.live.expected(exchange.returned, &self.tolerance);
        Ok(Checked::new(sides, expected, &self.tolerance))
    }

    /// Takes an exchange that was checked a moment ago; whether it shows that theta has jumped.
    pub(crate) fn observe(&mut self, exchange: &Checked, verdict: Verdict) -> Option<DisruptionCause> {
        let taken = self.live.observe(&self.tolerance, exchange, verdict);
        self.history.push(taken.state);
        taken.cause
    }

    /// Theta at `raw`; `None` while nothing is known.
    pub(crate) fn at(&self, raw: Instant<Raw>) -> Option<Known> {
        match self.live.at(raw, &self.tolerance) {
            Ahead::Known(known) => Some(known),
            Ahead::Nothing => None,
            Ahead::Past => self.history.at(raw, self.live.suspect_from(), &self.tolerance),
        }
    }

    /// How often a class of bound contradicted itself.
    pub(crate) fn violations(&self) -> Violations {
        self.live.violations()
    }
}
