//! Counts before decoding.
//!
//! An empty submessage takes two bytes on the wire and a hundred in memory, so a batch within its size can still ask for
//! gigabytes. The top level is walked first, without building anything.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use syncline_event::{BatchError, limits};

use crate::error::WireError;

/// Repeated submessages of `Batch` by field number, with their limit.
const REPEATED: [(u32, &str, usize); 11] = [
    (7, "reasons", limits::DICTIONARY),
    (8, "processes", limits::DICTIONARY),
    (10, "short waits", limits::DICTIONARY),
    (11, "stacks", limits::DICTIONARY),
    (12, "symbols", limits::SYMBOLS),
    (13, "losses", limits::DICTIONARY),
    (16, "claims", limits::CLOCK_SAMPLES),
    (17, "file types", limits::DICTIONARY),
    (60, "flows", limits::FLOWS),
    (62, "TCP sessions", limits::TCP_SESSIONS),
    (63, "TCP losses", limits::DICTIONARY),
];

/// Refuses a batch with more submessages of a kind than it may hold.
pub(crate) fn check_counts(mut message: &[u8]) -> Result<(), WireError> {
    let mut found = [0usize; REPEATED.len()];
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message)?;
        if let Some(place) = REPEATED.iter().position(|(number, _, _)| *number == tag) {
            found[place] += 1;
        }
        skip(wire_type, tag, &mut message)?;
    }
    for ((_, what, limit), found) in REPEATED.into_iter().zip(found) {
        if found > limit {
            return Err(BatchError::TooMany { what, found, limit }.into());
        }
    }
    Ok(())
}

fn skip(wire_type: WireType, tag: u32, message: &mut &[u8]) -> Result<(), WireError> {
    if wire_type != WireType::LengthDelimited {
        return Ok(skip_field(wire_type, tag, message, DecodeContext::default())?);
    }
    let length = decode_varint(message)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= message.remaining());
    message.advance(length.ok_or(WireError::Cut)?);
    Ok(())
}
