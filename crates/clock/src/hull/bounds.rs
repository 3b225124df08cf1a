//! Intervals for theta and its rate, and how the one carries the other.

use serde::{Deserialize, Serialize};
use syncline_timebase::Span;

use crate::Tolerance;

/// An interval that holds theta, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Theta {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

/// An interval that holds the rate of theta, ppb.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Theta under each class of assumption; each interval lies within the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// Assumes the oscillator and the least delays.
    pub(crate) hard: Theta,
    /// Assumes in addition that paths are asymmetric by a share at most.
    pub(crate) budgeted: Theta,
    /// Assumes in addition that paths are symmetric.
    pub(crate) tight: Theta,
}

/// The rate of theta under each class of assumption. What a budget of asymmetry adds to the hard one is not worth
/// keeping: it narrows theta by a share of the round trip, where symmetry narrows it to the jitter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rates {
    /// Assumes what the hard and the budgeted theta do.
    pub(crate) firm: Rate,
    /// Assumes that the asymmetry of the path stays the same.
    pub(crate) tight: Rate,
}

impl Theta {
    /// What both hold; `None` where they contradict each other.
    pub(super) fn meet(self, other: Self) -> Option<Self> {
        let both = Self { low: self.low.max(other.low), high: self.high.min(other.high) };
        (both.low <= both.high).then_some(both)
    }

    /// What either holds.
    pub(crate) fn join(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// What both hold, or either where they contradict each other: then neither is believed alone.
    pub(super) fn meet_or_join(self, other: Self) -> Self {
        self.meet(other).unwrap_or_else(|| self.join(other))
    }

    /// How far apart two that contradict each other are; zero for others.
    pub(super) fn gap(self, other: Self) -> i64 {
        let apart = self.low.saturating_sub(other.high).max(other.low.saturating_sub(self.high));
        apart.max(0)
    }

    pub(super) fn widened(self, by_ns: i64) -> Self {
        Self { low: self.low.saturating_sub(by_ns), high: self.high.saturating_add(by_ns) }
    }

    /// So much later, with the rate anywhere in `rate` meanwhile.
    pub(super) fn later(self, rate: Rate, elapsed: Span) -> Self {
        Self {
            low: self.low.saturating_add(down(rate.low, elapsed)),
            high: self.high.saturating_add(up(rate.high, elapsed)),
        }
    }

    /// So much earlier, with the rate anywhere in `rate` meanwhile.
    pub(super) fn earlier(self, rate: Rate, elapsed: Span) -> Self {
        Self {
            low: self.low.saturating_sub(up(rate.high, elapsed)),
            high: self.high.saturating_sub(down(rate.low, elapsed)),
        }
    }

    /// The part of it within `outer`; all of `outer` where there is none.
    fn within(self, outer: Self) -> Self {
        self.meet(outer).unwrap_or(outer)
    }
}

impl Rate {
    /// All that an oscillator can be.
    pub(super) fn anything(tolerance: &Tolerance) -> Self {
        let most = tolerance.absolute.ppb();
        Self { low: -most, high: most }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    pub(super) fn widened(self, by_ppb: f64, tolerance: &Tolerance) -> Self {
        let most = tolerance.absolute.ppb();
        let within = |ppb: f64| ppb.max(-most).min(most);
        Self { low: within(self.low - by_ppb), high: within(self.high + by_ppb) }
    }
}

impl Bounds {
    #[cfg(test)]
    pub(super) fn alike(theta: Theta) -> Self {
        Self { hard: theta, budgeted: theta, tight: theta }
    }

    /// Combines two class by class.
    pub(super) fn with(self, other: Self, combine: impl Fn(Theta, Theta) -> Theta) -> Self {
        Self {
            hard: combine(self.hard, other.hard),
            budgeted: combine(self.budgeted, other.budgeted),
            tight: combine(self.tight, other.tight),
        }
    }

    /// Each class within the one before it.
    pub(super) fn nested(self) -> Self {
        let budgeted = self.budgeted.within(self.hard);
        Self { hard: self.hard, budgeted, tight: self.tight.within(budgeted) }
    }

    pub(super) fn later(self, rates: Rates, elapsed: Span) -> Self {
        let [hard, budgeted] = [self.hard, self.budgeted].map(|theta| theta.later(rates.firm, elapsed));
        Self { hard, budgeted, tight: self.tight.later(rates.tight, elapsed) }.nested()
    }

    pub(super) fn earlier(self, rates: Rates, elapsed: Span) -> Self {
        let [hard, budgeted] = [self.hard, self.budgeted].map(|theta| theta.earlier(rates.firm, elapsed));
        Self { hard, budgeted, tight: self.tight.earlier(rates.tight, elapsed) }.nested()
    }
}

impl Rates {
    pub(crate) fn anything(tolerance: &Tolerance) -> Self {
        let anything = Rate::anything(tolerance);
        Self { firm: anything, tight: anything }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self { firm: self.firm.union(other.firm), tight: self.tight.union(other.tight) }
    }

    pub(super) fn widened(self, by_ppb: f64, tolerance: &Tolerance) -> Self {
        Self { firm: self.firm.widened(by_ppb, tolerance), tight: self.tight.widened(by_ppb, tolerance) }
    }
}

/// Gain at `ppb` over `elapsed`, rounded up. (Where the processor need not have an instruction for it, `f64::ceil` is a
/// call, and there are some dozens for each exchange.)
pub(super) fn up(ppb: f64, elapsed: Span) -> i64 {
    let gain = ppb * 1e-9 * elapsed.ns() as f64;
    let whole = gain as i64;
    if (whole as f64) < gain { whole.saturating_add(1) } else { whole }
}

/// Gain at `ppb` over `elapsed`, rounded down.
pub(super) fn down(ppb: f64, elapsed: Span) -> i64 {
    up(-ppb, elapsed).saturating_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn theta(low: i64, high: i64) -> Theta {
        Theta { low, high }
    }

    #[test]
    fn what_contradicts_is_apart_by_its_gap_and_joined() {
        assert_eq!((theta(0, 5).meet(theta(3, 9)), theta(0, 5).gap(theta(3, 9))), (Some(theta(3, 5)), 0));
        assert_eq!((theta(0, 5).meet(theta(7, 9)), theta(7, 9).gap(theta(0, 5))), (None, 2));
        assert_eq!(theta(0, 5).meet_or_join(theta(7, 9)), theta(0, 9));
        assert_eq!(theta(i64::MIN, i64::MIN + 1).gap(theta(i64::MAX, i64::MAX)), i64::MAX);
    }

    #[test]
    fn classes_stay_nested() {
        let bounds = Bounds { hard: theta(0, 10), budgeted: theta(-5, 4), tight: theta(6, 7) }.nested();
        assert_eq!(bounds, Bounds { hard: theta(0, 10), budgeted: theta(0, 4), tight: theta(0, 4) });
    }

    #[test]
    fn there_and_back_again_holds_what_it_held() {
        let (rate, second) = (Rate { low: -1_000.0, high: 3_000.0 }, Span::from_s(1));
        let back = theta(10, 20).later(rate, second).earlier(rate, second);
        // Rounded outwards by 1 ns each time.
        assert!((-3_992..=-3_990).contains(&back.low) && (4_020..=4_022).contains(&back.high), "{back:?}");
    }
}
