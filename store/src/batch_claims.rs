//! Which aggregators are about to store a batch. Each says so here before it asks who else has.

use std::collections::HashMap;
use std::time::Duration;

use crate::ledger::{self, LedgerKey};
use crate::rows::{BatchClaim, BatchClaimRows};
use crate::{LowCardinality, Store, StoreError};

/// Who claims batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimWriter(pub u128);

impl std::fmt::Display for ClaimWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What others have said of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsOfOthers {
    /// Those whose claims are alive: neither withdrawn nor old.
    pub alive: Vec<ClaimWriter>,
}

impl Store {
    /// Says of batches of `region` what `writer` does about them. Its higher `version` counts, whichever arrives first.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse. It may have been said all the same.
    pub async fn claim_batches(
        &self,
        region: &str,
        keys: &[LedgerKey],
        (writer, version): (ClaimWriter, u64),
        state: BatchClaim,
    ) -> Result<(), StoreError> {
        let mut node = LowCardinality::default();
        keys.iter().for_each(|key| node.push(&key.node));
        let rows = BatchClaimRows {
            bucket: keys.iter().map(|key| key.bucket).collect(),
            region: LowCardinality::constant(region, keys.len()),
            node,
            boot: keys.iter().map(|key| key.boot).collect(),
            batch: keys.iter().map(|key| key.batch).collect(),
            writer: LowCardinality::constant(&writer.to_string(), keys.len()),
            version: vec![version; keys.len()],
            state: vec![state; keys.len()],
        };
        self.insert(rows.into_block()?, &format!("claims/{writer}/{version}")).await
    }

    /// What others than `own` have said of batches of `region`, by those of `keys` of which they have; claims `last` so long from when they
    /// were made, by the store's clock.
    ///
    /// # Errors
    /// As of [`Store::claim_batches`]; [`StoreError::Protocol`] for an answer that is none.
    pub async fn batch_claims(
        &self,
        region: &str,
        keys: &[LedgerKey],
        own: ClaimWriter,
        last: Duration,
    ) -> Result<HashMap<LedgerKey, ClaimsOfOthers>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT toUnixTimestamp(bucket), boot, batch, argMax(state, version) = 'claimed' AND max(claimed_at) > now64(3) - toIntervalMillisecond({}), \
             writer, node FROM batch_claims WHERE region = ? AND writer != ? AND {} GROUP BY bucket, boot, batch, writer, node",
            last.as_millis(),
            ledger::is_one_of(keys)
        );
        let asked = self.client().query(&sql).bind(region).bind(own.to_string());
        let answer = asked.fetch_bytes("TSV")?.collect().await?;
        let mut of_others: HashMap<LedgerKey, ClaimsOfOthers> = HashMap::new();
        for line in String::from_utf8_lossy(&answer).lines() {
            let (key, alive, writer) =
                parse(line).ok_or_else(|| StoreError::Protocol { reason: format!("{line:?} is no claim") })?;
            let claims = of_others.entry(key).or_default();
            claims.alive.extend(alive.then_some(writer));
        }
        // What has the same number may be another node's.
        Ok(keys.iter().filter_map(|key| Some((key.clone(), of_others.get(key)?.clone()))).collect())
    }
}

fn parse(line: &str) -> Option<(LedgerKey, bool, ClaimWriter)> {
    let mut fields = line.splitn(6, '\t');
    let bucket = fields.next()?.parse().ok()?;
    let boot = fields.next()?.parse().ok()?;
    let batch = fields.next()?.parse().ok()?;
    let is_alive = fields.next()? == "1";
    let writer = ClaimWriter(u128::from_str_radix(fields.next()?, 16).ok()?);
    Some((LedgerKey { bucket, boot, batch, node: fields.next()?.to_owned() }, is_alive, writer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_claim_or_nothing() {
        let key = LedgerKey { bucket: 60, boot: 7, batch: 9, node: "a b".to_owned() };
        let line = format!("60\t7\t9\t1\t{}\ta b", ClaimWriter(11));
        assert_eq!(parse(&line), Some((key, true, ClaimWriter(11))));
        assert!(["", "60\t7\t9\t1\tx\tn", "60\t7\t9\t1\t11"].iter().all(|line| parse(line).is_none()));
    }
}
