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
        units::frequency_ppb(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A share in percent, as `80%` or `0.5%`, up to 100%; holds per mille.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentText(pub u32);

impl<'de> Deserialize<'de> for PercentText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let permille = units::thousandths(&text, "%").filter(|thousandths| thousandths % 100 == 0).map(|all| all / 100);
        let permille = permille.filter(|permille| *permille <= 1_000).and_then(|permille| u32::try_from(permille).ok());
        permille.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no share: 0% to 100%, with one decimal at most, as in 80%"))
        })
    }
}
