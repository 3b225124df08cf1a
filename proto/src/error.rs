//! What can be wrong with bytes from the wire.

use syncline_event::BatchError;
#[cfg(doc)]
use syncline_event::limits;
use thiserror::Error;

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
    /// It is of a format that later versions know.
    #[error("batch is of format {found}, and this version knows format {known}: it takes a newer one to read it")]
    Later {
        /// Its format.
        found: u64,
        /// Ours.
        known: u32,
    },
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
