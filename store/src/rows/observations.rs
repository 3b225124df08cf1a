//! How processes were observed.

use super::{ObservationReason, ObservationStage, enum8, rows};
use crate::{Column, LowCardinality};

rows! {
    /// How processes were observed, interval by interval.
    ObservationRows => "observations" {
        /// Start of the minute, s since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service of the process.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id.
        pid: Vec<u32> => Column::U32,
        /// Begin; mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// Length, ns.
        dur_ns: Vec<u64> => Column::U64,
        /// Of that it was observed, ns.
        observed_ns: Vec<u64> => Column::U64,
        /// In so many windows.
        windows: Vec<u32> => Column::U32,
        /// With what.
        stage: Vec<ObservationStage> => enum8,
        /// Why with that.
        reason: Vec<ObservationReason> => enum8,
        /// Shortest wait that became an event, ns.
        threshold_ns: Vec<u64> => Column::U64,
        /// Kinds that were not captured, separated by commas.
        without: LowCardinality => Column::LowCardinality,
        /// What it might cost, in millionths of its CPU time.
        budget_ppm: Vec<u32> => Column::U32,
        /// What it cost, ns.
        cost_ns: Vec<u64> => Column::U64,
        /// CPU time of the process, ns.
        cpu_ns: Vec<u64> => Column::U64,
        /// Run of the reference.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono at the begin, ns.
        al_off: Vec<i64> => Column::I64,
    }
}
