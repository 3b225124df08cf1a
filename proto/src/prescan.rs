//! Counts before decoding.
//!
//! An empty submessage takes two bytes on the wire and a hundred in memory, so a batch within its size can still ask for
//! gigabytes. Their levels are walked first, without building anything. So is the format, since the rest of a later one may be anything.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use syncline_event::{BatchError, limits};

use crate::error::WireError;

/// The newest format of a batch that is known here, and the one that is written.
pub(crate) const FORMAT: u32 = 0;
/// Where a batch says its format.
const FORMAT_FIELD: u32 = 31;

/// Repeated submessages of `Batch` by field number, with their limit.
const REPEATED: [(u32, &str, usize); 16] = [
    (7, "reasons", limits::DICTIONARY),
    (8, "processes", limits::DICTIONARY),
    (10, "short waits", limits::DICTIONARY),
    (11, "stacks", limits::DICTIONARY),
    (12, "symbols", limits::SYMBOLS),
    (13, "losses", limits::DICTIONARY),
    (16, "claims", limits::CLOCK_SAMPLES),
    (17, "file types", limits::DICTIONARY),
    (19, "processes' states", limits::PROCESS_STATES),
    (20, "goroutines' states", limits::GOROUTINE_STATES),
    (22, "dropped batches", limits::DROPPED),
    (30, "observations", limits::OBSERVATIONS),
    (60, "flows", limits::FLOWS),
    (62, "TCP sessions", limits::TCP_SESSIONS),
    (63, "TCP losses", limits::DICTIONARY),
    (70, "disruptions", limits::DISRUPTIONS),
];

/// Where `BlockedTime`s are: `Batch.process_states.times.blocked` and `Batch.goroutine_states.times.blocked`.
const BLOCKED: [[u32; 3]; 2] = [[19, 4, 5], [20, 11, 5]];

/// Refuses a batch that only later versions can read.
pub(crate) fn check_format(mut message: &[u8]) -> Result<(), WireError> {
    while message.has_remaining() {
        let (tag, wire) = decode_key(&mut message)?;
        if (tag, wire) == (FORMAT_FIELD, WireType::Varint) {
            let found = decode_varint(&mut message)?;
            if found > FORMAT.into() {
                return Err(WireError::Later { found, known: FORMAT });
            }
        } else {
            skip_field(wire, tag, &mut message, DecodeContext::default())?;
        }
    }
    Ok(())
}

/// Refuses a batch with more submessages of a kind than it may hold.
pub(crate) fn check_counts(mut message: &[u8]) -> Result<(), WireError> {
    let mut found = [0usize; REPEATED.len()];
    let mut blocked = 0usize;
    while message.has_remaining() {
        let (tag, inside) = next_field(&mut message)?;
        if let Some(place) = REPEATED.iter().position(|(number, _, _)| *number == tag) {
            found[place] += 1;
        }
        if let (Some(inside), Some(path)) = (inside, BLOCKED.iter().find(|path| path[0] == tag)) {
            blocked += count(inside, &path[1..])?;
        }
    }
    let found = REPEATED.into_iter().zip(found).map(|((_, what, limit), found)| (what, limit, found));
    for (what, limit, found) in found.chain([("times blocked", limits::BLOCKED_TIMES, blocked)]) {
        if found > limit {
            return Err(BatchError::TooMany { what, found, limit }.into());
        }
    }
    Ok(())
}

/// How many submessages there are at a path of field numbers. Equal fields that follow each other are all counted, as decoding
/// adds them up.
fn count(mut message: &[u8], path: &[u32]) -> Result<usize, WireError> {
    let Some((first, rest)) = path.split_first() else { return Ok(1) };
    let mut found = 0;
    while message.has_remaining() {
        if let (tag, Some(inside)) = next_field(&mut message)?
            && tag == *first
        {
            found += count(inside, rest)?;
        }
    }
    Ok(found)
}

/// The next field's number, and its bytes if it has a length; it is gone from `message` then.
fn next_field<'a>(message: &mut &'a [u8]) -> Result<(u32, Option<&'a [u8]>), WireError> {
    let (tag, wire_type) = decode_key(message)?;
    if wire_type != WireType::LengthDelimited {
        skip_field(wire_type, tag, message, DecodeContext::default())?;
        return Ok((tag, None));
    }
    let length = usize::try_from(decode_varint(message)?).map_err(|_| WireError::Cut)?;
    let (inside, rest) = message.split_at_checked(length).ok_or(WireError::Cut)?;
    *message = rest;
    Ok((tag, Some(inside)))
}
