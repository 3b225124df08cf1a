//! Batches that the aggregator has not acknowledged yet: bounded in bytes, oldest first.
//!
//! Invariants:
//! - entries are in the order of their numbers, and those in flight (sent on the present connection) are the front ones;
//! - the bytes held never exceed the capacity;
//! - when there is no room, the oldest batch *not* in flight goes (or the newcomer itself): one in flight may be in the
//!   store already. One that was sent on an earlier connection may be, too, so a loss counted here is an upper bound.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// One encoded batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The batch's number, by which it is acknowledged.
    pub number: u64,
    /// The batch as it travels, the same at every attempt.
    pub bytes: Bytes,
    /// Finished waits inside.
    pub waits: u64,
}

/// What became of the waits in the batches that left the queue, and what is still in it.
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
}

/// The queue itself; pure.
#[derive(Debug)]
pub struct Queue {
    entries: VecDeque<Entry>,
    in_flight: usize,
    bytes: usize,
    capacity: usize,
    fate: Fate,
    refused: Vec<Entry>,
    connections: u64,
    closed: bool,
}

impl Queue {
    /// An empty queue for at most `capacity` bytes of batches.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            in_flight: 0,
            bytes: 0,
            capacity,
            fate: Fate::default(),
            refused: Vec::new(),
            connections: 0,
            closed: false,
        }
    }

    /// Appends a batch; gives back what had to go for it, oldest first, perhaps the batch itself.
    #[must_use]
    pub fn push(&mut self, entry: Entry) -> Vec<Entry> {
        let mut dropped = Vec::new();
        while !self.has_room_for(&entry) {
            match self.take(self.in_flight) {
                Some(oldest) => dropped.push(oldest),
                None => {
                    dropped.push(entry);
                    return dropped;
                }
            }
        }
        self.bytes += entry.bytes.len();
        self.entries.push_back(entry);
        dropped
    }

    /// Whether a batch would fit without another one going.
    pub fn has_room_for(&self, entry: &Entry) -> bool {
        self.bytes.saturating_add(entry.bytes.len()) <= self.capacity
    }

    /// The next batch to send, which then is in flight; none if all are, or `window` of them.
    pub fn send_next(&mut self, window: usize) -> Option<Entry> {
        if self.in_flight >= window {
            return None;
        }
        let entry = self.entries.get(self.in_flight).cloned()?;
        self.in_flight += 1;
        Some(entry)
    }

    /// The aggregator has stored batch `number`. False if it is not in flight.
    pub fn stored(&mut self, number: u64) -> bool {
        let Some(entry) = self.take_in_flight(number) else { return false };
        self.fate.stored_batches += 1;
        self.fate.stored_waits += entry.waits;
        true
    }

    /// The aggregator will never take batch `number`. False if it is not in flight.
    pub fn refused(&mut self, number: u64) -> bool {
        let Some(entry) = self.take_in_flight(number) else { return false };
        self.fate.refused_batches += 1;
        self.fate.refused_waits += entry.waits;
        self.refused.push(entry);
        true
    }

    /// A new connection: whatever was in flight goes again, from the oldest.
    pub fn reconnected(&mut self) {
        self.in_flight = 0;
        self.connections += 1;
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Number of the oldest batch that is not acknowledged.
    pub fn oldest(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.number)
    }

    /// The refused batches since the last call: their dictionaries never arrived. At most a window of them.
    pub fn take_refused(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.refused)
    }

    /// Nothing more will be pushed.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Closed, and every batch stored or refused.
    pub fn is_finished(&self) -> bool {
        self.closed && self.entries.is_empty()
    }

    /// Most bytes that are held.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What became of everything pushed, but for what `push` gave back.
    pub fn fate(&self) -> Fate {
        Fate { waiting_waits: self.entries.iter().map(|entry| entry.waits).sum(), ..self.fate }
    }

    fn take_in_flight(&mut self, number: u64) -> Option<Entry> {
        let index = self.entries.iter().take(self.in_flight).position(|entry| entry.number == number)?;
        self.in_flight -= 1;
        self.take(index)
    }

    fn take(&mut self, index: usize) -> Option<Entry> {
        let entry = self.entries.remove(index)?;
        self.bytes -= entry.bytes.len();
        Some(entry)
    }
}

/// The queue between the batcher's thread and the uplink's task.
#[derive(Debug)]
pub struct SharedQueue {
    queue: Mutex<Queue>,
    changes: watch::Sender<u64>,
}

impl SharedQueue {
    /// Shares `queue`.
    pub fn new(queue: Queue) -> Self {
        Self { queue: Mutex::new(queue), changes: watch::channel(0).0 }
    }

    /// Changes the queue, and wakes whoever waits for a change.
    pub fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    /// Changes the queue in a way that nobody waits for.
    pub(crate) fn change_quietly<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        change(&mut self.lock())
    }

    /// See [`Queue::take_refused`].
    pub fn take_refused(&self) -> Vec<Entry> {
        self.lock().take_refused()
    }

    /// Looks at the queue.
    pub fn look<T>(&self, look: impl FnOnce(&Queue) -> T) -> T {
        look(&self.lock())
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns once `condition` holds.
    pub async fn until(&self, condition: impl Fn(&Queue) -> bool) {
        let mut changes = self.changes();
        while !self.look(&condition) && changes.changed().await.is_ok() {}
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere cannot leave the queue half changed: none of its methods panics in between.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, len: usize) -> Entry {
        Entry { number, bytes: vec![7; len].into(), waits: 10 }
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn the_oldest_whole_batches_go_when_there_is_no_room() {
        let mut queue = Queue::new(100);
        for number in 1..=3 {
            assert!(queue.push(entry(number, 30)).is_empty());
        }
        assert_eq!(numbers(&queue.push(entry(4, 50))), [1, 2]);
        assert_eq!(queue.bytes(), 80);
    }

    #[test]
    fn a_batch_in_flight_does_not_go_because_it_may_be_stored_already() {
        let mut queue = Queue::new(100);
        for number in 1..=3 {
            assert!(queue.push(entry(number, 30)).is_empty());
        }
        assert_eq!(queue.send_next(16).unwrap().number, 1);
        assert_eq!(numbers(&queue.push(entry(4, 30))), [2]);
        assert_eq!(numbers(&queue.push(entry(5, 90))), [3, 4, 5]);
        assert!(queue.stored(1));
    }

    #[test]
    fn a_batch_larger_than_the_whole_queue_is_given_back() {
        let mut queue = Queue::new(10);
        assert_eq!(numbers(&queue.push(entry(1, 11))), [1]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn the_window_limits_what_is_in_flight_and_acknowledgements_open_it() {
        let mut queue = Queue::new(1_000);
        for number in 1..=3 {
            assert!(queue.push(entry(number, 1)).is_empty());
        }
        assert_eq!(queue.send_next(2).unwrap().number, 1);
        assert_eq!(queue.send_next(2).unwrap().number, 2);
        assert!(queue.send_next(2).is_none());
        assert!(queue.stored(2) && !queue.stored(2) && !queue.stored(3));
        assert_eq!(queue.send_next(2).unwrap().number, 3);
    }

    #[test]
    fn after_a_reconnection_identical_bytes_go_again_from_the_oldest() {
        let mut queue = Queue::new(1_000);
        for number in 1..=3 {
            assert!(queue.push(entry(number, 5)).is_empty());
        }
        let first = [queue.send_next(9).unwrap(), queue.send_next(9).unwrap()];
        queue.reconnected();
        assert_eq!(first, [queue.send_next(9).unwrap(), queue.send_next(9).unwrap()]);
    }

    #[test]
    fn every_wait_has_a_fate() {
        let mut queue = Queue::new(40);
        let mut dropped = 0;
        for number in 0..10 {
            dropped += queue.push(entry(number, 10)).iter().map(|entry| entry.waits).sum::<u64>();
            if number % 3 == 0 {
                let number = queue.send_next(9).unwrap().number;
                assert!(if number.is_multiple_of(2) { queue.stored(number) } else { queue.refused(number) });
            }
        }
        let fate = queue.fate();
        assert_eq!(fate.stored_waits + fate.refused_waits + fate.waiting_waits + dropped, 100);
        assert!(dropped > 0 && fate.refused_waits > 0 && fate.stored_waits > 0);
        assert_eq!(queue.take_refused().len() as u64, fate.refused_batches);
    }

    #[test]
    fn it_is_finished_when_closed_and_empty() {
        let mut queue = Queue::new(40);
        assert!(queue.push(entry(1, 1)).is_empty());
        queue.close();
        assert!(!queue.is_finished());
        queue.send_next(1);
        queue.stored(1);
        assert!(queue.is_finished());
    }
}
