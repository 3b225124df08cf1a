//! Where everything that a run captured has gone: its account, for each batch.

use syncline_event::{Account, Batch, DroppedBatch, LossCause, limits};

/// What the capture knows of its waits, since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// See [`Account::captured`].
    pub waits: u64,
    /// See [`Account::left_out`].
    pub left_out: u64,
    /// See [`Account::open`]: at the end, when nothing is captured any more and all of it was handed on.
    pub open: Option<u64>,
}

/// Sums of one run.
#[derive(Debug, Default)]
pub(super) struct Accounting {
    /// Waits that were taken, to become events or as sums.
    taken: u64,
    /// Those of them that are in sealed batches.
    sealed: u64,
    /// Waits that were lost before they could be.
    lost: u64,
    captured: Option<Captured>,
    /// Of the captured ones, those that had not come here when that was told.
    under_way: i64,
    /// The end was told, and in no batch yet.
    ends: bool,
    dropped: Vec<DroppedBatch>,
}

impl Accounting {
    pub(super) fn take(&mut self, count: u64) {
        self.taken = self.taken.saturating_add(count);
    }

    pub(super) fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    /// What the capture knows now that all it had seen before came here.
    pub(super) fn set_captured(&mut self, captured: Captured) {
        self.under_way = captured.waits.wrapping_sub(self.known(captured)).cast_signed();
        self.ends = captured.open.is_some();
        self.captured = Some(captured);
    }

    /// A batch will not be stored.
    pub(super) fn drop_batch(&mut self, dropped: DroppedBatch) {
        self.dropped.push(dropped);
    }

    /// What a batch has told of others, which will not be stored itself, is to be told again.
    pub(super) fn tell_again(&mut self, dropped: &[DroppedBatch]) {
        self.dropped.extend_from_slice(dropped);
    }

    /// Something to be told that no batch has told.
    pub(super) fn has_news(&self) -> bool {
        self.ends || !self.dropped.is_empty()
    }

    /// Gives a batch that is complete otherwise what it is to tell.
    pub(super) fn seal(&mut self, batch: &mut Batch) {
        let (events, summed) = contents(batch);
        self.sealed = self.sealed.saturating_add(events).saturating_add(summed);
        batch.account = self.captured.map(|captured| self.account(captured));
        batch.dropped = self.dropped.drain(..self.dropped.len().min(limits::DROPPED)).collect();
        self.ends = false;
    }

    fn account(&self, captured: Captured) -> Account {
        let pending = self.taken.wrapping_sub(self.sealed).cast_signed();
        Account {
            captured: self.known(captured).wrapping_add_signed(self.under_way),
            left_out: captured.left_out,
            waiting: self.under_way.wrapping_add(pending),
            open: captured.open,
        }
    }

    /// What came here, in whatever way, and what is not to come.
    fn known(&self, captured: Captured) -> u64 {
        captured.left_out.saturating_add(self.taken).saturating_add(self.lost)
    }
}

/// What is to be told of a batch that will not be stored.
pub(super) fn dropped(cause: LossCause, batch: &Batch) -> DroppedBatch {
    let (events, summed) = contents(batch);
    DroppedBatch {
        boot: batch.origin.boot,
        number: batch.number,
        run_first_seq: batch.origin.run_first_seq,
        cause,
        events,
        summed,
        losses: batch.losses.clone(),
    }
}

/// Finished waits, and waits in sums.
fn contents(batch: &Batch) -> (u64, u64) {
    (batch.waits.len() as u64, batch.summed_waits())
}
