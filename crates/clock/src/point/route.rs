//! What a new floor of one way means: that way's route has changed, both have, or theta itself has moved.

use super::floor::Shift;
use super::state::{RATE, THETA, Way};
use super::{MOVED_RATE, PointFilter, YOUNG_S, two_least};
use serde::{Deserialize, Serialize};

/// A change of one way makes one of the other likely for so long, s.
const EXPECTED_S: f64 = 30.0;
/// Changes of both ways within this time may be the two halves of one, s.
const HALVES_S: f64 = 600.0;
/// What the delays differed by before is remembered for so long, s.
const PENDING_S: f64 = 900.0;
/// Delays remembered of each way.
const REMEMBERED: usize = 4;

/// What became of a suspected floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing has changed, or it cannot be told yet.
    Open,
    /// A route has changed, and was taken.
    Route,
    /// theta has moved.
    Moved,
}

/// A change of one way's delay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Commit {
    pub(super) way: Way,
    /// When, s.
    pub(super) at: f64,
    /// By how much, ns.
    pub(super) by: f64,
    /// Df - Db before, and its variance.
    pub(super) asymmetry: f64,
    pub(super) variance: f64,
}

/// What is remembered of routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Routes {
    /// The last change of one way.
    pub(super) last: Option<Commit>,
    /// Df - Db, its variance and the time before one way moved while the other was not seen.
    pending: Option<[f64; 3]>,
    known: [[f64; REMEMBERED]; 2],
    count: [u32; 2],
}

impl Routes {
    /// Whether `way` may follow a change of the other.
    pub(super) fn expects(&self, way: Way, at: f64) -> bool {
        self.last.is_some_and(|commit| commit.way != way && at - commit.at < EXPECTED_S)
    }

    fn remember(&mut self, way: Way, delay: f64, tolerance: f64) {
        let (known, count) = (&mut self.known[way as usize], &mut self.count[way as usize]);
        let full = (*count as usize).min(REMEMBERED);
        if !known[..full].iter().any(|known| (known - delay).abs() < tolerance) {
            known[*count as usize % REMEMBERED] = delay;
            *count += 1;
        }
    }

    /// A remembered delay of `way` within `reach` of `delay` and not near `before`.
    fn recall(&self, way: Way, delay: f64, before: f64, doubt: f64) -> Option<f64> {
        let full = (self.count[way as usize] as usize).min(REMEMBERED);
        let fits = |known: &f64| (known - delay).powi(2) < 9.0 * doubt && (known - before).powi(2) > 4.0 * doubt;
        self.known[way as usize][..full].iter().copied().find(fits)
    }
}

/// How a shift of one way is explained.
enum Meaning {
    Open,
    Moved,
    /// The route of both ways, by the same.
    Both,
    /// The route of this way; whether the other's has changed too is not known.
    One {
        unsure: bool,
    },
}

impl PointFilter {
    /// Whether `way` has a new floor, and what that means; takes it. `limit` as in `Direction::observe`.
    pub(super) fn settle(&mut self, way: Way, limit: f64, at: f64) -> Settled {
        if self.direction(way).count == 0 {
            return Settled::Open;
        }
        // A route that changes one way often changes the other with it.
        let expected = self.routes.expects(way, at);
        let Some(shift) = self.direction(way).shift(&self.density, limit, expected) else {
            return Settled::Open;
        };
        match self.meaning(way, &shift, expected, at) {
            Meaning::Open => return Settled::Open,
            Meaning::Moved => return Settled::Moved,
            Meaning::Both => self.take_both(way, &shift, at),
            Meaning::One { unsure } => self.take_one(way, &shift, unsure, at),
        }
        self.spread = self.state.spread();
        Settled::Route
    }

    fn meaning(&self, way: Way, shift: &Shift, expected: bool, at: f64) -> Meaning {
        let doubt = self.spread[way as usize].min(self.state.cov[THETA][THETA]).max(0.0)
            + 1.0 / (shift.calm * self.density.information())
            + (0.5 * self.density.above() / shift.calm).powi(2);
        if shift.by * shift.by < if expected { 9.0 } else { 16.0 } * doubt {
            return Meaning::Open;
        }
        let other = self.direction(way.other());
        let young = at - self.locked < YOUNG_S;
        let with = other.preference(&self.density, shift.by, shift.length);
        if self.theta_moved(way, shift, with, young, at) {
            return Meaning::Moved;
        }
        let visible = other.visible();
        let needed = match (visible, expected) {
            (false, _) => 8.0,
            (true, false) => 4.0,
            (true, true) => 0.0,
        };
        if with > needed && self.alike(way, shift) {
            return Meaning::Both;
        }
        // Below a floor found a moment ago, with nothing to check it by: more of it will tell.
        if young && !visible && shift.calm < 5.0 {
            return Meaning::Open;
        }
        // A congested way says nothing of itself yet; it is judged when it does.
        Meaning::One { unsure: !visible || with > -4.0 }
    }

    /// Whether theta has moved by minus the shift: the other way has moved against it and round trips are as before, and
    /// the oscillator can have gone so far since a way was last seen at its floor.
    fn theta_moved(&self, way: Way, shift: &Shift, with: f64, young: bool, at: f64) -> bool {
        let (this, other) = (self.direction(way), self.direction(way.other()));
        let since = other.unproven_s().min(this.unproven_s()).min(30.0);
        let rate = MOVED_RATE + 6.0 * self.state.cov[RATE][RATE].sqrt() + if young { 3.0 * MOVED_RATE } else { 0.0 };
        let reach = rate * since + 6.0 / self.density.information().sqrt();
        let against = other.preference(&self.density, -shift.by, shift.length);
        let against = against - if young && other.is_calm() { -1.0 } else { 3.0 };
        // A young rate that is wrong shows as a slow shift of the only way that is seen.
        let size = shift.by.abs();
        let drifted = young && !other.visible() && shift.length > 4 && size < MOVED_RATE * (at - self.locked);
        let sum = self.least_sum(shift.length);
        let unchanged = if shift.by < 0.0 {
            sum > 0.4 * shift.by && sum < 3.0 * self.density.above() + size
        } else {
            sum < 0.6 * shift.by && sum > -6.0 * self.density.below()
        };
        against > with && (drifted || size < reach && against > -5.0 && unchanged)
    }

    /// The second least sum of what the newest probes, 4 to 8 of them, are late by.
    fn least_sum(&self, length: usize) -> f64 {
        let count = self.there.count_recent(length.max(4));
        two_least((0..count).map(|n| self.there.recent(n) + self.back.recent(n)))[1]
    }

    /// Whether the other way's packets put its floor as far off as `shift`, as far as can be told.
    fn alike(&self, way: Way, shift: &Shift) -> bool {
        let noise = (2.0 / (shift.calm.max(1.0) * self.density.information())).sqrt();
        let tolerance = 3.0 * (noise + self.density.above() / shift.length as f64);
        let located = self.direction(way.other()).located(&self.density, shift.by, shift.length);
        (located - shift.by).abs() < tolerance
    }

    /// The route of both ways is longer or shorter by the same: they differ by what they did before.
    fn take_both(&mut self, way: Way, shift: &Shift, at: f64) {
        self.leave(Way::BOTH, at);
        self.remember(way);
        self.state.free_together(4.0 * shift.by * shift.by);
        let expected = self.state;
        self.measure_shift(way, shift);
        self.note(&expected);
        self.there.clear();
        self.back.clear();
        self.routes.last = None;
    }

    /// The route of one way is longer or shorter.
    fn take_one(&mut self, way: Way, shift: &Shift, unsure: bool, at: f64) {
        self.leave([way; 2], at);
        let before = self.state.mean[way.slot()];
        let (asymmetry, variance) = (self.state.asymmetry(), self.state.asymmetry_variance());
        self.remember(way);
        self.state.free(way, 4.0 * shift.by * shift.by);
        if unsure {
            // The other may have changed too: its packets will say, against theta as the oscillator holds it.
            self.routes.pending.get_or_insert([asymmetry, variance, at]);
            self.state.free(way.other(), shift.by * shift.by);
        }
        let expected = self.state;
        self.measure_shift(way, shift);
        self.direction_mut(way).clear();
        if !self.second_half(way, shift, at) {
            self.recognize(way, before);
        }
        self.note(&expected);
        self.routes.last = Some(Commit { way, at, by: shift.by, asymmetry, variance });
    }

    /// What came before belongs to the old route: the bin is closed without what `ways` said in it.
    fn leave(&mut self, ways: [Way; 2], at: f64) {
        self.there.forget_recent();
        self.back.forget_recent();
        for shares in &mut self.shares[..self.filled] {
            ways.iter().for_each(|way| shares[*way as usize] = 0.0);
        }
        self.close(at);
    }

    fn remember(&mut self, way: Way) {
        self.routes.remember(way, self.state.mean[way.slot()], 3.0 * self.density.above());
    }

    fn measure_shift(&mut self, way: Way, shift: &Shift) {
        let noise = 1.5 / (shift.calm * self.density.information());
        // A cluster's edge is known to its spread by the number of packets, whatever its curvature.
        let edge = self.density.above() / shift.calm;
        let origin = self.state;
        self.state.measure(&origin, way, 0.0, way.sign() * shift.by, noise + edge * edge);
    }

    /// Whether this is the second half of a change that moved both ways alike.
    fn second_half(&mut self, way: Way, shift: &Shift, at: f64) -> bool {
        let first = self.routes.last.filter(|first| first.way != way && at - first.at < HALVES_S);
        let Some(first) = first else { return false };
        let unit = 1.0 / self.density.information();
        let off = self.state.asymmetry() - first.asymmetry;
        let alike = off * off < 9.0 * (self.state.asymmetry_variance() + 3.0 * unit);
        let half = alike && (shift.by - first.by).abs() < 0.5 * shift.by.abs();
        if half {
            self.state.pin_asymmetry(first.asymmetry, first.variance.max(0.01 * unit));
        }
        half
    }

    /// A route known from before has come back: its delay is known better than it can be measured now.
    fn recognize(&mut self, way: Way, before: f64) {
        let unit = 1.0 / self.density.information();
        let slot = way.slot();
        let known = self.routes.recall(way, self.state.mean[slot], before, self.state.cov[slot][slot] + unit);
        if let Some(known) = known {
            self.state.pin_delay(way, known, 0.1 * unit);
        }
    }

    /// Once both delays are known again: where they differ by what they did before, the route changed both ways alike.
    pub(super) fn settle_asymmetry(&mut self) {
        let Some([before, variance, since]) = self.routes.pending else { return };
        let (now, unit) = (self.state.asymmetry_variance(), 1.0 / self.density.information());
        if now < 9.0 * unit {
            let off = self.state.asymmetry() - before;
            if off * off < 16.0 * now + 9.0 * unit {
                self.state.pin_asymmetry(before, variance.max(0.01 * unit));
            }
            self.routes.pending = None;
        } else if self.state.at - since > PENDING_S {
            self.routes.pending = None;
        }
    }
}
