//! How far above its floor a packet arrives: a split Student-t density whose two scales are learned online.
//!
//! With e the excess over the path's usual delay (negative: faster than usual) and z = e / s,
//!
//! ```text
//! p(e) = (1 + z^2 / nu)^(-(nu + 1) / 2) / N      s = below, nu = 8 for e < 0;   s = above, nu = 1.5 for e >= 0
//! ```
//!
//! Packets cannot be much faster than the floor, so the left side is short; they queue, so the right side is long. Over
//! what networks and kernels make (gamma-like stamping jitter, exponential and log-normal queueing, Pareto spikes) the
//! location found under this density has 1.05 to 1.25 times the least possible standard deviation; the minimum of 16 has
//! 1.2 to 1.4 times it, and the mean has none. Location by M-estimation: Huber, Robust Statistics (1981), chapter 3;
//! two-piece scale: Fernandez and Steel (Journal of the American Statistical Association 93, 1998).

use serde::{Deserialize, Serialize};

/// Degrees of freedom below the floor: nearly a normal, but one early stamp cannot drag the estimate away.
const NU_BELOW: f64 = 8.0;
/// Degrees of freedom above: a packet that queued for long says next to nothing.
const NU_ABOVE: f64 = 1.5;
/// Integral of (1 + z^2 / nu)^(-(nu + 1) / 2) over half the line, for both.
const HALF_BELOW: f64 = 1.293_00;
const HALF_ABOVE: f64 = 1.467_42;
/// Excesses of a path that is not calm spread over this many e-folds, evenly.
const BROAD_EFOLDS: f64 = 14.0;
/// Standard deviation of the logarithm of delays in one stretch of congestion.
const CONGESTION_SPREAD: f64 = 0.8;
/// The edge reaches so far above zero, in scales of what is below.
const EDGE: f64 = 2.0;
/// The scales forget with this many packets.
const MEMORY: f64 = 600.0;
/// Least scale, ns: what a stamp resolves.
const LEAST_NS: f64 = 20.0;

/// The density of excess delays of a calm path; all excesses and scales in ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Density {
    below: f64,
    above: f64,
    seen: f64,
}

impl Density {
    /// A density as wide as `spread`, the usual distance of the median from the floor.
    pub(super) fn of_spread(spread: f64) -> Self {
        let above = spread.max(4.0 * LEAST_NS);
        Self { below: above / 4.0, above, seen: 0.0 }
    }

    /// Scale of what is faster than usual.
    pub(super) fn below(&self) -> f64 {
        self.below
    }

    /// Scale of what is slower than usual.
    pub(super) fn above(&self) -> f64 {
        self.above
    }

    /// Minus the derivative of ln p at `excess`, divided by it: the weight of iterated reweighting.
    pub(super) fn weight(&self, excess: f64) -> f64 {
        let (nu, scale) = self.side(excess);
        (nu + 1.0) / (nu * scale * scale + excess * excess)
    }

    /// p(excess), per ns.
    pub(super) fn at(&self, excess: f64) -> f64 {
        // The powers -4.5 and -1.25, from square roots alone: this is on the path of every probe.
        let power = if excess < 0.0 {
            let x = 1.0 + excess * excess / (NU_BELOW * self.below * self.below);
            let square = x * x;
            square * square * x.sqrt()
        } else {
            let x = 1.0 + excess * excess / (NU_ABOVE * self.above * self.above);
            x * x.sqrt().sqrt()
        };
        1.0 / (power * self.norm())
    }

    /// The density on a path that is not calm: late by any size, free of scale.
    pub(super) fn broad(&self, excess: f64) -> f64 {
        1.0 / (BROAD_EFOLDS * (excess.max(0.0) + self.above))
    }

    /// ln of the density on a path of which nothing else is known.
    pub(super) fn ln_any(&self, excess: f64) -> f64 {
        let stray = if excess < -8.0 * self.below { 1e-3 } else { 0.15 };
        (0.85 * self.at(excess) + stray * self.broad(excess.abs())).ln()
    }

    /// The density in congestion, `off` e-folds over its usual level.
    pub(super) fn congested(&self, off: f64, excess: f64) -> f64 {
        let z = off / CONGESTION_SPREAD;
        let bump = 0.4 / CONGESTION_SPREAD * (-0.5 * z * z).exp() * BROAD_EFOLDS;
        (0.2 + bump) * self.broad(excess)
    }

    /// Fisher's information of one calm packet about the location, ns^-2.
    pub(super) fn information(&self) -> f64 {
        let below = HALF_BELOW * (NU_BELOW + 1.0) / (NU_BELOW + 3.0) / self.below;
        let above = HALF_ABOVE * (NU_ABOVE + 1.0) / (NU_ABOVE + 3.0) / self.above;
        (below + above) / self.norm()
    }

    /// Share of calm packets at the edge, where they say most.
    pub(super) fn edge_share(&self) -> f64 {
        (HALF_BELOW + EDGE) * self.below / self.norm()
    }

    /// Whether an excess is at the edge.
    pub(super) fn at_edge(&self, excess: f64) -> bool {
        excess < EDGE * self.below
    }

    /// How sharp the edge is: 0 where the density is about even, 1 where nearly all information comes from the edge.
    pub(super) fn sharpness(&self) -> f64 {
        ((self.above / self.below - 3.0) / 6.0).clamp(0.0, 1.0)
    }

    /// Follows the scales along the gradient of ln p in their logarithms; `share` of a packet counts.
    pub(super) fn learn(&mut self, excess: f64, share: f64) {
        self.seen = (self.seen + share).min(MEMORY);
        let rate = share / (self.seen + 8.0);
        let norm = self.norm();
        let (mut below, mut above) = (-HALF_BELOW * self.below / norm, -HALF_ABOVE * self.above / norm);
        let pull = excess * excess * self.weight(excess);
        if excess < 0.0 {
            below += pull;
        } else {
            above += pull;
        }
        self.below = (self.below * (1.0 + 3.0 * rate * below).max(0.5)).max(LEAST_NS).min(self.above);
        self.above = (self.above * (1.0 + 2.0 * rate * above).max(0.5)).max(LEAST_NS);
    }

    fn side(&self, excess: f64) -> (f64, f64) {
        if excess < 0.0 { (NU_BELOW, self.below) } else { (NU_ABOVE, self.above) }
    }

    fn norm(&self) -> f64 {
        HALF_BELOW * self.below + HALF_ABOVE * self.above
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sim::Random;

    #[test]
    fn it_is_a_density_and_its_weight_is_its_slope() {
        let density = Density { below: 300.0, above: 2_000.0, seen: 0.0 };
        let step = 1.0;
        let sum: f64 = (-50_000..2_000_000).map(|e| density.at(f64::from(e) * step) * step).sum();
        assert!((0.995..1.0).contains(&sum), "the tail beyond 2 ms holds the rest: {sum}");
        for excess in [-700.0, -50.0, 80.0, 3_000.0] {
            let slope = (density.at(excess + 0.01).ln() - density.at(excess - 0.01).ln()) / 0.02;
            assert!((slope + density.weight(excess) * excess).abs() < 1e-9);
        }
    }

    #[test]
    fn the_scales_find_those_of_a_gamma_path() {
        let mut random = Random::seeded(5);
        let mut density = Density::of_spread(50_000.0);
        for _ in 0..4_000 {
            density.learn(random.gamma(2.0, 1_500.0) - 1_000.0, 1.0);
        }
        assert!((200.0..1_200.0).contains(&density.below()), "{density:?}");
        assert!((1_500.0..4_500.0).contains(&density.above()), "{density:?}");
    }
}
