//! Frequency errors.

use crate::Span;

/// How much faster one clock runs than another, in parts per billion (1 ppb = 1 ns gained per second).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FrequencyError(f64);

impl FrequencyError {
    /// Both clocks run alike.
    pub const ZERO: Self = Self(0.0);

    /// A frequency error of `ppb` parts per billion; a NaN counts as zero.
    pub const fn from_ppb(ppb: f64) -> Self {
        Self(if ppb.is_nan() { 0.0 } else { ppb })
    }

    /// A frequency error of `ppm` parts per million.
    pub const fn from_ppm(ppm: f64) -> Self {
        Self::from_ppb(ppm * 1e3)
    }

    /// Parts per billion.
    pub const fn ppb(self) -> f64 {
        self.0
    }

    /// What the faster clock gains over `elapsed`, rounded to the nearest nanosecond.
    pub fn gained_over(self, elapsed: Span) -> Span {
        // `as` saturates, which is what a span does.
        Span::from_ns((self.0 * 1e-9 * elapsed.ns() as f64).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ppm_gains_a_microsecond_a_second() {
        assert_eq!(FrequencyError::from_ppm(1.0).gained_over(Span::from_s(1)), Span::from_ns(1_000));
        assert_eq!(FrequencyError::from_ppm(-2.0).gained_over(Span::from_s(3)), Span::from_ns(-6_000));
    }

    #[test]
    fn absurd_rates_saturate() {
        assert_eq!(FrequencyError::from_ppb(f64::INFINITY).gained_over(Span::from_s(1)), Span::MAX);
        assert_eq!(FrequencyError::from_ppb(f64::NAN), FrequencyError::ZERO);
    }
}
