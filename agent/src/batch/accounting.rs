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
    run_first_seq: u64,
    /// Waits that were taken, to become events.
    events_taken: u64,
    events_sealed: u64,
    /// Waits in sums that were taken.
    summed_taken: u64,
    summed_sealed: u64,
    /// Of sealed batches that were dropped.
    events_dropped: u64,
    summed_dropped: u64,
    /// Lost otherwise.
    lost: u64,
    captured: Option<Captured>,
    /// Of the captured ones, those that had not come here when that was told.
    under_way: i64,
    /// The end was told, and in no batch yet.
    ends: bool,
    dropped: Vec<DroppedBatch>,
}

impl Accounting {
    pub(super) fn new(run_first_seq: u64) -> Self {
        Self { run_first_seq, ..Self::default() }
    }

    pub(super) fn take_event(&mut self) {
        self.events_taken += 1;
    }

    pub(super) fn take_summed(&mut self, count: u64) {
        self.summed_taken = self.summed_taken.saturating_add(count);
    }

    pub(super) fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    /// What the capture knows now that all it had seen before came here.
    pub(super) fn set_captured(&mut self, captured: Captured) {
        let known = captured.left_out.saturating_add(self.came());
        self.under_way = captured.waits.wrapping_sub(known).cast_signed();
        self.ends = captured.open.is_some();
        self.captured = Some(captured);
    }

    /// A batch will not be stored; gives the number of its waits.
    pub(super) fn drop_batch(&mut self, cause: LossCause, batch: &Batch) -> u64 {
        let (events, summed) = contents(batch);
        if batch.origin.run_first_seq == self.run_first_seq {
            self.events_dropped = self.events_dropped.saturating_add(events);
            self.summed_dropped = self.summed_dropped.saturating_add(summed);
        }
        self.dropped.extend_from_slice(&batch.dropped);
        self.dropped.push(DroppedBatch {
            number: batch.number,
            run_first_seq: batch.origin.run_first_seq,
            cause,
            events,
            summed,
            losses: batch.losses.clone(),
        });
        events.saturating_add(summed)
    }

    /// Something to be told that no batch has told.
    pub(super) fn has_news(&self) -> bool {
        self.ends || !self.dropped.is_empty()
    }

    /// Gives a batch that is complete otherwise what it is to tell.
    pub(super) fn seal(&mut self, batch: &mut Batch) {
        let (events, summed) = contents(batch);
        self.events_sealed = self.events_sealed.saturating_add(events);
        self.summed_sealed = self.summed_sealed.saturating_add(summed);
        batch.account = self.captured.map(|captured| self.account(captured));
        batch.dropped = self.dropped.drain(..self.dropped.len().min(limits::DROPPED)).collect();
        self.ends = false;
    }

    fn account(&self, captured: Captured) -> Account {
        let pending = (self.events_taken + self.summed_taken).wrapping_sub(self.events_sealed + self.summed_sealed);
        let known = captured.left_out.saturating_add(self.came());
        Account {
            captured: known.wrapping_add_signed(self.under_way),
            events: self.events_sealed.saturating_sub(self.events_dropped),
            summed: self.summed_sealed.saturating_sub(self.summed_dropped),
            left_out: captured.left_out,
            lost: self.lost.saturating_add(self.events_dropped).saturating_add(self.summed_dropped),
            waiting: self.under_way.wrapping_add(pending.cast_signed()),
            open: captured.open,
        }
    }

    /// What came here, in whatever way.
    fn came(&self) -> u64 {
        self.events_taken.saturating_add(self.summed_taken).saturating_add(self.lost)
    }
}

/// Finished waits, and waits in sums.
fn contents(batch: &Batch) -> (u64, u64) {
    let summed = batch.short_waits.iter().map(|short| short.count).fold(0, u64::saturating_add);
    (batch.waits.len() as u64, summed)
}
