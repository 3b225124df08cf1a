//! Instants on a scale, spans between them, offsets between scales.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Add, Neg, Sub};

/// A time scale: a type-level name, never a value.
pub trait Scale: Copy + 'static {
    /// Short name, as used in messages.
    const NAME: &'static str;
}

macro_rules! scale {
    ($name:ident, $text:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {}
        impl Scale for $name {
            const NAME: &'static str = $text;
        }
    };
}
scale!(Mono, "mono", "A node's `CLOCK_MONOTONIC`: steered in rate, never stepped.");
scale!(Raw, "raw", "A node's `CLOCK_MONOTONIC_RAW`: the bare oscillator.");
scale!(Wall, "wall", "A node's `CLOCK_REALTIME`: steered and stepped.");
scale!(Reference, "reference", "The region's reference time.");

/// A signed length of time in nanoseconds, measured on whichever scale its context names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span.
    pub const MAX: Self = Self(i64::MAX);

    /// A span of `ns` nanoseconds.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// A span of `ms` milliseconds, saturating.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// A span of `s` seconds, saturating.
    pub const fn from_s(s: i64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// The span without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Span {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// A point on scale `S`, in nanoseconds from that scale's own origin (boot for [`Mono`] and [`Raw`], 1970 for
/// [`Wall`] and [`Reference`]).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(bound = ""))]
pub struct Instant<S: Scale> {
    ns: i64,
    scale: PhantomData<S>,
}

impl<S: Scale> Instant<S> {
    /// The instant `ns` nanoseconds after the scale's origin.
    pub const fn from_ns(ns: i64) -> Self {
        Self { ns, scale: PhantomData }
    }

    /// Nanoseconds since the scale's origin.
    pub const fn ns(self) -> i64 {
        self.ns
    }

    /// The signed time from `earlier` to `self`, saturating.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.ns.saturating_sub(earlier.ns))
    }

    /// The offset that leads from this instant to `there`, an instant of another scale that is the same moment.
    pub const fn offset_to<T: Scale>(self, there: Instant<T>) -> Offset<S, T> {
        Offset::from_ns(there.ns.saturating_sub(self.ns))
    }
}

impl<S: Scale> Add<Span> for Instant<S> {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self::from_ns(self.ns.saturating_add(span.0))
    }
}

impl<S: Scale> Sub<Span> for Instant<S> {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self::from_ns(self.ns.saturating_sub(span.0))
    }
}

impl<S: Scale> Sub for Instant<S> {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        self.since(earlier)
    }
}

/// What must be added to an instant of `From` to name the same moment on `To`, in nanoseconds.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(bound = ""))]
pub struct Offset<From: Scale, To: Scale> {
    ns: i64,
    scales: PhantomData<(From, To)>,
}

impl<From: Scale, To: Scale> Offset<From, To> {
    /// An offset of `ns` nanoseconds.
    pub const fn from_ns(ns: i64) -> Self {
        Self { ns, scales: PhantomData }
    }

    /// Nanoseconds.
    pub const fn ns(self) -> i64 {
        self.ns
    }

    /// The way on to a third scale.
    #[must_use]
    pub const fn then<Next: Scale>(self, next: Offset<To, Next>) -> Offset<From, Next> {
        Offset::from_ns(self.ns.saturating_add(next.ns))
    }

    /// The way back.
    #[must_use]
    pub const fn inverse(self) -> Offset<To, From> {
        Offset::from_ns(self.ns.saturating_neg())
    }
}

impl<From: Scale, To: Scale> Add<Offset<From, To>> for Instant<From> {
    type Output = Instant<To>;
    fn add(self, offset: Offset<From, To>) -> Instant<To> {
        Instant::from_ns(self.ns.saturating_add(offset.ns))
    }
}

// Derives would ask the marker types for the traits, so the value traits are written out.

impl<S: Scale> Clone for Instant<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Scale> Copy for Instant<S> {}
impl<S: Scale> PartialEq for Instant<S> {
    fn eq(&self, other: &Self) -> bool {
        self.ns == other.ns
    }
}
impl<S: Scale> Eq for Instant<S> {}
impl<S: Scale> PartialOrd for Instant<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<S: Scale> Ord for Instant<S> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ns.cmp(&other.ns)
    }
}
impl<S: Scale> Hash for Instant<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ns.hash(state);
    }
}
impl<S: Scale> fmt::Debug for Instant<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}ns", S::NAME, self.ns)
    }
}

impl<From: Scale, To: Scale> Clone for Offset<From, To> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<From: Scale, To: Scale> Copy for Offset<From, To> {}
impl<From: Scale, To: Scale> PartialEq for Offset<From, To> {
    fn eq(&self, other: &Self) -> bool {
        self.ns == other.ns
    }
}
impl<From: Scale, To: Scale> Eq for Offset<From, To> {}
impl<From: Scale, To: Scale> fmt::Debug for Offset<From, To> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}:{}ns", From::NAME, To::NAME, self.ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_leads_to_the_other_scale_and_back() {
        let mono = Instant::<Mono>::from_ns(5);
        let wall = Instant::<Wall>::from_ns(1_000);
        let offset = mono.offset_to(wall);
        assert_eq!(mono + offset, wall);
        assert_eq!(wall + offset.inverse(), mono);
    }

    #[test]
    fn offsets_compose() {
        let to_raw = Offset::<Mono, Raw>::from_ns(7);
        let to_reference = Offset::<Raw, Reference>::from_ns(100);
        assert_eq!(Instant::<Mono>::from_ns(1) + to_raw.then(to_reference), Instant::from_ns(108));
    }

    #[test]
    fn arithmetic_saturates_at_the_edges() {
        let last = Instant::<Mono>::from_ns(i64::MAX);
        let first = Instant::<Mono>::from_ns(i64::MIN);
        assert_eq!(last - first, Span::MAX);
        assert_eq!(last + Span::from_ns(1), last);
        assert_eq!(Span::from_ns(i64::MIN).abs(), Span::MAX);
        assert_eq!(-Span::from_ns(i64::MIN), Span::MAX);
    }
}
