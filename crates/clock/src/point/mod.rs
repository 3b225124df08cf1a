//! The point estimate: theta = REF - RAW of one node, its rate, and how sure they are.
//!
//! A probe shows theta + Df + queueing (from T1 and T2) and theta - Db - queueing (from T3 and T4). What is not known of the
//! delays is handled where physics allows it, and not by averaging:
//!
//! ```text
//! exchange ──► track ──► each way's excess over its floor ──► calm or congested (direction) ──► bin ──► state
//!                │                    │                                                        (Kalman, 5 components)
//!                │                    └─► floor: has this way a new floor? ──► route: this way, both, or theta itself?
//!                └─► jump: did theta itself jump? ──► acquisition: theta and rate anew, from the posterior of few probes
//! ```
//!
//! - Queueing has a learned density (`density`), so that the estimate uses what each packet says and no more.
//! - A constant asymmetry cannot be seen and is taken as zero at the start. Changes of it are seen, since theta cannot
//!   change but by its oscillator: a way whose floor moves is measured anew against theta as the oscillator and the other
//!   way carry it, and the covariance keeps the cost.
//! - Round trips tell a change of theta (they stay), of one way (they change by as much) and of both ways (by twice as
//!   much) apart, whatever theta does.
//! - Once a stream has ended, a smoother (`smooth`) goes back over the states, so that each knows what came later.
//!
//! Bounds are not this module's: `hull` gives them, and does not depend on it.

mod acquisition;
mod bin;
mod density;
mod direction;
mod floor;
#[cfg(test)]
mod hindsight_tests;
mod history;
mod jump;
mod posterior;
mod refloor;
mod relocate;
mod reroute;
mod route;
mod routes;
mod smooth;
mod state;
mod track;

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw, Span};

use crate::hull::Exchange;
pub(crate) use history::PointHistory;

use density::Density;
use direction::Direction;
use posterior::Point;
use routes::Routes;
use state::{RATE, State, THETA, Way};

/// Drift of the rate walks by so much at first, ns/s^2/sqrt(s), and within these bounds.
const DRIFT_WALK: f64 = 0.1;
const DRIFT_WALKS: (f64, f64) = (0.001, 1.0);
/// Packets in a bin, and its longest time, s.
const BIN: usize = 16;
const BIN_TIME_S: f64 = 8.0;
/// Probes kept while theta is acquired.
const POINTS: usize = 32;
/// An oscillator may change its rate by so much in a moment (migration to another host, thermal shock), ns/s.
const MOVED_RATE: f64 = 3_000.0;
/// A route that changed while theta was unknown shows within this time, s.
const UNKNOWN_S: f64 = 120.0;
/// A rate is young, and the first to be doubted, for so long after an acquisition, s.
const YOUNG_S: f64 = 120.0;

/// What a probe did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It agrees with what was known.
    Consistent,
    /// theta may have jumped; the next probe will tell.
    Doubtful,
    /// theta has jumped before this probe.
    Jumped,
}

/// theta at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PointEstimate {
    /// REF - RAW, ns.
    pub(crate) theta_ns: i64,
    /// Its rate, ppb.
    pub(crate) rate_ppb: f64,
    /// Standard deviation, ns, on paths as asymmetric as at the start.
    pub(crate) deviation_ns: f64,
}

/// What is being done with probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// No probe yet.
    Idle,
    /// theta, rate, delays and density are all unknown.
    Starting,
    /// theta has jumped, or gone where the filter did not expect it: the delays are known, the rate may be the same.
    Reacquiring,
    /// The filter follows.
    Tracking,
}

/// Why floors are not beyond doubt, until a way shows another or is seen at its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Unproven {
    /// This way alone led to theta, at the delay that it had.
    Alone(Way),
    /// They were found together with theta, from few round trips.
    Both,
}

/// A probe on the filter's scale: s since the origin, ns from the origin's theta.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// L4.
    at: f64,
    /// L4 - L1.
    gap: f64,
    /// T2 - L1.
    upper: f64,
    /// T3 - L4.
    lower: f64,
}

/// The point estimator of one node in one epoch of its reference. Bounded: about 1.5 KB, whatever it has seen, unless it
/// keeps a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PointFilter {
    mode: Mode,
    /// Where time and theta are counted from.
    origin_raw: i64,
    origin_theta: i64,
    state: State,
    density: Density,
    there: Direction,
    back: Direction,
    routes: Routes,
    jump: jump::Suspicion,
    drift_walk: f64,
    /// By how many standard deviations the last bin moved theta.
    surprise: f64,
    /// When the last probe came, and when the last acquisition ended, s.
    last: f64,
    locked: f64,
    /// When the last start began, s.
    started: f64,
    /// Why the floors are not beyond doubt since the last acquisition.
    unproven: Option<Unproven>,
    /// This acquisition has taken other floors for its own.
    refloored: bool,
    /// Prior variances of what the two ways see, and their covariance, at `state.at`.
    spread: [f64; 3],
    /// The open bin, relative to `bin_from` (excesses and their shares), or the points of an acquisition beside `line`.
    packets: [Point; POINTS],
    shares: [[f32; 2]; BIN],
    filled: usize,
    bin_from: f64,
    line: [f64; 4],
    /// For answers in hindsight, if they are wanted.
    journal: Option<Box<smooth::Journal>>,
}

impl PointFilter {
    /// Knows nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Idle,
            origin_raw: 0,
            origin_theta: 0,
            state: State::unknown(),
            density: Density::of_spread(1e4),
            there: Direction::new(),
            back: Direction::new(),
            routes: Routes::default(),
            jump: jump::Suspicion::default(),
            drift_walk: DRIFT_WALK,
            surprise: 0.0,
            last: 0.0,
            locked: 0.0,
            started: 0.0,
            unproven: None,
            refloored: false,
            spread: [0.0; 3],
            packets: [Point::default(); POINTS],
            shares: [[0.0; 2]; BIN],
            filled: 0,
            bin_from: 0.0,
            line: [0.0; 4],
            journal: None,
        }
    }

    /// Takes an exchange. `jumped`: the bounds say that theta has jumped before it.
    pub(crate) fn observe(&mut self, exchange: &Exchange, jumped: bool) -> Seen {
        if self.mode == Mode::Idle {
            return self.start(exchange);
        }
        let sample = self.sample(exchange);
        if jumped {
            self.reacquire(exchange);
            return Seen::Jumped;
        }
        if self.mode == Mode::Tracking && self.is_lost(sample.at) {
            self.close(self.last);
            self.reacquire(exchange);
            return Seen::Consistent;
        }
        let seen = match self.mode {
            Mode::Tracking => self.track(&sample),
            _ => self.acquire(&sample),
        };
        if seen == Seen::Jumped {
            self.reacquire(exchange);
        }
        self.last = sample.at;
        seen
    }

    /// theta at `raw`; `None` before the first probe.
    pub(crate) fn at(&self, raw: Instant<Raw>) -> Option<PointEstimate> {
        if self.mode == Mode::Idle {
            return None;
        }
        let at = self.seconds(raw);
        let theta = self.state.theta_at(at);
        Some(PointEstimate {
            theta_ns: self.origin_theta.saturating_add(theta.round() as i64),
            rate_ppb: self.state.rate_at(at),
            deviation_ns: self.state.theta_variance_at(at, self.drift_walk).max(0.0).sqrt(),
        })
    }

    /// Where on RAW the state was last brought to; `None` before the first probe.
    pub(crate) fn moved_at(&self) -> Option<Instant<Raw>> {
        let since = Span::from_ns((self.state.at * 1e9).round() as i64);
        (self.mode != Mode::Idle).then(|| Instant::from_ns(self.origin_raw) + since)
    }

    fn seconds(&self, raw: Instant<Raw>) -> f64 {
        raw.ns().saturating_sub(self.origin_raw) as f64 * 1e-9
    }

    fn sample(&self, exchange: &Exchange) -> Sample {
        let theta = |offset: i64| offset.saturating_sub(self.origin_theta) as f64;
        Sample {
            at: self.seconds(exchange.returned),
            gap: (exchange.returned - exchange.sent).ns() as f64 * 1e-9,
            upper: theta(exchange.sent.offset_to(exchange.received).ns()),
            lower: theta(exchange.returned.offset_to(exchange.replied).ns()),
        }
    }

    /// Moves the origin of theta by `by`, so that small differences keep their digits.
    fn rebase(&mut self, by: f64) {
        let whole = by.round();
        self.origin_theta = self.origin_theta.saturating_add(whole as i64);
        self.state.mean[THETA] -= whole;
    }

    fn direction(&self, way: Way) -> &Direction {
        match way {
            Way::There => &self.there,
            Way::Back => &self.back,
        }
    }

    fn direction_mut(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::There => &mut self.there,
            Way::Back => &mut self.back,
        }
    }

    /// By how much each way of `sample` is late.
    fn excesses(&self, sample: &Sample) -> [f64; 2] {
        let theta = self.state.theta_at(sample.at);
        let there = sample.upper + self.state.mean[RATE] * sample.gap - theta - self.state.mean[state::THERE];
        [there, theta - sample.lower - self.state.mean[state::BACK]]
    }
}

/// The two least of `values`.
fn two_least(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold(
        [f64::INFINITY; 2],
        |[first, second], value| {
            if value < first { [value, first] } else { [first, second.min(value)] }
        },
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_filter_is_small() {
        let size = size_of::<super::PointFilter>();
        assert!(size <= 1_536, "{size} bytes");
    }
}
