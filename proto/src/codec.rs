//! Batches to bytes and back.

use std::io::Read;

use prost::Message;
use syncline_event::{Batch, BatchError, limits};
use thiserror::Error;

use crate::prescan::check_counts;
use crate::v1;

/// Fast enough for the agent's budget, and within 5 % of what higher levels reach on delta columns.
const ZSTD_LEVEL: i32 = 1;

/// Bytes are no batch, or hold one that is not sound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Larger than [`limits::WIRE_BYTES`].
    #[error("batch of {found} compressed bytes, at most {limit} are allowed")]
    TooLong {
        /// Bytes received.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Larger than [`limits::DECODED_BYTES`] when decompressed.
    #[error("batch decompresses to more than {limit} bytes")]
    TooLongDecoded {
        /// Bytes allowed.
        limit: usize,
    },
    /// Not zstd.
    #[error("batch is not valid zstd: {0}")]
    Zstd(#[from] std::io::Error),
    /// Not a Batch message.
    #[error("batch is not a valid syncline.v1.Batch: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A field is longer than what is left of the message.
    #[error("batch is cut off inside a field")]
    Cut,
    /// A field is missing or out of its range.
    #[error("batch field {field}: {why}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The batch contradicts itself.
    #[error("batch: {0}")]
    Unsound(#[from] BatchError),
}

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
    if bytes.len() > limits::WIRE_BYTES {
        return Err(WireError::TooLong { found: bytes.len(), limit: limits::WIRE_BYTES });
    }
    let message = decompress(bytes)?;
    check_counts(&message)?;
    let batch = Batch::try_from(v1::Batch::decode(message.as_slice())?)?;
    batch.check()?;
    Ok(batch)
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let limit = limits::DECODED_BYTES;
    let mut decoded = Vec::new();
    zstd::stream::read::Decoder::new(bytes)?.take(limit as u64 + 1).read_to_end(&mut decoded)?;
    if decoded.len() > limit { Err(WireError::TooLongDecoded { limit }) } else { Ok(decoded) }
}
