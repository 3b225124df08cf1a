//! One direction of the path: is it calm now, and what speaks against its floor?
//!
//! A packet is late either because the path is congested, and then packets are late by anything, or because the route is
//! longer now, and then they are late by the same again and again. The first is followed here, as a hidden Markov model of
//! two regimes. For the second, packets that the known floor does not explain are kept, and judged in `floor`.

use super::density::Density;
use serde::{Deserialize, Serialize};

/// Regimes change at these rates, 1/s.
const CONGESTION_RATE: f64 = 1.0 / 300.0;
const RELIEF_RATE: f64 = 1.0 / 30.0;
/// Packets kept that the known floor does not explain.
pub(super) const KEPT: usize = 32;
/// Newest packets kept in any case.
const RECENT: usize = 8;
/// Packets at the known floor that settle an open question: late ones, and early ones.
const PROOF: u32 = 2;
const PROOF_AFTER_EARLY: u32 = 12;

/// A direction; all excesses in ns over the delay that the state has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Direction {
    calm: f64,
    pub(super) kept: [f32; KEPT],
    pub(super) count: usize,
    pub(super) seen: u32,
    early: bool,
    good: u32,
    recent: [f32; RECENT],
    taken: u32,
    unproven_s: f32,
}

impl Direction {
    pub(super) const fn new() -> Self {
        Self {
            calm: 0.8,
            kept: [0.0; KEPT],
            count: 0,
            seen: 0,
            early: false,
            good: 0,
            recent: [0.0; RECENT],
            taken: 0,
            unproven_s: 0.0,
        }
    }

    /// Probability that the path is calm in this direction, after the last packet.
    pub(super) fn is_calm(&self) -> bool {
        self.calm > 0.5
    }

    /// Packets came early, and nothing has cleared that up.
    pub(super) fn early(&self) -> bool {
        self.early
    }

    /// Whether its floor would be seen now: it is calm, or packets come from below.
    pub(super) fn visible(&self) -> bool {
        self.is_calm() || self.early
    }

    /// Seconds since a packet was at the known floor.
    pub(super) fn unproven_s(&self) -> f64 {
        f64::from(self.unproven_s)
    }

    /// It was not looked at for so long.
    pub(super) fn unseen_for(&mut self, seconds: f64) {
        self.unproven_s += seconds as f32;
    }

    /// Forgets what it held against the floor.
    pub(super) fn clear(&mut self) {
        (self.count, self.seen, self.early, self.good) = (0, 0, false, 0);
    }

    /// Forgets the newest packets: they were late by another floor.
    pub(super) fn forget_recent(&mut self) {
        self.taken = 0;
    }

    /// Takes the excess of a packet `dt` seconds after the one before. `limit` (negative) is how far below the floor a
    /// packet of the known floor may seem. Gives the probability that it is a calm packet of the known floor.
    pub(super) fn observe(&mut self, density: &Density, excess: f64, limit: f64, dt: f64) -> f64 {
        self.unproven_s += dt as f32;
        self.recent[self.taken as usize % RECENT] = excess as f32;
        self.taken = self.taken.wrapping_add(1);
        let dt = dt.clamp(0.0, 60.0);
        let stays = |rate: f64| 1.0 / (1.0 + rate * dt);
        let calm = self.calm * stays(CONGESTION_RATE) + (1.0 - self.calm) * (1.0 - stays(RELIEF_RATE));
        let below = excess < limit;
        let share = if below { 0.0 } else { calm_share(density, excess, calm) };
        self.calm = if below { calm * 0.5 } else { share.clamp(1e-4, 1.0 - 1e-4) };
        self.keep(density, excess, 0.55 * limit);
        share
    }

    /// Packets at the known floor prove it; what came since the last such proof is kept.
    fn keep(&mut self, density: &Density, excess: f64, early: f64) {
        let good = excess > early && excess < 0.5 * density.above();
        if excess < early {
            if !self.early {
                self.clear();
                self.early = true;
            }
            self.good = 0;
        } else if good {
            self.unproven_s = 0.0;
            self.good += 1;
            if self.good >= if self.early { PROOF_AFTER_EARLY } else { PROOF } {
                self.clear();
                return;
            }
        }
        if self.count > 0 || !good {
            self.kept[self.seen as usize % KEPT] = excess as f32;
            self.seen += 1;
            self.count = (self.count + 1).min(KEPT);
        }
    }

    /// The n-th newest packet.
    pub(super) fn recent(&self, n: usize) -> f64 {
        f64::from(self.recent[(self.taken as usize).wrapping_sub(1 + n) % RECENT])
    }

    /// How many of the newest `length` packets are there.
    pub(super) fn count_recent(&self, length: usize) -> usize {
        length.min(RECENT).min(self.taken as usize)
    }

    /// By how many nats the newest `length` packets are better explained at a floor `by` away than at the known one.
    pub(super) fn preference(&self, density: &Density, by: f64, length: usize) -> f64 {
        let packets = (0..self.count_recent(length)).map(|n| self.recent(n));
        packets.map(|excess| density.ln_any(excess - by) - density.ln_any(excess)).sum()
    }

    /// Where the newest `length` packets put the floor, looked for from `start`.
    pub(super) fn located(&self, density: &Density, start: f64, length: usize) -> f64 {
        let mut at = start;
        for _ in 0..6 {
            let (mut sum, mut pull) = (1e-12, 1e-12 * at);
            for excess in (0..self.count_recent(length)).map(|n| self.recent(n)) {
                let weight = density.weight(excess - at);
                sum += weight;
                pull += weight * excess;
            }
            at = pull / sum;
        }
        at
    }
}

/// Probability that a packet is of a calm path, where `calm` is that of the path being calm.
fn calm_share(density: &Density, excess: f64, calm: f64) -> f64 {
    // Congestion makes late, never early.
    let early = if excess < 0.0 { (2.0 * excess / density.below()).max(-50.0).exp() } else { 1.0 };
    let (calm, congested) = (calm * density.at(excess), (1.0 - calm) * early * density.broad(excess));
    calm / (calm + congested)
}
