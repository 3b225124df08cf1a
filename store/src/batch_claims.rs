//! Which aggregators are about to store a batch. Each says so here before it asks who else has.

use std::collections::HashMap;

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

/// What another one has said last of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimOfOther {
    /// Who.
    pub writer: ClaimWriter,
    /// Its version: another one than before says that the writer is alive.
    pub version: u64,
    /// Whether it claims the batch; else it has withdrawn.
    pub is_claimed: bool,
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

    /// What others than `own` have said of batches of `region`, by those of `keys` of which they have.
    ///
    /// # Errors
    /// As of [`Store::claim_batches`]; [`StoreError::Protocol`] for an answer that is none.
    pub async fn batch_claims(
        &self,
        region: &str,
        keys: &[LedgerKey],
        own: ClaimWriter,
    ) -> Result<HashMap<LedgerKey, Vec<ClaimOfOther>>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT toUnixTimestamp(bucket), boot, batch, argMax(state, version) = 'claimed', max(version), writer, node \
             FROM batch_claims WHERE region = {{region:String}} AND writer != {{own:String}} AND {} GROUP BY bucket, boot, batch, writer, node",
            ledger::is_one_of(keys)
        );
        let asked = self.client().query(&sql).param("region", region).param("own", own.to_string());
        let answer = asked.fetch_bytes("TSV")?.collect().await?;
        let mut of_others: HashMap<LedgerKey, Vec<ClaimOfOther>> = HashMap::new();
        for line in String::from_utf8_lossy(&answer).lines() {
            let (key, claim) =
                parse(line).ok_or_else(|| StoreError::Protocol { reason: format!("{line:?} is no claim") })?;
            of_others.entry(key).or_default().push(claim);
        }
        // What has the same number may be another node's.
        Ok(keys.iter().filter_map(|key| of_others.remove_entry(key)).collect())
    }
}

fn parse(line: &str) -> Option<(LedgerKey, ClaimOfOther)> {
    let mut fields = line.splitn(7, '\t');
    let bucket = fields.next()?.parse().ok()?;
    let boot = fields.next()?.parse().ok()?;
    let batch = fields.next()?.parse().ok()?;
    let is_claimed = fields.next()? == "1";
    let version = fields.next()?.parse().ok()?;
    let writer = ClaimWriter(u128::from_str_radix(fields.next()?, 16).ok()?);
    let key = LedgerKey { bucket, boot, batch, node: fields.next()?.to_owned() };
    Some((key, ClaimOfOther { writer, version, is_claimed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_claim_or_nothing() {
        let key = LedgerKey { bucket: 60, boot: 7, batch: 9, node: "a b".to_owned() };
        let claim = ClaimOfOther { writer: ClaimWriter(11), version: 4, is_claimed: true };
        let line = format!("60\t7\t9\t1\t4\t{}\ta b", ClaimWriter(11));
        assert_eq!(parse(&line), Some((key, claim)));
        assert!(["", "60\t7\t9\t1\t4\tx\tn", "60\t7\t9\t1\t4\t11"].iter().all(|line| parse(line).is_none()));
    }
}
