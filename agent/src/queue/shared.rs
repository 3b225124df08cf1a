//! The queue between threads and tasks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Entry, Queue};

/// The queue between the batcher's thread, the uplink's task and the threads of the spool.
#[derive(Debug)]
pub struct SharedQueue {
    queue: Mutex<Queue>,
    changes: watch::Sender<u64>,
    changed: Condvar,
}

impl SharedQueue {
    /// Shares `queue`.
    pub fn new(queue: Queue) -> Self {
        Self { queue: Mutex::new(queue), changes: watch::channel(0).0, changed: Condvar::new() }
    }

    /// Changes the queue, and wakes whoever waits for a change.
    pub fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        self.changed.notify_all();
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

    /// Returns once `condition` holds, or after so long: for threads.
    pub(crate) fn wait_for(&self, at_most: Duration, condition: impl Fn(&Queue) -> bool) {
        let waiting = self.changed.wait_timeout_while(self.lock(), at_most, |queue| !condition(queue));
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere cannot leave the queue half changed: none of its methods panics in between.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
