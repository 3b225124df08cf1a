//! Taking a bin of packets into the state.
//!
//! The likelihood of the bin is made Gaussian by Fisher scoring: the gradient of ln p at the posterior, and the
//! information of as many calm packets (Masreliez, IEEE Transactions on Automatic Control 20, 1975, with the density
//! learned). A bin without a packet at the edge says less than that, whatever packets say on average.

use super::state::{State, Way};
use super::{DRIFT_WALKS, PointFilter};

/// How fast the delays creep together, in spreads of the path per sqrt(s): load, temperature, and what the density takes
/// for its mode.
const CREEP: f64 = 0.001;

/// What a bin says of one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Calm packets.
    pub(super) calm: f64,
    /// Their mean time before the end of the bin, s, negative.
    pub(super) lag: f64,
    /// By how much what the way sees lies off its expectation, ns.
    pub(super) value: f64,
    /// Variance of that.
    pub(super) variance: f64,
}

impl PointFilter {
    /// Closes the bin at `at`.
    pub(super) fn close(&mut self, at: f64) {
        let dt = at - self.state.at;
        self.state.carry(at, self.drift_walk);
        if self.filled == 0 {
            return;
        }
        let creep = CREEP * self.density.above();
        self.state.free_together(creep * creep * dt);
        let mut views = self.views(at);
        let mut moved = self.relocate(&mut views);
        let origin = self.state;
        let expected = views.map(|view| view.variance);
        for _ in 0..4 {
            self.score(&mut views, expected, moved);
            self.state = origin;
            for (view, way) in views.iter().zip(Way::BOTH) {
                if view.calm > 0.05 {
                    self.state.measure(&origin, way, view.lag, view.value, view.variance);
                }
            }
            moved = [0, 1].map(|i| self.state.moved(&origin, Way::BOTH[i], views[i].lag));
        }
        self.adapt(&origin, &views, dt);
        self.learn(moved);
        self.settle_asymmetry();
        self.note(&origin);
        self.spread = self.state.spread();
        self.filled = 0;
    }

    /// How many calm packets each way has, and when.
    fn views(&self, at: f64) -> [View; 2] {
        let end = at - self.bin_from;
        [0, 1].map(|i| {
            let (mut calm, mut lag) = (1e-9, 0.0);
            for (packet, shares) in self.packets.iter().zip(&self.shares).take(self.filled) {
                let share = f64::from(shares[i]);
                calm += share;
                lag += share * (f64::from(packet.at) - end);
            }
            View { calm, lag: lag / calm, value: 0.0, variance: 1.0 / (calm * self.density.information()) }
        })
    }

    /// One step of scoring from a posterior that has `moved` what each way sees.
    fn score(&self, views: &mut [View; 2], expected: [f64; 2], moved: [f64; 2]) {
        let (edge, sharp) = (self.density.edge_share(), self.density.sharpness());
        for (i, way) in Way::BOTH.into_iter().enumerate() {
            let (mut gradient, mut at_edge) = (0.0, 0.0);
            for (excess, share) in self.lateness(way) {
                let left = excess - way.sign() * moved[i];
                gradient += share * self.density.weight(left) * left;
                at_edge += if self.density.at_edge(left) { share } else { 0.0 };
            }
            let view = &mut views[i];
            let worth = ((at_edge + 0.5) / (view.calm * edge + 0.5)).clamp(0.2, 1.2);
            view.variance = expected[i] / (1.0 - sharp + sharp * worth);
            view.value = moved[i] + way.sign() * gradient * view.variance;
        }
    }

    /// Excess and calm share of each packet of the bin, one way.
    pub(super) fn lateness(&self, way: Way) -> impl Iterator<Item = (f64, f64)> {
        self.packets.iter().zip(&self.shares).take(self.filled).map(move |(packet, shares)| match way {
            Way::There => (f64::from(packet.upper), f64::from(shares[0])),
            Way::Back => (f64::from(packet.lower), f64::from(shares[1])),
        })
    }

    /// Follows how fast the rate drifts: bins that move theta the same way again and again are followed too slowly, and
    /// bins that move it to and fro too fast (the innovations of an optimal filter are white: Mehra, On the identification
    /// of variances and adaptive Kalman filtering, IEEE Transactions on Automatic Control 15, 1970). Their size would not
    /// do: it is as much the path's.
    fn adapt(&mut self, origin: &State, [there, back]: &[View; 2], dt: f64) {
        if there.calm < 4.0 || back.calm < 4.0 || dt <= 0.0 {
            return;
        }
        let [t, b, both] = origin.spread();
        // A bin that puts the sum of the delays elsewhere is one of the path's, not of the oscillator's.
        let sum = there.value - back.value;
        if sum * sum > 4.0 * (t + b - 2.0 * both + there.variance + back.variance) {
            return;
        }
        let theta = (there.value + back.value) / 2.0;
        let expected = (t + b + 2.0 * both + there.variance + back.variance) / 4.0;
        let surprise = (theta / expected.sqrt()).clamp(-3.5, 3.5);
        let walk = self.drift_walk * (0.12 * surprise * self.surprise).exp();
        self.surprise = surprise;
        self.drift_walk = walk.clamp(DRIFT_WALKS.0, DRIFT_WALKS.1);
    }

    /// Learns the density from what the packets are late by after all.
    fn learn(&mut self, moved: [f64; 2]) {
        for n in 0..self.filled {
            let (packet, shares) = (self.packets[n], self.shares[n]);
            let excesses = [f64::from(packet.upper) - moved[0], f64::from(packet.lower) + moved[1]];
            for (excess, share) in excesses.into_iter().zip(shares) {
                if share > 0.5 {
                    self.density.learn(excess, f64::from(share));
                }
            }
        }
    }
}
