//! One partition as long as it is ours: what is on its way into the store, and how far all of it has come.
//!
//! ```text
//! fetched ──► spooled ──► settled: its offset may be committed, once all before it are
//!    └──────► passed over: set aside, or of another region ──┘
//! ```
//!
//! Settled is what is stored, and what the saved state of its node's clock model has seen: whoever takes the partition over goes on from that state,
//! and what the model had seen since would be missing there.

use std::collections::VecDeque;

use syncline_spool::RecordNo;

/// Bytes of records that are in no spool yet above which no more are fetched, and below which they are again.
const ENOUGH_BYTES: usize = 16 << 20;
const LITTLE_BYTES: usize = 4 << 20;
/// Records that are not settled yet above which no more are fetched, and below which they are again.
const ENOUGH_RECORDS: usize = 100_000;
const FEW_RECORDS: usize = 50_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fetched,
    Spooled(RecordNo),
    Passed,
}

#[derive(Debug)]
struct UnderWay {
    offset: i64,
    bytes: usize,
    stage: Stage,
    /// Records that the broker has deleted before this one.
    missing: u64,
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// Nothing before it is still under way. None until the first record, where nothing was ever committed.
    position: Option<i64>,
    /// The commit is behind that.
    is_to_be_committed: bool,
    /// In the order of their offsets.
    under_way: VecDeque<UnderWay>,
    /// Of those that are in no spool.
    fetched_bytes: usize,
    pub(crate) is_paused: bool,
}

/// What a record is that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// It was fetched before, and is under way.
    Again,
    /// It is from before what is settled: another record than was there before.
    Before,
    /// The broker has deleted so many before it.
    Next { missing: u64 },
}

impl Partition {
    /// A partition of which the group has committed so much.
    pub(crate) fn new(committed: Option<i64>) -> Self {
        Self {
            position: committed,
            is_to_be_committed: false,
            under_way: VecDeque::new(),
            fetched_bytes: 0,
            is_paused: false,
        }
    }

    /// A partition whose log was cut back, or made anew, to be gone on with from here: what is committed is beyond that, and whoever took it over
    /// from there would pass over what comes now.
    pub(crate) fn cut_back(offset: i64) -> Self {
        Self { is_to_be_committed: true, ..Self::new(Some(offset)) }
    }

    /// A record of so many bytes was fetched.
    pub(crate) fn fetched(&mut self, offset: i64, bytes: usize) -> Fetched {
        let next = self.under_way.back().map_or(self.position, |newest| Some(newest.offset + 1));
        match next {
            _ if self.position.is_some_and(|position| offset < position) => return Fetched::Before,
            Some(next) if offset < next => return Fetched::Again,
            _ => {}
        }
        let missing = next.map_or(0, |next| offset.abs_diff(next));
        self.position.get_or_insert(offset);
        self.fetched_bytes += bytes;
        self.under_way.push_back(UnderWay { offset, bytes, stage: Stage::Fetched, missing });
        Fetched::Next { missing }
    }

    /// The record at `offset` is in the spool, durably, as `number`; `None` if it need not be.
    pub(crate) fn taken(&mut self, offset: i64, number: Option<RecordNo>) {
        let Ok(at) = self.under_way.binary_search_by_key(&offset, |record| record.offset) else { return };
        let Some(record) = self.under_way.get_mut(at) else { return };
        if record.stage == Stage::Fetched {
            self.fetched_bytes -= record.bytes;
        }
        record.stage = number.map_or(Stage::Passed, Stage::Spooled);
    }

    /// Everything in the spool before `next` is settled. How many records the broker has deleted before those that are now: told here, since what is
    /// not settled is fetched again by whoever takes over, and found missing again.
    pub(crate) fn settled(&mut self, next: RecordNo) -> u64 {
        let mut missing = 0;
        let is_over = |record: &UnderWay| match record.stage {
            Stage::Fetched => false,
            Stage::Spooled(number) => number < next,
            Stage::Passed => true,
        };
        while let Some(record) = self.under_way.pop_front_if(|record| is_over(record)) {
            self.position = Some(record.offset + 1);
            self.is_to_be_committed = true;
            missing += record.missing;
        }
        missing
    }

    /// What is to be committed, if something is.
    pub(crate) fn to_be_committed(&self) -> Option<i64> {
        self.position.filter(|_| self.is_to_be_committed)
    }

    /// `position` is committed.
    pub(crate) fn committed(&mut self, position: i64) {
        self.is_to_be_committed = self.position != Some(position);
    }

    /// Records that are not settled.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether so much was fetched that it waits.
    pub(crate) fn has_enough(&self) -> bool {
        self.fetched_bytes >= ENOUGH_BYTES || self.under_way.len() >= ENOUGH_RECORDS
    }

    /// Whether fetching is to be paused (true) or to go on (false), where that changes; `is_crowded` where the spool has no more room for it.
    pub(crate) fn changes_pause(&self, is_crowded: bool) -> Option<bool> {
        let has_little = self.fetched_bytes <= LITTLE_BYTES && self.under_way.len() <= FEW_RECORDS;
        match self.is_paused {
            false if is_crowded || self.has_enough() => Some(true),
            true if has_little && !is_crowded => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Fetched = Fetched::Next { missing: 0 };

    fn partition(committed: Option<i64>, fetched: impl IntoIterator<Item = i64>) -> Partition {
        let mut partition = Partition::new(committed);
        fetched.into_iter().for_each(|offset| assert_eq!(partition.fetched(offset, 10), NEXT));
        partition
    }

    #[test]
    fn what_is_settled_is_committed_once_all_before_it_are() {
        let mut partition = partition(Some(5), 5..9);
        partition.taken(6, Some(RecordNo(21)));
        partition.taken(7, None);
        partition.settled(RecordNo(30));
        assert_eq!(partition.to_be_committed(), None, "5 is in no spool");
        partition.taken(5, Some(RecordNo(20)));
        partition.settled(RecordNo(20));
        assert_eq!(partition.to_be_committed(), None, "5 is not settled");
        partition.settled(RecordNo(21));
        assert_eq!(partition.to_be_committed(), Some(6));
        partition.settled(RecordNo(22));
        assert_eq!((partition.to_be_committed(), partition.under_way()), (Some(8), 1));
        partition.committed(6);
        assert_eq!(partition.to_be_committed(), Some(8), "what came meanwhile is still to be");
        partition.committed(8);
        assert_eq!(partition.to_be_committed(), None);
    }

    #[test]
    fn what_is_fetched_again_is_not_taken_twice_and_what_is_from_before_is_told() {
        let mut partition = partition(Some(5), 5..8);
        assert_eq!((partition.fetched(5, 10), partition.fetched(7, 10)), (Fetched::Again, Fetched::Again));
        assert_eq!(partition.fetched(4, 10), Fetched::Before);
        assert_eq!(partition.fetched(8, 10), NEXT);
    }

    #[test]
    fn what_the_broker_has_deleted_is_missing() {
        let mut partition = partition(Some(5), [5]);
        assert_eq!(partition.fetched(9, 10), Fetched::Next { missing: 3 });
        partition.taken(5, None);
        partition.taken(9, Some(RecordNo(7)));
        assert_eq!(partition.settled(RecordNo(7)), 0, "who takes over finds them missing, too");
        assert_eq!((partition.settled(RecordNo(8)), partition.settled(RecordNo(8))), (3, 0));
        assert_eq!(partition.to_be_committed(), Some(10));
        assert_eq!(Partition::new(Some(5)).fetched(7, 10), Fetched::Next { missing: 2 });
    }

    #[test]
    fn a_group_that_never_committed_begins_where_the_first_record_is() {
        let mut partition = partition(None, [40, 41]);
        assert_eq!(partition.to_be_committed(), None);
        partition.taken(40, None);
        partition.settled(RecordNo(0));
        assert_eq!(partition.to_be_committed(), Some(41));
    }

    #[test]
    fn where_a_log_was_cut_back_that_is_committed_before_anything_is_settled() {
        let mut partition = Partition::cut_back(0);
        assert_eq!(partition.to_be_committed(), Some(0));
        partition.committed(0);
        assert_eq!((partition.fetched(0, 10), partition.to_be_committed()), (NEXT, None));
    }

    #[test]
    fn fetching_is_paused_while_there_is_enough() {
        let mut partition = Partition::new(Some(0));
        for offset in [0, 1] {
            partition.fetched(offset, ENOUGH_BYTES / 2);
        }
        assert_eq!(partition.changes_pause(false), Some(true));
        partition.is_paused = true;
        partition.taken(0, Some(RecordNo(1)));
        assert_eq!(partition.changes_pause(false), None, "half of it still waits");
        partition.taken(1, Some(RecordNo(2)));
        assert_eq!(partition.changes_pause(true), None, "the spool is crowded");
        assert_eq!(partition.changes_pause(false), Some(false), "the spool has them");
        partition.is_paused = false;
        assert_eq!((partition.changes_pause(false), partition.changes_pause(true)), (None, Some(true)));
        let mut small = Partition::new(Some(0));
        for offset in (0..).take(ENOUGH_RECORDS) {
            small.fetched(offset, 0);
        }
        assert!(small.has_enough(), "records without a value take room, too");
    }
}
