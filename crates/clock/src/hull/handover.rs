//! Bounds that go on against another reference.
//!
//! With delta = REF - REF', which whoever keeps both references has measured,
//!
//! ```text
//! theta' = REF' - RAW = theta - delta                                  at the same moment
//! d theta' / d RAW    = d theta / d RAW - d delta / d REF' (1 + d theta' / d RAW)
//! ```
//!
//! Only the hard bounds are handed over. What paths are like says nothing of the paths to the other reference, so the other
//! classes begin as wide.

use syncline_timebase::{Instant, Raw, Span};

use super::Hull;
use super::bounds::{Bounds, Rate, Rates, Theta, up};
use super::live::NewState;
use super::state::{Known, State};

impl Hull {
    /// Theta against another reference REF', where `link` holds the bounds of delta by REF' in the place of RAW. `None` where
    /// nothing is known, or one of the three clocks may have been disrupted since, or the link says nothing of this epoch.
    pub(crate) fn handed_over(&self, link: &Self) -> Option<Self> {
        let (newest, linked) = (self.live.undoubted()?, link.live.undoubted()?);
        let (last, epoch) = self.on_other(newest, None, link)?;
        if epoch != linked.epoch {
            return None;
        }
        let mut history = self.history.emptied();
        for (before, state) in self.history.of_epoch(newest.epoch) {
            match self.on_other(state, before.map(|before| before.at), link) {
                // What the link says of before its own disruption is of other clocks.
                Some((state, its_epoch)) if its_epoch == epoch => history.push(NewState::Next(state)),
                // Rates hold since the state before, so that none may be missing.
                _ => history = history.emptied(),
            }
        }
        // A disruption that the next exchange shows may be of either reference, and the link saw none until its own newest one.
        let seen_until = self.on_raw(link.live.newest_sent()?, &last);
        // The disruption that began this epoch may have been REF's: the link has to know REF as it was after that.
        let begun = history.begins_until(seen_until);
        begun.then(|| Self { tolerance: self.tolerance, live: self.live.going_on(last, seen_until), history })
    }

    /// A state by REF', and the link's epoch; its rates hold since `since`.
    fn on_other(&self, state: &State, since: Option<Instant<Raw>>, link: &Self) -> Option<(State, u32)> {
        let (delta, known) = self.delta_at(state, link)?;
        let hard = state.bounds.hard.minus(delta);
        let stretch = since.map_or(Span::ZERO, |since| state.at - since);
        let moves = known.rates.firm.widened(link.tolerance.wander_over(stretch).ppb(), &link.tolerance);
        // They are told for each ns of REF', which runs at another rate than RAW by no more than an oscillator can.
        let scale = moves.low.abs().max(moves.high.abs()) * self.tolerance.absolute.ppb() * 1e-9;
        let firm = state.rates.firm.minus(moves).widened(scale, &self.tolerance);
        let bounds = Bounds { hard, budgeted: hard, tight: hard };
        // A disruption that only the link saw is one of theta' all the same.
        let epoch = state.epoch.saturating_add(known.epoch);
        Some((State { at: state.at, bounds, rates: Rates { firm, tight: firm }, epoch }, known.epoch))
    }

    /// Where delta was at the moment of `state`, by `link`; `None` where that was disrupted about then.
    fn delta_at(&self, state: &State, link: &Self) -> Option<(Theta, Known)> {
        let moved = |span: Span| up(link.tolerance.absolute.ppb(), span);
        // Which moment that is on REF' depends on delta itself: roughly by where delta is now.
        let newest = link.live.newest_state()?;
        let far = (moment(state, newest.bounds.hard) - newest.at).abs();
        let roughly = newest.bounds.hard.widened(moved(far));
        let at = moment(state, roughly);
        // The true moment is not even half as far from that.
        let off = Span::from_ns(width(state.bounds.hard).saturating_add(width(roughly)).saturating_add(1));
        let (earliest, latest) = (link.at(at - off)?, link.at(at + off)?);
        if earliest.disrupted || latest.disrupted || earliest.epoch != latest.epoch {
            return None;
        }
        let known = earliest.or(latest);
        Some((known.bounds.hard.widened(moved(off)), known))
    }

    /// Where an instant of REF' lies on RAW, at the earliest; not after `state`, which is by REF'.
    fn on_raw(&self, other: Instant<Raw>, state: &State) -> Instant<Raw> {
        let newest = Instant::from_ns(state.at.ns().saturating_add(state.bounds.hard.high));
        let elapsed = (newest - other).max(Span::ZERO);
        // 1 / (1 - x) < 1 + 2 x for what an oscillator can be off by.
        state.at - elapsed - Span::from_ns(up(2.0 * self.tolerance.absolute.ppb(), elapsed))
    }
}

/// The middle of where the moment of `state` may lie on REF' with REF - REF' in `delta`.
fn moment(state: &State, delta: Theta) -> Instant<Raw> {
    let theta = state.bounds.hard.minus(delta);
    let middle = theta.low.saturating_add_unsigned(theta.high.abs_diff(theta.low) / 2);
    Instant::from_ns(state.at.ns().saturating_add(middle))
}

fn width(theta: Theta) -> i64 {
    theta.high.saturating_sub(theta.low)
}

impl Theta {
    /// All differences.
    fn minus(self, other: Self) -> Self {
        Self { low: self.low.saturating_sub(other.high), high: self.high.saturating_sub(other.low) }
    }
}

impl Rate {
    /// All differences.
    fn minus(self, other: Self) -> Self {
        Self { low: self.low - other.high, high: self.high - other.low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tolerance;
    use crate::hull::{Exchange, Verdict};

    #[test]
    fn differences_hold_all_that_both_may_be() {
        let (one, other) = (Theta { low: 10, high: 12 }, Theta { low: -1, high: 5 });
        assert_eq!(one.minus(other), Theta { low: 5, high: 13 });
        let rate = Rate { low: 1.0, high: 2.0 }.minus(Rate { low: -1.0, high: 1.0 });
        assert_eq!(rate, Rate { low: 0.0, high: 3.0 });
    }

    #[test]
    fn the_moment_is_where_the_other_reference_was_then() {
        // REF = RAW + 1,000 +/- 2, REF - REF' = 300 +/- 1.
        let state = State {
            at: Instant::from_ns(50),
            bounds: Bounds::alike(Theta { low: 998, high: 1_002 }),
            rates: Rates::anything(&Tolerance::default()),
            epoch: 0,
        };
        assert_eq!(moment(&state, Theta { low: 299, high: 301 }), Instant::from_ns(750));
    }

    #[test]
    fn rates_hold_since_the_state_before() {
        let tolerance = Tolerance::default();
        let mut link = Hull::new(tolerance);
        for second in 0..3_000 {
            let at = |ns: i64| second * 1_000_000_000 + ns;
            let (received, replied) = (Instant::from_ns(at(5_000)), Instant::from_ns(at(6_000)));
            let (sent, returned) = (Instant::from_ns(at(0)), Instant::from_ns(at(11_000)));
            let exchange = Exchange { sent, received, replied, returned, slack: Span::ZERO };
            let checked = link.check(&exchange).unwrap();
            link.observe(&checked, Verdict::Consistent);
        }
        let state = State {
            at: Instant::from_ns(2_000_000_000_000),
            bounds: Bounds::alike(Theta { low: 0, high: 0 }),
            rates: Rates { firm: Rate { low: 0.0, high: 0.0 }, tight: Rate { low: 0.0, high: 0.0 } },
            epoch: 0,
        };
        let hull = Hull::new(tolerance);
        let width = |since: Option<Instant<Raw>>| {
            let (other, _) = hull.on_other(&state, since, &link).unwrap();
            other.rates.firm.high - other.rates.firm.low
        };
        // 1 ppm each way in 256 s, and twice as much in twice that.
        let more = width(Some(state.at - Span::from_s(512))) - width(None);
        assert!((1_999.0..2_003.0).contains(&more), "{more}");
        assert!(width(None) > 2_000.0);
    }
}
