//! Which stacks are in the store with all that belongs to them.

use std::collections::HashSet;

use crate::{Store, StoreError};

/// The addresses are those of few builds, so that the second half reads ranges of the key of `symbols`.
const NAMED: &str = "WITH asked AS (SELECT DISTINCT stack_id, build_id, pcs FROM stacks WHERE stack_id IN ({ids})) \
    SELECT stack_id FROM (SELECT stack_id, build_id, arrayJoin(pcs) AS pc FROM asked) \
    GROUP BY stack_id \
    HAVING countIf((build_id, pc) NOT IN ( \
        SELECT build_id, pc FROM symbols WHERE (build_id, pc) IN (SELECT build_id, arrayJoin(pcs) FROM asked))) = 0";

impl Store {
    /// Those of `ids` that are in `stacks` and of which each address has its name in `symbols`.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn named_stacks(&self, ids: &[u64]) -> Result<HashSet<u64>, StoreError> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let answer = self.query_text(&NAMED.replace("{ids}", &ids.join(",")), "TSV").await?;
        let text = String::from_utf8_lossy(&answer);
        let ids = text.lines().map(str::parse).collect::<Result<_, _>>();
        ids.map_err(|_| StoreError::Protocol { reason: "a stack's id is no number".to_owned() })
    }
}
