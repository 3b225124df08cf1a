//! Declared maintenance as the file has it.

use chrono::DateTime;
use serde::Deserialize;
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
    from: Datetime,
    until: Datetime,
    comment: String,
}

impl MaintenanceText {
    pub(super) fn silence(&self) -> Result<Silence, String> {
        let (from_ns, until_ns) = (ns(self.from)?, ns(self.until)?);
        if until_ns <= from_ns {
            return Err(format!("`until` {} is before `from` {}", self.until, self.from));
        }
        let when = Matcher { region: self.region.clone(), node: self.node.clone(), rules: self.rules.clone() };
        Ok(Silence { when, from_ns, until_ns, comment: self.comment.clone() })
    }
}

/// ns since 1970.
fn ns(at: Datetime) -> Result<i64, String> {
    let instant = DateTime::parse_from_rfc3339(&at.to_string()).ok().and_then(|at| at.timestamp_nanos_opt());
    instant.ok_or_else(|| format!("{at} is no instant: give date, time and zone, as in 2026-11-27T22:00:00Z"))
}
