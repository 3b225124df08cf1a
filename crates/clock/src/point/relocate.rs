//! Bins that lie elsewhere than expected: scoring starts near its expectation, so where that may be far off, or the sum of
//! the delays has changed, the packets are first located wherever they are.

use super::bin::View;
use super::state::Way;
use super::{PointFilter, two_least};

/// Nats by which both ways' packets together must be better explained by a longer route.
const BOTH_LATE: f64 = 12.0;
/// So many scales of the density are little; by more, each way tells by itself.
const LITTLE: f64 = 2.5;
/// Least sharpness of the edge, for its absence to say anything.
const SHARP: f64 = 0.25;

/// A prior variance that says nothing, ns^2.
const ANYWHERE: f64 = 1e18;

impl PointFilter {
    /// Where scoring shall start: by how much what each way sees has moved. Frees the delays where the path has changed.
    pub(super) fn relocate(&mut self, views: &mut [View; 2]) -> [f64; 2] {
        let spread = self.state.spread();
        let wide = [spread[0], spread[1]].map(|spread| spread > 4.0 / self.density.information());
        for (i, way) in Way::BOTH.into_iter().enumerate() {
            // A delay that is not known is not learned from packets that may all be late.
            if wide[i] && !self.direction(way).is_calm() {
                views[i].calm = 1e-9;
            }
        }
        if !wide[0] && !wide[1] {
            if let Some(moved) = self.both_are_late(views) {
                self.reroute(moved, views, spread);
                return moved;
            }
            let sum = self.sum_off(views, spread);
            if sum.is_none() {
                return [0.0; 2];
            }
            // Packets are not early by congestion, so that they are looked for wherever they are.
            let anywhere = self.moved(views, [ANYWHERE; 2]);
            if sum < Some(0.0) && Self::sum_has_changed(anywhere, views, spread) {
                self.reroute(anywhere, views, spread);
                return anywhere;
            }
        }
        let moved = self.moved(views, [spread[0], spread[1]]);
        if !wide[0] && !wide[1] {
            self.reroute(moved, views, spread);
        }
        moved
    }

    /// By how much what each way sees has moved, where the variances of their expectations are `priors`.
    fn moved(&self, views: &[View; 2], priors: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|i| if views[i].calm > 0.5 { self.located(Way::BOTH[i], priors[i]) } else { 0.0 })
    }

    /// Whether the sum of the delays has changed, by what `moved` says.
    fn sum_has_changed(moved: [f64; 2], views: &[View; 2], spread: [f64; 3]) -> bool {
        let sum = moved[0] - moved[1];
        sum * sum >= 25.0 * Self::doubt_of_sum(spread, views)
    }

    /// Variance of the sum of the delays as the two ways show it.
    fn doubt_of_sum([there, back, both]: [f64; 3], views: &[View; 2]) -> f64 {
        there + back - 2.0 * both + views[0].variance + views[1].variance
    }

    /// By about how much the bin puts the sum of both delays elsewhere than it was, where it does.
    fn sum_off(&self, views: &[View; 2], spread: [f64; 3]) -> Option<f64> {
        if views.iter().any(|view| view.calm < 3.0) {
            return None;
        }
        let pull = |way: Way, variance: f64| {
            let pulls = self.lateness(way).map(|(excess, share)| share * self.density.weight(excess) * excess);
            pulls.sum::<f64>() * variance
        };
        let sum = pull(Way::There, views[0].variance) + pull(Way::Back, views[1].variance);
        (sum * sum > 9.0 * Self::doubt_of_sum(spread, views)).then_some(sum)
    }

    /// By how much what both ways see has moved, where hardly a packet of the bin is at its floor, and the packets of both
    /// ways are late by as much.
    fn both_are_late(&self, views: &[View; 2]) -> Option<[f64; 2]> {
        if self.density.sharpness() < SHARP {
            return None;
        }
        let usual = self.density.edge_share();
        for (way, view) in Way::BOTH.into_iter().zip(views) {
            let at_edge = self.lateness(way).filter(|(excess, _)| self.density.at_edge(*excess)).count();
            if view.calm < 6.0 || at_edge as f64 > 0.2 * usual * view.calm {
                return None;
            }
        }
        let (mut late, mut gain) = ([0.0; 2], 0.0);
        for (late, way) in late.iter_mut().zip(Way::BOTH) {
            let [least, _] = two_least(self.lateness(way).map(|(excess, _)| excess));
            *late = self.climbed(way, ANYWHERE, least + self.density.below());
            let gains =
                self.lateness(way).map(|(excess, _)| self.density.ln_any(excess - *late) - self.density.ln_any(excess));
            gain += gains.sum::<f64>();
        }
        let noise = (views[0].variance + views[1].variance).sqrt();
        let alike = (late[0] - late[1]).abs() < 4.0 * noise;
        let little = late[0].max(late[1]) < LITTLE * self.density.above();
        (alike && little && gain > BOTH_LATE).then_some([late[0], -late[1]])
    }

    /// By how much what `way` sees has moved, wherever that is; `prior` is the variance of its expectation.
    fn located(&self, way: Way, prior: f64) -> f64 {
        let [least, _] = two_least(self.lateness(way).filter(|(_, share)| *share > 0.3).map(|(excess, _)| excess));
        let starts = [0.0, least + self.density.below()];
        let mut best = (f64::NEG_INFINITY, 0.0);
        for start in starts.into_iter().filter(|start| start.is_finite()) {
            let at = self.climbed(way, prior.max(1.0), start);
            let fits = self.lateness(way).map(|(excess, share)| share * self.density.ln_any(excess - at));
            let ln = fits.sum::<f64>() - 0.5 * at * at / prior.max(1.0);
            if ln > best.0 {
                best = (ln, at);
            }
        }
        way.sign() * best.1
    }

    fn climbed(&self, way: Way, prior: f64, start: f64) -> f64 {
        let mut at = start;
        for _ in 0..8 {
            let (mut sum, mut pull) = (1.0 / prior, 0.0);
            for (excess, share) in self.lateness(way) {
                let weight = share * self.density.weight(excess - at);
                sum += weight;
                pull += weight * excess;
            }
            at = pull / sum;
        }
        at
    }

    /// The path has changed within or before the bin, if the sum of the delays has by as much as `moved` says.
    fn reroute(&mut self, moved: [f64; 2], views: &[View; 2], spread: [f64; 3]) {
        if !Self::sum_has_changed(moved, views, spread) {
            return;
        }
        let sum = moved[0] - moved[1];
        self.doubt_change(self.state.at);
        let [there, back, both] = spread;
        let theta = (moved[0] + moved[1]) / 2.0;
        let unsure = (there + back + 2.0 * both + views[0].variance + views[1].variance) / 4.0;
        if theta * theta < 16.0 * unsure {
            self.routes.learn(1.0);
            self.state.free_together(sum * sum);
        } else {
            for (i, way) in Way::BOTH.into_iter().enumerate() {
                if moved[i] * moved[i] > 16.0 * (spread[i] + views[i].variance) {
                    self.state.free(way, sum * sum);
                }
            }
        }
        self.there.clear();
        self.back.clear();
    }
}
