//! Few numbers from many.

use std::fmt;

/// The median of some rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of no numbers: all NaN, which no table hides.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some((&min, &max)) = sorted.first().zip(sorted.last()) else {
            return Self { median: f64::NAN, min: f64::NAN, max: f64::NAN };
        };
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { median: f64::midpoint(low, high), min, max }
    }

    /// All three multiplied.
    pub(crate) fn times(self, factor: f64) -> Self {
        let (one, other) = (self.min * factor, self.max * factor);
        Self { median: self.median * factor, min: one.min(other), max: one.max(other) }
    }

    /// To all three so much is added.
    pub(crate) fn plus(self, more: f64) -> Self {
        Self { median: self.median + more, min: self.min + more, max: self.max + more }
    }

    /// As `median (min to max)`, each with as many digits as say something.
    pub(crate) fn short(self) -> String {
        format!("{} ({} to {})", short(self.median), short(self.min), short(self.max))
    }
}

impl fmt::Display for Spread {
    /// As `median (min to max)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {})", whole(self.median), whole(self.min), whole(self.max))
    }
}

/// The least that so large a share of the pool does not exceed; NaN of an empty one.
pub(crate) fn quantile(pool_ns: &[f32], share: f64) -> f64 {
    let mut pool_ns = pool_ns.to_vec();
    let rank = ((share * pool_ns.len() as f64).ceil() as usize).saturating_sub(1);
    if rank >= pool_ns.len() {
        return f64::NAN;
    }
    f64::from(*pool_ns.select_nth_unstable_by(rank, f32::total_cmp).1)
}

/// With as many digits as say something.
fn short(number: f64) -> String {
    match number.abs() {
        ..1.0 => format!("{number:.2}"),
        1.0..100.0 => format!("{number:.1}"),
        _ => whole(number),
    }
}

/// Rounded, with a comma between thousands.
pub(crate) fn whole(number: f64) -> String {
    if !number.is_finite() {
        return "?".to_owned();
    }
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).median, 2.5);
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn quantiles_are_of_the_pool() {
        let pool: Vec<f32> = (1_u16..=200).rev().map(f32::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&pool, share)), [1.0, 100.0, 198.0, 200.0]);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn digits_say_something() {
        assert_eq!(Spread { median: 12.34, min: -0.123, max: 1_234.5 }.short(), "12.3 (-0.12 to 1,234)");
        assert_eq!(Spread::of([]).short(), "? (? to ?)");
    }

    #[test]
    fn the_least_is_the_least_whatever_is_done() {
        let lost = Spread { median: 0.75, min: 0.0, max: 1.0 }.times(-1.0).plus(1.0);
        assert_eq!(lost, Spread { median: 0.25, min: 0.0, max: 1.0 });
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(whole(1_234_567.4), "1,234,567");
        assert_eq!(whole(-1_234.0), "-1,234");
        assert_eq!(whole(-0.2), "0");
        assert_eq!(whole(999.6), "1,000");
        assert_eq!(whole(f64::NAN), "?");
    }
}
