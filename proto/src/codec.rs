//! Batches to bytes and back.

use std::io::Read;

use prost::Message;
use syncline_event::{Batch, limits};

use crate::error::WireError;
use crate::prescan::{check_counts, check_format};
use crate::v1;

/// Fast enough for the agent's budget, and within 5 % of what higher levels reach on delta columns.
const ZSTD_LEVEL: i32 = 1;

/// A batch as it travels.
///
/// # Errors
/// Compression fails only when memory does.
pub fn encode(batch: &Batch) -> Result<Vec<u8>, WireError> {
    Ok(zstd::bulk::compress(&v1::Batch::from(batch).encode_to_vec(), ZSTD_LEVEL)?)
}

/// The checked batch in bytes from outside.
///
/// # Errors
/// Refuses whatever is not zstd, not a batch, beyond a limit, or contradicts itself.
pub fn decode(bytes: &[u8]) -> Result<Batch, WireError> {
    decode_sized(bytes).map(|(batch, _)| batch)
}

/// As [`decode`], and how many bytes it is without compression: what it takes in memory is of the same order.
///
/// # Errors
/// As there.
pub fn decode_sized(bytes: &[u8]) -> Result<(Batch, usize), WireError> {
    if bytes.len() > limits::WIRE_BYTES {
        return Err(WireError::TooLong { found: bytes.len(), limit: limits::WIRE_BYTES });
    }
    let message = decompress(bytes)?;
    check_format(&message)?;
    check_counts(&message)?;
    let batch = Batch::try_from(v1::Batch::decode(message.as_slice())?)?;
    batch.check()?;
    Ok((batch, message.len()))
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let limit = limits::DECODED_BYTES;
    let mut decoded = Vec::new();
    zstd::stream::read::Decoder::new(bytes)?.take(limit as u64 + 1).read_to_end(&mut decoded)?;
    if decoded.len() > limit { Err(WireError::TooLongDecoded { limit }) } else { Ok(decoded) }
}
