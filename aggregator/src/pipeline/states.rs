//! States of clock models, saved for the aggregator that comes after and recalled from the one before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_event::BatchId;
use syncline_store::{Block, ClockState, Store};
use tokio::sync::Semaphore;

use super::outage::Outage;

/// Recalled at once: after a restart all nodes come together.
const RECALLED_AT_ONCE: usize = 16;
/// Pause before a store that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// A question that takes longer is asked again: its connection may be dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct States {
    store: Store,
    turns: Semaphore,
    outage: Arc<Outage>,
}

impl States {
    pub(crate) fn new(store: Store, outage: Arc<Outage>) -> Self {
        Self { store, turns: Semaphore::new(RECALLED_AT_ONCE), outage }
    }

    /// What was saved of the node of `id`. Without a store nothing can be stored either, so it is waited for.
    pub(crate) async fn recall(&self, region: &str, id: &BatchId) -> Option<ClockState> {
        // Only a closed semaphore fails, and nobody closes this one.
        let _turn = self.turns.acquire().await.ok();
        loop {
            let asked = self.store.clock_state(region, id.node.as_str(), id.boot.0);
            let Ok(answer) = tokio::time::timeout(ANSWER_WITHIN, asked).await else {
                let why = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
                self.outage.failed(self.store.shown_url(), &why, Instant::now());
                continue;
            };
            match answer {
                Ok(state) => {
                    self.outage.succeeded(self.store.shown_url(), Instant::now());
                    return state;
                }
                Err(error) if error.is_retryable() => {
                    self.outage.failed(self.store.shown_url(), &error.to_string(), Instant::now());
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(node = %id.node, %error, "the state of a clock model cannot be read: it begins anew");
                    return None;
                }
            }
        }
    }

    /// Saves states together under `token`, trying once; whether it did.
    pub(crate) async fn save(&self, states: &[Block], token: &str) -> bool {
        let saved = self.store.insert_together(states, token).await;
        if let Err(error) = &saved {
            tracing::debug!(states = states.len(), %error, "states of clock models were not saved");
        }
        saved.is_ok()
    }
}
