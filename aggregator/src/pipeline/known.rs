//! Which stacks and symbols the store has, so that agents need not tell them and no row is written twice.
//!
//! A stack is known when it is in the store with the names of all its addresses: by the batches that told it, or by a look into the store
//! where another aggregator, or this one before its restart, may have put it. One with an address that nobody could name is never
//! known, so that whoever can name it is asked to.

use std::sync::Arc;
use std::time::Instant;

use syncline_event::{Batch, Stack, Symbol};
use syncline_store::Store;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_64;

use super::SEEN_FOR;
use super::seen::Seen;
use crate::counters::{Counters, add, count};

/// Looks into the store at once. After a restart all nodes ask for the same: those that wait for their turn find what the first has found.
const LOOKS_AT_ONCE: usize = 2;

#[derive(Debug)]
pub(crate) struct Known {
    store: Store,
    stacks: Seen,
    symbols: Seen,
    looks: Semaphore,
    counters: Arc<Counters>,
}

/// A stack that a batch has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToldStack {
    id: u64,
    /// Of each of its addresses the key of the symbol that it has if it has any.
    symbols: Vec<u64>,
}

impl ToldStack {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self { id: stack.id.0, symbols: stack.pcs.iter().map(|pc| symbol_key(stack.build_id, *pc, 0)).collect() }
    }
}

impl Known {
    pub(crate) fn new(store: Store, capacity: usize, counters: Arc<Counters>) -> Self {
        let seen = || Seen::new(capacity, SEEN_FOR);
        Self { store, stacks: seen(), symbols: seen(), looks: Semaphore::new(LOOKS_AT_ONCE), counters }
    }

    /// Places of the batch's stacks that may be missing in the store.
    pub(crate) fn untold_stacks(&self, batch: &Batch, now: Instant) -> Vec<usize> {
        let missing = self.stacks.missing(batch.stacks.iter().map(|stack| stack.id.0), now);
        missing.into_iter().map(|(place, _)| place).collect()
    }

    /// Places and keys of the batch's symbols that may be missing in the store.
    pub(crate) fn untold_symbols(&self, batch: &Batch, now: Instant) -> Vec<(usize, u64)> {
        self.symbols.missing(batch.symbols.iter().map(key_of), now)
    }

    /// These of a batch are in the store.
    pub(crate) fn stored(&self, stacks: &[ToldStack], symbols: &[u64], now: Instant) {
        self.symbols.stored(symbols, now);
        let is_named = |stack: &&ToldStack| self.symbols.missing(stack.symbols.iter().copied(), now).is_empty();
        let named: Vec<u64> = stacks.iter().filter(is_named).map(|stack| stack.id).collect();
        self.stacks.stored(&named, now);
    }

    /// Of each of `stacks` whether it is known.
    pub(crate) async fn knows(&self, stacks: &[u64]) -> Vec<bool> {
        add(&self.counters.stacks_asked, stacks.len() as u64);
        let mut known = vec![true; stacks.len()];
        if !self.unseen(stacks).is_empty() {
            self.look(stacks).await.into_iter().for_each(|(place, _)| known[place] = false);
        }
        add(&self.counters.stacks_known, known.iter().filter(|known| **known).count() as u64);
        known
    }

    /// Looks into the store for those that were not seen; gives those that are not there. All of them, if it does not answer.
    async fn look(&self, stacks: &[u64]) -> Vec<(usize, u64)> {
        // Only a closed semaphore fails, and nobody closes this one.
        let _turn = self.looks.acquire().await.ok();
        let mut unseen = self.unseen(stacks);
        let ids: Vec<u64> = unseen.iter().map(|(_, id)| *id).collect();
        match self.store.named_stacks(&ids).await {
            Ok(found) => {
                self.stacks.stored(&found.iter().copied().collect::<Vec<_>>(), Instant::now());
                unseen.retain(|(_, id)| !found.contains(id));
            }
            Err(error) => {
                count(&self.counters.stack_looks_failed);
                tracing::debug!(%error, "the store does not say which stacks it has: they are told");
            }
        }
        unseen
    }

    fn unseen(&self, stacks: &[u64]) -> Vec<(usize, u64)> {
        self.stacks.missing(stacks.iter().copied(), Instant::now())
    }
}

fn key_of(symbol: &Symbol) -> u64 {
    symbol_key(symbol.build_id, symbol.pc, symbol.depth)
}

/// A symbol's place in the store.
fn symbol_key(build_id: u64, pc: u64, depth: u8) -> u64 {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&build_id.to_le_bytes());
    key[8..16].copy_from_slice(&pc.to_le_bytes());
    key[16] = depth;
    xxh3_64(&key)
}
