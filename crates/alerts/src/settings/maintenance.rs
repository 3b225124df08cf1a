//! Declared maintenance as the file has it.

use std::ops::Range;

use chrono::DateTime;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::{Matcher, Pattern, Rule, Silence};

/// Alerts that are not told for a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintenanceText {
    region: Option<Pattern>,
    node: Option<Pattern>,
    #[serde(default)]
    rules: Vec<Rule>,
    from: Spanned<Datetime>,
    until: Spanned<Datetime>,
    comment: String,
}

impl MaintenanceText {
    /// What is wrong with it is told with where it stands.
    pub(super) fn silence(&self) -> Result<Silence, (Range<usize>, String)> {
        let (from_ns, until_ns) = (ns(&self.from)?, ns(&self.until)?);
        if until_ns <= from_ns {
            let why = format!("`until` {} is before `from` {}", self.until.get_ref(), self.from.get_ref());
            return Err((self.until.span(), why));
        }
        let when = Matcher { region: self.region.clone(), node: self.node.clone(), rules: self.rules.clone() };
        Ok(Silence { when, from_ns, until_ns, comment: self.comment.clone() })
    }
}

/// ns since 1970.
fn ns(at: &Spanned<Datetime>) -> Result<i64, (Range<usize>, String)> {
    let instant = DateTime::parse_from_rfc3339(&at.get_ref().to_string()).ok().and_then(|at| at.timestamp_nanos_opt());
    let why = || format!("{} is no instant: give date, time and zone, as in 2026-11-27T22:00:00Z", at.get_ref());
    instant.ok_or_else(|| (at.span(), why()))
}
