//! Values of a file that people write with a unit.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units;

/// A duration, written as people type it: `250us`, `1.5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationText(pub Duration);

impl DurationText {
    /// In ns; what does not fit is as long as can be.
    #[must_use]
    pub fn ns(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::duration_text(self.0))
    }
}

/// A frequency error in ppm, as `5ppm` or `0.5ppm`; holds ppb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PpmText(pub u64);

impl<'de> Deserialize<'de> for PpmText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        thousandths(&text, "ppm").filter(|ppb| *ppb <= 1_000_000_000).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no frequency error: a number and ppm, as in 5ppm or 0.5ppm"))
        })
    }
}

/// A share in percent, as `80%` or `0.5%`, up to 100%; holds per mille.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentText(pub u32);

impl<'de> Deserialize<'de> for PercentText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let permille = thousandths(&text, "%").filter(|thousandths| thousandths % 100 == 0).map(|all| all / 100);
        let permille = permille.filter(|permille| *permille <= 1_000).and_then(|permille| u32::try_from(permille).ok());
        permille.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no share: 0% to 100%, with one decimal at most, as in 80%"))
        })
    }
}

/// A number with at most three decimals and its unit, in thousandths.
fn thousandths(text: &str, unit: &str) -> Option<u64> {
    let number = text.strip_suffix(unit)?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 3 {
        return None;
    }
    let decimals: u64 = format!("{decimals:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

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
