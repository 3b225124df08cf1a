//! What observing a process may cost it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PPM_PER_PERCENT: u64 = 10_000;
const MOST_PPM: u32 = 1_000_000;

/// The share of a process's own CPU time that its observation may take, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget(Option<NonZeroU32>);

impl Budget {
    /// No limit: everything is observed, whatever it costs.
    pub const OFF: Self = Self(None);
    /// 1 %.
    pub const DEFAULT: Self = Self(NonZeroU32::new(10_000));

    /// Parts in a million; None where there is no limit.
    #[must_use]
    pub fn ppm(self) -> Option<u32> {
        self.0.map(NonZeroU32::get)
    }

    /// What may be spent while the process uses that much CPU time and that much time goes by, ns; None where there is no limit. A
    /// thousandth of one CPU is always granted: a process that does next to nothing is observed in full.
    #[must_use]
    pub fn allowed_ns(self, cpu_ns: u64, span_ns: u64) -> Option<u64> {
        let share = u128::from(self.ppm()?) * u128::from(cpu_ns) / u128::from(MOST_PPM);
        Some(u64::try_from(share).unwrap_or(u64::MAX).max(span_ns / 1_000).max(1))
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help =
            || format!("{text:?} is no budget: a share of the process's CPU time from 0.01% to 100%, as 1%, or off");
        if text == "off" {
            return Ok(Self::OFF);
        }
        let number = text.strip_suffix('%').ok_or_else(help)?.trim_end();
        let ppm = percent_as_ppm(number).filter(|ppm| (100..=MOST_PPM).contains(ppm));
        ppm.and_then(NonZeroU32::new).map(|ppm| Self(Some(ppm))).ok_or_else(help)
    }
}

/// `number` has four decimals at most.
fn percent_as_ppm(number: &str) -> Option<u32> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let parts = format!("{decimals:0<4}").parse::<u64>().ok()?;
    u32::try_from(whole.parse::<u64>().ok()?.checked_mul(PPM_PER_PERCENT)?.checked_add(parts)?).ok()
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ppm) = self.ppm().map(u64::from) else { return f.write_str("off") };
        let (whole, rest) = (ppm / PPM_PER_PERCENT, ppm % PPM_PER_PERCENT);
        let decimals = if rest == 0 { String::new() } else { format!(".{rest:04}").trim_end_matches('0').to_owned() };
        write!(f, "{whole}{decimals}%")
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_written_as_it_is_read() {
        for text in ["off", "1%", "0.5%", "0.01%", "2.75%", "100%"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
        assert_eq!("1%".parse(), Ok(Budget::DEFAULT));
    }

    #[test]
    fn what_is_none_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "1",
            "%",
            "0%",
            "0.001%",
            "101%",
            "-1%",
            "1e1%",
            "1.00001%",
            "on",
            "99999999999999999999%",
            "1.%",
            ".5%",
        ] {
            let why = text.parse::<Budget>().unwrap_err();
            assert!(why.contains("0.01% to 100%") && why.contains("off"), "{text}: {why}");
        }
    }

    #[test]
    fn it_is_a_share_of_the_cpu_time_and_at_least_a_thousandth_of_a_cpu() {
        const S: u64 = 1_000_000_000;
        assert_eq!(Budget::DEFAULT.allowed_ns(2 * S, S), Some(S / 50));
        assert_eq!(Budget::DEFAULT.allowed_ns(0, S), Some(S / 1_000));
        assert_eq!(Budget::OFF.allowed_ns(S, S), None);
    }
}
