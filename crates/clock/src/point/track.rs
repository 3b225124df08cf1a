//! Following theta probe by probe.

use super::route::Settled;
use super::state::{RATE, Way};
use super::{BIN, BIN_TIME_S, Point, PointFilter, Sample, Seen, two_least};

/// A density from a start may be of congestion for so long, s.
const SCATTER_DOUBTED_S: f64 = 900.0;
/// Where most round trips are within such a part of its scale, it is.
const TIGHT: f64 = 0.25;
/// No probe for so long is an outage, s.
const OUTAGE_S: f64 = 30.0;
/// theta is lost where it is known to no better than so many times what one packet says, one standard deviation.
const LOST: f64 = 6.0;

impl PointFilter {
    pub(super) fn track(&mut self, sample: &Sample) -> Seen {
        let dt = sample.at - self.last;
        let [there, back] = self.excesses(sample);
        let deviations = self.deviations(sample.at);
        if let Some(seen) = self.jumps(sample.at, there, back, deviations[0].max(deviations[1])) {
            return seen;
        }
        let limits = deviations.map(|deviation| self.limit(deviation));
        let mut shares = [
            self.there.observe(&self.density, there, limits[0], dt),
            self.back.observe(&self.density, back, limits[1], dt),
        ];
        for (share, way) in shares.iter_mut().zip(Way::BOTH) {
            // The other way has just moved and this one may have: it is left out until that is settled.
            if self.direction(way).early() && self.routes.expected(way, sample.at).is_some() {
                *share = 0.0;
            }
        }
        self.put(sample.at, [there, back], shares);
        // Once more for the first way: what it could not tell alone it may beside the second.
        for (way, limit) in [(Way::There, limits[0]), (Way::Back, limits[1]), (Way::There, limits[0])] {
            match self.settle(way, limit, sample.at) {
                Settled::Open | Settled::Route => {}
                Settled::Moved => {
                    self.resume(sample.at);
                    return Seen::Consistent;
                }
                Settled::Restart => {
                    self.restart(sample);
                    return Seen::Consistent;
                }
            }
        }
        if self.bin_is_due(sample.at) {
            self.close(sample.at);
            if sample.at - self.started < SCATTER_DOUBTED_S && self.is_tighter_than_thought() {
                self.restart(sample);
            }
        }
        Seen::Consistent
    }

    /// Whether round trips, which do not depend on theta, scatter far less than the density has it: it is of congestion, and
    /// theta is followed through it too loosely for the density to find out.
    fn is_tighter_than_thought(&self) -> bool {
        let count = self.there.count_recent(usize::MAX);
        let sum = |n| self.there.recent(n) + self.back.recent(n);
        let [least, _] = two_least((0..count).map(sum));
        let near = (0..count).filter(|n| sum(*n) < least + TIGHT * self.density.above()).count();
        count >= 8 && 4 * near >= 3 * count
    }

    /// Whether there was no probe for so long that theta at `at` is to be found rather than followed.
    pub(super) fn is_lost(&self, at: f64) -> bool {
        let known = || self.state.theta_variance_at(at, self.drift_walk) * self.density.information();
        at - self.last > OUTAGE_S && known() > LOST * LOST
    }

    /// How far the expectation of each way may be off at `at`, one standard deviation.
    pub(super) fn deviations(&self, at: f64) -> [f64; 2] {
        let drift = self.state.cov[RATE][RATE].sqrt() * (at - self.state.at);
        [0, 1].map(|i| self.spread[i].max(0.0).sqrt() + drift)
    }

    /// How far below its floor a packet may seem, where the expectation has this deviation; negative.
    pub(super) fn limit(&self, deviation: f64) -> f64 {
        -(4.5 * self.density.below() + 4.0 * deviation)
    }

    fn put(&mut self, at: f64, excesses: [f64; 2], shares: [f64; 2]) {
        if self.filled == 0 {
            self.bin_from = at;
        }
        let [upper, lower] = excesses.map(|excess| excess as f32);
        self.packets[self.filled] = Point { at: (at - self.bin_from) as f32, upper, lower };
        self.shares[self.filled] = shares.map(|share| share as f32);
        self.filled += 1;
    }

    /// Bins are closed by count or time, and at once while what a packet says is more than what is known.
    fn bin_is_due(&self, at: f64) -> bool {
        let unsure = self.spread[0].min(self.spread[1]) > 0.25 / self.density.information();
        self.filled == BIN || at - self.bin_from >= BIN_TIME_S || unsure && self.filled > 0
    }
}
