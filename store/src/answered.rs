//! How long is waited for what alerts are made of: a query that hangs must not hold up a round, and who waits for its turn, for ever.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use clickhouse::query::Query;

use crate::{Store, StoreError};

/// Longer than the largest of these queries takes on a store that is busy; who asks asks again.
const WITHIN: Duration = Duration::from_secs(60);

/// What `asking` answers, or that it did not in time. ClickHouse is told by the connection, which is closed: settings (`max_execution_time`) are not
/// everybody's to bring.
pub(crate) async fn answered<T>(asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    within(WITHIN, asking).await
}

async fn within<T>(limit: Duration, asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {limit:?}: see what keeps ClickHouse busy (system.processes)");
        Err(StoreError::Network { reason })
    })
}

impl Store {
    /// The database's own clock, ms since 1970.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn now_ms(&self) -> Result<i64, StoreError> {
        self.number("SELECT toUnixTimestamp64Milli(now64(3, 'UTC'))").await
    }

    /// What a query with its values answers, in `format`, or that it did not in time.
    pub(crate) async fn answer(&self, query: Query, format: &str) -> Result<Vec<u8>, StoreError> {
        answered(async { Ok(query.fetch_bytes(format)?.collect().await?.into()) }).await
    }

    /// What `sql` answers, in `format`, or that it did not in time.
    pub(crate) async fn asked(&self, sql: &str, format: &str) -> Result<Vec<u8>, StoreError> {
        answered(self.query_text(sql, format)).await
    }

    /// The only number of an answer.
    pub(crate) async fn number<T: FromStr>(&self, sql: &str) -> Result<T, StoreError> {
        let text = self.text(sql).await?;
        text.parse().map_err(|_| StoreError::Protocol { reason: format!("{text:?} is no number") })
    }

    /// The only value of an answer; empty where there is none.
    pub(crate) async fn text(&self, sql: &str) -> Result<String, StoreError> {
        let answer = self.asked(sql, "TSV").await?;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_is_given_up_and_may_be_tried_again() {
        let hanging = within(Duration::from_millis(10), std::future::pending::<Result<(), StoreError>>());
        let error = hanging.await.unwrap_err();
        assert!(error.is_retryable() && error.to_string().contains("no answer within 10ms"), "{error}");
        assert_eq!(within(WITHIN, async { Ok(7) }).await.unwrap(), 7);
    }
}
