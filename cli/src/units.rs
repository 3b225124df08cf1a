//! Nanoseconds and parts per billion as a person reads them.

pub(crate) use syncline_insight::span;

/// The unit of a magnitude: its name and the power of ten of its nanoseconds.
const UNITS: [(&str, u32); 4] = [("ns", 0), ("µs", 3), ("ms", 6), ("s", 9)];

/// An offset with as many digits as its bound is worth: `+3.000123 s` when it is known to 100 µs.
pub(crate) fn offset(ns: i64, bound_ns: Option<u64>) -> String {
    let size = ns.unsigned_abs();
    let (unit, power) = unit_of(size);
    let known = bound_ns.unwrap_or(size / 100).max(1);
    // One digit below the bound's first, so that rounding never hides what the bound allows to see.
    let decimals = power.saturating_sub(known.ilog10().saturating_sub(1)) as usize;
    let sign = if ns < 0 { '-' } else { '+' };
    format!("{sign}{:.decimals$} {unit}", size as f64 / 10f64.powi(power as i32))
}

/// `±120 µs`, or `unknown` where no bound holds.
pub(crate) fn bound(ns: Option<u64>) -> String {
    ns.map_or_else(|| "unknown".to_owned(), |ns| format!("±{}", span(ns)))
}

/// A frequency error in parts per million: `+12.345 ppm`.
pub(crate) fn ppm(ppb: i64) -> String {
    format!("{:+.3} ppm", ppb as f64 / 1e3)
}

/// A size in bytes: `1.5 GiB`.
pub(crate) fn bytes(size: u64) -> String {
    const KIB: f64 = 1024.0;
    let size = size as f64;
    if size >= KIB.powi(3) {
        format!("{:.1} GiB", size / KIB.powi(3))
    } else if size >= KIB.powi(2) {
        format!("{:.0} MiB", size / KIB.powi(2))
    } else {
        format!("{:.0} KiB", size / KIB)
    }
}

/// Reads a size such as `4096`, `256KiB`, `32MiB` or `4GiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let number_ends = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let scale: u64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// The largest unit of which `ns` is at least one, counting what rounds up to one.
fn unit_of(ns: u64) -> (&'static str, u32) {
    let at_least_one = |power: u32| {
        let one = 10u64.pow(power);
        ns >= one - one / 2000
    };
    UNITS.into_iter().rev().find(|(_, power)| at_least_one(*power)).unwrap_or(UNITS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_the_digits_their_bound_is_worth() {
        assert_eq!(offset(3_000_123_456, Some(150_000)), "+3.00012 s");
        assert_eq!(offset(-3_000_123_456, Some(150)), "-3.00012346 s");
        assert_eq!(offset(-42_000, Some(90_000)), "-42 µs");
        assert_eq!(offset(0, Some(10)), "+0 ns");
        assert_eq!(offset(1_500_000, None), "+1.500 ms");
        assert!(offset(i64::MIN, Some(u64::MAX)).ends_with(" s"));
    }

    #[test]
    fn bounds_and_rates() {
        assert_eq!(bound(Some(120_000)), "±120 µs");
        assert_eq!(bound(None), "unknown");
        assert_eq!(ppm(-12_345), "-12.345 ppm");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }
}
