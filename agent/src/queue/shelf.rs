//! What the queue knows of the records on its shelf, the spool. Pure: threads of [`crate::spooling`] do what it says.
//!
//! ```text
//! records   ... acknowledged │ settled, given up, held in memory │ only on the shelf │
//!                            ▲ the reader's cursor      ▲ read   ▲ from              ▲ end
//! ```
//!
//! Records are settled in any order and acknowledged in theirs. What is given up is settled once a batch that tells so is durable, or stored: so a
//! crash never leaves a batch that is neither sent nor told of.

use std::collections::BTreeMap;

use syncline_spool::RecordNo;

use super::BatchId;

/// A record that is made durable alone takes a multiple of this of the disk.
const PAGE_BYTES: u64 = 4_096;

/// The shelf, and what is on it.
#[derive(Debug)]
pub(super) struct Shelf {
    /// What the reader reads next.
    pub(super) read: u64,
    /// Begin of what is only on the shelf: from here on to the end.
    from: u64,
    /// Behind the last durable record.
    end: u64,
    /// Records that are done with, from the reader's cursor on, and their weights.
    settled: BTreeMap<u64, u64>,
    given_up: Vec<GivenUp>,
    /// What is being made durable now.
    writing: Vec<BatchId>,
    /// Bytes of the disk at which the oldest batches go.
    soft_bytes: u64,
    /// Bytes that are to go now.
    surplus: u64,
    /// No record finds room any more: those in flight go, too.
    pub(super) is_full: bool,
    /// Room was made that the disk does not show yet.
    is_freeing: bool,
}

/// A batch that will never be sent, and that no durable batch has told of.
#[derive(Debug)]
struct GivenUp {
    id: BatchId,
    /// None while it is being written.
    record: Option<u64>,
    weight: u64,
}

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is done with, or will be once that is told; with its weight.
    Gone(u64),
    /// It lies before what is only on the shelf: in memory.
    Held,
    /// It is only on the shelf.
    Shelved,
}

impl Shelf {
    pub(super) fn new(position: RecordNo, end: RecordNo, soft_bytes: u64) -> Self {
        Self {
            read: position.0,
            from: position.0,
            end: end.0,
            settled: BTreeMap::new(),
            given_up: Vec::new(),
            writing: Vec::new(),
            soft_bytes,
            surplus: 0,
            is_full: false,
            is_freeing: false,
        }
    }

    /// Whether there is something that is not in memory.
    pub(super) fn is_hiding(&self) -> bool {
        self.from < self.end
    }

    /// Whether everything durable was read.
    pub(super) fn is_read(&self) -> bool {
        self.read >= self.end
    }

    pub(super) fn known(&self, record: u64) -> Known {
        if let Some(weight) = self.settled.get(&record) {
            return Known::Gone(*weight);
        }
        match self.given_up.iter().find(|gone| gone.record == Some(record)) {
            Some(gone) => Known::Gone(gone.weight),
            None if record >= self.from => Known::Shelved,
            None => Known::Held,
        }
    }

    /// The reader is behind everything before `next`.
    pub(super) fn read_to(&mut self, next: u64) {
        self.read = self.read.max(next);
        self.from = self.from.max(self.read).min(self.end);
    }

    /// What was in memory is only on the shelf from now on, from this record to the end. False if the reader is past it.
    pub(super) fn hide_from(&mut self, record: u64) -> bool {
        let is_ahead = record >= self.read;
        if is_ahead {
            self.from = self.from.min(record);
        }
        is_ahead
    }

    /// These are being made durable.
    pub(super) fn set_writing(&mut self, ids: Vec<BatchId>) {
        self.writing = ids;
    }

    /// Nothing is being made durable any more.
    pub(super) fn end_writing(&mut self) {
        self.writing.clear();
        self.given_up.retain(|gone| gone.record.is_some());
    }

    /// A batch is durable as this record, the last one. Whether it is only on the shelf, if the caller does not hold it.
    pub(super) fn grow(&mut self, record: u64) -> bool {
        let was_hiding = self.is_hiding();
        self.end = self.end.max(record.saturating_add(1));
        if !was_hiding {
            self.from = self.end;
        }
        self.is_full = false;
        was_hiding
    }

    /// A batch that has left the queue is durable as this record.
    pub(super) fn late(&mut self, id: BatchId, record: u64, weight: u64) {
        match self.given_up.iter_mut().find(|gone| gone.record.is_none() && gone.id == id) {
            Some(gone) => gone.record = Some(record),
            None => self.settle(record, weight),
        }
    }

    pub(super) fn settle(&mut self, record: u64, weight: u64) {
        self.settled.insert(record, weight);
    }

    /// A batch will never be sent, and is to be told of. One that is only in memory is no concern of the shelf's.
    pub(super) fn give_up(&mut self, id: BatchId, record: Option<u64>, weight: u64) {
        if record.is_some() || self.writing.contains(&id) {
            self.given_up.push(GivenUp { id, record, weight });
        }
    }

    /// A durable or stored batch has told that this one is given up.
    pub(super) fn told(&mut self, id: BatchId) {
        let Some(place) = self.given_up.iter().position(|gone| gone.id == id) else { return };
        if let GivenUp { record: Some(record), weight, .. } = self.given_up.swap_remove(place) {
            self.settle(record, weight);
        }
    }

    /// Whether all of these records are done with; they are forgotten then.
    pub(super) fn take_settled(&mut self, first: u64, next: u64) -> bool {
        let count = self.settled.range(first..next).count() as u64;
        let is_settled = count == next.saturating_sub(first);
        if is_settled {
            for record in first..next {
                self.settled.remove(&record);
            }
        }
        is_settled
    }

    /// How much there is on the disk. What lies over the limit is to go, once all that went before has been freed.
    pub(super) fn measured(&mut self, disk_bytes: u64) {
        if !self.is_freeing && self.given_up.is_empty() {
            self.surplus = disk_bytes.saturating_sub(self.soft_bytes);
        }
    }

    /// Whether batches have to go for newer ones.
    pub(super) fn has_surplus(&self) -> bool {
        self.surplus > 0
    }

    /// A batch of so many bytes goes.
    pub(super) fn relieve(&mut self, bytes: u64) {
        self.surplus = self.surplus.saturating_sub(bytes.saturating_add(1).next_multiple_of(PAGE_BYTES));
        self.is_freeing = true;
    }

    /// Whether room is being made.
    pub(super) fn is_freeing(&self) -> bool {
        self.is_freeing
    }

    /// The cursor is durable, and what is behind it is freed.
    pub(super) fn saved(&mut self) {
        if self.given_up.is_empty() {
            self.is_freeing = false;
        }
    }
}
