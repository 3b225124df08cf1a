//! Which batches are stored, which are about to be and which never will be, and what agents say of all they captured.

use super::{BatchClaim, enum8, rows};
use crate::{Column, LowCardinality};

rows! {
    /// Batches whose other rows are all in the store.
    LedgerRows => "ingest_ledger" {
        /// Start of the batch's minute, in seconds since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// First event number of the agent's run.
        run_seq: Vec<u64> => Column::U64,
        /// Number of the batch.
        batch: Vec<u64> => Column::U64,
        /// When it was sealed; mono, ns.
        sealed_ns: Vec<u64> => Column::U64,
        /// Number of its first event.
        first_seq: Vec<u64> => Column::U64,
        /// Events in it.
        events: Vec<u64> => Column::U64,
        /// The earliest bucket of its events, in seconds since 1970.
        first_bucket: Vec<u32> => Column::DateTime,
        /// Waits in its sums.
        short_waits: Vec<u64> => Column::U64,
        /// Waits that it says are lost.
        losses: Vec<u64> => Column::U64,
        /// 1 where the columns below are known.
        has_account: Vec<u8> => Column::U8,
        /// Waits that the run's agent captured so far.
        captured: Vec<u64> => Column::U64,
        /// Not kept, as is wanted.
        left_out: Vec<u64> => Column::U64,
        /// Going on, or on their way.
        waiting: Vec<i64> => Column::I64,
        /// Going on at the end of the run; -1 before.
        open: Vec<i64> => Column::I64,
    }
}

rows! {
    /// Batches that agents gave up.
    DroppedBatchRows => "dropped_batches" {
        /// Start of the minute of the batch that told of it, in seconds since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// First event number of its run.
        run_seq: Vec<u64> => Column::U64,
        /// Its number.
        batch: Vec<u64> => Column::U64,
        /// Why, as in `losses`.
        cause: LowCardinality => Column::LowCardinality,
        /// Events that were in it.
        events: Vec<u64> => Column::U64,
        /// Waits that were in its sums.
        short_waits: Vec<u64> => Column::U64,
    }
}

rows! {
    /// Batches that aggregators are about to store.
    BatchClaimRows => "batch_claims" {
        /// Start of the batch's minute, in seconds since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Number of the batch.
        batch: Vec<u64> => Column::U64,
        /// The aggregator.
        writer: LowCardinality => Column::LowCardinality,
        /// One more each time it says something.
        version: Vec<u64> => Column::U64,
        /// What it says.
        state: Vec<BatchClaim> => enum8,
    }
}
