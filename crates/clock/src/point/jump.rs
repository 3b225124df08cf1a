//! Whether theta has jumped: the guest was paused, moved or suspended, or the reference has stepped.
//!
//! A jump by j makes one way early and the other late by j and leaves the round trip as it was: j lies in [-back, there],
//! an interval as wide as the round trip is over its floor. Two changes of route of opposite sign look the same if they are
//! of the same size; so a jump must be of some size, and round trips shorter than the path refute it. A freeze inside an
//! exchange makes one round trip too short, and only one.

use super::routes::Commit;
use super::state::{BACK, THERE, Way};
use super::{PointFilter, Seen};
use serde::{Deserialize, Serialize};

/// Least jump of theta that is told apart from changes of the path, ns.
const LEAST_NS: f64 = 500_000.0;

/// What is suspected of theta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Suspicion {
    /// The last probe looked like a jump, but was late too.
    candidate: bool,
    /// The last probe was shorter than the path.
    short: bool,
    /// Until then what looks like a jump of theta is one of the path, s.
    refuted_until: f64,
}

impl PointFilter {
    /// Whether a probe late by `there` and `back` shows a jump; `None` where it does not.
    pub(super) fn jumps(&mut self, at: f64, there: f64, back: f64, deviation: f64) -> Option<Seen> {
        let (from, to) = (-back, there);
        let least = if from > 0.0 && to > 0.0 {
            from.min(to)
        } else if from < 0.0 && to < 0.0 {
            -from.max(to)
        } else {
            0.0
        };
        let excess = to - from;
        let threshold = self.least_jump(deviation);
        let short = -(8.0 * self.density.below() + 6.0 * deviation);
        let refuted = at < self.jump.refuted_until;
        if least >= threshold / 4.0 && excess < short && -excess < least / 2.0 {
            // One way longer, the other shorter, but not by as much: two routes have changed.
            self.jump = Suspicion { refuted_until: at + 30.0, ..Suspicion::default() };
            return None;
        }
        if least >= threshold && excess < short {
            return self.shorter_than_the_path(at, refuted);
        }
        if least < threshold {
            self.jump.candidate = false;
            self.jump.short = false;
            return None;
        }
        if excess > least || refuted {
            return None;
        }
        self.jump.short = false;
        let clean = excess < 0.2 * least;
        if clean || self.jump.candidate {
            self.jump.candidate = false;
            self.settle_before_a_jump(deviation);
            return Some(Seen::Jumped);
        }
        self.jump.candidate = true;
        Some(Seen::Doubtful)
    }

    /// The least jump that is taken for one.
    fn least_jump(&self, deviation: f64) -> f64 {
        let round_trip = self.state.mean[THERE] + self.state.mean[BACK];
        let noise = 5.0 * deviation + 12.0 * self.density.above();
        let threshold = noise.max(round_trip / 8.0).max(LEAST_NS);
        if self.jump.candidate { threshold / 2.0 } else { threshold }
    }

    /// The clocks stood still within the exchange: it says nothing else. That does not happen twice in a row; then it is
    /// the path that is shorter.
    fn shorter_than_the_path(&mut self, at: f64, refuted: bool) -> Option<Seen> {
        if refuted {
            return None;
        }
        if self.jump.short {
            self.jump = Suspicion { refuted_until: at + 60.0, ..Suspicion::default() };
            return None;
        }
        self.jump.short = true;
        self.jump.candidate = true;
        Some(Seen::Doubtful)
    }

    /// What the ways hold against their floors belongs to the time before the jump: now or never.
    fn settle_before_a_jump(&mut self, deviation: f64) {
        let limit = self.limit(deviation);
        for way in Way::BOTH {
            let now = Commit { way: way.other(), at: self.last, by: 0.0, asymmetry: 0.0, variance: 0.0 };
            self.routes.last.get_or_insert(now);
            self.settle(way, limit, self.last);
        }
    }
}
