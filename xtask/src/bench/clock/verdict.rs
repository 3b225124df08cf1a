//! Figures as they are written, and what was to be reached beside what was.

use syncline_sim::profile::Quantiles;

use super::super::statistics::whole;

/// Nanoseconds as microseconds, to three digits or so.
pub(super) fn us(ns: f64) -> String {
    let us = ns / 1e3;
    match () {
        () if !us.is_finite() => "?".to_owned(),
        () if us.abs() < 10.0 => format!("{us:.2}"),
        () if us.abs() < 100.0 => format!("{us:.1}"),
        () => whole(us),
    }
}

/// `p99 / p99.9`, us.
pub(super) fn tail(errors: &Quantiles) -> String {
    format!("{} / {}", us(errors.p99_ns), us(errors.p999_ns))
}

/// A share, in percent. Never rounded up to all.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "?".to_owned();
    }
    let percent = share * 100.0;
    if percent >= 100.0 { "100 %".to_owned() } else { format!("{:.4} %", (percent * 1e4).floor() / 1e4) }
}

/// `met`, or what is missed and by how much.
pub(super) fn at_most(reached: &[(f64, f64)]) -> String {
    let missed = reached.iter().filter(|(reached_us, target_us)| reached_us.is_nan() || reached_us > target_us);
    join(missed.map(|(reached_us, target_us)| format!("{} against {}", us(reached_us * 1e3), short(*target_us))))
}

/// A share with `met`, or what it falls short of.
pub(super) fn at_least(share: f64, target: f64) -> String {
    let verdict = if share >= target { "met".to_owned() } else { format!("missed: {} wanted", percent(target)) };
    format!("{} ({verdict})", percent(share))
}

/// Without digits that say nothing.
pub(super) fn short(number: f64) -> String {
    if number >= 1_000.0 { whole(number) } else { number.to_string() }
}

fn join(missed: impl Iterator<Item = String>) -> String {
    let missed: Vec<String> = missed.collect();
    if missed.is_empty() { "met".to_owned() } else { format!("missed: {}", missed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_about_three_digits() {
        assert_eq!([1_234.0, 12_345.0, 1_234_567.0, f64::NAN].map(us), ["1.23", "12.3", "1,235", "?"]);
        let errors = Quantiles { p50_ns: 0.0, p99_ns: 1_300.0, p999_ns: 2_000.0, max_ns: 0.0 };
        assert_eq!(tail(&errors), "1.30 / 2.00");
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!([1.0, 0.999_999_9, 0.9997, f64::NAN].map(percent), ["100 %", "99.9999 %", "99.9700 %", "?"]);
    }

    #[test]
    fn a_miss_says_by_how_much() {
        assert_eq!(at_most(&[(1.2, 1.3), (2.0, 2.0)]), "met");
        assert_eq!(at_most(&[(6.1, 4.0), (54.0, 55.0)]), "missed: 6.10 against 4");
        assert_eq!(at_most(&[(600.0, 500.0), (f64::NAN, 1_500.0)]), "missed: 600 against 500, ? against 1,500");
        assert_eq!(at_least(1.0, 1.0), "100 % (met)");
        assert_eq!(at_least(0.9995, 0.9997), "99.9500 % (missed: 99.9700 % wanted)");
    }
}
