//! Taking a change of route into the state, and what it turns out to have been.

use super::floor::Shift;
use super::routes::{Before, Commit, Pair};
use super::state::{BACK, THERE, THETA, Way};
use super::{PointFilter, UNKNOWN_S};

/// Changes of both ways within this time may be the two halves of one, s.
const HALVES_S: f64 = 600.0;
/// What the delays were before a change is remembered for so long, s.
const PENDING_S: f64 = 900.0;
/// A floor that has stood for so long is one, s.
const LASTING_S: f64 = 10.0;

/// A route that has stood for so long is one to remember, s.
const STOOD_S: f64 = 60.0;

impl PointFilter {
    /// theta was found by the other way alone, whose route had changed before to one from before.
    pub(super) fn take_other(&mut self, way: Way, shift: &Shift, at: f64) {
        self.leave(Way::BOTH, at);
        let other = way.other();
        self.remember(other);
        let unit = 1.0 / self.density.information();
        let expected = self.state;
        self.state.mean[THETA] -= other.sign() * shift.by;
        self.state.mean[other.slot()] += shift.by;
        self.state.cov[THETA][THETA] += unit;
        self.state.free(other, unit);
        self.note(&expected);
        self.begin_afresh();
    }

    /// theta was found by the other way alone, and the route of both had changed before: by half of what this way shows.
    pub(super) fn take_half(&mut self, way: Way, shift: &Shift, at: f64) {
        self.leave(Way::BOTH, at);
        self.doubt_change(at);
        self.routes.learn(1.0);
        self.remember(way);
        let (half, unit) = (shift.by / 2.0, 1.0 / self.density.information());
        let expected = self.state;
        self.state.mean[THETA] -= way.other().sign() * half;
        self.state.mean[THERE] += half;
        self.state.mean[BACK] += half;
        self.state.cov[THETA][THETA] += unit;
        self.state.free_together(unit);
        if self.routes.habit <= 1.0 {
            self.state.doubt_split(half * half);
        }
        self.note(&expected);
        self.begin_afresh();
    }

    /// Both ways have floors that they are held against from now on.
    fn begin_afresh(&mut self) {
        self.unproven = None;
        self.routes.last = None;
        self.there.clear();
        self.back.clear();
    }

    /// The route of both ways is longer or shorter by the same: they differ by what they did before.
    pub(super) fn take_both(&mut self, way: Way, shift: &Shift, at: f64) {
        self.leave(Way::BOTH, at);
        self.routes.learn(1.0);
        if let Some(before) = &mut self.routes.before {
            before.sum += 2.0 * shift.by;
        }
        self.remember(way);
        self.state.free_together(4.0 * shift.by * shift.by);
        let expected = self.state;
        self.measure_shift(way, shift);
        self.note(&expected);
        self.begin_afresh();
    }

    /// The route of one way is longer or shorter.
    pub(super) fn take_one(&mut self, way: Way, shift: &Shift, unsure: bool, at: f64) {
        self.leave([way; 2], at);
        let before = self.state.mean[way.slot()];
        let (asymmetry, variance) = (self.state.asymmetry(), self.state.asymmetry_variance());
        self.doubt_change(at);
        self.remember(way);
        self.state.free(way, 4.0 * shift.by * shift.by);
        if unsure {
            // The other may have changed too: its packets will say, against theta as the oscillator holds it.
            let other = way.other();
            self.state.free(other, shift.by * shift.by);
            if self.routes.habit >= 0.0 {
                // By as much, most likely; held against its old floor, congestion would seem a floor below it.
                self.state.mean[other.slot()] += shift.by;
                self.direction_mut(other).clear();
            }
        }
        let expected = self.state;
        self.measure_shift(way, shift);
        self.direction_mut(way).clear();
        if self.second_half(way, shift, at) {
            self.routes.learn(2.0);
        } else {
            self.recognize(way, before);
            self.routes.learn(if unsure { 0.0 } else { -1.0 });
        }
        self.note(&expected);
        self.routes.last = Some(Commit { way, at, by: shift.by, asymmetry, variance });
    }

    /// What came before belongs to the old route: the bin is closed without what `ways` said in it.
    fn leave(&mut self, ways: [Way; 2], at: f64) {
        let unit = 1.0 / self.density.information();
        if at - self.routes.changed > STOOD_S && self.state.sum_variance() < unit {
            let state = &self.state;
            let pair = Pair {
                sum: (state.mean[THERE] + state.mean[BACK]) as f32,
                asymmetry: state.asymmetry() as f32,
                variance: state.asymmetry_variance() as f32,
            };
            self.routes.remember_pair(pair, 3.0 * unit.sqrt());
        }
        self.routes.changed = at;
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

    /// Keeps what the delays are, before a change at `at` that may not be what it seems.
    pub(super) fn doubt_change(&mut self, at: f64) {
        let (asymmetry, variance) = (self.state.asymmetry(), self.state.asymmetry_variance());
        let sum = self.state.mean[THERE] + self.state.mean[BACK];
        let habit = self.routes.habit;
        match &mut self.routes.before {
            // One more change soon after: what stood before the first is still the measure.
            Some(before) if !before.pinned || at - before.at <= UNKNOWN_S => before.pinned = false,
            before => *before = Some(Before { at, asymmetry, variance, sum, habit, pinned: false }),
        }
    }

    /// Once both delays are known again: where they differ by what they did before, the route changed both ways alike;
    /// where they are together what they were before, the route is the one from before.
    pub(super) fn settle_asymmetry(&mut self) {
        self.recognize_pair();
        let Some(before) = self.routes.before else { return };
        let (now, unit) = (self.state.asymmetry_variance(), 1.0 / self.density.information());
        if self.state.at - before.at > PENDING_S {
            self.routes.before = None;
            return;
        }
        let off = self.state.asymmetry() - before.asymmetry;
        if off * off < 16.0 * now.min(9.0 * unit) + 9.0 * unit {
            if now < 9.0 * unit && !before.pinned {
                self.state.pin_asymmetry(before.asymmetry, before.variance.max(0.01 * unit));
                self.routes.before = Some(Before { pinned: true, ..before });
            }
        } else if self.is_back(&before) {
            self.state.move_split(off / 2.0);
            self.state.pin_asymmetry(before.asymmetry, before.variance.max(0.01 * unit));
            self.routes.before = None;
        }
    }

    /// A route of both ways that stood before is back: its delays are together what they were, which does not depend on theta.
    fn recognize_pair(&mut self) {
        let unit = 1.0 / self.density.information();
        let since = self.state.at - self.routes.changed;
        let seen = self.there.is_calm() && self.back.is_calm();
        let (now, sum_variance) = (self.state.asymmetry_variance(), self.state.sum_variance());
        if !seen || !(LASTING_S..PENDING_S).contains(&since) || sum_variance > unit {
            return;
        }
        let sum = self.state.mean[THERE] + self.state.mean[BACK];
        let Some(pair) = self.routes.recall_pair(sum, 3.0 * (sum_variance + unit).sqrt()) else { return };
        let (asymmetry, variance) = (f64::from(pair.asymmetry), f64::from(pair.variance));
        let off = self.state.asymmetry() - asymmetry;
        let plausible = off * off < 16.0 * (now + variance);
        if off * off > 9.0 * unit && plausible && variance < now {
            self.state.move_split(off / 2.0);
            self.state.pin_asymmetry(asymmetry, variance.max(0.01 * unit));
        }
    }

    /// Whether the delays are together what they were before, and both are seen.
    fn is_back(&self, before: &Before) -> bool {
        let unit = 1.0 / self.density.information();
        let longer = self.state.mean[THERE] + self.state.mean[BACK] - before.sum;
        let variance = self.state.sum_variance();
        let room = if before.habit > 0.0 { self.density.above().powi(2) } else { unit };
        let seen = self.there.is_calm() && self.back.is_calm();
        let lasting = self.routes.last.is_none_or(|last| self.state.at - last.at > LASTING_S);
        before.habit >= 0.0 && seen && lasting && variance < unit && longer * longer < 9.0 * variance + room
    }
}
