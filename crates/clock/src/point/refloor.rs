//! The path of a reacquisition is another than before: the guest was moved, or a route changed while theta was unknown.

use super::acquisition::CLEAN;
use super::state::{BACK, THERE, Way};
use super::{Point, PointFilter, two_least};

/// Newest probes that must agree on a higher floor, at least, and which part of them.
const NEWEST: usize = 8;
const AGREE: f64 = 0.6;
/// And the time that they must span, s: congestion lasts, however many probes meet it.
const LASTING_S: f32 = 1.5;

/// Another floor of the round trip.
struct Floor {
    /// From the known one, both ways together, ns.
    by: f64,
    /// The first point on it.
    from: usize,
}

impl PointFilter {
    /// Looks whether the points show another floor of the round trip, and takes it.
    pub(super) fn refloor(&mut self) {
        let (there, back) = (self.state.mean[THERE], self.state.mean[BACK]);
        let beside = |point: &Point| (f64::from(point.upper) - there, f64::from(point.lower) + back);
        let near = 3.0 * self.density.above();
        let points = &self.packets[..self.filled];
        let Some(floor) = self.floor_of(points, near, &|point| {
            let (upper, lower) = beside(point);
            upper - lower
        }) else {
            return;
        };
        let (old, new) = points.split_at(floor.from);
        // Round trips at the floor from before give theta, and theta gives each way its part.
        let clean = old.iter().map(beside).filter(|(upper, lower)| (upper - lower).abs() < near);
        let (sum, count) =
            clean.fold((0.0, 0.0), |(sum, count), (upper, lower)| (sum + (upper + lower) / 2.0, count + 1.0));
        let (parts, freed) = if self.routes.habit > 0.0 {
            // As ever on this path; few packets after a disruption would not tell better.
            ([0.5; 2], 0.0)
        } else if count >= if floor.by > 0.0 { 1.0 } else { CLEAN as f64 } {
            // Above a lower floor a few may as well have been late.
            let theta = sum / count;
            let up = new.iter().map(|point| beside(point).0).fold(f64::INFINITY, f64::min) - theta;
            let down = theta - new.iter().map(|point| beside(point).1).fold(f64::NEG_INFINITY, f64::max);
            // As much both ways, as far as can be told: then they differ by what they did before.
            let alike = (up - down).abs() < near;
            let parts = [up, down].map(|part| (part / (up + down)).clamp(0.0, 1.0));
            if alike { ([0.5; 2], 0.0) } else { (parts, near * near) }
        } else {
            // The way whose delay is the less sure has the greater part.
            let room = floor.by * floor.by / 16.0;
            let doubts = [THERE, BACK].map(|slot| self.state.cov[slot][slot] + room);
            let parts = doubts.map(|doubt| doubt / (doubts[0] + doubts[1]));
            (parts, floor.by * floor.by * parts[0] * parts[1] / 2.0)
        };
        self.refloored = true;
        self.doubt_change(self.line[0]);
        for (way, part) in Way::BOTH.into_iter().zip(parts) {
            self.state.mean[way.slot()] += floor.by * part;
            self.state.free(way, freed);
        }
        let count = self.filled;
        self.packets.copy_within(floor.from..count, 0);
        self.filled = count - floor.from;
    }

    /// Whether `points`, less the known delays, show a lower floor of the round trip.
    pub(super) fn is_below_floor(&self, points: &[Point]) -> bool {
        let [_, second] = two_least(points.iter().map(|point| f64::from(point.upper - point.lower)));
        second < self.least_sum_of_floor()
    }

    /// How early round trips at the known floor may seem.
    fn least_sum_of_floor(&self) -> f64 {
        -(12.0 * self.density.below() + self.density.above())
    }

    /// The floor that `points` are on; `sum` is how late a point is, both ways together.
    fn floor_of(&self, points: &[Point], near: f64, sum: &dyn Fn(&Point) -> f64) -> Option<Floor> {
        let [_, second] = two_least(points.iter().map(sum));
        if second < self.least_sum_of_floor() {
            let from = points.iter().position(|point| (sum(point) - second).abs() < near)?;
            return Some(Floor { by: second, from });
        }
        // Higher: none of the newest is at the old floor, and most are at one new floor.
        let until = points.last()?.at - LASTING_S;
        let from = points.iter().rposition(|point| point.at <= until)?.min(points.len().checked_sub(NEWEST)?);
        let newest = &points[from..];
        let [least, second] = two_least(newest.iter().map(sum));
        let agree = newest.iter().filter(|point| sum(point) < second + 0.5 * near).count();
        if (agree as f64) < AGREE * newest.len() as f64
            || least <= 2.0 * self.density.above() + 3.0 * self.density.below()
        {
            return None;
        }
        let from = points.iter().rposition(|point| sum(point) < near).map_or(0, |last| last + 1);
        Some(Floor { by: second, from: from.min(points.len() - 1) })
    }
}
