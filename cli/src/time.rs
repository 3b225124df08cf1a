//! Times as people type and read them. All are instants of the fleet's one clock, in nanoseconds since the Unix epoch.

use std::fmt;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// What may be typed, for help and errors.
pub(crate) const FORMS: &str = "RFC 3339 (2026-11-23T14:05:00.25Z), HH:MM:SS[.fff] (today, UTC), -30s or -5m (before now), now, or Unix s/ms/us/ns";

/// A text that is no time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotATime(String);

impl fmt::Display for NotATime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_calendar(&self.0) {
            return write!(out, "{:?} is outside of what can be asked for: 1678 to 2261", self.0);
        }
        write!(out, "{:?} is not a time; write {FORMS}", self.0)
    }
}

impl std::error::Error for NotATime {}

/// This machine's wall clock, which is near the fleet's.
pub(crate) fn now_ns() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or(0)
}

/// Reads a time; relative ones count from `now_ns`.
pub(crate) fn parse(text: &str, now_ns: i64) -> Result<i64, NotATime> {
    let text = text.trim();
    let found = if text == "now" {
        Some(now_ns)
    } else if let Some(back) = text.strip_prefix('-') {
        span(back).and_then(|ns| now_ns.checked_sub_unsigned(ns))
    } else if text.contains(':') {
        calendar(text, now_ns)
    } else {
        unix(text)
    };
    found.ok_or_else(|| NotATime(text.to_owned()))
}

/// Reads a length of time such as `1ms`, `1.5s`, `250us`, `2m`, `1h` or `0`, in nanoseconds.
pub(crate) fn span(text: &str) -> Option<u64> {
    let text = text.trim();
    if text == "0" {
        return Some(0);
    }
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(number_ends);
    decimal(number, unit_ns(unit.trim())?)
}

/// `2026-11-23 14:05:00.123456 UTC`.
pub(crate) fn date_and_time(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).format("%Y-%m-%d %H:%M:%S%.6f UTC").to_string()
}

/// `14:05:00.123456`, with the given number of decimals (0, 3, 6 or 9).
pub(crate) fn time_of_day(ns: i64, decimals: usize) -> String {
    let time = DateTime::from_timestamp_nanos(ns);
    let whole = time.format("%H:%M:%S");
    match decimals {
        0 => whole.to_string(),
        _ => format!("{whole}.{:.decimals$}", format!("{:09}", time.timestamp_subsec_nanos())),
    }
}

/// RFC 3339 with all nine decimals.
pub(crate) fn rfc3339(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}

/// Whether it is one of the calendar, whatever year it is of.
fn is_calendar(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
        || NaiveDateTime::parse_from_str(text.trim_end_matches(" UTC"), "%Y-%m-%d %H:%M:%S%.f").is_ok()
}

fn calendar(text: &str, now_ns: i64) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return time.timestamp_nanos_opt();
    }
    let time = NaiveDateTime::parse_from_str(text.trim_end_matches(" UTC"), "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .or_else(|| time_today(text, DateTime::from_timestamp_nanos(now_ns).date_naive()))?;
    time.and_utc().timestamp_nanos_opt()
}

fn time_today(text: &str, today: NaiveDate) -> Option<NaiveDateTime> {
    if text == "24:00:00" {
        return today.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0);
    }
    let time =
        NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M")).ok()?;
    Some(today.and_time(time))
}

/// A Unix time; the number of its whole digits tells the unit, for all instants from 2001 to 2286.
fn unix(text: &str) -> Option<i64> {
    let whole = text.find('.').unwrap_or(text.len());
    let unit = match whole {
        9..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        18..=19 => 1,
        _ => return None,
    };
    i64::try_from(decimal(text, unit)?).ok()
}

/// `number` times `unit` in whole nanoseconds; what is finer than a nanosecond is cut off.
fn decimal(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || ![whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    // The unit of a digit shrinks with its place; below a nanosecond it adds nothing.
    let parts = fraction.bytes().scan(u128::from(unit), |place, digit| {
        *place /= 10;
        Some(*place * u128::from(digit - b'0'))
    });
    whole.checked_add(u64::try_from(parts.sum::<u128>()).ok()?)
}

fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T14:05:00Z
    const NOW: i64 = 1_795_442_700_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("now", NOW),
            ("-30s", NOW - 30 * SECOND),
            ("-1.5m", NOW - 90 * SECOND),
            ("2026-11-23T14:05:00Z", NOW),
            ("2026-11-23T15:05:00.25+01:00", NOW + SECOND / 4),
            ("2026-11-23 14:05:00.5", NOW + SECOND / 2),
            ("14:05:01", NOW + SECOND),
            ("14:05:00.001", NOW + 1_000_000),
            ("14:06", NOW + 60 * SECOND),
            ("1795442700", NOW),
            ("1795442700.5", NOW + SECOND / 2),
            ("1795442700123", NOW + 123_000_000),
            ("1795442700123456", NOW + 123_456_000),
            ("1795442700123456789", NOW + 123_456_789),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "yesterday", "25:00:00", "-30", "-s", "12", "1795442700123456789012", "2026-13-01T00:00:00Z", "1.2.3"]
        {
            assert_eq!(parse(text, NOW), Err(NotATime(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn spans_are_read_exactly() {
        assert_eq!(span("1ms"), Some(1_000_000));
        assert_eq!(span("0.1 s"), Some(100_000_000));
        assert_eq!(span("1.000000001s"), Some(1_000_000_001));
        assert_eq!(span("0"), Some(0));
        for text in ["", "5", "ms", "1 week", "-1s", "1e3s", "99999999999999h"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_with_the_decimals_asked_for() {
        let ns = NOW + 123_456_789;
        assert_eq!(time_of_day(ns, 0), "14:05:00");
        assert_eq!(time_of_day(ns, 3), "14:05:00.123");
        assert_eq!(time_of_day(ns, 9), "14:05:00.123456789");
        assert_eq!(date_and_time(ns), "2026-11-23 14:05:00.123456 UTC");
        assert_eq!(parse(&rfc3339(ns), 0), Ok(ns));
    }

    #[test]
    fn a_time_that_is_too_far_away_is_told_from_one_that_is_none() {
        let said = |text: &str| parse(text, NOW).unwrap_err().to_string();
        for far in ["1500-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "2300-01-01 00:00:00", "1500-01-01 00:00:00.5 UTC"]
        {
            assert!(said(far).ends_with("is outside of what can be asked for: 1678 to 2261"), "{}", said(far));
        }
        assert!(said("2300-13-01T00:00:00Z").contains("is not a time"));
    }
}
