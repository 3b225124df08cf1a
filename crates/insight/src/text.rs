//! Numbers as a person reads them.

/// The unit of a magnitude: its name and the power of ten of its nanoseconds.
const UNITS: [(&str, i32); 4] = [("ns", 0), ("µs", 3), ("ms", 6), ("s", 9)];

/// A length of time with three significant digits: `1.23 ms`.
#[must_use]
pub fn span(ns: u64) -> String {
    let (unit, power) = UNITS.into_iter().rev().find(|(_, power)| is_at_least_one(ns, *power)).unwrap_or(UNITS[0]);
    let value = ns as f64 / 10f64.powi(power);
    let decimals = if power == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {unit}")
}

/// `1 wait`, `2 waits`.
#[must_use]
pub fn waits(count: u64) -> String {
    if count == 1 { "1 wait".to_owned() } else { format!("{count} waits") }
}

/// What stands below a table of sites that leaves some out: `and 1 site more`.
#[must_use]
pub fn and_more(sites: u64) -> Option<String> {
    match sites {
        0 => None,
        1 => Some("and 1 site more".to_owned()),
        sites => Some(format!("and {sites} sites more")),
    }
}

/// Whether `ns` is one of the unit, counting what rounds up to one.
fn is_at_least_one(ns: u64, power: i32) -> bool {
    let one = 10u64.pow(power.unsigned_abs());
    ns >= one - one / 2000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_three_digits_and_change_the_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_234_567, "1.23 ms"),
            (12_345_678, "12.3 ms"),
            (123_456_789, "123 ms"),
            (999_700_000, "1.00 s"),
            (62_000_000_000, "62.0 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(span(ns), text);
        }
        assert!(span(u64::MAX).ends_with(" s"));
    }

    #[test]
    fn one_wait_is_one() {
        assert_eq!([0, 1, 2].map(waits), ["0 waits", "1 wait", "2 waits"]);
        assert_eq!([1, 2].map(|sites| and_more(sites).unwrap()), ["and 1 site more", "and 2 sites more"]);
        assert_eq!(and_more(0), None);
    }
}
