//! Maintenance that people declared.

use serde::Deserialize;

use crate::answered::answered;
use crate::{Store, StoreError, json};

/// A row of `alert_silences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DeclaredSilence {
    /// Its number.
    pub number: u64,
    /// Regular expression for the region; empty = any.
    pub region: String,
    /// Regular expression for the node; empty = any.
    pub node: String,
    /// Names of rules, separated by commas; empty = all.
    pub rules: String,
    /// From when, ms since 1970.
    pub from_ms: i64,
    /// Until when, ms since 1970.
    pub until_ms: i64,
    /// Why.
    pub comment: String,
}

const SILENCES: &str = "SELECT number, region, node, rules, toUnixTimestamp64Milli(since) AS from_ms, toUnixTimestamp64Milli(until) AS until_ms, comment \
    FROM alert_silences FINAL WHERE until > fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC') ORDER BY number";

const DECLARE: &str = "INSERT INTO alert_silences (number, region, node, rules, since, until, comment, created) \
    SELECT {number:UInt64}, {region:String}, {node:String}, {rules:String}, \
    fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC'), fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC'), {comment:String}, now64(3, 'UTC')";

impl Store {
    /// Silences that are not over by `at_ms`.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn silences(&self, at_ms: i64) -> Result<Vec<DeclaredSilence>, StoreError> {
        let query = self.client().query(SILENCES).param("at_ms", at_ms);
        json::rows(&self.answer(query, "JSONEachRow").await?, "silences")
    }

    /// Declares a silence, or declares the one of that number anew.
    ///
    /// # Errors
    /// As [`Store::silences`].
    pub async fn declare(&self, silence: &DeclaredSilence) -> Result<(), StoreError> {
        let DeclaredSilence { number, region, node, rules, from_ms, until_ms, comment } = silence;
        let query = self
            .client()
            .query(DECLARE)
            .param("number", number)
            .param("region", region)
            .param("node", node)
            .param("rules", rules);
        answered(async {
            Ok(query.param("from_ms", from_ms).param("until_ms", until_ms).param("comment", comment).execute().await?)
        })
        .await
    }
}
