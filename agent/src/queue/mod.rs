//! Batches that the aggregator has not acknowledged yet: bounded in bytes, oldest first; in memory, and behind that on a shelf, if there is one.
//!
//! ```text
//! in flight │ to be sent │ only on the shelf │ not durable yet
//! ◄───── in memory ─────►                     ◄── in memory ──►
//! ```
//!
//! Invariants:
//! - with a shelf, those in flight are no more than half of the capacity, or one: they cannot leave the memory, and new batches need room there
//!   until they are durable;
//! - entries are in the order in which they were made, those of earlier runs first, and those in flight (sent on the present connection) are the
//!   front ones; no two of these have the same number;
//! - nothing behind what is only on the shelf is sent before that;
//! - the bytes held never exceed the capacity, but for a quarter of it, and a batch, that is read ahead from the shelf;
//! - when there is no room in memory, what is durable leaves it; then the oldest batch goes that is neither in flight nor durable (or the newcomer
//!   itself): one in flight may be in the store already. One that was sent on an earlier connection may be, too, so a loss counted here is an upper
//!   bound;
//! - when there is no room on the shelf, its oldest batch not in flight goes, and one in flight only where nothing else helps;
//! - each batch that goes is told in a later one, and what was on the shelf is there until that is durable, or stored.
//!
//! A batch is sent whether or not it is durable yet. That loses nothing: it is forgotten only once it is stored, and its number is never given again,
//! since a later run of the same boot begins with a larger one.

mod entry;
mod shared;
mod shelf;
#[cfg(test)]
mod shelf_tests;
mod shelved;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use syncline_spool::RecordNo;

pub use entry::{BatchId, Entry, Fate};
pub use shared::SharedQueue;
use shelf::Shelf;

/// The part of the capacity that may be read ahead from the shelf, with what is in flight: the rest is for new batches.
const READ_AHEAD: usize = 4;
/// The part of the capacity that may be in flight where there is a shelf.
const IN_FLIGHT: usize = 2;

/// A record that the shelf has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which batch it was; run and number are 0 and the record's where nobody knows.
    pub id: BatchId,
    /// Waits in it, those of its neighbours among them that are lost with it.
    pub weight: u64,
}

/// The queue itself; pure.
#[derive(Debug)]
pub struct Queue {
    entries: VecDeque<Entry>,
    /// How many of the entries lie before what is only on the shelf: all, if nothing is.
    ahead: usize,
    in_flight: usize,
    bytes: usize,
    capacity: usize,
    fate: Fate,
    /// Waits of this run in batches that are only on the shelf.
    hidden_waits: u64,
    refused: Vec<Entry>,
    dropped: Vec<Entry>,
    lost: Vec<Lost>,
    shelf: Option<Shelf>,
    connections: u64,
    closed: bool,
}

impl Queue {
    /// An empty queue for at most `capacity` bytes of batches in memory.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            ahead: 0,
            in_flight: 0,
            bytes: 0,
            capacity,
            fate: Fate::default(),
            hidden_waits: 0,
            refused: Vec::new(),
            dropped: Vec::new(),
            lost: Vec::new(),
            shelf: None,
            connections: 0,
            closed: false,
        }
    }

    /// With a shelf, on which the records from `position` to `end` are to be sent first; once it takes `soft_bytes` of the disk the oldest go.
    #[must_use]
    pub fn with_shelf(self, position: RecordNo, end: RecordNo, soft_bytes: u64) -> Self {
        Self { shelf: Some(Shelf::new(position, end, soft_bytes)), ..self }
    }

    /// Appends a batch; gives back what had to go for it, oldest first, perhaps the batch itself.
    #[must_use]
    pub fn push(&mut self, entry: Entry) -> Vec<Entry> {
        let mut dropped = Vec::new();
        while !self.has_room_for(&entry) {
            if self.hide() {
                continue;
            }
            match self.take(self.oldest_to_drop()) {
                Some(oldest) => {
                    if let Some(shelf) = &mut self.shelf {
                        shelf.give_up(oldest.id, None, oldest.weight());
                    }
                    dropped.push(oldest);
                }
                None => {
                    dropped.push(entry);
                    return dropped;
                }
            }
        }
        self.bytes += entry.bytes.len();
        self.entries.push_back(entry);
        self.join();
        dropped
    }

    /// Most bytes that are held in memory.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether a batch would fit without another one going.
    pub fn has_room_for(&self, entry: &Entry) -> bool {
        self.bytes.saturating_add(entry.bytes.len()) <= self.capacity
    }

    /// The next batch to send, which then is in flight; none if all are, or `window` of them, or one of the same number, or as much as may be.
    pub fn send_next(&mut self, window: usize) -> Option<Entry> {
        if self.in_flight >= window.min(self.ahead) {
            return None;
        }
        let entry = self.entries.get(self.in_flight).cloned()?;
        // Of another boot. It could not be told which one is acknowledged.
        if self.entries.iter().take(self.in_flight).any(|sent| sent.number() == entry.number()) {
            return None;
        }
        let sent = || self.entries.iter().take(self.in_flight).map(|sent| sent.bytes.len());
        let is_too_much = sent().sum::<usize>().saturating_add(entry.bytes.len()) > self.capacity / IN_FLIGHT;
        if self.shelf.is_some() && self.in_flight > 0 && is_too_much {
            return None;
        }
        self.in_flight += 1;
        Some(entry)
    }

    /// The aggregator has stored batch `number`. False if it is not in flight.
    pub fn stored(&mut self, number: u64) -> bool {
        let Some(entry) = self.take_in_flight(number) else { return false };
        if entry.is_earlier {
            self.fate.earlier_batches += 1;
        } else {
            self.fate.stored_batches += 1;
            self.fate.stored_waits = self.fate.stored_waits.saturating_add(entry.waits);
        }
        if let Some(shelf) = &mut self.shelf {
            entry.tells.iter().for_each(|id| shelf.told(*id));
            if let Some(record) = entry.record {
                shelf.settle(record.0, entry.weight());
            }
        }
        true
    }

    /// The aggregator will never take batch `number`. False if it is not in flight.
    pub fn refused(&mut self, number: u64) -> bool {
        let Some(entry) = self.take_in_flight(number) else { return false };
        if !entry.is_earlier {
            self.fate.refused_batches += 1;
            self.fate.refused_waits = self.fate.refused_waits.saturating_add(entry.waits);
        }
        self.give_up(&entry);
        self.refused.push(entry);
        true
    }

    /// A new connection: whatever was in flight goes again, from the oldest.
    pub fn reconnected(&mut self) {
        self.in_flight = 0;
        self.connections += 1;
    }

    /// The connection has ended, and nothing is in flight.
    pub fn disconnected(&mut self) {
        self.in_flight = 0;
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Number of the oldest batch of this run that is not acknowledged; at most that where it is on the shelf only.
    pub fn oldest(&self) -> Option<u64> {
        let own = self.entries.iter().take(self.ahead).find(|entry| !entry.is_earlier).map(Entry::number);
        let hidden = (self.is_hiding() && self.hidden_waits > 0).then_some(0);
        own.or(hidden).or_else(|| self.entries.get(self.ahead).map(Entry::number))
    }

    /// The refused batches since the last call: their dictionaries never arrived. At most a window of them.
    pub fn take_refused(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.refused)
    }

    /// The batches that the shelf had no room for, since the last call.
    pub fn take_dropped(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.dropped)
    }

    /// What the shelf has lost, since the last call.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// Nothing more will be pushed.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing more will be pushed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closed, and every batch stored or refused.
    pub fn is_finished(&self) -> bool {
        self.closed && self.entries.is_empty() && !self.is_hiding()
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What became of everything pushed, but for what was given back.
    pub fn fate(&self) -> Fate {
        let own = self.entries.iter().filter(|entry| !entry.is_earlier);
        let (mut waiting, mut shelved) = (self.hidden_waits, self.hidden_waits);
        for entry in own {
            waiting = waiting.saturating_add(entry.waits);
            shelved = shelved.saturating_add(if entry.record.is_some() { entry.waits } else { 0 });
        }
        Fate { waiting_waits: waiting, shelved_waits: shelved, ..self.fate }
    }

    fn take_in_flight(&mut self, number: u64) -> Option<Entry> {
        let index = self.entries.iter().take(self.in_flight).position(|entry| entry.number() == number)?;
        self.take(index)
    }

    fn take(&mut self, index: usize) -> Option<Entry> {
        let entry = self.entries.remove(index)?;
        self.bytes -= entry.bytes.len();
        self.in_flight -= usize::from(index < self.in_flight);
        self.ahead -= usize::from(index < self.ahead);
        Some(entry)
    }

    /// The oldest one that is nowhere else.
    fn oldest_to_drop(&self) -> usize {
        let is_durable = |entry: &Entry| entry.record.is_some();
        let durable = self.entries.iter().take_while(|entry| is_durable(entry)).count();
        durable.max(self.in_flight)
    }

    fn is_hiding(&self) -> bool {
        self.shelf.as_ref().is_some_and(Shelf::is_hiding)
    }

    /// Where nothing is only on the shelf, nothing is behind that.
    fn join(&mut self) {
        if !self.is_hiding() {
            self.ahead = self.entries.len();
        }
    }
}
