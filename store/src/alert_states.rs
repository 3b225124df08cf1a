//! What alerts go on from, and the numbers that incidents have.

use serde::Deserialize;

use crate::{Store, StoreError, json};

/// What alerts go on from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AlertsLeft {
    /// The region that tells them.
    pub region: String,
    /// When it was left, ms: later than all that was told by it.
    pub at_ms: i64,
    /// All that was known, as it was written.
    pub state: String,
}

impl Store {
    /// The newest state of alerts that was left, by whichever region's aggregator: there is one of the whole store.
    ///
    /// # Errors
    /// As [`Store::now_ms`].
    pub async fn alerts_left(&self) -> Result<Option<AlertsLeft>, StoreError> {
        let sql = "SELECT toString(region) AS region, toUnixTimestamp64Milli(at) AS at_ms, state FROM alert_states ORDER BY at DESC, region LIMIT 1";
        let rows: Vec<AlertsLeft> = json::rows(&self.asked(sql, "JSONEachRow").await?, "alert_states")?;
        Ok(rows.into_iter().next())
    }

    /// The region that tells alerts: that of the newest state; none before the first.
    ///
    /// # Errors
    /// As [`Store::now_ms`].
    pub async fn alerts_told_by(&self) -> Result<Option<String>, StoreError> {
        let region = self.text("SELECT region FROM alert_states ORDER BY at DESC, region LIMIT 1").await?;
        Ok((!region.is_empty()).then_some(region))
    }

    /// The highest number that an incident has of which something was told until `until_ms`; 0 before the first.
    ///
    /// # Errors
    /// As [`Store::now_ms`].
    pub async fn last_incident(&self, until_ms: i64) -> Result<u64, StoreError> {
        self.number(&format!("SELECT max(incident) FROM skew_incidents WHERE toUnixTimestamp64Milli(at) <= {until_ms}"))
            .await
    }
}
