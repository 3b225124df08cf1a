//! Executables that people handed in.

use super::rows;
use crate::{Column, LowCardinality};

rows! {
    /// Parts of executables.
    BinaryRows => "binaries" {
        /// Hash of the executable's build id.
        build_id: Vec<u64> => Column::U64,
        /// XXH3-64 of the whole file.
        content: Vec<u64> => Column::U64,
        /// Place of the part, from 0.
        part: Vec<u32> => Column::U32,
        /// Parts of the whole file.
        parts: Vec<u32> => Column::U32,
        /// The part.
        bytes: Vec<Vec<u8>> => Column::Bytes,
        /// Name of the file.
        name: LowCardinality => Column::LowCardinality,
        /// Go version that built it.
        go_version: LowCardinality => Column::LowCardinality,
        /// Seconds since 1970.
        uploaded: Vec<u32> => Column::DateTime,
    }
}
