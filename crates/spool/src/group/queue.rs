//! Between producers and the thread that commits: bounded in bytes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::frame::frame_bytes;
use crate::item::RecordNo;

/// What is called once, with the number of a record when it is durable, or when it will not be. On the thread that commits, so it should only
/// pass it on (into a channel of any kind, async ones too); it must not panic.
pub type Done = Box<dyn FnOnce(Result<RecordNo, NotDurable>) + Send>;

/// The group commit ended before a record was durable. It may be read all the same after the next open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not durable: {0}")]
pub struct NotDurable(pub String);

/// Why a record was not taken; with the record.
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// The record.
    pub record: Vec<u8>,
    /// What was to be called.
    pub done: Done,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// As much waits as may.
    #[error("as many bytes wait to be made durable as may: try again when some are")]
    Busy,
    /// It is larger than a record may be.
    #[error("the record is larger than the spool takes")]
    TooLarge,
    /// The group commit has ended.
    #[error("the spool is closed")]
    Closed,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("reason", &self.reason)
            .field("bytes", &self.record.len())
            .finish_non_exhaustive()
    }
}

/// What keeps the group commit from making anything durable.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What happened last.
    pub message: String,
    /// Since when nothing became durable.
    pub since: Instant,
    /// Attempts that failed.
    pub attempts: u64,
}

/// Hands records to a [`crate::GroupCommit`]; clones are the same.
#[derive(Clone, Debug)]
pub struct Appender {
    pub(super) queue: Arc<Queue>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    /// For the thread: something to do.
    filled: Condvar,
    /// For producers: there is room.
    emptied: Condvar,
    capacity_bytes: u64,
    max_record_bytes: u64,
}

#[derive(Default)]
pub(super) struct State {
    entries: VecDeque<Entry>,
    /// Of the entries, and of those that are being committed.
    bytes: u64,
    is_closed: bool,
    /// The thread waits for a group: only then it is woken, since that is a system call each time.
    is_idle: bool,
    waiting: Vec<Box<dyn FnOnce() + Send>>,
    trouble: Option<Trouble>,
}

pub(super) struct Entry {
    pub(super) record: Vec<u8>,
    pub(super) weight: u64,
    pub(super) done: Done,
}

impl Entry {
    pub(super) fn bytes(&self) -> u64 {
        frame_bytes(self.record.len() as u64)
    }
}

impl Appender {
    /// Takes a record, and calls `done` when it is durable. Waits while there is no room.
    ///
    /// # Errors
    /// When the record is too large, or the group commit has ended.
    pub fn append(&self, record: Vec<u8>, weight: u64, done: Done) -> Result<(), Refused> {
        let entry = Entry { record, weight, done };
        let mut state = self.queue.lock();
        loop {
            match self.queue.refusal(&state, &entry) {
                None => break,
                Some(Reason::Busy) => state = self.queue.emptied.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(reason) => return Err(refused(reason, entry)),
            }
        }
        self.queue.push(&mut state, entry);
        Ok(())
    }

    /// Takes a record if there is room for it now.
    ///
    /// # Errors
    /// When there is none, when the record is too large, or the group commit has ended; the record comes back.
    pub fn try_append(&self, record: Vec<u8>, weight: u64, done: Done) -> Result<(), Refused> {
        let entry = Entry { record, weight, done };
        let mut state = self.queue.lock();
        match self.queue.refusal(&state, &entry) {
            Some(reason) => Err(refused(reason, entry)),
            None => {
                self.queue.push(&mut state, entry);
                Ok(())
            }
        }
    }

    /// Calls `wake` once, when there is more room than now or the group commit has ended; at once if nothing waits.
    pub fn when_room(&self, wake: Box<dyn FnOnce() + Send>) {
        let mut state = self.queue.lock();
        if state.bytes == 0 || state.is_closed {
            drop(state);
            wake();
        } else {
            state.waiting.push(wake);
        }
    }

    /// What waits in memory, bytes.
    pub fn waiting_bytes(&self) -> u64 {
        self.queue.lock().bytes
    }

    /// Why nothing becomes durable at present; none if all is well.
    pub fn trouble(&self) -> Option<Trouble> {
        self.queue.lock().trouble.clone()
    }
}

fn refused(reason: Reason, Entry { record, done, .. }: Entry) -> Refused {
    Refused { reason, record, done }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("capacity_bytes", &self.capacity_bytes).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(capacity_bytes: u64, max_record_bytes: u64) -> Self {
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::default(), filled, emptied, capacity_bytes, max_record_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self, state: &State, entry: &Entry) -> Option<Reason> {
        if state.is_closed {
            return Some(Reason::Closed);
        }
        if entry.record.len() as u64 > self.max_record_bytes {
            return Some(Reason::TooLarge);
        }
        (state.bytes.saturating_add(entry.bytes()) > self.capacity_bytes).then_some(Reason::Busy)
    }

    fn push(&self, state: &mut State, entry: Entry) {
        state.bytes += entry.bytes();
        state.entries.push_back(entry);
        if std::mem::take(&mut state.is_idle) {
            self.filled.notify_one();
        }
    }

    /// Waits for the next group; none at the end.
    pub(super) fn take(&self) -> Option<VecDeque<Entry>> {
        let mut state = self.lock();
        while state.entries.is_empty() {
            if state.is_closed {
                return None;
            }
            state.is_idle = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        Some(std::mem::take(&mut state.entries))
    }

    /// So many bytes do not wait any more.
    pub(super) fn release(&self, bytes: u64) {
        let waiting = {
            let mut state = self.lock();
            state.bytes -= bytes;
            std::mem::take(&mut state.waiting)
        };
        self.emptied.notify_all();
        waiting.into_iter().for_each(|wake| wake());
    }

    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.filled.notify_all();
        self.emptied.notify_all();
        waiting.into_iter().for_each(|wake| wake());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// What nobody will commit any more.
    pub(super) fn take_left(&self) -> VecDeque<Entry> {
        std::mem::take(&mut self.lock().entries)
    }

    /// A commit failed, or did not.
    pub(super) fn tell(&self, failure: Option<String>) {
        let mut state = self.lock();
        let before = state.trouble.take();
        let (since, attempts) = before.map_or((Instant::now(), 0), |trouble| (trouble.since, trouble.attempts));
        state.trouble = failure.map(|message| Trouble { message, since, attempts: attempts + 1 });
    }

    /// Waits so long, or until it is closed.
    pub(super) fn pause(&self, at_most: Duration) {
        drop(self.filled.wait_timeout_while(self.lock(), at_most, |state| !state.is_closed));
    }
}
