//! The thread that reads what is only on the disk, and frees what is done with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_spool::{Content, Disk, Item, Reader as Records, RecordNo};
use tokio::sync::watch;

use super::gap::Gap;
use super::record;
use super::trouble::Trouble;
use crate::queue::{BatchId, Queue, SharedQueue};

/// How often the position is saved. What was acknowledged since then is sent again after a crash, and stored once.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often it looks whether something is done with, at least.
const IDLE: Duration = Duration::from_millis(200);

pub(super) struct Reader {
    records: Records<Disk>,
    queue: Arc<SharedQueue>,
    /// A batch of the present run.
    own_run: BatchId,
    /// Items that were read and are not acknowledged: the first record of each, and the one behind it.
    outstanding: VecDeque<(RecordNo, RecordNo)>,
    /// Which batch was read last.
    last: Option<BatchId>,
    /// What is lost behind it.
    gap: Gap,
    reading: Trouble,
    saving: Trouble,
}

impl Reader {
    pub(super) fn new(records: Records<Disk>, queue: Arc<SharedQueue>, own_run: BatchId) -> Self {
        let reading = Trouble::new("the spool cannot be read", "the spool can be read again");
        let saving = Trouble::new(
            "how far the spool was sent cannot be saved, so a later run may send again what was stored",
            "how far the spool was sent is saved again",
        );
        Self { records, queue, own_run, outstanding: VecDeque::new(), last: None, gap: Gap::default(), reading, saving }
    }

    /// Until it is told to stop; then it saves what it can.
    pub(super) fn run(mut self, stop: &watch::Receiver<bool>) {
        let mut save_at = Instant::now() + SAVE_EVERY;
        loop {
            // Asked before: all that was settled by then is saved.
            let is_last = *stop.borrow();
            let has_more = self.step();
            let is_due = Instant::now() >= save_at || self.queue.look(Queue::is_freeing);
            if is_last || is_due {
                self.save();
                save_at = Instant::now() + SAVE_EVERY;
            }
            if is_last {
                return;
            }
            let pause = if self.reading.is_there() { SAVE_EVERY } else { IDLE };
            self.queue.wait_for(pause, |queue| (has_more && queue.wants_read()) || *stop.borrow());
        }
    }

    /// Reads what is wanted, and acknowledges what is settled; whether there may be more to read now.
    fn step(&mut self) -> bool {
        self.queue.change_quietly(Queue::drop_surplus);
        let mut has_more = true;
        while has_more && self.queue.look(Queue::wants_read) {
            has_more = self.read();
            self.acknowledge();
        }
        self.acknowledge();
        has_more
    }

    fn read(&mut self) -> bool {
        match self.records.next() {
            Ok(Some(item)) => {
                self.reading.tell(None);
                self.take(item);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.reading.tell(Some(&error));
                false
            }
        }
    }

    fn take(&mut self, item: Item) {
        let Item { first, next, weight, content, .. } = item;
        self.outstanding.push_back((first, next));
        let entry = match content {
            Content::Record(bytes) => record::decode(first, bytes, self.own_run),
            Content::Dropped | Content::Damaged { .. } => None,
        };
        let Some(entry) = entry else {
            tracing::warn!(
                records = item.next.0 - item.first.0,
                waits = weight,
                "the spool has records that cannot be read: they are damaged, or of another version"
            );
            return self.gap.add(first, next, weight);
        };
        let (gap, before) = (std::mem::take(&mut self.gap), self.last.replace(entry.id));
        self.queue.change(|queue| {
            if let Some(first) = gap.first {
                queue.read_lost(first, &gap.ids(before, entry.id), gap.weight);
            }
            queue.read(entry);
        });
    }

    fn acknowledge(&mut self) {
        while let Some((first, next)) = self.outstanding.front().copied()
            && self.queue.change_quietly(|queue| queue.take_settled(first, next))
        {
            self.outstanding.pop_front();
            self.records.acknowledge(first);
        }
    }

    fn save(&mut self) {
        let failure = self.records.save(&[]).err();
        if failure.is_none() {
            self.queue.change_quietly(Queue::saved);
        }
        self.saving.tell(failure.as_ref());
    }
}
