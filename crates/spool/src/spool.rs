//! Appending and committing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Overflow};
use crate::cursor::{self, CursorFile, Loaded, Saved};
use crate::error::{Error, Result};
use crate::frame::{NUMBER_LIMIT, frame_bytes};
use crate::item::RecordNo;
use crate::pending::Pending;
use crate::reader::Reader;
use crate::recovery::{self, Recovery};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId};
pub use crate::shared::Status;
use crate::shared::{Bound, CursorState, Segment, Shared, Unwanted};
use crate::storage::{Storage, StorageFile};

/// Each group of records begins at a multiple of this, bytes: no page that holds durable records is written again.
const GROUP_ALIGNMENT: u64 = 4096;

/// A crash-safe log of records. See the crate for what it promises.
///
/// One process has it, and one thread writes it; readers ([`Self::reader`]) live where they like.
#[derive(Debug)]
pub struct Spool<S: Storage> {
    shared: Arc<Shared<S>>,
    pending: Pending,
    /// Number of the next record that is appended, and the weight of everything before it.
    next: u64,
    weight: u64,
    next_sequence: u64,
    active: Option<Active<S::File>>,
}

/// The segment that is written.
#[derive(Debug)]
struct Active<F> {
    id: SegmentId,
    file: F,
    /// Everything before is durable, and the next group is written here.
    offset: u64,
    /// Behind the last durable record.
    end: u64,
    allocated: u64,
    /// Its first group is durable, and so is its name: it is among the shared segments.
    is_durable: bool,
}

impl<S: Storage> Spool<S> {
    /// Opens a spool, or makes one, in a directory that nobody else has, and tells what was found.
    ///
    /// What the last segment and the cursors hold is written again in place and synced before anybody reads it; nothing else is written to a
    /// spool that exists, so this works on a full disk.
    ///
    /// # Errors
    /// When another process has it; when a file is of a later format; when the configuration is none; when the storage fails, in
    /// which case it may be tried again. Damage is no error: it is told by [`Recovery`] and the readers.
    pub fn open(storage: S, config: Config) -> Result<(Self, Recovery)> {
        config.check()?;
        let recovered = recovery::recover(storage, config)?;
        let (next, weight) = {
            let state = recovered.shared.lock();
            (state.end, state.end_weight)
        };
        let spool = Self {
            shared: Arc::new(recovered.shared),
            pending: Pending::default(),
            next,
            weight,
            next_sequence: recovered.next_sequence,
            active: None,
        };
        Ok((spool, recovered.found))
    }

    /// Takes a record into memory. It is durable when [`Self::commit`] says so.
    ///
    /// # Errors
    /// When it is larger than a record may be, or too much waits for a commit; nothing is taken then.
    pub fn append(&mut self, record: &[u8], weight: u64) -> Result<RecordNo> {
        let config = &self.shared.config;
        let bytes = record.len() as u64;
        if bytes > u64::from(config.max_record_bytes) {
            return Err(Error::TooLarge { bytes, limit: config.max_record_bytes.into() });
        }
        if self.next + 1 >= NUMBER_LIMIT {
            return Err(Error::NoNumbers);
        }
        let waiting = self.pending.bytes() as u64;
        if waiting + frame_bytes(bytes) > config.max_pending_bytes {
            return Err(Error::Pending { bytes: waiting, limit: config.max_pending_bytes });
        }
        let number = self.next;
        self.pending.push(number, self.weight, weight, record);
        self.next += 1;
        self.weight = self.weight.saturating_add(weight);
        Ok(RecordNo(number))
    }

    /// Makes everything durable that was appended, and gives the number behind the last durable record.
    ///
    /// # Errors
    /// When not all of it became durable: [`Self::durable`] tells how much did. The rest stays in memory, and the next call writes it again,
    /// into a new segment; what was written to the old one is not counted on.
    pub fn commit(&mut self) -> Result<RecordNo> {
        while !self.pending.is_empty() {
            let active = match self.active.take() {
                Some(active) if self.has_room(&active) => active,
                full => self.begin_segment(full)?,
            };
            self.write_run(active)?;
        }
        Ok(self.durable())
    }

    /// The number behind the last durable record.
    pub fn durable(&self) -> RecordNo {
        RecordNo(self.shared.lock().end)
    }

    /// Forgets what was appended and is not durable. It may be read all the same after a crash, if it had been written.
    pub fn discard_pending(&mut self) {
        self.pending.clear();
        let state = self.shared.lock();
        (self.next, self.weight) = (state.end, state.end_weight);
    }

    /// How much there is.
    pub fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// What waits in memory for a commit, bytes.
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes()
    }

    /// The reader of a cursor, which is made, at the oldest record that is held, if there is none of this name.
    ///
    /// From then on segments are kept until this cursor is behind them, too.
    ///
    /// # Errors
    /// When the name is none, when the cursor has a reader already, when its file cannot be read or made.
    pub fn reader(&self, cursor: &str) -> Result<Reader<S>> {
        open_reader(&self.shared, cursor)
    }

    /// Removes a cursor, for good: nothing is kept for it any more.
    ///
    /// # Errors
    /// When it has a reader; when its file cannot be removed: then it may be tried again.
    pub fn remove_cursor(&self, cursor: &str) -> Result<()> {
        let name = cursor::file_name(cursor)?;
        match self.shared.lock().cursors.get_mut(cursor) {
            Some(found) if found.has_reader => return Err(Error::CursorInUse(cursor.to_owned())),
            // Nobody may read from it meanwhile.
            Some(found) => found.has_reader = true,
            None => return Ok(()),
        }
        let sync = || self.shared.storage.sync_directory().map_err(Error::io("sync the directory without", &name));
        let removed = self.shared.remove(&name).and_then(|()| sync());
        {
            let mut state = self.shared.lock();
            if removed.is_ok() {
                state.cursors.remove(cursor);
            } else if let Some(found) = state.cursors.get_mut(cursor) {
                found.has_reader = false;
            }
            state.forget_read();
        }
        self.shared.remove_unwanted();
        removed
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<S>> {
        &self.shared
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Waits until something was read or committed, or so long.
    pub(crate) fn wait_for_change(&self, at_most: Duration) {
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout(state, at_most));
    }

    fn has_room(&self, active: &Active<S::File>) -> bool {
        active.offset.saturating_add(self.pending.first_bytes()) <= active.allocated
    }

    /// Ends the segment that is full, makes room, and begins another one.
    fn begin_segment(&mut self, full: Option<Active<S::File>>) -> Result<Active<S::File>> {
        if let Some(full) = full {
            self.cut_off(&full);
        }
        self.shared.remove_unwanted();
        let allocated = self.shared.config.allocation(self.pending.first_bytes());
        self.make_room(allocated)?;
        let header = self.next_header()?;
        let name = header.id.name();
        self.next_sequence += 1;
        let file = self.shared.storage.create(&name).map_err(Error::io("create", &name))?;
        if let Err(error) = file.allocate(allocated).and_then(|()| file.write_all_at(&header.encode(), 0)) {
            self.discard_file(&header.id, allocated);
            return Err(Error::io("allocate", name)(error));
        }
        let begin = SEGMENT_HEADER_BYTES as u64;
        Ok(Active { id: header.id, file, offset: begin, end: begin, allocated, is_durable: false })
    }

    fn next_header(&self) -> Result<SegmentHeader> {
        let nonce = self.shared.storage.random().map_err(Error::io("get", "a random number"))?;
        let state = self.shared.lock();
        Ok(SegmentHeader {
            spool: self.shared.spool,
            id: SegmentId { sequence: self.next_sequence, first: state.end, nonce },
            weight_before: state.end_weight,
            previous: state.segments.back().map(|segment| (segment.id.sequence, segment.id.nonce)),
        })
    }

    /// Writes as much of what is pending as fits, and tells the readers. On an error the segment is given up.
    fn write_run(&mut self, mut active: Active<S::File>) -> Result<()> {
        let durable_below = self.shared.lock().end;
        let run = self.pending.run(active.allocated - active.offset, active.id.nonce, durable_below);
        let mut written = write(&active, self.pending.run_bytes(&run));
        if written.is_ok() && !active.is_durable {
            written = self.shared.storage.sync_directory().map_err(|error| ("sync the directory for", error));
        }
        if let Err((action, error)) = written {
            let name = active.id.name();
            self.give_up(&active);
            return Err(Error::io(action, name)(error));
        }
        active.end = active.offset + run.bytes as u64;
        {
            let mut state = self.shared.lock();
            if !active.is_durable {
                let weight_before = state.end_weight;
                let (id, bytes) = (active.id, active.allocated);
                state.segments.push_back(Segment { id, weight_before, bytes, readable: 0 });
                // A segment before it that was given up without a record is not needed to know where its records end any more.
                state.forget_read();
            }
            if let Some(segment) = state.segments.back_mut() {
                segment.readable = active.end;
            }
            (state.end, state.end_weight) = (run.next, run.weight);
        }
        self.pending.remove(&run);
        active.offset = active.end.next_multiple_of(GROUP_ALIGNMENT);
        active.is_durable = true;
        self.active = Some(active);
        self.shared.tell();
        Ok(())
    }

    /// After a failed write or sync nobody knows what of it is on the disk, and a second sync would say nothing: the segment is not written
    /// again. Its durable records stay.
    fn give_up(&mut self, active: &Active<S::File>) {
        if active.is_durable { self.cut_off(active) } else { self.discard_file(&active.id, active.allocated) }
    }

    /// Gives what was allocated and not used back to the disk. If that fails it is zeros, or records that nobody was told of.
    fn cut_off(&self, active: &Active<S::File>) {
        if active.file.set_len(active.end).is_ok()
            && let Some(segment) = self.shared.lock().segments.iter_mut().find(|segment| segment.id == active.id)
        {
            segment.bytes = active.end;
        }
    }

    fn discard_file(&self, id: &SegmentId, bytes: u64) {
        self.shared.lock().unwanted.push(Unwanted { name: id.name(), bytes });
        self.shared.remove_unwanted();
    }

    /// Sees to it that so many more bytes are allowed. The last segment stays, since the numbers go on from it: one that was made when more was
    /// allowed may be alone beyond the limit, until the next one is there.
    fn make_room(&self, bytes: u64) -> Result<()> {
        let (limit, overflow) = (self.shared.config.max_bytes, self.shared.config.overflow);
        loop {
            let (held, is_all_needed, oldest) = {
                let state = self.shared.lock();
                let oldest = state.segments.front().filter(|_| state.segments.len() > 1).map(|segment| segment.id);
                (state.bytes(), oldest.is_none() && state.unwanted_bytes() == 0, oldest)
            };
            match oldest {
                _ if held.saturating_add(bytes) <= limit || is_all_needed => return Ok(()),
                Some(oldest) if overflow == Overflow::DropOldest => self.shared.drop_segment(oldest)?,
                _ => return Err(Error::Full { bytes: held, limit }),
            }
        }
    }
}

fn write<F: StorageFile>(active: &Active<F>, bytes: &[u8]) -> std::result::Result<(), (&'static str, io::Error)> {
    active.file.write_all_at(bytes, active.offset).map_err(|error| ("write", error))?;
    active.file.sync_data().map_err(|error| ("sync", error))
}

pub(crate) fn open_reader<S: Storage>(shared: &Arc<Shared<S>>, cursor: &str) -> Result<Reader<S>> {
    let name = cursor::file_name(cursor)?;
    let (oldest, known) = {
        let mut state = shared.lock();
        let oldest = state.oldest();
        let known = state.cursors.get(cursor).copied();
        if known.is_some_and(|known| known.has_reader) {
            return Err(Error::CursorInUse(cursor.to_owned()));
        }
        // From here on nothing is removed that it will read.
        let next = known.map_or(oldest.next, |known| known.next);
        state.cursors.insert(cursor.to_owned(), CursorState { next, has_reader: true });
        (oldest, known)
    };
    match cursor_file(shared, name, oldest) {
        Ok((file, saved)) => Ok(Reader::new(Arc::clone(shared), cursor.to_owned(), file, saved)),
        Err(error) => {
            let mut state = shared.lock();
            match known {
                Some(known) => state.cursors.insert(cursor.to_owned(), known),
                None => state.cursors.remove(cursor),
            };
            Err(error)
        }
    }
}

/// The file of a cursor, which is made if it is not there, or of no use: recovery has told so then.
fn cursor_file<S: Storage>(shared: &Shared<S>, name: String, oldest: Bound) -> Result<(CursorFile<S::File>, Saved)> {
    match CursorFile::load(&shared.storage, &name, shared.spool) {
        Ok(Loaded::Cursor(file, saved)) => return Ok((file, saved)),
        Ok(Loaded::Damaged | Loaded::Foreign) => {}
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let saved = Saved { next: oldest.next, weight_before: oldest.weight_before, note: Vec::new() };
    CursorFile::create(&shared.storage, name, shared.spool, &saved).map(|file| (file, saved))
}
