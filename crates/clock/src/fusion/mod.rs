//! Clocks against each other: the references of regions, and UTC.
//!
//! Every measurement says something of the difference of two clocks at one instant: a link between two regions, or what a
//! region claims of UTC, which is a clock like the others here. Two things are made of them:
//!
//! ```text
//! constraints ─┬─► closure   x_to - x_from <= high for each: all-pairs shortest paths are the tightest sound bounds
//!              │                (simple temporal networks: Dechter, Meiri, Pearl, Artificial Intelligence 49, 1991)
//!              │       └─► a negative cycle proves that one of its constraints is false ──► falsehood: which
//!              └─► points    least squares with Cauchy's weights, clamped into the closure
//! ```
//!
//! A bound of a link is half its round trip, whatever is believed of symmetry. Claims are believed as they stand until a
//! cycle of bounds contradicts one. A lie that is smaller than the slack of all cycles through it cannot be proved.

mod calibration;
mod closure;
mod falsehood;
mod points;

pub use calibration::Calibration;

use closure::Closure;
use points::Points;
use syncline_timebase::Span;

/// Clocks that can be fused at once. Looking for false claims takes their number to the fourth power: with links between all,
/// 64 take 0.07 s, 128 a second and 256 a quarter of a minute.
pub const MOST_CLOCKS: usize = 128;

/// What a constraint rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Measured by exchanges: false only if an oscillator or a path is not what the tolerance says.
    Link,
    /// Said by somebody.
    Claim,
}

/// A difference of two clocks lies in here, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// At least.
    pub low: Span,
    /// At most.
    pub high: Span,
}

/// One clock against another at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constraint {
    /// Clocks by number, below the number of clocks fused.
    pub from: usize,
    /// Likewise, another.
    pub to: usize,
    /// What it rests on.
    pub kind: Kind,
    /// `to` - `from` is in here, if it is true.
    pub hard: Interval,
    /// The estimate of it.
    pub point: Span,
    /// Standard deviation of that, ns; more than 0.
    pub deviation_ns: f64,
}

/// All clocks against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    closure: Closure,
    points: Points,
    /// Constraints that were left out because they cannot all be true, by their place among those given.
    pub falsehoods: Vec<Falsehood>,
}

/// A constraint that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Falsehood {
    /// Its place among those given.
    pub place: usize,
    /// Without it alone the others can be true, and without no other alone: proved. Otherwise it is the least likely.
    pub is_proved: bool,
    /// It is off by at least so much, if the others are true; zero where their bounds do not contradict it.
    pub off_by: Span,
}

/// Why nothing can be fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FusionError {
    /// More than [`MOST_CLOCKS`].
    #[error("{0} clocks cannot be fused at once, {MOST_CLOCKS} can")]
    TooMany(usize),
    /// A constraint is none.
    #[error("constraint {0} is between no two clocks, or is empty, or has no deviation")]
    Malformed(usize),
}

/// Fuses `clocks` clocks.
///
/// # Errors
/// There are too many, or a constraint is none: it names a clock that is not there or one twice, its interval is empty, or
/// its deviation is no positive number.
pub fn fuse(clocks: usize, constraints: &[Constraint]) -> Result<Fused, FusionError> {
    if clocks > MOST_CLOCKS {
        return Err(FusionError::TooMany(clocks));
    }
    if let Some(place) = constraints.iter().position(|constraint| !constraint.is_sound(clocks)) {
        return Err(FusionError::Malformed(place));
    }
    let (kept, falsehoods) = falsehood::sieve(clocks, constraints);
    let closure = Closure::of(clocks, &kept);
    Ok(Fused { points: Points::of(clocks, &kept), closure, falsehoods })
}

impl Constraint {
    fn is_sound(&self, clocks: usize) -> bool {
        let between_two = self.from < clocks && self.to < clocks && self.from != self.to;
        let deviates = self.deviation_ns.is_finite() && self.deviation_ns > 0.0;
        between_two && deviates && self.hard.low <= self.hard.high
    }
}

impl Fused {
    /// What is known of `to` - `from`; `None` where no constraints lead from one to the other.
    pub fn bounds(&self, from: usize, to: usize) -> Option<Interval> {
        self.closure.interval(from, to)
    }

    /// The estimate of `to` - `from`, inside of [`Self::bounds`].
    pub fn point(&self, from: usize, to: usize) -> Option<Span> {
        let bounds = self.bounds(from, to)?;
        Some(self.points.apart(from, to).clamp(bounds.low, bounds.high))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    pub(super) fn link(from: usize, to: usize, low: i64, high: i64) -> Constraint {
        let hard = Interval { low: Span::from_ns(low), high: Span::from_ns(high) };
        let deviation_ns = ((high as f64 - low as f64) / 4.0).max(1.0);
        let point = Span::from_ns(low / 2 + high / 2 + (low % 2 + high % 2) / 2);
        Constraint { from, to, kind: Kind::Link, hard, point, deviation_ns }
    }

    pub(super) fn claim(from: usize, to: usize, low: i64, high: i64) -> Constraint {
        Constraint { kind: Kind::Claim, ..link(from, to, low, high) }
    }

    /// An estimate that no bound limits.
    pub(super) fn measured(from: usize, to: usize, point: i64, deviation_ns: f64) -> Constraint {
        Constraint { point: Span::from_ns(point), deviation_ns, ..link(from, to, i64::MIN, i64::MAX) }
    }

    #[test]
    fn a_point_stays_inside_the_bounds_of_all() {
        let fused = fuse(3, &[link(0, 1, 0, 10), Constraint { deviation_ns: 0.1, ..link(0, 1, 8, 100) }]).unwrap();
        assert_eq!(fused.bounds(0, 1), Some(Interval { low: Span::from_ns(8), high: Span::from_ns(10) }));
        assert_eq!(fused.point(0, 1), Some(Span::from_ns(10)));
        assert_eq!(fused.point(1, 0), Some(Span::from_ns(-10)));
        assert_eq!((fused.point(0, 2), fused.point(0, 7)), (None, None));
        assert_eq!(fused.point(0, 0), Some(Span::ZERO));
    }

    #[test]
    fn what_is_no_constraint_is_refused_by_its_place() {
        let good = link(0, 1, 0, 10);
        let mut bad = [good; 4];
        bad[0].to = 2;
        bad[1].to = 0;
        bad[2].hard.low = Span::from_ns(11);
        bad[3].deviation_ns = f64::NAN;
        for bad in bad {
            assert_eq!(fuse(2, &[good, bad]), Err(FusionError::Malformed(1)), "{bad:?}");
        }
        assert_eq!(fuse(MOST_CLOCKS + 1, &[]), Err(FusionError::TooMany(MOST_CLOCKS + 1)));
        assert!(fuse(0, &[]).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_that_anybody_says_makes_bounds_contradict_or_overflow(
            said in vec((0_usize..4, 0_usize..4, any::<bool>(), extreme(), extreme(), extreme(), 0.1..1e18), 0..12),
        ) {
            let constraint = |(from, to, is_claim, one, other, point, deviation_ns): (_, _, _, i64, i64, _, _)| {
                let hard = Interval { low: Span::from_ns(one.min(other)), high: Span::from_ns(one.max(other)) };
                let kind = if is_claim { Kind::Claim } else { Kind::Link };
                Constraint { from, to, kind, hard, point: Span::from_ns(point), deviation_ns }
            };
            let constraints: Vec<_> = said.into_iter().filter(|(from, to, ..)| from != to).map(constraint).collect();
            let fused = fuse(4, &constraints).unwrap();
            for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
                let Some(bounds) = fused.bounds(from, to) else { continue };
                prop_assert!(bounds.low <= bounds.high, "{bounds:?}");
                let point = fused.point(from, to).unwrap();
                prop_assert!(bounds.low <= point && point <= bounds.high, "{point:?} {bounds:?}");
            }
        }
    }

    /// Numbers at the edges as often as others.
    fn extreme() -> impl Strategy<Value = i64> {
        let near = |edge: i64| (-1_000_i64..1_000).prop_map(move |off| edge.saturating_add(off));
        prop_oneof![any::<i64>(), near(0), near(i64::MIN), near(i64::MAX), near(i64::MIN / 2), near(i64::MAX / 2)]
    }
}
