//! A batch in the queue, and what became of those that left it.

use bytes::Bytes;
use syncline_event::Batch;
use syncline_spool::RecordNo;
use syncline_timebase::BootId;

/// Which batch of a node: numbers of two boots may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId {
    /// The boot in which it was made.
    pub boot: BootId,
    /// First sequence number of the run of the agent that made it.
    pub run_first_seq: u64,
    /// Its number, by which it is acknowledged.
    pub number: u64,
}

impl BatchId {
    /// Which one it is.
    pub fn of(batch: &Batch) -> Self {
        Self { boot: batch.origin.boot, run_first_seq: batch.origin.run_first_seq, number: batch.number }
    }
}

/// One encoded batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which one it is.
    pub id: BatchId,
    /// The batch as it travels, the same at every attempt.
    pub bytes: Bytes,
    /// Finished waits inside.
    pub waits: u64,
    /// Waits in the sums inside.
    pub summed: u64,
    /// The batches that it tells to be given up.
    pub tells: Vec<BatchId>,
    /// An earlier run of the agent made it.
    pub is_earlier: bool,
    /// Where it lies on the shelf, once it is durable there.
    pub record: Option<RecordNo>,
}

impl Entry {
    /// A batch of this run, with so many finished waits, that is durable nowhere yet; `bytes` is how it travels.
    pub fn new(id: BatchId, bytes: Bytes, waits: u64) -> Self {
        Self { id, bytes, waits, summed: 0, tells: Vec::new(), is_earlier: false, record: None }
    }

    /// A batch that was just sealed.
    pub fn of(batch: &Batch, bytes: Bytes) -> Self {
        let tells = batch.dropped.iter();
        let tells = tells.map(|one| BatchId { boot: one.boot, run_first_seq: one.run_first_seq, number: one.number });
        let new = Self::new(BatchId::of(batch), bytes, batch.waits.len() as u64);
        Self { summed: batch.summed_waits(), tells: tells.collect(), ..new }
    }

    /// Its number, by which it is acknowledged.
    pub fn number(&self) -> u64 {
        self.id.number
    }

    /// Waits inside, also those in sums: what it counts for on the shelf.
    pub fn weight(&self) -> u64 {
        self.waits.saturating_add(self.summed)
    }
}

/// What became of the waits in the batches that left the queue, and what is still in it. All but the last is of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Batches that the aggregator has stored.
    pub stored_batches: u64,
    /// Waits in them.
    pub stored_waits: u64,
    /// Batches that the aggregator refused for good.
    pub refused_batches: u64,
    /// Waits in them.
    pub refused_waits: u64,
    /// Waits in batches that are still unacknowledged.
    pub waiting_waits: u64,
    /// Of these, those in batches that are durable on the shelf: a later run sends them.
    pub shelved_waits: u64,
    /// Batches of earlier runs that the aggregator has stored.
    pub earlier_batches: u64,
}
