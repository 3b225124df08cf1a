//! Sends and their receipts held against the clocks, a minute at a time.

use serde::Deserialize;

use crate::{Store, StoreError, json};

/// Pairs of two nodes of which a receipt is proved to be before its send, which cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ViolatedPair {
    /// Region and node of the sender, as `region/node`.
    pub src: String,
    /// The same of the receiver.
    pub dst: String,
    /// How many are.
    pub violated: u64,
    /// Of how many.
    pub pairs: u64,
    /// By how much the worst is beyond the bounds, ns; negative.
    pub slack_ns: i64,
}

const CHECK: &str = "INSERT INTO pair_checks (minute, src_region, src_node, dst_region, dst_node, pairs, violated, cannot_tell, ambiguous, \
    least_gap_ns, slack_ns, gap_p50_ns, gap_p90_ns, gap_p99_ns, settled) SETTINGS async_insert = 0 \
    SELECT toDateTime({minute:UInt32}, 'UTC'), src_region, src_node, dst_region, dst_node, pairs, violated, cannot_tell, ambiguous, \
    least_gap_ns, slack_ns, gap_p50_ns, gap_p90_ns, gap_p99_ns, {settled:UInt8} \
    FROM pair_sums(t0 = toDateTime64({minute:UInt32}, 9, 'UTC'), t1 = toDateTime64({minute:UInt32} + 60, 9, 'UTC'))";

const VIOLATED: &str = "SELECT concat(src_region, '/', src_node) AS src, concat(dst_region, '/', dst_node) AS dst, violated, pairs, slack_ns FROM pair_checks FINAL \
    WHERE minute = toDateTime({minute:UInt32}, 'UTC') AND violated > 0 ORDER BY src, dst";

/// Buckets are on the clocks of regions, some way from the fleet's.
const SETTLED_UNTIL: &str = "SELECT if(count() = 0, 0, greatest(toUInt32(min(bucket)) - 120, \
    (SELECT toUInt32(max(minute)) FROM pair_checks WHERE settled = 1))) FROM messages";

impl Store {
    /// Checks the pairs whose sends are in the minute that starts at `minute_s` (s since 1970, the fleet's clock) and writes what was
    /// found into `pair_checks`, in place of what was found before. `is_settled`: the clock models of that minute will not change any
    /// more.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse. It may be tried again.
    pub async fn check_pairs(&self, minute_s: u32, is_settled: bool) -> Result<(), StoreError> {
        let query = self.client().query(CHECK).param("minute", minute_s).param("settled", u8::from(is_settled));
        Ok(query.execute().await?)
    }

    /// What of that minute cannot be.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn violated_pairs(&self, minute_s: u32) -> Result<Vec<ViolatedPair>, StoreError> {
        let answer =
            self.client().query(VIOLATED).param("minute", minute_s).fetch_bytes("JSONEachRow")?.collect().await?;
        json::rows(&answer, "pair_checks")
    }

    /// Start of the newest minute that needs no check any more, s since 1970: the newest that was checked for good, or one before the
    /// first messages, if that is later. `None` while there are no messages.
    ///
    /// # Errors
    /// As [`violated_pairs`](Self::violated_pairs).
    pub async fn pairs_settled_until(&self) -> Result<Option<u32>, StoreError> {
        let answer = self.client().query(SETTLED_UNTIL).fetch_bytes("TSV")?.collect().await?;
        let text = String::from_utf8_lossy(&answer);
        let minute_s =
            text.trim().parse().map_err(|_| StoreError::Protocol { reason: format!("{text:?} is no minute") })?;
        Ok(Some(minute_s).filter(|minute_s| *minute_s > 0))
    }
}
