//! Which of many batches are in the store with all of their rows.

use std::collections::{BTreeSet, HashSet};

use crate::{Store, StoreError};

/// Where the ledger has a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerKey {
    /// Start of the minute in which it was sealed, s since 1970.
    pub bucket: u32,
    /// The node.
    pub node: String,
    /// Its boot.
    pub boot: u64,
    /// The number.
    pub batch: u64,
}

impl Store {
    /// Those of `keys` that are in the ledger of `region`: all rows of their batches are in the store.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn stored_batches(&self, region: &str, keys: &[LedgerKey]) -> Result<HashSet<LedgerKey>, StoreError> {
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let sql = format!(
            "SELECT toUnixTimestamp(bucket), boot, batch, node FROM ingest_ledger WHERE region = {{region:String}} AND {}",
            is_one_of(keys)
        );
        let answer = self.client().query(&sql).param("region", region).fetch_bytes("TSV")?.collect().await?;
        let text = String::from_utf8_lossy(&answer);
        let found = text.lines().map(parse).collect::<Option<HashSet<_>>>();
        let found = found.ok_or_else(|| StoreError::Protocol { reason: "a row of the ledger is none".to_owned() })?;
        Ok(keys.iter().filter(|key| found.contains(key)).cloned().collect())
    }
}

/// By minutes, so that only they are read, and numbers, which need no quoting: other nodes' of the same are left out later.
pub(crate) fn is_one_of(keys: &[LedgerKey]) -> String {
    let batches: Vec<String> = keys.iter().map(|key| format!("({}, {})", key.boot, key.batch)).collect();
    format!("{} AND (boot, batch) IN ({})", is_in_minutes(keys.iter().map(|key| key.bucket)), batches.join(", "))
}

/// Whether the bucket is one of these.
pub(crate) fn is_in_minutes(buckets: impl Iterator<Item = u32>) -> String {
    let buckets: BTreeSet<u32> = buckets.collect();
    let buckets: Vec<String> = buckets.iter().map(|bucket| format!("toDateTime({bucket}, 'UTC')")).collect();
    format!("bucket IN ({})", buckets.join(", "))
}

fn parse(line: &str) -> Option<LedgerKey> {
    let mut fields = line.splitn(4, '\t');
    let bucket = fields.next()?.parse().ok()?;
    let boot = fields.next()?.parse().ok()?;
    let batch = fields.next()?.parse().ok()?;
    Some(LedgerKey { bucket, boot, batch, node: fields.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_or_nothing() {
        let key = LedgerKey { bucket: 60, boot: 7, batch: 9, node: "a b".to_owned() };
        assert_eq!(parse("60\t7\t9\ta b"), Some(key));
        assert!(["", "60\t7\t9", "x\t7\t9\tn"].iter().all(|line| parse(line).is_none()));
    }
}
