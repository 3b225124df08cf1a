//! The thread that makes batches durable.

use std::sync::Arc;
use std::time::Duration;

use syncline_spool::{Disk, Error, RecordNo, Spool};

use super::record;
use super::trouble::Trouble;
use crate::queue::{Entry, Queue, SharedQueue};

/// Bytes of batches that are made durable at once.
const GROUP_BYTES: usize = 4 << 20;
/// After a failure it tries again so soon. Batches go on meanwhile, from memory.
const PAUSE: Duration = Duration::from_secs(1);
/// It measures the disk at least as often.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) spool: Spool<Disk>,
    pub(super) queue: Arc<SharedQueue>,
    trouble: Trouble,
}

impl Writer {
    pub(super) fn new(spool: Spool<Disk>, queue: Arc<SharedQueue>) -> Self {
        let trouble = Trouble::new(
            "batches cannot be made durable, are kept in memory (--queue-bytes) and sent from there",
            "batches are durable again",
        );
        Self { spool, queue, trouble }
    }

    /// Until the queue is closed and everything in it is durable; what fails then is tried once more.
    pub(super) fn run(mut self) {
        loop {
            // Asked before: what was there at the end is tried.
            let is_last = self.queue.look(Queue::is_closed);
            let is_done = self.write();
            if is_last && (self.trouble.is_there() || is_done) {
                return;
            }
            if self.trouble.is_there() {
                self.queue.wait_for(PAUSE, Queue::is_closed);
            } else if is_done {
                self.queue.wait_for(IDLE, |queue| queue.has_unwritten() || queue.is_closed());
            }
        }
    }

    /// Makes a group durable; whether there was none.
    fn write(&mut self) -> bool {
        let entries = self.queue.change_quietly(|queue| queue.begin_writing(GROUP_BYTES));
        let is_done = entries.is_empty();
        let (records, mut failure) = self.append(&entries);
        if let Err(error) = self.spool.commit() {
            failure = Some(error);
            self.spool.discard_pending();
        }
        let (durable, is_full) = (self.spool.durable(), matches!(failure, Some(Error::Full { .. })));
        self.queue.change(|queue| {
            let written = entries.iter().zip(records).filter(|(_, record)| *record < durable);
            written.for_each(|(entry, record)| queue.durable(entry, record));
            queue.end_writing();
            queue.measured(self.spool.status().bytes);
            if is_full {
                queue.set_full();
            }
        });
        // With nothing to write nothing is known of the disk.
        if !is_done {
            self.trouble.tell(failure.as_ref());
        }
        is_done
    }

    fn append(&mut self, entries: &[Entry]) -> (Vec<RecordNo>, Option<Error>) {
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.spool.append(&record::encode(entry), entry.weight()) {
                Ok(record) => records.push(record),
                Err(error) => return (records, Some(error)),
            }
        }
        (records, None)
    }
}
