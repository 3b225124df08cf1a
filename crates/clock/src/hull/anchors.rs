//! Earlier states from which the rate of theta is taken.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw, Span};

use super::bounds::{Bounds, Rate, Rates, Theta};
use crate::Tolerance;

/// States kept.
const COUNT: usize = 7;
/// What is older says less than the oscillator's wander leaves open.
const OLDEST: Span = Span::from_s(16_384);
/// A new one comes when this part of the time since the oldest has passed.
const SPACING: i64 = 128;

/// A state, its tight bounds as what they are inside the hard ones, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    at: Instant<Raw>,
    hard: Theta,
    above_low: u32,
    below_high: u32,
}

/// Some earlier states of this epoch, about geometric in age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchors {
    kept: [Anchor; COUNT],
    count: u8,
}

impl Anchors {
    /// Only this state.
    pub(super) fn starting(at: Instant<Raw>, bounds: &Bounds) -> Self {
        Self { kept: [Anchor::of(at, bounds); COUNT], count: 1 }
    }

    /// The rate at every instant since the state before, with theta within `bounds` at `at`:
    ///
    /// ```text
    /// (low_now - high_then) / tau - wander  <=  rate  <=  (high_now - low_then) / tau + wander
    /// ```
    ///
    /// What `expected` knew still holds: the wander over a longer time is in it.
    pub(super) fn rates(&self, at: Instant<Raw>, bounds: &Bounds, expected: Rates, tolerance: &Tolerance) -> Rates {
        let anything = Rate::anything(tolerance);
        let Rates { mut firm, mut tight } = expected;
        for then in self.kept() {
            let elapsed = at - then.at;
            if elapsed <= Span::ZERO {
                continue;
            }
            let elapsed_ns = elapsed.ns() as f64;
            let per_ns = 1.0 / elapsed_ns;
            let wander = tolerance.mean_wander_ppb(elapsed_ns, per_ns);
            firm = narrowed(firm, bounds.hard, then.hard, 1e9 * per_ns, wander);
            tight = narrowed(tight, bounds.tight, then.tight(), 1e9 * per_ns, wander);
        }
        // An oscillator that wanders more than assumed leaves nothing: start again from what it can be at all.
        let firm = if firm.low <= firm.high { firm } else { anything };
        let both = Rate { low: firm.low.max(tight.low), high: firm.high.min(tight.high) };
        Rates { firm, tight: if both.low <= both.high { both } else { firm } }
    }

    /// Takes in a state, if it is time for one.
    pub(super) fn observe(&mut self, at: Instant<Raw>, bounds: &Bounds) {
        self.forget_before(at - OLDEST);
        let (Some(oldest), Some(newest)) = (self.kept().first(), self.kept().last()) else {
            return *self = Self::starting(at, bounds);
        };
        if at - newest.at < Span::from_ns((at - oldest.at).ns() / SPACING) {
            return;
        }
        if usize::from(self.count) == COUNT {
            self.remove(self.least_missed(at));
        }
        if let Some(free) = self.kept.get_mut(usize::from(self.count)) {
            *free = Anchor::of(at, bounds);
            self.count += 1;
        }
    }

    /// The tight bounds were too narrow by so much.
    pub(super) fn widen_tight(&mut self, by_ns: i64) {
        let by = u32::try_from(by_ns.max(0)).unwrap_or(u32::MAX);
        for anchor in &mut self.kept {
            anchor.above_low = anchor.above_low.saturating_sub(by);
            anchor.below_high = anchor.below_high.saturating_sub(by);
        }
    }

    fn kept(&self) -> &[Anchor] {
        self.kept.get(..usize::from(self.count)).unwrap_or(&[])
    }

    fn forget_before(&mut self, oldest: Instant<Raw>) {
        while self.count > 1 && self.kept().first().is_some_and(|anchor| anchor.at < oldest) {
            self.remove(0);
        }
    }

    /// The one whose neighbours are closest together for their age; never the oldest.
    fn least_missed(&self, at: Instant<Raw>) -> usize {
        let ages = |place: usize| self.kept.get(place).map_or(Span::ZERO, |anchor| at - anchor.at).ns() as f64;
        let ratio = |place: usize| ages(place - 1) / ages(place + 1).max(1.0);
        (1..COUNT - 1).min_by(|a, b| ratio(*a).total_cmp(&ratio(*b))).unwrap_or(1)
    }

    fn remove(&mut self, place: usize) {
        if place < usize::from(self.count) {
            self.kept.copy_within(place + 1.., place);
            self.count -= 1;
        }
    }
}

impl Anchor {
    fn of(at: Instant<Raw>, bounds: &Bounds) -> Self {
        let inside = |from: i64, to: i64| u32::try_from(to.saturating_sub(from).max(0)).unwrap_or(u32::MAX);
        let (hard, tight) = (bounds.hard, bounds.tight);
        Self { at, hard, above_low: inside(hard.low, tight.low), below_high: inside(tight.high, hard.high) }
    }

    fn tight(&self) -> Theta {
        Theta {
            low: self.hard.low.saturating_add(i64::from(self.above_low)),
            high: self.hard.high.saturating_sub(i64::from(self.below_high)),
        }
    }
}

fn narrowed(rate: Rate, now: Theta, then: Theta, per_ns: f64, wander: f64) -> Rate {
    Rate {
        low: rate.low.max(now.low.saturating_sub(then.high) as f64 * per_ns - wander),
        high: rate.high.min(now.high.saturating_sub(then.low) as f64 * per_ns + wander),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn ages_are_about_geometric_and_the_oldest_stays_until_it_is_too_old() {
        let bounds = Bounds::alike(Theta { low: 0, high: 10 });
        let at = |second: i64| Instant::from_ns(second * SECOND);
        let mut anchors = Anchors::starting(at(0), &bounds);
        (1..10_000).for_each(|second| anchors.observe(at(second), &bounds));
        let ages: Vec<i64> = anchors.kept().iter().map(|anchor| (at(10_000) - anchor.at).ns() / SECOND).collect();
        assert_eq!((ages.len(), ages[0]), (COUNT, 10_000));
        assert!(ages.windows(2).all(|pair| pair[0] <= 5 * pair[1].max(80)), "{ages:?}");
        anchors.observe(at(20_000), &bounds);
        assert!(anchors.kept()[0].at > at(0));
    }

    #[test]
    fn tight_bounds_come_back_and_lie_inside_the_hard_ones() {
        let (hard, tight) = (Theta { low: 0, high: 100 }, Theta { low: 40, high: 45 });
        let mut anchors = Anchors::starting(Instant::from_ns(0), &Bounds { tight, ..Bounds::alike(hard) });
        assert_eq!(anchors.kept()[0].tight(), tight);
        anchors.widen_tight(50);
        assert_eq!(anchors.kept()[0].tight(), Theta { low: 0, high: 95 });
    }
}
