//! What one exchange says by itself.

use syncline_timebase::{Instant, Raw, Reference, Span};

use super::bounds::{Bounds, Rate, Theta, down, up};
use crate::Tolerance;

/// A finished exchange, its node-side stamps on RAW.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) sent: Instant<Raw>,
    pub(crate) received: Instant<Reference>,
    pub(crate) replied: Instant<Reference>,
    pub(crate) returned: Instant<Raw>,
    /// How far the node-side stamps may be off.
    pub(crate) slack: Span,
}

/// An exchange that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadExchange {
    OutOfOrder,
    Impossible,
}

/// The two sides of an exchange, before any floor of the delays: `theta(sent) <= above`, `below <= theta(returned)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) sent: Instant<Raw>,
    pub(super) returned: Instant<Raw>,
    above: i64,
    below: i64,
    slack: Span,
}

impl Exchange {
    pub(super) fn sides(&self, tolerance: &Tolerance) -> Result<Sides, BadExchange> {
        let sides = Sides {
            sent: self.sent,
            returned: self.returned,
            above: (span_to(self.sent, self.received) + self.slack).ns(),
            below: (span_to(self.returned, self.replied) - self.slack).ns(),
            slack: self.slack,
        };
        let alone = sides.with_floor(tolerance.path_floor.ns(), Rate::anything(tolerance));
        let possible = self.returned >= self.sent
            && self.received - self.replied <= self.slack
            && far_from_edges(alone.low)
            && far_from_edges(alone.high)
            && alone.low <= alone.high;
        if possible { Ok(sides) } else { Err(BadExchange::Impossible) }
    }
}

impl Sides {
    /// Theta at the exchange's end, if each of its two delays was at least `floor_ns`.
    pub(super) fn with_floor(&self, floor_ns: i64, rate: Rate) -> Theta {
        let high = self.above.saturating_sub(floor_ns).saturating_add(up(rate.high, self.elapsed()));
        Theta { low: self.below.saturating_add(floor_ns), high }
    }

    /// The same for each class, if half the least round trip of the path is at least `half_ns`.
    ///
    /// An asymmetry |Df - Db| / 2 <= alpha (Dm - floor) leaves each delay at least Dm - alpha (Dm - floor).
    pub(super) fn bounds(&self, half_ns: i64, rate: Rate, tolerance: &Tolerance) -> Bounds {
        let floor_ns = tolerance.path_floor.ns();
        let spare = half_ns.saturating_sub(floor_ns).max(0);
        let kept = spare.saturating_sub((tolerance.share() * spare as f64).ceil() as i64);
        let of = |more: i64| {
            let theta = self.with_floor(floor_ns.saturating_add(more), rate);
            // Shorter than the path allows: no more than that it is about here.
            Theta { low: theta.low.min(theta.high), high: theta.high.max(theta.low) }
        };
        Bounds { hard: of(0), budgeted: of(kept), tight: of(spare) }.nested()
    }

    /// The round trip without the reference's own time, at least.
    pub(super) fn least_round_trip(&self, rate: Rate) -> i64 {
        let off = self.slack.ns().saturating_mul(4);
        self.apart().saturating_sub(off).saturating_add(down(rate.low, self.elapsed()))
    }

    /// The same, at most.
    pub(super) fn longest_round_trip(&self, rate: Rate) -> i64 {
        self.apart().saturating_add(up(rate.high, self.elapsed()))
    }

    fn apart(&self) -> i64 {
        self.above.saturating_sub(self.below)
    }

    fn elapsed(&self) -> Span {
        self.returned - self.sent
    }
}

fn span_to(raw: Instant<Raw>, reference: Instant<Reference>) -> Span {
    Span::from_ns(raw.offset_to(reference).ns())
}

/// Sums with spans of years stay inside `i64`.
fn far_from_edges(ns: i64) -> bool {
    ns.unsigned_abs() < 1 << 62
}
