//! Error bounds and the brackets they make.

use crate::{Instant, Scale, Span};

/// Half the width of an interval that holds the truth, in nanoseconds. Absolute, unlike a standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ErrorBound(u64);

impl ErrorBound {
    /// Exact.
    pub const ZERO: Self = Self(0);
    /// Nothing is known.
    pub const UNBOUNDED: Self = Self(u64::MAX);

    /// A bound of `ns` nanoseconds either way.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds either way; `u64::MAX` where nothing is known.
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// False for [`ErrorBound::UNBOUNDED`].
    pub const fn is_bounded(self) -> bool {
        self.0 != u64::MAX
    }

    /// The bound of a sum of two quantities with these bounds.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    fn as_span(self) -> Span {
        Span::from_ns(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

/// An interval of a scale that holds one instant: `earliest <= truth <= latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket<S: Scale> {
    /// The truth is not before this.
    pub earliest: Instant<S>,
    /// The truth is not after this.
    pub latest: Instant<S>,
}

impl<S: Scale> Bracket<S> {
    /// The interval of `bound` around `centre`.
    pub fn around(centre: Instant<S>, bound: ErrorBound) -> Self {
        Self { earliest: centre - bound.as_span(), latest: centre + bound.as_span() }
    }

    /// Whether `instant` is inside, ends included.
    pub fn contains(&self, instant: Instant<S>) -> bool {
        self.earliest <= instant && instant <= self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;

    #[test]
    fn a_bracket_holds_its_ends_and_nothing_beyond() {
        let bracket = Bracket::around(Instant::<Reference>::from_ns(100), ErrorBound::from_ns(10));
        assert!(bracket.contains(Instant::from_ns(90)) && bracket.contains(Instant::from_ns(110)));
        assert!(!bracket.contains(Instant::from_ns(89)) && !bracket.contains(Instant::from_ns(111)));
    }

    #[test]
    fn unbounded_holds_everything_and_stays_unbounded() {
        let bracket = Bracket::around(Instant::<Reference>::from_ns(-5), ErrorBound::UNBOUNDED);
        assert!(bracket.contains(Instant::from_ns(i64::MAX - 5)) && bracket.contains(Instant::from_ns(i64::MIN + 5)));
        assert!(!ErrorBound::UNBOUNDED.plus(ErrorBound::from_ns(1)).is_bounded());
    }
}
