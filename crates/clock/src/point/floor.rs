//! Whether a direction has a new floor.
//!
//! Judged over the packets that the known floor does not explain: how much better does "calm again, at a floor x away"
//! explain them than "calm at the known floor", "congested at a level of its own" or "strays", and does it pay the price
//! of a change of route at a random moment to a random place? Chance clusters at the bottom of a congested stretch lose,
//! since the other packets of the stretch are not calm around them.

use super::density::Density;
use super::direction::Direction;

/// Nats by which a new floor must win besides the price of its place.
const CAUTION: f64 = 8.0;
/// More of them for a shift smaller than the spread of the path, which may as well be the spread that has changed.
const CAUTION_SMALL: f64 = 4.0;
/// Nats that it needs less where the other way has just moved, by as much.
const CREDIT: f64 = 6.0;
/// How rare a packet below the floor is that is no new floor.
const STRAY: f64 = 1e-3;
/// Least share of packets within the spread of the path above the lowest, for a look to be worth its time.
const LEAST_TIGHT: f64 = 0.3;

/// A new floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// From the known one, ns.
    pub(super) by: f64,
    /// How many calm packets say so.
    pub(super) calm: f64,
    /// Over how many of the newest packets.
    pub(super) length: usize,
    /// Nats over the threshold.
    evidence: f64,
}

impl Direction {
    /// The n-th newest of the kept packets.
    fn back(&self, n: usize) -> f64 {
        f64::from(self.kept[(self.seen as usize).wrapping_sub(1 + n) % super::direction::KEPT])
    }

    /// The new floor that the kept packets show, if they do. `limit` as in [`Direction::observe`]; `expected`: by how much
    /// the other way has just moved.
    pub(super) fn shift(&self, density: &Density, limit: f64, expected: Option<f64>) -> Option<Shift> {
        let least = if self.early() { 2 } else { 5 };
        // Every packet at first, then ever fewer: what many have not shown, one more seldom does.
        let due = expected.is_some() || self.seen <= 8 || self.seen.is_multiple_of(if self.seen <= 32 { 2 } else { 4 });
        if self.count < least || !due {
            return None;
        }
        let mut best: Option<Shift> = None;
        let mut length = self.count;
        loop {
            if let Some(shift) = self.shift_in(density, limit, length, expected)
                && best.is_none_or(|best| shift.evidence > best.evidence)
            {
                best = Some(shift);
            }
            if length <= least.max(5) {
                return best.filter(|shift| shift.evidence > 0.0);
            }
            length = (length / 2).max(least);
        }
    }

    /// The best new floor in the newest `length`, from the two lowest packets; `None` where they are clearly no cluster.
    fn shift_in(&self, density: &Density, limit: f64, length: usize, expected: Option<f64>) -> Option<Shift> {
        let [first, second] = super::two_least((0..length).map(|n| self.back(n)));
        // Not even if all packets were at the new floor would they pay for it.
        let most = (density.at(0.0) / (0.85 * density.at(second) + 0.15 * density.broad(second))).ln();
        let credit = if expected.is_some() { CREDIT } else { 0.0 };
        if most * length as f64 <= CAUTION - credit + 1.7 {
            return None;
        }
        let tight = (0..length).filter(|n| self.back(*n) < second + 3.0 * density.above()).count();
        if (tight as f64) < LEAST_TIGHT * length as f64 {
            return None;
        }
        let one = self.judged(density, limit, length, first + density.below(), expected);
        let two = self.judged(density, limit, length, second, expected);
        Some(if one.evidence > two.evidence { one } else { two })
    }

    fn judged(&self, density: &Density, limit: f64, length: usize, start: f64, expected: Option<f64>) -> Shift {
        let by = self.cluster(density, length, start);
        let level = self.level(density, limit, length);
        let (mut new, mut known, mut late, mut calm) = (0.0, 0.0, 0.0, 0.0);
        for excess in (0..length).map(|n| self.back(n)) {
            let moved = excess - by;
            let (p, q) = (0.85 * density.at(moved), 0.15 * density.broad(moved));
            calm += p / (p + q);
            new += (p + q).ln();
            let (at, broad) = (density.at(excess), density.broad(excess));
            known += (0.85 * at + if excess < 0.0 { 0.15 * STRAY } else { 0.15 } * broad).ln();
            late += if excess < limit {
                (STRAY * density.broad(excess.abs())).ln()
            } else {
                let off = (excess.max(0.0) + density.above()).ln() - level;
                (0.02 * at + density.congested(off, excess)).ln()
            };
        }
        let small = if by.abs() < density.above() { CAUTION_SMALL } else { 0.0 };
        let alike = expected.is_some_and(|expected| (expected - by).abs() < 2.0 * density.above());
        let price = price_of_place(density, by, calm) + small + CAUTION - if alike { CREDIT } else { 0.0 };
        Shift { by, calm, length, evidence: new - known.max(late) - price }
    }

    /// The centre of the cluster near `start`.
    fn cluster(&self, density: &Density, length: usize, start: f64) -> f64 {
        let mut by = start;
        for _ in 0..5 {
            let (mut sum, mut pull) = (0.0, 0.0);
            for excess in (0..length).map(|n| self.back(n)) {
                let weight = density.weight(excess - by);
                sum += weight;
                pull += weight * excess;
            }
            by = pull / sum;
        }
        by
    }

    /// ln of the level of congestion that the packets would have.
    fn level(&self, density: &Density, limit: f64, length: usize) -> f64 {
        let (mut sum, mut count) = (0.0, 1e-9);
        for excess in (0..length).map(|n| self.back(n)).filter(|excess| *excess >= limit) {
            sum += (excess.max(0.0) + density.above()).ln();
            count += 1.0;
        }
        sum / count
    }
}

/// Nats that a floor costs for being anywhere, where `calm` packets find it: free of scale, as the broad density is.
fn price_of_place(density: &Density, by: f64, calm: f64) -> f64 {
    (14.0 * (by.abs() + density.above()) * (calm + 1.0).sqrt() / (2.5 * density.above())).ln()
}
