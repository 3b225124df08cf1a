//! Rows that are stored already are placed by the newest revision of their node's clock model, in the background.
//!
//! Until it has come to a row, the view `events_live` has it right. What cannot be settled stays so, and is counted. What an aggregator left
//! undone as it died is done by the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use syncline_store::{SettledPiece, Settlement, Store};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::rows::SETTLED_REVISION;
use crate::counters::{Counters, add};

/// An update of many pieces of many nodes costs far less than one for each: they are collected for so long.
const COLLECTED_FOR: Duration = Duration::from_secs(5);
/// Settlements that wait; more are not taken.
const MOST_WAITING: usize = 4_096;
/// Pieces of one node in one update, and nodes that are tried again together.
const MOST_PIECES: usize = 64;
const MOST_NODES: usize = 512;
/// Pause before a store that does not answer is tried again, and how often it is: others wait behind.
const PAUSE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 12;
/// An update that takes longer is given up; the server may finish it all the same, which does no harm.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes what is to be settled.
#[derive(Debug)]
pub(crate) struct Settler {
    waiting: mpsc::Sender<Settlement>,
    counters: Arc<Counters>,
}

impl Settler {
    /// Starts the task for nodes of `region`; it ends once this is dropped.
    pub(crate) fn spawn(region: Arc<str>, store: Store, counters: Arc<Counters>) -> Self {
        let (waiting, settlements) = mpsc::channel(MOST_WAITING);
        tokio::spawn(run(region, store, settlements, Arc::clone(&counters)));
        Self { waiting, counters }
    }

    /// Settles the rows of `settlement` some time.
    pub(crate) fn settle(&self, settlement: Settlement) {
        let pieces = settlement.pieces.len() as u64;
        if pieces > 0 && self.waiting.try_send(settlement).is_err() {
            add(&self.counters.pieces_unsettled, pieces);
        }
    }
}

async fn run(region: Arc<str>, store: Store, mut settlements: mpsc::Receiver<Settlement>, counters: Arc<Counters>) {
    let left = left_undone(&region, &store).await;
    if !left.is_empty() {
        tracing::info!(pieces = left.len(), "settling rows that an aggregator before this one was to settle");
    }
    for settlements in merged(left).chunks(MOST_NODES) {
        settle(&store, settlements, &counters).await;
    }
    while let Some(first) = settlements.recv().await {
        let mut collected = vec![first];
        let until = Instant::now() + COLLECTED_FOR;
        while let Ok(Some(next)) = timeout_at(until, settlements.recv()).await {
            collected.push(next);
        }
        for settlements in merged(collected).chunks(MOST_NODES) {
            settle(&store, settlements, &counters).await;
        }
    }
}

/// What the aggregator before this one did not come to, as far as the store tells in time.
async fn left_undone(region: &str, store: &Store) -> Vec<Settlement> {
    for _ in 0..ATTEMPTS {
        match timeout(PATIENCE, store.unsettled(region, SETTLED_REVISION)).await {
            Ok(Ok(left)) => return left,
            Ok(Err(error)) if !error.is_retryable() => {
                tracing::warn!(%error, "rows that an aggregator before this one was to settle are not looked for; events_live has them right");
                break;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the store does not tell yet what is to be settled"),
            Err(_) => tracing::debug!("looking for what is to be settled takes longer than {PATIENCE:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Vec::new()
}

async fn settle(store: &Store, settlements: &[Settlement], counters: &Counters) {
    let pieces = settlements.iter().map(|settlement| settlement.pieces.len() as u64).sum();
    for _ in 0..ATTEMPTS {
        match timeout(PATIENCE, store.settle_events(settlements)).await {
            Ok(Ok(())) => return add(&counters.pieces_settled, pieces),
            Ok(Err(error)) if !error.is_retryable() => {
                tracing::warn!(nodes = settlements.len(), %error, "rows cannot be settled in place; events_live has them right");
                break;
            }
            Ok(Err(error)) => tracing::debug!(nodes = settlements.len(), %error, "settling waits"),
            Err(_) => tracing::debug!(nodes = settlements.len(), "settling takes longer than {PATIENCE:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    add(&counters.pieces_unsettled, pieces);
}

/// One settlement for each node, boot and run, of so many pieces at most, in order of time.
fn merged(settlements: Vec<Settlement>) -> Vec<Settlement> {
    let mut by_node = HashMap::<_, Settlement>::new();
    for mut settlement in settlements {
        let key = (settlement.region.clone(), settlement.node.clone(), settlement.boot, settlement.ref_run);
        match by_node.get_mut(&key) {
            Some(known) => known.pieces.append(&mut settlement.pieces),
            None => drop(by_node.insert(key, settlement)),
        }
    }
    by_node.into_values().flat_map(chunked).collect()
}

fn chunked(mut settlement: Settlement) -> Vec<Settlement> {
    settlement.pieces.sort_by_key(|piece| piece.mono);
    let with = |pieces: &[SettledPiece]| Settlement { pieces: pieces.to_vec(), ..settlement.clone() };
    settlement.pieces.chunks(MOST_PIECES).map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_store::rows::ClockStatus;

    fn settlement(node: &str, boot: u64, seconds: std::ops::Range<u64>) -> Settlement {
        let piece = |second| SettledPiece {
            mono: [second, second + 1],
            ref_off: [0, 0],
            err_ns: 1,
            status: ClockStatus::Synchronized,
            epoch: 0,
        };
        let (region, node) = ("eu".to_owned(), node.to_owned());
        Settlement { region, node, boot, ref_run: 1, revision: 2, pieces: seconds.map(piece).collect() }
    }

    #[test]
    fn pieces_of_one_node_go_together_in_order_and_not_too_many() {
        let all =
            [settlement("a", 1, 70..90), settlement("b", 1, 0..1), settlement("a", 1, 0..70), settlement("a", 2, 0..1)];
        let mut merged = merged(all.to_vec());
        merged.sort_by_key(|s| (s.node.clone(), s.boot, s.pieces[0].mono));
        let sizes: Vec<_> = merged.iter().map(|s| (s.node.as_str(), s.boot, s.pieces.len())).collect();
        assert_eq!(sizes, [("a", 1, 64), ("a", 1, 26), ("a", 2, 1), ("b", 1, 1)]);
        assert_eq!(merged[1].pieces[0].mono, [64, 65]);
    }
}
