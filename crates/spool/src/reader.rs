//! Reading from a cursor on, and moving it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::cursor::{CursorFile, NOTE_LIMIT, Saved};
use crate::error::{Error, Result};
use crate::frame::FrameHeader;
use crate::item::{Content, Item, RecordNo};
use crate::scan::Scanner;
use crate::segment::SegmentId;
use crate::shared::{Bound, Place, Segment, Shared, State};
use crate::storage::Storage;

/// So many times in a row the same place is tried that cannot be read; then it counts as damaged.
const READ_ATTEMPTS: u32 = 5;

/// Reads what is durable, in order, and tells what was lost. One for each cursor; it may live on another thread than the spool.
///
/// Everything that [`Self::next`] gives is to be acknowledged, a loss too, in any order. The cursor is the end of what was acknowledged without
/// a gap, and it is durable once [`Self::save`] returns: after a crash reading goes on there.
#[derive(Debug)]
pub struct Reader<S: Storage> {
    shared: Arc<Shared<S>>,
    cursor: String,
    file: CursorFile<S::File>,
    saved: Saved,
    /// A save failed: what is on the disk may be that, and not the last one.
    is_doubtful: bool,
    /// What to read next.
    position: Bound,
    /// What was given and is not behind the cursor, in order.
    given: VecDeque<Given>,
    /// Where the cursor will be at the next save.
    acknowledged: Bound,
    /// What was acknowledged out of order before a rewind, by its first number: not to be read again, nor counted as lost.
    acknowledged_ahead: BTreeMap<u64, Given>,
    scanner: Option<(SegmentId, Scanner<S::File>)>,
    failures: u32,
}

#[derive(Debug)]
struct Given {
    begin: Bound,
    after: Bound,
    is_acknowledged: bool,
}

/// What it means that a segment cannot be read.
enum Failed {
    /// It was dropped a moment ago.
    Dropped,
    /// It may be possible later.
    Now,
    /// It was tried often enough.
    ForGood,
}

impl<S: Storage> Reader<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, cursor: String, file: CursorFile<S::File>, saved: Saved) -> Self {
        let acknowledged = Bound { next: saved.next, weight_before: saved.weight_before };
        Self {
            shared,
            cursor,
            file,
            position: acknowledged,
            saved,
            is_doubtful: false,
            given: VecDeque::new(),
            acknowledged,
            acknowledged_ahead: BTreeMap::new(),
            scanner: None,
            failures: 0,
        }
    }

    /// The next record that is durable, or the next loss; none when there is nothing yet ([`Self::wait`]).
    ///
    /// # Errors
    /// When the storage cannot be read: call it again later. A place that cannot be read five times in a row counts as damaged.
    #[expect(
        clippy::should_implement_trait,
        reason = "none is not the end, and an iterator would have no place for errors"
    )]
    pub fn next(&mut self) -> Result<Option<Item>> {
        while let Some(given) = self.acknowledged_ahead.remove(&self.position.next) {
            self.position = given.after;
            self.given.push_back(given);
            self.advance();
        }
        let begin = self.position;
        let item = self.read()?;
        if item.is_some() {
            self.given.push_back(Given { begin, after: self.position, is_acknowledged: false });
        }
        Ok(item)
    }

    /// Whether there is something to read, after waiting so long for it at most.
    pub fn wait(&self, at_most: Duration) -> bool {
        let is_read = |state: &mut State| state.end <= self.position.next;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), at_most, is_read);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Calls `listener` whenever there is more to read, for as long as the spool lives: on the thread that commits, so it should only wake
    /// another one.
    pub fn listen(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        self.shared.listen(listener);
    }

    /// The item that begins at `first` is done with. False if there is none, or it was acknowledged before.
    pub fn acknowledge(&mut self, first: RecordNo) -> bool {
        let Ok(index) = self.given.binary_search_by_key(&first.0, |given| given.begin.next) else { return false };
        let given = &mut self.given[index];
        let was_acknowledged = std::mem::replace(&mut given.is_acknowledged, true);
        self.advance();
        !was_acknowledged
    }

    /// All items that end at `next` or before are done with.
    pub fn acknowledge_below(&mut self, next: RecordNo) {
        let below = self.given.iter_mut().take_while(|given| given.after.next <= next.0);
        below.for_each(|given| given.is_acknowledged = true);
        self.advance();
    }

    /// Makes the position and a note durable, both or neither, and frees the segments that every cursor has behind it. Nothing is written when
    /// neither has changed.
    ///
    /// # Errors
    /// When the note is longer than [`NOTE_LIMIT`]; when it could not be made durable: then after a crash the old or the new one is there,
    /// and the call may be tried again, with something else too.
    pub fn save(&mut self, note: &[u8]) -> Result<()> {
        if note.len() > NOTE_LIMIT {
            return Err(Error::Note { bytes: note.len(), limit: NOTE_LIMIT });
        }
        let Bound { next, weight_before } = self.acknowledged;
        if next == self.saved.next && note == self.saved.note && !self.is_doubtful {
            return Ok(());
        }
        let saved = Saved { next, weight_before, note: note.to_vec() };
        self.is_doubtful = true;
        self.file.save(&saved)?;
        self.is_doubtful = false;
        self.saved = saved;
        {
            let mut state = self.shared.lock();
            if let Some(cursor) = state.cursors.get_mut(&self.cursor) {
                cursor.next = next;
            }
            state.forget_read();
        }
        self.shared.remove_unwanted();
        // There may be room now.
        self.shared.changed.notify_all();
        Ok(())
    }

    /// The note that was saved last; empty if none was.
    pub fn note(&self) -> &[u8] {
        &self.saved.note
    }

    /// The position that was saved last.
    pub fn saved(&self) -> RecordNo {
        RecordNo(self.saved.next)
    }

    /// The position that the next save makes durable: the end of what is acknowledged without a gap.
    pub fn acknowledged(&self) -> RecordNo {
        RecordNo(self.acknowledged.next)
    }

    /// What [`Self::next`] will read.
    pub fn position(&self) -> RecordNo {
        RecordNo(self.position.next)
    }

    /// Items that were given and are not acknowledged, or stand behind one that is not.
    pub fn outstanding(&self) -> usize {
        self.given.len()
    }

    /// Reads again what was given and not acknowledged, as after a lost connection. What was acknowledged out of order does not come again.
    pub fn rewind(&mut self) {
        let ahead = self.given.drain(..).filter(|given| given.is_acknowledged);
        self.acknowledged_ahead.extend(ahead.map(|given| (given.begin.next, given)));
        self.position = self.acknowledged;
        self.scanner = None;
    }

    /// Moves on over everything at the front that is acknowledged.
    fn advance(&mut self) {
        while let Some(given) = self.given.pop_front_if(|given| given.is_acknowledged) {
            self.acknowledged = given.after;
        }
    }

    fn read(&mut self) -> Result<Option<Item>> {
        loop {
            let place = self.shared.lock().place(self.position.next);
            let item = match place {
                Place::End => return Ok(None),
                Place::Dropped(next, weight_before) => self.lost(Bound { next, weight_before }, 0, Content::Dropped),
                Place::In(segment, bound) => match self.read_segment(segment, bound) {
                    Ok(item) => item,
                    Err(error) => match self.failed(segment, &error) {
                        Failed::Dropped => continue,
                        Failed::ForGood => self.lost(bound, segment.id.nonce, Content::Damaged { was_durable: false }),
                        Failed::Now => return Err(Error::io("read", segment.id.name())(error)),
                    },
                },
            };
            self.failures = 0;
            return Ok(Some(item));
        }
    }

    /// What it means that a segment cannot be read.
    fn failed(&mut self, segment: Segment, error: &io::Error) -> Failed {
        self.scanner = None;
        if error.kind() == io::ErrorKind::NotFound {
            if self.shared.is_being_dropped(segment.id) {
                return Failed::Now;
            }
            if !self.shared.lock().segments.iter().any(|held| held.id == segment.id) {
                return Failed::Dropped;
            }
        }
        self.failures += 1;
        if self.failures < READ_ATTEMPTS { Failed::Now } else { Failed::ForGood }
    }

    /// The record at the present position, or how much is lost from there on; within this segment.
    fn read_segment(&mut self, segment: Segment, bound: Bound) -> io::Result<Item> {
        let next = self.position.next;
        let scanner = self.scanner(segment)?;
        while let Some(header) = scanner.header(segment.readable)?.filter(|header| header.number < bound.next) {
            if header.number < next {
                scanner.skip(&header);
                continue;
            }
            match scanner.payload(&header, segment.readable)? {
                Some(payload) if header.number == next => {
                    scanner.skip(&header);
                    return Ok(self.record(header, payload));
                }
                Some(_) => {
                    let was_durable = header.durable_below() >= header.number;
                    let until = Bound { next: header.number, weight_before: header.weight_before };
                    return Ok(self.lost(until, header.nonce, Content::Damaged { was_durable }));
                }
                None => scanner.skip(&header),
            }
        }
        Ok(self.lost(bound, segment.id.nonce, Content::Damaged { was_durable: false }))
    }

    fn scanner(&mut self, segment: Segment) -> io::Result<&mut Scanner<S::File>> {
        let scanner = match self.scanner.take() {
            Some((id, scanner)) if id == segment.id => scanner,
            _ => Scanner::new(Arc::new(self.shared.storage.open(&segment.id.name())?), segment.id.nonce),
        };
        Ok(&mut self.scanner.insert((segment.id, scanner)).1)
    }

    fn record(&mut self, header: FrameHeader, payload: Vec<u8>) -> Item {
        self.position = Bound { next: header.number + 1, weight_before: header.weight_after() };
        Item {
            first: RecordNo(header.number),
            next: RecordNo(header.number + 1),
            weight: header.weight,
            segment: header.nonce,
            content: Content::Record(payload),
        }
    }

    /// Everything from here to there, or to where something follows that was acknowledged.
    fn lost(&mut self, until: Bound, segment: u64, content: Content) -> Item {
        let begin = self.position;
        let ahead = self.acknowledged_ahead.range(begin.next..until.next).next();
        self.position = ahead.map_or(until, |(_, given)| given.begin);
        Item {
            first: RecordNo(begin.next),
            next: RecordNo(self.position.next),
            weight: self.position.weight_before.saturating_sub(begin.weight_before),
            segment,
            content,
        }
    }
}

impl<S: Storage> Drop for Reader<S> {
    fn drop(&mut self) {
        if let Some(cursor) = self.shared.lock().cursors.get_mut(&self.cursor) {
            cursor.has_reader = false;
        }
    }
}
