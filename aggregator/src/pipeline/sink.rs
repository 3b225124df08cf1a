//! Blocks into ClickHouse: side by side, bounded in number, tried again until they are in.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use syncline_event::BatchId;
use syncline_store::{Block, Store, StoreError};
use tokio::sync::Semaphore;

use super::outage::Outage;
use crate::counters::{Counters, count};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How storing a batch ended.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// All rows are in the store.
    Stored,
    /// The store will never take them, and why.
    Refused(String),
    /// Nobody waits for the answer any more. Some rows may be in; the rest comes when the batch is sent again.
    Abandoned,
}

#[derive(Debug)]
pub(crate) struct Sink {
    store: Store,
    inserts: Semaphore,
    outage: Arc<Outage>,
    counters: Arc<Counters>,
}

impl Sink {
    pub(crate) fn new(store: Store, inserts: usize, outage: Arc<Outage>, counters: Arc<Counters>) -> Self {
        Self { store, inserts: Semaphore::new(inserts.max(1)), outage, counters }
    }

    /// Inserts `blocks`, and when all of them are in, the last one, under the token of `id`. An attempt under way is always finished;
    /// further ones are not made once they are `of_no_use`.
    pub(crate) async fn store(
        &self,
        id: &BatchId,
        (mut blocks, last): (Vec<Block>, Block),
        of_no_use: impl Future<Output = ()>,
    ) -> StoreOutcome {
        let (token, mut of_no_use, mut pause) = (id.to_string(), pin!(of_no_use), FIRST_PAUSE);
        let mut last = Some(last);
        loop {
            blocks = match self.attempt(blocks, &token).await {
                Ok(left) if left.is_empty() => match last.take() {
                    Some(last) => {
                        blocks = vec![last];
                        continue;
                    }
                    None => return StoreOutcome::Stored,
                },
                Ok(left) => left,
                Err(error) => return self.refuse(&token, &error),
            };
            let pausing = pin!(tokio::time::sleep(pause));
            if let Either::Left(_) = select(of_no_use.as_mut(), pausing).await {
                return StoreOutcome::Abandoned;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt at each block. Gives back those to be tried again, or the error that will not pass.
    async fn attempt(&self, blocks: Vec<Block>, token: &str) -> Result<Vec<Block>, StoreError> {
        let mut left = Vec::new();
        for (block, inserted) in join_all(blocks.into_iter().map(|block| self.insert(block, token))).await {
            match inserted {
                Ok(()) => self.outage.succeeded(self.store.shown_url(), Instant::now()),
                Err(error) if is_fault_of_the_rows(&error) => return Err(error),
                Err(error) => {
                    count(&self.counters.insert_retries);
                    self.outage.failed(self.store.shown_url(), &error.to_string(), Instant::now());
                    left.push(block);
                }
            }
        }
        Ok(left)
    }

    async fn insert(&self, block: Block, token: &str) -> (Block, Result<(), StoreError>) {
        // Only a closed semaphore fails, and nobody closes this one.
        let _turn = self.inserts.acquire().await.ok();
        let inserted = self.store.insert(block.clone(), token).await;
        (block, inserted)
    }

    fn refuse(&self, token: &str, error: &StoreError) -> StoreOutcome {
        count(&self.counters.batches_unstorable);
        tracing::error!(batch = token, store = self.store.shown_url(), %error, "ClickHouse will never take this batch; it is refused");
        StoreOutcome::Refused(format!("ClickHouse does not take it: {error}"))
    }
}

/// Whether the same insert can never succeed. Everything that an operator can mend (a table dropped, a password
/// changed, a proxy in the way) is worth waiting for: refusing would lose events.
pub(crate) fn is_fault_of_the_rows(error: &StoreError) -> bool {
    match error {
        StoreError::Block { .. } => true,
        StoreError::Sql { code, .. } => DATA_CODES.contains(code),
        _ => false,
    }
}

/// Codes of ClickHouse's `ErrorCodes.cpp` that speak of the data and not of the server, its tables or its users.
const DATA_CODES: [u32; 12] = [
    6,   // CANNOT_PARSE_TEXT
    8,   // THERE_IS_NO_COLUMN (in the block)
    9,   // SIZES_OF_COLUMNS_DOESNT_MATCH
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  // CANNOT_READ_ALL_DATA
    53,  // TYPE_MISMATCH
    70,  // CANNOT_CONVERT_TYPE
    117, // INCORRECT_DATA
    131, // TOO_LARGE_STRING_SIZE
    190, // SIZES_OF_ARRAYS_DONT_MATCH
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(code: u32) -> StoreError {
        StoreError::Sql { code, message: String::new() }
    }

    #[test]
    fn only_bad_data_is_refused() {
        assert!(is_fault_of_the_rows(&sql(117)));
        for operator_can_mend in [60, 81, 241, 252, 497, 516] {
            assert!(!is_fault_of_the_rows(&sql(operator_can_mend)), "{operator_can_mend}");
        }
        assert!(!is_fault_of_the_rows(&StoreError::Network { reason: String::new() }));
    }
}
