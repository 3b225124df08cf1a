//! Which stacks and symbols the store has, so that agents need not tell them and no row is written twice.
//!
//! A stack is known when it is in the store with the names of all its addresses: by the batches that told it, or by a look into the store
//! where another aggregator, or this one before its restart, may have put it. One with an address that nobody could name is never
//! known, so that whoever can name it tells it. It has its row all the same, which is not written again for each who tells it, and that it
//! is not known is remembered for some seconds, so that the store is not asked for each who asks.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_event::{Batch, Stack, Symbol};
use syncline_store::Store;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_64;

use super::SEEN_FOR;
use super::seen::Seen;
use crate::counters::{Counters, add, count};

/// Looks into the store at once. After a restart all nodes ask for the same: those that wait for their turn find what the first has found.
const LOOKS_AT_ONCE: usize = 2;
/// What the store did not have with all names is not looked for again for so long at most: by then another aggregator may have put it there.
const MISSED_FOR: Duration = Duration::from_secs(10);

/// What the store has, as far as that is known.
#[derive(Debug)]
pub(crate) struct Known {
    store: Store,
    believed: Believed,
    looks: Semaphore,
    counters: Arc<Counters>,
}

/// What is believed of the store without asking it, each for some time.
#[derive(Debug)]
pub(crate) struct Believed {
    /// Stacks of which all addresses have names.
    named: Seen,
    /// Stacks that have a row, with all names or not.
    rows: Seen,
    /// Stacks that were looked for and are not known.
    missed: Seen,
    symbols: Seen,
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
        Self { store, believed: Believed::new(capacity), looks: Semaphore::new(LOOKS_AT_ONCE), counters }
    }

    pub(crate) fn believed(&self) -> &Believed {
        &self.believed
    }

    /// Of each of `stacks` whether it is known.
    pub(crate) async fn knows(&self, stacks: &[u64]) -> Vec<bool> {
        add(&self.counters.stacks_asked, stacks.len() as u64);
        let mut known = vec![true; stacks.len()];
        if !self.believed.unknown(stacks, Instant::now()).is_empty() {
            self.look(stacks).await.into_iter().for_each(|(place, _)| known[place] = false);
        }
        add(&self.counters.stacks_known, known.iter().filter(|known| **known).count() as u64);
        known
    }

    /// Looks into the store for those that are not known; gives those that are not there. All of them, if it does not answer.
    async fn look(&self, stacks: &[u64]) -> Vec<(usize, u64)> {
        // Only a closed semaphore fails, and nobody closes this one.
        let _turn = self.looks.acquire().await.ok();
        let now = Instant::now();
        let mut unknown = self.believed.unknown(stacks, now);
        let wanted = self.believed.to_look_for(&unknown, now);
        match self.store.named_stacks(&wanted).await {
            Ok(found) => {
                self.believed.looked(&wanted, &found, Instant::now());
                unknown.retain(|(_, id)| !found.contains(id));
            }
            Err(error) => {
                count(&self.counters.stack_looks_failed);
                tracing::debug!(%error, "the store does not say which stacks it has: they are told");
            }
        }
        unknown
    }
}

impl Believed {
    fn new(capacity: usize) -> Self {
        let seen = |lifetime| Seen::new(capacity, lifetime);
        Self { named: seen(SEEN_FOR), rows: seen(SEEN_FOR), missed: seen(MISSED_FOR), symbols: seen(SEEN_FOR) }
    }

    /// Places and ids of the batch's stacks that may have no row in the store.
    pub(crate) fn untold_stacks(&self, batch: &Batch, now: Instant) -> Vec<(usize, u64)> {
        self.rows.missing(batch.stacks.iter().map(|stack| stack.id.0), now)
    }

    /// Places and keys of the batch's symbols that may be missing in the store.
    pub(crate) fn untold_symbols(&self, batch: &Batch, now: Instant) -> Vec<(usize, u64)> {
        self.symbols.missing(batch.symbols.iter().map(key_of), now)
    }

    /// Those of the batch's stacks that are not known; they may be once it is [`stored`](Self::stored).
    pub(crate) fn unknown_stacks(&self, batch: &Batch, now: Instant) -> Vec<ToldStack> {
        let ids: Vec<u64> = batch.stacks.iter().map(|stack| stack.id.0).collect();
        self.unknown(&ids, now).into_iter().map(|(place, _)| ToldStack::of(&batch.stacks[place])).collect()
    }

    /// These rows of a batch are in the store, by ids of stacks and keys of symbols; and its `stacks`, each with those of its names that
    /// are there.
    pub(crate) fn stored(&self, rows: &[u64], symbols: &[u64], stacks: &[ToldStack], now: Instant) {
        self.rows.stored(rows, now);
        self.symbols.stored(symbols, now);
        let is_named = |stack: &&ToldStack| self.symbols.missing(stack.symbols.iter().copied(), now).is_empty();
        let named: Vec<u64> = stacks.iter().filter(is_named).map(|stack| stack.id).collect();
        self.named.stored(&named, now);
    }

    /// Places and ids of those that are not known. A row that is not believed in any more is to be looked for, however lately it had a
    /// name told: only so does a row that is lost come again in time.
    fn unknown(&self, stacks: &[u64], now: Instant) -> Vec<(usize, u64)> {
        let ids = || stacks.iter().copied();
        let mut unknown: BTreeMap<usize, u64> = self.named.missing(ids(), now).into_iter().collect();
        unknown.extend(self.rows.missing(ids(), now));
        unknown.into_iter().collect()
    }

    /// Those of them that were not looked for in vain lately.
    fn to_look_for(&self, unknown: &[(usize, u64)], now: Instant) -> Vec<u64> {
        let wanted = self.missed.missing(unknown.iter().map(|(_, id)| *id), now);
        wanted.into_iter().map(|(_, id)| id).collect()
    }

    /// The store was asked for those that are `wanted` and has those that are `found`.
    fn looked(&self, wanted: &[u64], found: &HashSet<u64>, now: Instant) {
        let (found, missed): (Vec<_>, Vec<_>) = wanted.iter().partition(|id| found.contains(id));
        self.named.stored(&found, now);
        self.rows.stored(&found, now);
        self.missed.stored(&missed, now);
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

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
