//! What the queue does with its shelf: batches become durable, leave the memory, and are read again.

use syncline_spool::RecordNo;

use super::shelf::{Known, Shelf};
use super::{BatchId, Entry, Lost, Queue, READ_AHEAD};

impl Queue {
    /// What is to be made durable next, of about so many bytes; oldest first. [`Self::durable`] for each
    /// that is, in their order, and [`Self::end_writing`] have to follow.
    pub fn begin_writing(&mut self, most_bytes: usize) -> Vec<Entry> {
        let Some(shelf) = &mut self.shelf else { return Vec::new() };
        let (mut bytes, mut taken) = (0, Vec::new());
        for entry in self.entries.iter().filter(|entry| entry.record.is_none()) {
            if !taken.is_empty() && entry.bytes.len().saturating_add(bytes) > most_bytes {
                break;
            }
            bytes += entry.bytes.len();
            taken.push(entry.clone());
        }
        shelf.set_writing(taken.iter().map(|entry| entry.id).collect());
        taken
    }

    /// Whether there is something to be made durable.
    pub fn has_unwritten(&self) -> bool {
        self.shelf.is_some() && self.entries.back().is_some_and(|entry| entry.record.is_none())
    }

    /// A batch is durable, as this record. In the order in which they were given.
    pub fn durable(&mut self, written: &Entry, record: RecordNo) {
        let Some(shelf) = &mut self.shelf else { return };
        written.tells.iter().for_each(|id| shelf.told(*id));
        let is_hidden = shelf.grow(record.0);
        let index = self.entries.iter().position(|entry| entry.record.is_none() && entry.id == written.id);
        match index {
            Some(index) if is_hidden => {
                self.hidden_waits += written.waits;
                drop(self.take(index));
            }
            Some(index) => self.entries[index].record = Some(record),
            None => shelf.late(written.id, record.0, written.weight()),
        }
    }

    /// What was given and is not durable is to be given again.
    pub fn end_writing(&mut self) {
        self.shelf.iter_mut().for_each(Shelf::end_writing);
    }

    /// How much the shelf takes of the disk, bytes.
    pub fn measured(&mut self, disk_bytes: u64) {
        self.shelf.iter_mut().for_each(|shelf| shelf.measured(disk_bytes));
    }

    /// The shelf has no room for another record, not even for one that tells of those given up: what tells of them is in memory only then, so that
    /// there is room again. An agent that is killed in that moment leaves them missing, as any batch that is not durable.
    pub fn set_full(&mut self) {
        let Some(shelf) = &mut self.shelf else { return };
        shelf.is_full = true;
        self.entries.iter().flat_map(|entry| &entry.tells).for_each(|id| shelf.told(*id));
    }

    /// Gives up the oldest batches in memory for which the shelf has no room. Others go as they are read.
    pub fn drop_surplus(&mut self) {
        while let Some(shelf) = self.shelf.as_ref().filter(|shelf| shelf.has_surplus()) {
            let spared = if shelf.is_full { 0 } else { self.in_flight };
            let is_durable = self.entries.get(spared).is_some_and(|entry| entry.record.is_some());
            if !is_durable || spared >= self.ahead {
                break;
            }
            let Some(entry) = self.take(spared) else { break };
            self.drop_shelved(entry);
        }
    }

    /// Whether the reader is to read on.
    pub fn wants_read(&self) -> bool {
        let Some(shelf) = self.shelf.as_ref().filter(|shelf| !shelf.is_read()) else { return false };
        match shelf.known(shelf.read) {
            Known::Gone(_) => true,
            // Nothing is wanted behind it.
            Known::Held if !shelf.is_hiding() => false,
            // What goes is in memory until the batcher has taken it.
            Known::Held | Known::Shelved if shelf.has_surplus() => self.is_little(self.dropped.iter()),
            Known::Held | Known::Shelved => self.is_little(self.entries.iter().take(self.ahead)),
        }
    }

    /// The reader has read a record.
    pub fn read(&mut self, entry: Entry) {
        let (Some(shelf), Some(record)) = (&mut self.shelf, entry.record) else { return };
        let is_new = shelf.known(record.0) == Known::Shelved;
        shelf.read_to(record.0.saturating_add(1));
        if is_new {
            if !entry.is_earlier {
                self.hidden_waits = self.hidden_waits.saturating_sub(entry.waits);
            }
            if shelf.has_surplus() {
                self.drop_shelved(entry);
            } else {
                self.bytes += entry.bytes.len();
                self.entries.insert(self.ahead, entry);
                self.ahead += 1;
            }
        }
        self.join();
    }

    /// The reader was told that the records from `first` on are lost, with the weight of all of them; `ids` says which batches they were. Those that
    /// are known all the same are not lost. The weight of the others is told with the first one: more is not known of it.
    pub fn read_lost(&mut self, first: RecordNo, ids: &[BatchId], weight: u64) {
        let Some(shelf) = &mut self.shelf else { return };
        let mut left = weight;
        let mut lost = Vec::new();
        for (record, id) in (first.0..).zip(ids) {
            match shelf.known(record) {
                Known::Gone(weight) => left = left.saturating_sub(weight),
                Known::Held => {
                    let held = self.entries.iter().find(|entry| entry.record == Some(RecordNo(record)));
                    left = left.saturating_sub(held.map_or(0, Entry::weight));
                }
                Known::Shelved => lost.push((record, *id)),
            }
        }
        shelf.read_to(first.0.saturating_add(ids.len() as u64));
        for (record, id) in lost {
            shelf.give_up(id, Some(record), left);
            self.lost.push(Lost { id, weight: std::mem::take(&mut left) });
        }
        self.join();
    }

    /// Whether all of these records are done with, so that the reader may acknowledge them. They are forgotten then.
    pub fn take_settled(&mut self, first: RecordNo, next: RecordNo) -> bool {
        self.shelf.as_mut().is_some_and(|shelf| shelf.take_settled(first.0, next.0))
    }

    /// Whether what is acknowledged is to be saved at once, since that makes room.
    pub fn is_freeing(&self) -> bool {
        self.shelf.as_ref().is_some_and(Shelf::is_freeing)
    }

    /// What was acknowledged is so after a crash, too.
    pub fn saved(&mut self) {
        self.shelf.iter_mut().for_each(Shelf::saved);
    }

    /// The last durable batch leaves the memory; false if there is none.
    pub(super) fn hide(&mut self) -> bool {
        let Some(shelf) = &mut self.shelf else { return false };
        let durable = self.entries.iter().take(self.ahead).take_while(|entry| entry.record.is_some()).count();
        let Some(index) = durable.checked_sub(1).filter(|index| *index >= self.in_flight) else { return false };
        let Some(record) = self.entries[index].record.filter(|record| shelf.hide_from(record.0)) else { return false };
        debug_assert!(shelf.known(record.0) == Known::Shelved);
        self.ahead = durable;
        let hidden = self.take(index);
        self.hidden_waits += hidden.filter(|entry| !entry.is_earlier).map_or(0, |entry| entry.waits);
        true
    }

    /// Less than what may be read ahead.
    fn is_little<'e>(&self, mut entries: impl Iterator<Item = &'e Entry>) -> bool {
        let most = self.capacity / READ_AHEAD;
        let sum = entries.try_fold(0_usize, |sum, entry| {
            let sum = sum.saturating_add(entry.bytes.len());
            (sum < most).then_some(sum)
        });
        sum.is_some()
    }

    fn drop_shelved(&mut self, entry: Entry) {
        if let Some(shelf) = &mut self.shelf {
            shelf.relieve(entry.bytes.len() as u64);
        }
        self.give_up(&entry);
        self.dropped.push(entry);
    }

    pub(super) fn give_up(&mut self, entry: &Entry) {
        if let Some(shelf) = &mut self.shelf {
            shelf.give_up(entry.id, entry.record.map(|record| record.0), entry.weight());
        }
    }
}
