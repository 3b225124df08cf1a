//! What the writer and the readers of a spool both know.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::item::RecordNo;
use crate::segment::SegmentId;
use crate::storage::Storage;

/// A segment with records that are durable. Its records are those from its first one to the first one of the segment after it; whatever
/// else may lie in the file is not taken for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    /// Weight of all records before its first one.
    pub(crate) weight_before: u64,
    /// What it takes of the disk.
    pub(crate) bytes: u64,
    /// Up to here it may be read.
    pub(crate) readable: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CursorState {
    /// The durable position.
    pub(crate) next: u64,
    pub(crate) has_reader: bool,
}

/// A file that is to go, and could not be removed yet.
#[derive(Debug)]
pub(crate) struct Unwanted {
    pub(crate) name: String,
    /// What it takes of [`Config::max_bytes`].
    pub(crate) bytes: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Segments that hold durable records.
    pub segments: usize,
    /// What they take of the disk, and those that could not be removed yet.
    pub bytes: u64,
    /// Number of the oldest record that is held.
    pub oldest: RecordNo,
    /// Number behind the newest durable record.
    pub end: RecordNo,
    /// Weight of all records that were ever durable.
    pub weight: u64,
    /// Segments that were dropped since the spool was opened, though some cursor had not come behind them.
    pub dropped_segments: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) segments: VecDeque<Segment>,
    /// All records below are durable, unless they were dropped or damaged.
    pub(crate) end: u64,
    /// Weight of all records below the end.
    pub(crate) end_weight: u64,
    pub(crate) cursors: BTreeMap<String, CursorState>,
    pub(crate) unwanted: Vec<Unwanted>,
    /// The oldest segment, while it is being dropped: its file may be gone, and back after a crash.
    pub(crate) dropping: Option<SegmentId>,
    pub(crate) dropped_segments: u64,
}

/// Where a position is.
pub(crate) enum Place {
    /// There is nothing yet.
    End,
    /// Everything from there up to this number was dropped; with the weight of all records before that.
    Dropped(u64, u64),
    In(Segment, Bound),
}

/// A number, and the weight of all records before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) next: u64,
    pub(crate) weight_before: u64,
}

impl State {
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.unwanted_bytes()
    }

    pub(crate) fn unwanted_bytes(&self) -> u64 {
        self.unwanted.iter().map(|file| file.bytes).sum()
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            segments: self.segments.len(),
            bytes: self.bytes(),
            oldest: RecordNo(self.oldest().next),
            end: RecordNo(self.end),
            weight: self.end_weight,
            dropped_segments: self.dropped_segments,
        }
    }

    /// Where the oldest record begins that is held.
    pub(crate) fn oldest(&self) -> Bound {
        let end = Bound { next: self.end, weight_before: self.end_weight };
        self.segments
            .front()
            .map_or(end, |segment| Bound { next: segment.id.first, weight_before: segment.weight_before })
    }

    /// Where a position is.
    pub(crate) fn place(&self, position: u64) -> Place {
        if position >= self.end {
            return Place::End;
        }
        let after = self.segments.partition_point(|segment| segment.id.first <= position);
        let end = Bound { next: self.end, weight_before: self.end_weight };
        let bound = self.segments.get(after).map_or(end, |segment| Bound {
            next: segment.id.first.min(self.end),
            weight_before: segment.weight_before,
        });
        match after.checked_sub(1).and_then(|index| self.segments.get(index)) {
            Some(segment) => Place::In(*segment, bound),
            None => Place::Dropped(bound.next, bound.weight_before),
        }
    }

    /// Takes out the segments that every cursor has behind it, and those without a record; the last one stays, since the numbers go on from it.
    pub(crate) fn forget_read(&mut self) {
        let read = self.cursors.values().map(|cursor| cursor.next).min();
        let mut index = 0;
        while let (Some(segment), Some(after)) = (self.segments.get(index), self.segments.get(index + 1)) {
            let is_read = index == 0 && read.is_some_and(|read| after.id.first <= read);
            if is_read || after.id.first == segment.id.first {
                self.unwanted.push(Unwanted { name: segment.id.name(), bytes: segment.bytes });
                self.segments.remove(index);
            } else {
                index += 1;
            }
        }
    }
}

type Listener = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Shared<S: Storage> {
    pub(crate) storage: S,
    pub(crate) spool: [u8; 16],
    pub(crate) config: Config,
    pub(crate) state: Mutex<State>,
    /// The end moved, or segments went.
    pub(crate) changed: Condvar,
    listeners: Mutex<Vec<Listener>>,
    /// Held while files are removed. False if the last ones may come back in a crash.
    removals_synced: Mutex<bool>,
    _lock: S::Lock,
}

impl<S: Storage> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<S: Storage> Shared<S> {
    pub(crate) fn new(storage: S, lock: S::Lock, spool: [u8; 16], config: Config, state: State) -> Self {
        Self {
            storage,
            spool,
            config,
            state: Mutex::new(state),
            changed: Condvar::new(),
            listeners: Mutex::default(),
            removals_synced: Mutex::new(true),
            _lock: lock,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells everybody that waits that something has changed.
    pub(crate) fn tell(&self) {
        self.changed.notify_all();
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener());
    }

    /// Removes the files that nobody wants. What cannot be removed is tried again the next time; a crash may bring others back, and the
    /// next open finds them behind all cursors, or without a record.
    pub(crate) fn remove_unwanted(&self) {
        // Whoever drops a segment, or tries it, learns of failures.
        drop(self.remove_in_order(&mut self.removals()));
    }

    /// Removes the oldest segment, for good. Those before it must not come back without it: its records would be missing between others, as if
    /// they were damaged.
    pub(crate) fn drop_segment(&self, id: SegmentId) -> Result<()> {
        let mut is_synced = self.removals();
        self.remove_in_order(&mut is_synced)?;
        let sync = || self.storage.sync_directory().map_err(Error::io("sync the directory without", id.name()));
        if !*is_synced {
            sync()?;
            *is_synced = true;
        }
        self.lock().dropping = Some(id);
        *is_synced = false;
        self.remove(&id.name())?;
        sync()?;
        *is_synced = true;
        let mut state = self.lock();
        state.dropping = None;
        if state.segments.front().is_some_and(|segment| segment.id == id) {
            state.segments.pop_front();
            state.dropped_segments += 1;
        }
        drop(state);
        self.tell();
        Ok(())
    }

    /// Whether a segment is still to be dropped, after waiting for whoever is at it: then that has failed and will be tried again.
    pub(crate) fn is_being_dropped(&self, id: SegmentId) -> bool {
        let _nobody_is = self.removals();
        self.lock().dropping == Some(id)
    }

    fn removals(&self) -> MutexGuard<'_, bool> {
        self.removals_synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_in_order(&self, is_synced: &mut bool) -> Result<()> {
        let unwanted = std::mem::take(&mut self.lock().unwanted);
        *is_synced &= unwanted.is_empty();
        let mut result = Ok(());
        for file in unwanted {
            if let Err(error) = self.remove(&file.name) {
                self.lock().unwanted.push(file);
                result = Err(error);
            }
        }
        result
    }

    /// Removes a file that may be gone.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match self.storage.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", name)(error)),
            _ => Ok(()),
        }
    }
}
