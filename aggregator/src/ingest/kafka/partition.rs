//! One partition as long as it is ours: what was fetched, and the one chunk that is under way.
//!
//! ```text
//!           ┌─────────────── fetched is enough ───────────────┐
//! nothing ──┘                                                 ▼
//!    ▲                                               chosen: to be committed
//!    │                                                 │ committed ▲ given up
//!    └──── done: its end is to be committed ◄──── begun: being stored
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use super::intent::Intent;

/// Most records of a chunk.
const CHUNK_RECORDS: usize = 256;
/// Bytes after which a chunk takes no further record.
const CHUNK_BYTES: usize = 8 << 20;
/// Bytes fetched and not chosen above which no more are fetched, and below which they are again.
const ENOUGH_BYTES: usize = 16 << 20;
const LITTLE_BYTES: usize = 4 << 20;

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Record {
    /// Memory that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.len()
    }
}

/// Records that are stored together: all there are from one offset to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) from: i64,
    /// The last one.
    pub(crate) to: i64,
    pub(crate) records: Vec<Record>,
    /// Offsets in it at which there was no record: those that the broker has deleted before they were read.
    pub(crate) missing: u64,
}

#[derive(Debug)]
enum State {
    Nothing,
    Chosen(Arc<Chunk>),
    Begun(Arc<Chunk>),
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// The next offset that is not in the store. None until the first record, where nothing was ever committed.
    position: Option<i64>,
    /// The commit is behind that.
    is_to_be_committed: bool,
    /// The end of a chunk that somebody has begun, and not finished.
    bound: Option<i64>,
    fetched: VecDeque<Record>,
    fetched_bytes: usize,
    state: State,
    pub(crate) is_paused: bool,
}

impl Partition {
    /// A partition of which the group has committed so much.
    pub(crate) fn new(committed: Option<Intent>) -> Self {
        Self {
            position: committed.map(|intent| intent.from),
            is_to_be_committed: false,
            bound: committed.and_then(|intent| intent.to),
            fetched: VecDeque::new(),
            fetched_bytes: 0,
            state: State::Nothing,
            is_paused: false,
        }
    }

    /// Whether all up to this offset is in the store: a record that is fetched from there is another one than was there before.
    pub(crate) fn is_stored(&self, offset: i64) -> bool {
        self.position.is_some_and(|position| offset < position)
    }

    /// A record was fetched. One from before the position, or twice, is none.
    pub(crate) fn fetched(&mut self, record: Record) {
        let newest = self.fetched.back().map(|record| record.offset);
        let of_chunk = match &self.state {
            State::Chosen(chunk) | State::Begun(chunk) => Some(chunk.to),
            State::Nothing => self.position.map(|position| position - 1),
        };
        if newest.or(of_chunk).is_some_and(|newest| record.offset <= newest) {
            return;
        }
        self.fetched_bytes += record.bytes();
        self.fetched.push_back(record);
    }

    /// What is to be committed, if something is; chooses a chunk if none is under way.
    pub(crate) fn intent(&mut self) -> Option<Intent> {
        if matches!(self.state, State::Nothing)
            && let Some(chunk) = self.choose()
        {
            self.state = State::Chosen(Arc::new(chunk));
        }
        match &self.state {
            State::Chosen(chunk) => Some(Intent { from: chunk.from, to: Some(chunk.to) }),
            State::Nothing if self.is_to_be_committed => Some(Intent { from: self.position?, to: None }),
            State::Nothing | State::Begun(_) => None,
        }
    }

    /// What is to be committed where nothing is to be begun any more.
    pub(crate) fn end(&mut self) -> Option<Intent> {
        let is_due = self.is_to_be_committed && !self.is_busy();
        is_due.then_some(())?;
        self.is_to_be_committed = false;
        Some(Intent { from: self.position?, to: None })
    }

    /// What [`Self::intent`] gave is committed. Gives the chunk that may be begun.
    pub(crate) fn committed(&mut self) -> Option<Arc<Chunk>> {
        self.is_to_be_committed = false;
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::Chosen(chunk) => {
                self.state = State::Begun(Arc::clone(&chunk));
                Some(chunk)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// All of the chunk is in the store.
    pub(crate) fn done(&mut self) {
        if let State::Begun(chunk) = std::mem::replace(&mut self.state, State::Nothing) {
            self.position = Some(chunk.to + 1);
            self.is_to_be_committed = true;
            self.bound = None;
        }
    }

    /// Storing the chunk was given up: it is to be begun again, which whoever may no longer will not be let.
    pub(crate) fn given_up(&mut self) {
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::Begun(chunk) => self.state = State::Chosen(chunk),
            other => self.state = other,
        }
    }

    /// Whether a chunk is being stored.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.state, State::Begun(_))
    }

    /// Whether so much was fetched that it waits.
    pub(crate) fn has_enough(&self) -> bool {
        self.fetched_bytes >= ENOUGH_BYTES
    }

    /// Whether fetching is to be paused (true) or to go on (false), where that changes.
    pub(crate) fn changes_pause(&self) -> Option<bool> {
        match self.is_paused {
            false if self.has_enough() => Some(true),
            true if self.fetched_bytes <= LITTLE_BYTES => Some(false),
            _ => None,
        }
    }

    fn choose(&mut self) -> Option<Chunk> {
        let newest = self.fetched.back()?.offset;
        let from = *self.position.get_or_insert(self.fetched.front()?.offset);
        match self.bound {
            // Not yet all of it.
            Some(to) if newest < to && !self.has_enough() => None,
            Some(to) if newest >= to => {
                let within = self.fetched.iter().take_while(|record| record.offset <= to).count();
                Some(self.take(from, Some(to), within))
            }
            _ => {
                let mut bytes = 0;
                let fits = |record: &&Record| {
                    let fits = bytes < CHUNK_BYTES;
                    bytes += record.bytes();
                    fits
                };
                let within = self.fetched.iter().take(CHUNK_RECORDS).take_while(fits).count();
                Some(self.take(from, None, within))
            }
        }
    }

    fn take(&mut self, from: i64, to: Option<i64>, count: usize) -> Chunk {
        let records: Vec<_> = self.fetched.drain(..count).collect();
        self.fetched_bytes -= records.iter().map(Record::bytes).sum::<usize>();
        let to = to.or_else(|| Some(records.last()?.offset)).unwrap_or(from);
        let missing = u64::try_from(to - from + 1).unwrap_or(0).saturating_sub(records.len() as u64);
        Chunk { from, to, records, missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64) -> Record {
        Record { offset, key: Vec::new(), value: vec![0; 10] }
    }

    fn partition(committed: Option<(i64, Option<i64>)>, fetched: impl IntoIterator<Item = i64>) -> Partition {
        let mut partition = Partition::new(committed.map(|(from, to)| Intent { from, to }));
        fetched.into_iter().for_each(|offset| partition.fetched(record(offset)));
        partition
    }

    fn intent(partition: &mut Partition) -> Option<(i64, Option<i64>)> {
        partition.intent().map(|Intent { from, to }| (from, to))
    }

    fn offsets(chunk: &Chunk) -> Vec<i64> {
        chunk.records.iter().map(|record| record.offset).collect()
    }

    #[test]
    fn a_chunk_is_begun_once_its_intent_is_committed_and_its_end_goes_with_the_next() {
        let mut partition = partition(Some((5, None)), 5..8);
        assert_eq!(intent(&mut partition), Some((5, Some(7))));
        partition.fetched(record(8));
        assert_eq!(intent(&mut partition), Some((5, Some(7))), "what was chosen stays");
        let chunk = partition.committed().unwrap();
        assert_eq!((offsets(&chunk), chunk.missing), (vec![5, 6, 7], 0));
        assert_eq!(intent(&mut partition), None, "one at a time");
        partition.done();
        assert_eq!(intent(&mut partition), Some((8, Some(8))));
        partition.committed().unwrap();
        partition.done();
        assert_eq!(intent(&mut partition), Some((9, None)));
        assert!(partition.committed().is_none());
        assert_eq!(intent(&mut partition), None);
    }

    #[test]
    fn a_chunk_that_another_began_is_the_same_one() {
        let mut partition = partition(Some((5, Some(7))), [5, 6]);
        assert_eq!(intent(&mut partition), None, "not all of it is there");
        [7, 8].into_iter().for_each(|offset| partition.fetched(record(offset)));
        assert_eq!(intent(&mut partition), Some((5, Some(7))));
        partition.committed().unwrap();
        partition.done();
        assert_eq!(intent(&mut partition), Some((8, Some(8))));
    }

    #[test]
    fn what_the_broker_has_deleted_is_missing() {
        let mut partition = partition(Some((5, Some(7))), [9]);
        assert_eq!(intent(&mut partition), Some((5, Some(7))));
        let chunk = partition.committed().unwrap();
        assert_eq!((offsets(&chunk), chunk.missing), (vec![], 3));
        partition.done();
        assert_eq!(intent(&mut partition), Some((8, Some(9))));
        assert_eq!(partition.committed().unwrap().missing, 1);
    }

    #[test]
    fn a_group_that_never_committed_begins_where_the_first_record_is() {
        let mut partition = partition(None, [40, 41]);
        assert_eq!(intent(&mut partition), Some((40, Some(41))));
        assert_eq!(partition.committed().unwrap().missing, 0);
    }

    #[test]
    fn what_is_fetched_again_is_not_taken_twice() {
        let mut partition = partition(Some((5, None)), [3, 4, 5, 6, 5, 6, 7]);
        assert_eq!(intent(&mut partition), Some((5, Some(7))));
        assert!(partition.is_stored(4) && !partition.is_stored(5), "what is under way is not");
        [6, 7, 8].into_iter().for_each(|offset| partition.fetched(record(offset)));
        assert_eq!(offsets(&partition.committed().unwrap()), [5, 6, 7]);
        partition.done();
        assert_eq!(intent(&mut partition), Some((8, Some(8))));
    }

    #[test]
    fn a_chunk_that_was_given_up_is_committed_and_begun_again_as_it_was() {
        let mut partition = partition(Some((5, None)), [5, 6]);
        partition.intent();
        let chunk = partition.committed().unwrap();
        partition.given_up();
        partition.fetched(record(7));
        assert_eq!(intent(&mut partition), Some((5, Some(6))));
        assert_eq!(partition.committed().unwrap(), chunk);
    }

    #[test]
    fn a_chunk_is_bounded_and_fetching_is_paused() {
        let mut many = partition(Some((0, None)), 0..1_000);
        assert_eq!(intent(&mut many), Some((0, Some(255))));
        let mut partition = partition(Some((0, None)), []);
        let large = |offset| Record { offset, key: Vec::new(), value: vec![0; CHUNK_BYTES] };
        [0, 1, 2].into_iter().for_each(|offset| partition.fetched(large(offset)));
        assert_eq!(intent(&mut partition), Some((0, Some(0))));
        assert_eq!(partition.changes_pause(), Some(true));
        partition.is_paused = true;
        assert_eq!(partition.changes_pause(), None);
        for _ in 0..2 {
            partition.committed().unwrap();
            partition.done();
            partition.intent();
        }
        assert_eq!(partition.changes_pause(), Some(false));
    }

    #[test]
    fn records_without_a_value_take_room_too() {
        let mut partition = partition(Some((0, None)), []);
        let empty = |offset| Record { offset, key: Vec::new(), value: Vec::new() };
        (0..).take(ENOUGH_BYTES / size_of::<Record>() + 1).for_each(|offset| partition.fetched(empty(offset)));
        assert!(partition.has_enough());
    }
}
