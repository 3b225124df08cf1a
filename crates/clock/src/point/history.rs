//! Where the point was: for instants between probes, seen from both sides.

use std::collections::VecDeque;

use syncline_timebase::{Instant, Raw};

use super::{PointEstimate, PointFilter, Seen};
use crate::hull::Exchange;

/// States kept; at one in 8 s they reach back a quarter of an hour.
const RECENT: usize = 112;

/// The filter's state at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Past {
    at: Instant<Raw>,
    estimate: PointEstimate,
    /// theta jumped between the one before and this.
    jumped: bool,
}

/// Past states of a point filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PointHistory {
    capacity: usize,
    past: VecDeque<Past>,
}

impl PointHistory {
    /// Keeps the recent past.
    pub(crate) fn recent() -> Self {
        Self { capacity: RECENT, past: VecDeque::new() }
    }

    /// Keeps everything.
    pub(crate) fn whole() -> Self {
        Self { capacity: usize::MAX, past: VecDeque::new() }
    }

    /// Notes where `filter` is after `exchange`, if it has moved.
    pub(crate) fn follow(&mut self, filter: &PointFilter, exchange: &Exchange, seen: Seen) {
        let jumped = seen == Seen::Jumped;
        let Some(at) = filter.moved_at().filter(|at| jumped || self.past.back().is_none_or(|past| past.at < *at))
        else {
            return;
        };
        if let Some(estimate) = filter.at(at) {
            // After a jump the new side holds from when the exchange that showed it was sent.
            let at = if jumped { exchange.sent } else { at };
            let estimate = if jumped { filter.at(at).unwrap_or(estimate) } else { estimate };
            self.past.push_back(Past { at, estimate, jumped });
            if self.past.len() > self.capacity {
                self.past.pop_front();
            }
        }
    }

    /// The point at `raw`, if it lies before the newest state.
    pub(crate) fn at(&self, raw: Instant<Raw>) -> Option<PointEstimate> {
        let after = self.past.partition_point(|past| past.at < raw);
        let later = self.past.get(after)?;
        let Some(earlier) = after.checked_sub(1).and_then(|before| self.past.get(before)) else {
            return Some(later.carried(raw));
        };
        // Before a jump the old side goes on until the exchange that showed it.
        Some(if later.jumped { earlier.carried(raw) } else { between(earlier, later, raw) })
    }
}

impl Past {
    fn carried(&self, raw: Instant<Raw>) -> PointEstimate {
        let elapsed_ns = (raw - self.at).ns() as f64;
        let gained = (self.estimate.rate_ppb * 1e-9 * elapsed_ns).round() as i64;
        PointEstimate { theta_ns: self.estimate.theta_ns.saturating_add(gained), ..self.estimate }
    }
}

/// Between two states: each carried to `raw`, weighed by how near it is.
fn between(earlier: &Past, later: &Past, raw: Instant<Raw>) -> PointEstimate {
    let part = (raw - earlier.at).ns() as f64 / ((later.at - earlier.at).ns() as f64).max(1.0);
    let (forward, backward) = (earlier.carried(raw), later.carried(raw));
    let gap = backward.theta_ns.saturating_sub(forward.theta_ns) as f64;
    let blend = |a: f64, b: f64| a + (b - a) * part;
    PointEstimate {
        theta_ns: forward.theta_ns.saturating_add((gap * part).round() as i64),
        rate_ppb: blend(forward.rate_ppb, backward.rate_ppb),
        deviation_ns: blend(forward.deviation_ns, backward.deviation_ns),
    }
}
