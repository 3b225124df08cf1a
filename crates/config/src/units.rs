//! Durations, sizes and frequencies as people type them.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SIZE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];

/// Reads `250us`, `1ms`, `2s`, `1.5s`.
///
/// # Errors
/// What is wrong, with an example.
pub fn duration(text: &str) -> Result<Duration, String> {
    let help = || format!("{text:?} is no duration: a number and one of ns, us, ms, s, m, h, as in 250us or 1.5s");
    let (number, unit_ns) = split(text, &DURATION_UNITS).ok_or_else(help)?;
    Ok(Duration::from_nanos(scaled(number, unit_ns).ok_or_else(help)?))
}

/// The duration as [`duration`] reads it, exactly: `250us`, `1.5s`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let fits = |unit: &&(&str, u64)| ns >= u128::from(unit.1);
    // Seconds rather than minutes: 90s is told as such.
    let (name, unit) = DURATION_UNITS[..4].iter().rev().find(fits).unwrap_or(&("s", 1_000_000_000));
    let (whole, rest) = (ns / u128::from(*unit), ns % u128::from(*unit));
    let width = unit.ilog10() as usize;
    let decimals = if rest == 0 { String::new() } else { format!(".{rest:0width$}").trim_end_matches('0').to_owned() };
    format!("{whole}{decimals}{name}")
}

/// Reads `4096`, `256KiB`, `32MiB`, `1GiB`.
///
/// # Errors
/// What is wrong, with an example.
pub fn bytes(text: &str) -> Result<u64, String> {
    let help = || format!("{text:?} is no size: a number, or a number and one of KiB, MiB, GiB, as in 32MiB");
    let (number, unit) = split(text, &SIZE_UNITS).ok_or_else(help)?;
    scaled(number, unit).ok_or_else(help)
}

/// Reads `5ppm`, `0.5ppm`, in ppb.
///
/// # Errors
/// What is wrong, with an example.
pub fn frequency_ppb(text: &str) -> Result<u64, String> {
    let help = || format!("{text:?} is no frequency error: a number and ppm, as in 5ppm or 0.5ppm");
    thousandths(text, "ppm").filter(|ppb| *ppb <= 1_000_000_000).ok_or_else(help)
}

/// A number with at most three decimals and its unit, in thousandths.
pub(crate) fn thousandths(text: &str, unit: &str) -> Option<u64> {
    let number = text.strip_suffix(unit)?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 3 {
        return None;
    }
    let decimals: u64 = format!("{decimals:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(decimals)
}

fn split<'t>(text: &'t str, units: &[(&str, u64)]) -> Option<(&'t str, u64)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    Some((number, *scale))
}

/// `number`, with at most nine decimals, times `unit`, exactly.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if decimals.is_empty() || decimals.len() > 9 {
        return None;
    }
    let parts = decimals.parse::<u64>().ok()?.checked_mul(10u64.pow(9 - u32::try_from(decimals.len()).ok()?))?;
    let fraction = u128::from(parts) * u128::from(unit) / 1_000_000_000;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
}

/// An address and a port of this or another machine; names are not looked up.
///
/// # Errors
/// It is none.
pub fn socket_address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no ADDRESS:PORT, as 127.0.0.1:9464 and [::1]:9464 are; names are not looked up")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_typed() {
        for (text, ns) in [("1ms", 1_000_000), ("250us", 250_000), ("2s", 2_000_000_000), ("1.5s", 1_500_000_000)] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
        assert_eq!(duration("0ns"), Ok(Duration::ZERO));
        assert_eq!(duration("2 m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "1ns", "999ns", "250us", "1ms", "1.5ms", "1.000001ms", "1.5s", "90s", "3600s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read_as_typed() {
        for (text, size) in [("4096", 4_096), ("256KiB", 262_144), ("32MiB", 32 << 20), ("0.5GiB", 1 << 29)] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_and_does_not_overflow() {
        for text in
            ["", "5", "ms", "-1ms", "1.s", "1.1.1s", "1e9s", "99999999999999999999s", "1d", "18446744073709551615s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "1MB", "x", "18446744073709551615GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_with_their_unit_exactly() {
        for (text, unit, value) in [
            ("5ppm", "ppm", Some(5_000)),
            ("0.5 ppm", "ppm", Some(500)),
            ("80%", "%", Some(80_000)),
            ("99.9%", "%", Some(99_900)),
            ("5", "ppm", None),
            ("-5ppm", "ppm", None),
            ("+5ppm", "ppm", None),
            (".5ppm", "ppm", None),
            ("1.0001ppm", "ppm", None),
            ("99999999999999999999ppm", "ppm", None),
        ] {
            assert_eq!(thousandths(text, unit), value, "{text}");
        }
    }
}
