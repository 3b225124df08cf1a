//! Values of a file that people write with a unit.

use std::fmt;
use std::time::Duration;

use serde::de::Visitor;
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

/// Reads a text, or what somebody wrote without a unit, which is told as such.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Written;
    impl Visitor<'_> for Written {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text with a number and its unit")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_u64<E>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_f64<E>(self, number: f64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    deserializer.deserialize_any(Written)
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
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
        let text = text(deserializer)?;
        units::frequency_ppb(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A share in percent, as `80%` or `0.5%`, up to 100%; holds per mille.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentText(pub u32);

impl<'de> Deserialize<'de> for PercentText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
        let permille = units::thousandths(&text, "%").filter(|thousandths| thousandths % 100 == 0).map(|all| all / 100);
        let permille = permille.filter(|permille| *permille <= 1_000).and_then(|permille| u32::try_from(permille).ok());
        permille.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no share: 0% to 100%, with one decimal at most, as in 80%"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    #[test]
    fn a_number_without_its_unit_is_told_what_to_write() {
        #[derive(Debug, Deserialize)]
        struct Top {
            quiet: Option<DurationText>,
            drift: Option<PpmText>,
            clear: Option<PercentText>,
        }
        let read = |text: &str| Document::parse("a.toml", text, &[]).unwrap().read::<Top>(&["quiet", "drift", "clear"]);
        let Top { quiet, drift, clear } = read("quiet = \"10m\"\ndrift = \"5ppm\"\nclear = \"80%\"").unwrap();
        assert_eq!((quiet.unwrap().ns(), drift.unwrap().0, clear.unwrap().0), (600_000_000_000, 5_000, 800));
        for (text, told) in [
            ("quiet = 10", "a.toml:1:9: \"10\" is no duration: a number and one of ns, us, ms, s, m, h"),
            ("quiet = -1.5", "a.toml:1:9: \"-1.5\" is no duration"),
            ("drift = 5", "a.toml:1:9: \"5\" is no frequency error: a number and ppm"),
            ("clear = 80", "a.toml:1:9: \"80\" is no share: 0% to 100%"),
            ("quiet = true", "a.toml:1:9: invalid type: boolean `true`, expected a text with a number and its unit"),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.starts_with(told), "{problem}");
        }
    }
}
