//! Where the point was: for instants between probes, seen from both sides.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use syncline_timebase::{Instant, Raw, Span};

use super::smooth::SmoothRun;
use super::state::{RATE, State, THETA};
use super::{PointEstimate, PointFilter, Seen};
use crate::hull::Exchange;

/// States kept; at one in 8 s they reach back a quarter of an hour.
const RECENT: usize = 112;

/// The filter's state at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Past {
    at: Instant<Raw>,
    estimate: PointEstimate,
    /// theta jumped between the one before and this.
    jumped: bool,
}

/// Past states of a point filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PointHistory {
    capacity: usize,
    past: VecDeque<Past>,
    /// There were states before these; jumps may lie between.
    has_forgotten: bool,
    /// What all probes say, where it was asked for, in order of time.
    smooth: Vec<Stretch>,
}

/// A smoothed run of the filter, and where it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stretch {
    /// Later than this: the exchange that showed the jump before it, or its first state.
    after: Instant<Raw>,
    /// Until this, its last state.
    until: Instant<Raw>,
    origin: Instant<Raw>,
    run: SmoothRun,
}

impl PointHistory {
    /// Keeps the recent past.
    pub(crate) fn recent() -> Self {
        Self { capacity: RECENT, past: VecDeque::new(), has_forgotten: false, smooth: Vec::new() }
    }

    /// Keeps everything.
    pub(crate) fn whole() -> Self {
        Self { capacity: usize::MAX, past: VecDeque::new(), has_forgotten: false, smooth: Vec::new() }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.capacity == usize::MAX
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
            // The exchange that showed it may have been sent before another returned, which then met it too.
            while self.past.back().is_some_and(|past| past.at > at) {
                self.past.pop_back();
            }
            self.past.push_back(Past { at, estimate, jumped });
            if self.past.len() > self.capacity {
                self.past.pop_front();
                self.has_forgotten = true;
            }
        }
    }

    /// No probe comes any more: from now on, answers are what all of them say where `filter` has kept a journal.
    pub(crate) fn look_back(&mut self, filter: &mut PointFilter) {
        for run in filter.look_back() {
            if let Some(stretch) = self.stretch(Instant::from_ns(filter.origin_raw), run) {
                self.smooth.push(stretch);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn stretches(&self) -> &[Stretch] {
        &self.smooth
    }

    /// Where `run`, the next one, holds: from the last jump before it on, the first one from the beginning.
    fn stretch(&self, origin: Instant<Raw>, run: SmoothRun) -> Option<Stretch> {
        let on_raw = |state: &State| origin + Span::from_ns((state.at * 1e9).round() as i64);
        let (first, until) = (on_raw(run.states.first()?), on_raw(run.states.last()?));
        let before = self.smooth.last().map(|stretch| stretch.until);
        let earlier = self.past.partition_point(|past| past.at < first);
        let mut past = self.past.iter().take(earlier).rev().take_while(|past| before.is_none_or(|end| past.at >= end));
        let jump = past.find(|past| past.jumped).map(|past| past.at);
        let after = jump.unwrap_or(if before.is_none() { Instant::from_ns(i64::MIN) } else { first });
        Some(Stretch { after, until, origin, run })
    }

    /// Whether `raw` lies before the newest state.
    pub(crate) fn is_past(&self, raw: Instant<Raw>) -> bool {
        self.past.back().is_some_and(|newest| raw <= newest.at)
    }

    /// The point at `raw`, if it lies before the newest state and not before all that is kept.
    pub(crate) fn at(&self, raw: Instant<Raw>) -> Option<PointEstimate> {
        let stretch = self.smooth.partition_point(|stretch| stretch.after < raw).checked_sub(1);
        let stretch = stretch.and_then(|index| self.smooth.get(index)).filter(|stretch| raw <= stretch.until);
        stretch.and_then(|stretch| stretch.at(raw)).or_else(|| self.filtered_at(raw))
    }

    /// From what the filter knew around `raw`.
    fn filtered_at(&self, raw: Instant<Raw>) -> Option<PointEstimate> {
        let after = self.past.partition_point(|past| past.at < raw);
        let later = self.past.get(after)?;
        let Some(earlier) = after.checked_sub(1).and_then(|before| self.past.get(before)) else {
            return (!self.has_forgotten).then(|| later.carried(raw));
        };
        // Before a jump the old side goes on until the exchange that showed it.
        Some(if later.jumped { earlier.carried(raw) } else { between(earlier, later, raw) })
    }
}

impl Stretch {
    fn at(&self, raw: Instant<Raw>) -> Option<PointEstimate> {
        let at = raw.ns().saturating_sub(self.origin.ns()) as f64 * 1e-9;
        let states = &self.run.states;
        let later = states.partition_point(|state| state.at < at).min(states.len() - 1);
        let (theta, rate, variance) = match later.checked_sub(1) {
            Some(earlier) => inside(states.get(earlier)?, states.get(later)?, at),
            None => before(states.first()?, at),
        };
        Some(PointEstimate {
            theta_ns: self.run.origin_theta.saturating_add(theta.round() as i64),
            rate_ppb: rate,
            deviation_ns: variance.max(0.0).sqrt(),
        })
    }
}

/// theta, its rate and variance at `at` before `state`: its rate goes on.
fn before(state: &State, at: f64) -> (f64, f64, f64) {
    let dt = at - state.at;
    let [theta, rate] = [state.mean[THETA], state.mean[RATE]];
    let cov = &state.cov;
    let variance = cov[THETA][THETA] + dt * (2.0 * cov[THETA][RATE] + dt * cov[RATE][RATE]);
    (theta + dt * rate, rate, variance)
}

/// theta, its rate and variance at `at` between two states: theta by Hermite's cubic through both and their rates, the
/// others linearly.
fn inside(earlier: &State, later: &State, at: f64) -> (f64, f64, f64) {
    let span = later.at - earlier.at;
    let part = ((at - earlier.at) / span).clamp(0.0, 1.0);
    let blend = |a: f64, b: f64| a + (b - a) * part;
    let gap = later.mean[THETA] - earlier.mean[THETA];
    let (leaves, arrives) = (earlier.mean[RATE] * span - gap, later.mean[RATE] * span - gap);
    let bend = part * (1.0 - part) * ((1.0 - part) * leaves - part * arrives);
    (
        earlier.mean[THETA] + gap * part + bend,
        blend(earlier.mean[RATE], later.mean[RATE]),
        blend(earlier.cov[THETA][THETA], later.cov[THETA][THETA]),
    )
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
