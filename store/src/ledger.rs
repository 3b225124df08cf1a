//! Which batches are in the store with all of their rows.

use crate::{Store, StoreError};

impl Store {
    /// Whether the batch of this region, node, boot and number is in the ledger: whether all of its rows are in the store. `bucket` is that of
    /// the batch, s since 1970.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse.
    pub async fn has_batch(
        &self,
        (region, node, boot, batch): (&str, &str, u64, u64),
        bucket: u32,
    ) -> Result<bool, StoreError> {
        let query = self.client().query(
            "SELECT 1 FROM ingest_ledger
             WHERE bucket = toDateTime(?, 'UTC') AND region = ? AND node = ? AND boot = ? AND batch = ? LIMIT 1",
        );
        let query = query.bind(bucket).bind(region).bind(node).bind(boot).bind(batch);
        let answer = query.fetch_bytes("TSV")?.collect().await?;
        Ok(!answer.is_empty())
    }
}
