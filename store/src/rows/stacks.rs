//! Call stacks and the names of their addresses.

use super::rows;
use crate::{Arrays, Column, LowCardinality};

rows! {
    /// Call stacks by id.
    StackRows => "stacks" {
        /// Hash of build and addresses.
        stack_id: Vec<u64> => Column::U64,
        /// Hash of the executable's build id.
        build_id: Vec<u64> => Column::U64,
        /// Addresses in the executable, innermost first.
        pcs: Arrays => Column::ArrayU64,
        /// Seconds since 1970.
        last_seen: Vec<u32> => Column::DateTime,
    }
}

rows! {
    /// Names of addresses. An address inside inlined calls has one row per call.
    SymbolRows => "symbols" {
        /// Hash of the executable's build id.
        build_id: Vec<u64> => Column::U64,
        /// Address in the executable.
        pc: Vec<u64> => Column::U64,
        /// 0 = the innermost inlined call, rising outwards.
        depth: Vec<u8> => Column::U8,
        /// Function.
        func: Vec<String> => Column::String,
        /// Source file.
        file: LowCardinality => Column::LowCardinality,
        /// Line in the file; 0 when not known.
        line: Vec<u32> => Column::U32,
    }
}
