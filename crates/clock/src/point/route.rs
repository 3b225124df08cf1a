//! What a new floor of one way means: that way's route has changed, both have, or theta itself has moved.

use super::floor::Shift;
use super::state::{BACK, RATE, THERE, THETA, Way};
use super::{MOVED_RATE, PointFilter, UNKNOWN_S, Unproven, YOUNG_S, two_least};

/// A start may have met congestion both ways, which lasts: a floor that falls within this time was none, s.
const FLOORS_DOUBTED_S: f64 = 240.0;
/// If it falls by no more than packets scattered above it, in scales of that.
const WITHIN_SCATTER: f64 = 6.0;
/// The floor that one way alone was found at may have been a chance cluster so far above the true one, in such scales.
const CHANCE_CLUSTER: f64 = 10.0;
/// The rate of an oscillator that goes on may change by so much within a few probes, ns/s.
const SHOCK_RATE: f64 = 100.0;
/// Such a change is not made up for longer, s.
const SHOCK_S: f64 = 30.0;
/// Calm packets that show a floor which changes what theta is taken for, at least.
const SURE_CALM: f64 = 2.5;

/// What became of a suspected floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing has changed, or it cannot be told yet.
    Open,
    /// A route has changed, and was taken.
    Route,
    /// theta has moved.
    Moved,
    /// What was taken for the floors at the start was not.
    Restart,
}

/// How a shift of one way is explained.
enum Meaning {
    Open,
    Moved,
    /// The route as before; what was taken for its floor at the start was queueing.
    NoFloor,
    /// The route of both ways, by the same.
    Both,
    /// The route of the other way, as it was once, before theta was found by it alone.
    Other,
    /// The route of both ways, by half of it, before theta was found by the other way alone.
    Half,
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
        let expected = self.routes.expected(way, at);
        let Some(shift) = self.direction(way).shift(&self.density, limit, expected) else {
            return Settled::Open;
        };
        match self.meaning(way, &shift, expected.is_some(), at) {
            Meaning::Open => return Settled::Open,
            Meaning::Moved => return Settled::Moved,
            Meaning::NoFloor => return Settled::Restart,
            Meaning::Both => self.take_both(way, &shift, at),
            Meaning::Half => self.take_half(way, &shift, at),
            Meaning::Other => self.take_other(way, &shift, at),
            Meaning::One { unsure } => self.take_one(way, &shift, unsure, at),
        }
        self.spread = self.state.spread();
        Settled::Route
    }

    fn meaning(&self, way: Way, shift: &Shift, expected: bool, at: f64) -> Meaning {
        if shift.by * shift.by < if expected { 9.0 } else { 16.0 } * self.doubt_of(way, shift) {
            return Meaning::Open;
        }
        // No round trip takes less than no time, whatever the ways differ by.
        if self.state.mean[THERE] + self.state.mean[BACK] + shift.by < 0.0 {
            return Meaning::Moved;
        }
        let other = self.direction(way.other());
        let with = other.preference(&self.density, shift.by, shift.length);
        if self.theta_moved(way, shift, with, at) {
            return Meaning::Moved;
        }
        if let Some(meaning) = self.changed_unseen(way, shift, with, at) {
            return meaning;
        }
        if self.was_no_floor(shift, at) {
            return Meaning::NoFloor;
        }
        let visible = other.visible();
        let needed = match (visible, expected) {
            (false, _) => 8.0,
            (true, false) => 4.0,
            (true, true) => 0.0,
        };
        if with > needed && !self.routes.is_unfinished(way, at) && self.alike(way, shift) {
            return Meaning::Both;
        }
        // Below a floor found a moment ago, with nothing to check it by: more of it will tell.
        if self.is_young(at) && !visible && shift.calm < 5.0 {
            return Meaning::Open;
        }
        // A congested way says nothing of itself yet; it is judged when it does.
        Meaning::One { unsure: !visible || with > -4.0 }
    }

    /// Variance of where `shift` lies from what is expected of `way`.
    fn doubt_of(&self, way: Way, shift: &Shift) -> f64 {
        self.spread[way as usize].min(self.state.cov[THETA][THETA]).max(0.0)
            + 1.0 / (shift.calm * self.density.information())
            + (0.5 * self.density.above() / shift.calm).powi(2)
    }

    fn is_young(&self, at: f64) -> bool {
        at - self.locked < YOUNG_S
    }

    /// What had changed while theta was unknown: it was found by one way alone, at the delay that it had, and the other is
    /// seen for the first time since, or the first fell; or the floors were found with it, and one falls.
    fn changed_unseen(&self, way: Way, shift: &Shift, with: f64, at: f64) -> Option<Meaning> {
        let since = at - self.locked;
        let (this, other) = (self.direction(way), self.direction(way.other()));
        let habit = self.routes.habit;
        let half = if shift.calm < SURE_CALM { Meaning::Open } else { Meaning::Half };
        match self.unproven? {
            Unproven::Both => (habit >= 0.0 && since < UNKNOWN_S && shift.by < 0.0 && with < 0.0).then_some(half),
            Unproven::Alone(alone) if alone == way => {
                let chance = shift.by < 0.0 && -shift.by < CHANCE_CLUSTER * self.density.above();
                (chance && since < UNKNOWN_S && other.unproven_s() > since).then_some(Meaning::Moved)
            }
            Unproven::Alone(_) if this.unproven_s() <= since => None,
            Unproven::Alone(alone) => {
                if habit < 0.0 && shift.calm >= SURE_CALM && self.recalled(alone, shift) {
                    return Some(Meaning::Other);
                }
                (habit > 0.0 || habit == 0.0 && since < UNKNOWN_S).then_some(half)
            }
        }
    }

    /// Whether what a start took for a floor was queueing: soon after, it falls by no more than packets
    /// scattered.
    fn was_no_floor(&self, shift: &Shift, at: f64) -> bool {
        let doubted = at - self.started < FLOORS_DOUBTED_S;
        doubted && shift.by < 0.0 && -shift.by < WITHIN_SCATTER * self.density.above()
    }

    /// Whether theta has moved by minus the shift: the other way has moved against it and round trips are as before, and
    /// the oscillator can have gone so far since a way was last seen at its floor.
    fn theta_moved(&self, way: Way, shift: &Shift, with: f64, at: f64) -> bool {
        let young = self.is_young(at);
        let (this, other) = (self.direction(way), self.direction(way.other()));
        let since = other.unproven_s().min(this.unproven_s());
        let shock = match () {
            () if young && self.unproven.is_some() => 4.0 * MOVED_RATE,
            () if young => MOVED_RATE,
            () => SHOCK_RATE,
        };
        let reach = 6.0 * self.state.cov[RATE][RATE].sqrt() * since
            + shock * since.min(SHOCK_S)
            + 6.0 / (shift.calm.max(1.0) * self.density.information()).sqrt()
            + 4.0 * self.deviations(at)[way as usize];
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

    /// Whether `way` has had a delay that is longer than now by `shift`.
    fn recalled(&self, way: Way, shift: &Shift) -> bool {
        let slot = way.slot();
        let edge = self.density.above() / shift.calm;
        let doubt = self.state.cov[slot][slot] + edge * edge + 1.0 / self.density.information();
        self.routes.recall(way, self.state.mean[slot] + shift.by, self.state.mean[slot], doubt).is_some()
    }
}
