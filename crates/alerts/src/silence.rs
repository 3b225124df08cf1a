//! Declared silences: work on machines that need not be told of.

use serde::{Deserialize, Serialize};

use crate::{Key, Matcher};

/// Alerts that are not told for a time. They are evaluated and listed all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Which.
    pub when: Matcher,
    /// From when, ns since 1970.
    pub from_ns: i64,
    /// Until when; not included.
    pub until_ns: i64,
    /// Why, and who says so.
    pub comment: String,
}

impl Silence {
    /// Whether it keeps this alert quiet at `at_ns`.
    pub fn covers(&self, key: &Key, at_ns: i64) -> bool {
        (self.from_ns..self.until_ns).contains(&at_ns) && self.when.picks(key)
    }
}
