//! Opening: which segments are ours, where the last one ends, and where the cursors are.
//!
//! Of all segments but the last only the headers are read: that a segment has a successor says that its records were durable, and readers
//! look at each frame anyway. The last one is read through, and what is whole in it is written again in place and synced before anybody reads
//! it: after a failed sync and the end of a process its pages may be in memory and not on the disk.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::cursor::{self, CursorFile, Loaded};
use crate::error::{Error, Result};
use crate::identity;
use crate::item::RecordNo;
use crate::lineage::{self, Candidate};
use crate::scan::Scanner;
use crate::segment::{Decoded, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, VERSION};
use crate::shared::{CursorState, Segment, Shared, State, Unwanted};
use crate::storage::{Storage, StorageFile, WRITING};
use crate::tail;

/// Of files that are not ours, and stay where they are under a name of theirs.
const ASIDE: &str = ".aside";

/// What was found at an open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments that are kept.
    pub segments: usize,
    /// Number of the oldest record.
    pub oldest: RecordNo,
    /// Number behind the newest record.
    pub end: RecordNo,
    /// Bytes behind the last whole frame that are not zero: what was being written as it ended, as a rule.
    pub torn_bytes: u64,
    /// Segments that had records as a later one was begun, and whose header is damaged. That loses nothing by itself: what it says is in the
    /// name and the frames as well.
    pub damaged_headers: usize,
    /// Files of another spool, or of another past of this one. They were renamed to end in `.aside`, do not count against
    /// [`Config::max_bytes`], and may be removed.
    pub set_aside: Vec<String>,
    /// Cursors and their positions.
    pub cursors: BTreeMap<String, RecordNo>,
    /// Cursors of which nothing could be read. All that is there is kept for their next readers, which begin at the oldest record.
    pub damaged_cursors: Vec<String>,
}

impl Recovery {
    /// Whether nothing was found that a crash alone cannot explain.
    pub fn is_undamaged(&self) -> bool {
        self.damaged_headers == 0 && self.set_aside.is_empty() && self.damaged_cursors.is_empty()
    }
}

pub(crate) struct Recovered<S: Storage> {
    pub(crate) shared: Shared<S>,
    pub(crate) next_sequence: u64,
    pub(crate) found: Recovery,
}

pub(crate) fn recover<S: Storage>(storage: S, config: Config) -> Result<Recovered<S>> {
    let lock = storage.lock().map_err(Error::io("lock", "the directory"))?.ok_or(Error::InUse)?;
    let names = storage.list().map_err(Error::io("list", "the directory"))?;
    let mut found = Recovery::default();
    let mut candidates = Vec::new();
    for id in names.iter().filter_map(|name| SegmentId::of_name(name)) {
        candidates.push(candidate(&storage, id)?);
    }
    let spool = match identity::load(&storage)? {
        Some(spool) => spool,
        None => renewed_identity(&storage, &candidates)?,
    };
    let (ours, others) = lineage::sort(candidates, spool);
    for id in others {
        set_aside(&storage, &id.name(), &mut found)?;
    }
    found.damaged_headers = damaged_headers(&ours);
    let next_sequence = ours.last().map_or(0, |last| last.id.sequence + 1);
    let mut state = state_of(&storage, spool, &ours, &mut found)?;
    for name in names.iter().filter_map(|name| cursor::cursor_of(name)) {
        add_cursor(&storage, spool, name, &mut state, &mut found)?;
    }
    state.unwanted.extend(names.into_iter().filter(|name| is_half_made(name)).map(|name| Unwanted { name, bytes: 0 }));
    // Whatever was seen is still there after a crash from here on.
    storage.sync_directory().map_err(Error::io("sync", "the directory"))?;
    state.forget_read();
    found.segments = state.segments.len();
    found.end = RecordNo(state.end);
    found.oldest = RecordNo(state.oldest().next);
    let shared = Shared::new(storage, lock, spool, config, state);
    shared.remove_unwanted();
    Ok(Recovered { shared, next_sequence, found })
}

fn candidate<S: Storage>(storage: &S, id: SegmentId) -> Result<Candidate> {
    let name = id.name();
    let file = storage.open(&name).map_err(Error::io("open", &name))?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let count = file.read_at(&mut bytes, 0).map_err(Error::io("read", &name))?;
    let bytes_held = file.len().map_err(Error::io("measure", &name))?;
    match SegmentHeader::decode(&bytes[..count]) {
        Decoded::Header(header) => Ok(Candidate { id, header: Some(header), bytes: bytes_held }),
        Decoded::Damaged => Ok(Candidate { id, header: None, bytes: bytes_held }),
        Decoded::Version(found) => Err(Error::Version { name, found, known: VERSION }),
    }
}

/// What a crash left of a file that was being made, and is made anew.
fn is_half_made(name: &str) -> bool {
    name.strip_suffix(WRITING).is_some_and(|name| name == identity::NAME || cursor::cursor_of(name).is_some())
}

/// How many headers are damaged though they were durable: others may never have been written.
fn damaged_headers(ours: &[Candidate]) -> usize {
    let had_records = ours.windows(2).filter(|pair| pair[0].id.first < pair[1].id.first);
    had_records.filter(|pair| pair[0].header.is_none()).count()
}

/// The identity that most segments have, or a new one.
fn renewed_identity<S: Storage>(storage: &S, candidates: &[Candidate]) -> Result<[u8; 16]> {
    let mut counts: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    candidates.iter().filter_map(|candidate| candidate.header).for_each(|header| {
        *counts.entry(header.spool).or_default() += 1;
    });
    let spool = match counts.into_iter().max_by_key(|(_, count)| *count) {
        Some((spool, _)) => spool,
        None => {
            let random = || storage.random().map_err(Error::io("get", "a random number"));
            ((u128::from(random()?) << 64) | u128::from(random()?)).to_le_bytes()
        }
    };
    identity::store(storage, spool)?;
    Ok(spool)
}

fn set_aside<S: Storage>(storage: &S, name: &str, found: &mut Recovery) -> Result<()> {
    storage.rename(name, &format!("{name}{ASIDE}")).map_err(Error::io("set aside", name))?;
    found.set_aside.push(name.to_owned());
    Ok(())
}

fn state_of<S: Storage>(storage: &S, spool: [u8; 16], ours: &[Candidate], found: &mut Recovery) -> Result<State> {
    let mut state = State {
        segments: VecDeque::new(),
        end: 0,
        end_weight: 0,
        cursors: BTreeMap::new(),
        unwanted: Vec::new(),
        dropping: None,
        dropped_segments: 0,
    };
    let (mut before, mut last): (Option<&Candidate>, _) = (None, None);
    for candidate in ours {
        let weight_before = match (candidate.header, before) {
            (Some(header), _) => header.weight_before,
            // There is no record between them, or none before it at all.
            (None, _) if candidate.id.first == 0 => 0,
            (None, Some(before)) if before.id.first == candidate.id.first => state.end_weight,
            (None, _) => weight_before(storage, candidate, before)?,
        };
        let weight_before = weight_before.max(state.end_weight);
        let (id, bytes) = (candidate.id, candidate.bytes);
        let previous = before.map(|before| (before.id.sequence, before.id.nonce));
        last = Some((bytes, candidate.header.unwrap_or(SegmentHeader { spool, id, weight_before, previous })));
        state.segments.push_back(Segment { id, weight_before, bytes, readable: bytes });
        (state.end, state.end_weight) = (id.first, weight_before);
        before = Some(candidate);
    }
    if let (Some((bytes, header)), Some(segment)) = (last, state.segments.back_mut()) {
        let tail = tail::recover(storage, bytes, &header)?;
        found.torn_bytes = tail.torn_bytes;
        (segment.bytes, segment.readable) = (tail.bytes, tail.bytes);
        if let Some(newest) = tail.newest {
            (state.end, state.end_weight) = (newest.number + 1, newest.weight_after());
        }
    }
    Ok(state)
}

/// Weight of all records before a segment whose header is damaged. What that would say is in the first frame as well; if that is lost, the last
/// one of the segment before is next to it.
fn weight_before<S: Storage>(storage: &S, candidate: &Candidate, before: Option<&Candidate>) -> Result<u64> {
    let first = scanned(storage, candidate, |scanner| scanner.header(candidate.bytes))?;
    if let Some(first) = first.filter(|first| first.number == candidate.id.first) {
        return Ok(first.weight_before);
    }
    let Some(before) = before else { return Ok(first.map_or(0, |first| first.weight_before)) };
    let newest = scanned(storage, before, |scanner| {
        let mut newest = None;
        while let Some(header) = scanner.header(before.bytes)?.filter(|header| header.number < candidate.id.first) {
            newest = Some(header);
            scanner.skip(&header);
        }
        Ok(newest)
    })?;
    let known = newest.map(|newest| newest.weight_after()).or(first.map(|first| first.weight_before));
    Ok(known.unwrap_or_default())
}

fn scanned<S: Storage, T>(
    storage: &S,
    candidate: &Candidate,
    scan: impl FnOnce(&mut Scanner<S::File>) -> io::Result<T>,
) -> Result<T> {
    let name = candidate.id.name();
    let file = storage.open(&name).map_err(Error::io("open", &name))?;
    scan(&mut Scanner::new(Arc::new(file), candidate.id.nonce)).map_err(Error::io("read", name))
}

fn add_cursor<S: Storage>(
    storage: &S,
    spool: [u8; 16],
    name: &str,
    state: &mut State,
    found: &mut Recovery,
) -> Result<()> {
    let file = cursor::file_name(name)?;
    match CursorFile::load(storage, &file, spool)? {
        Loaded::Cursor(_, saved) => {
            // The records that it has behind it may be lost since; their numbers are not given again.
            state.end = state.end.max(saved.next);
            state.end_weight = state.end_weight.max(saved.weight_before);
            state.cursors.insert(name.to_owned(), CursorState { next: saved.next, has_reader: false });
            found.cursors.insert(name.to_owned(), RecordNo(saved.next));
        }
        Loaded::Foreign => set_aside(storage, &file, found)?,
        Loaded::Damaged => {
            // Whatever it has not read is kept for its next reader.
            let next = state.oldest().next;
            state.cursors.insert(name.to_owned(), CursorState { next, has_reader: false });
            found.damaged_cursors.push(name.to_owned());
        }
    }
    Ok(())
}
