//! Clock measurements and models.

use super::{BoundClass, ClaimSource, ClaimVerdict, ClockScale, ClockStatus, DisruptionSign, ProbeKind, enum8, rows};
use crate::{Column, LowCardinality};

rows! {
    /// Finished four-stamp exchanges between a node and its region's aggregator.
    ClockProbeRows => "clock_probes" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Sent by the node: mono, ns.
        t1: Vec<i64> => Column::I64,
        /// Received by the aggregator: REF, ns since 1970.
        t2: Vec<i64> => Column::I64,
        /// Answered by the aggregator: REF, ns since 1970.
        t3: Vec<i64> => Column::I64,
        /// Answer received by the node: mono, ns.
        t4: Vec<i64> => Column::I64,
        /// Round trip without the aggregator's share: (t4 - t1) - (t3 - t2).
        rtt_ns: Vec<u64> => Column::U64,
        /// Path of the exchange.
        kind: Vec<ProbeKind> => enum8,
        /// 1 when the estimator took it, 0 when it rejected it.
        used: Vec<u8> => Column::U8,
        /// Last reading of the node's clocks before t1: mono, ns; 0 = there is none.
        before_mono: Vec<i64> => Column::I64,
        /// raw - mono there, ns.
        before_raw_off: Vec<i64> => Column::I64,
        /// wall - mono there, ns.
        before_wall_off: Vec<i64> => Column::I64,
        /// How long that reading took, ns.
        before_bracket_ns: Vec<u64> => Column::U64,
        /// First reading of the node's clocks after t4, likewise.
        after_mono: Vec<i64> => Column::I64,
        /// raw - mono there, ns.
        after_raw_off: Vec<i64> => Column::I64,
        /// wall - mono there, ns.
        after_wall_off: Vec<i64> => Column::I64,
        /// How long that reading took, ns.
        after_bracket_ns: Vec<u64> => Column::U64,
        /// Run of the reference that answered.
        ref_run: Vec<u64> => Column::U64,
    }
}

rows! {
    /// Revisions of the piecewise linear clock models of the nodes. Goes to `clock_segments_log`, from which ClickHouse fills
    /// `clock_segments` (newest revision of each) and `clock_now` (newest of each node).
    ClockSegmentRows => "clock_segments_log" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Run of the reference that the offsets lead to.
        ref_run: Vec<u64> => Column::U64,
        /// Disruption generation within the boot.
        epoch: Vec<u32> => Column::U32,
        /// Start of the segment: mono, ns.
        mono_from: Vec<u64> => Column::U64,
        /// End of the segment: mono, ns.
        mono_to: Vec<u64> => Column::U64,
        /// REF - mono at `mono_from`, ns.
        ref_off: Vec<i64> => Column::I64,
        /// REF - mono at `mono_to`, ns; in between it is linear.
        ref_off_to: Vec<i64> => Column::I64,
        /// Frequency error: d(REF - raw) / d raw in 10^-9. Positive when the node's oscillator is slow.
        rate_ppb: Vec<i64> => Column::I64,
        /// Half width of the bound at `mono_from`.
        err_from_ns: Vec<u64> => Column::U64,
        /// Half width of the bound at `mono_to`.
        err_to_ns: Vec<u64> => Column::U64,
        /// What the bounds assume.
        bound_class: Vec<BoundClass> => enum8,
        /// wall - mono at `mono_to`, ns.
        wall_off: Vec<i64> => Column::I64,
        /// Status at `mono_to`.
        status: Vec<ClockStatus> => enum8,
        /// Revision of the model; the highest wins.
        rev: Vec<u32> => Column::U32,
    }
}

rows! {
    /// Piecewise linear maps from a region's REF to the root region's. The root itself needs no row.
    RegionClockRows => "region_clock" {
        /// The region mapped.
        region: LowCardinality => Column::LowCardinality,
        /// The region whose REF is the fleet's clock.
        root: LowCardinality => Column::LowCardinality,
        /// Run of `region`'s own reference.
        ref_run: Vec<u64> => Column::U64,
        /// Run of the root's reference.
        root_run: Vec<u64> => Column::U64,
        /// Start of the segment: REF of `region`, ns since 1970.
        ref_from: Vec<i64> => Column::I64,
        /// End of the segment: REF of `region`, ns since 1970.
        ref_to: Vec<i64> => Column::I64,
        /// REF of root - REF of region at `ref_from`, ns.
        off: Vec<i64> => Column::I64,
        /// The same at `ref_to`, ns; in between it is linear.
        off_to: Vec<i64> => Column::I64,
        /// d(REF of root - REF of region) / d REF of region in 10^-9, to extrapolate past `ref_to`.
        rate_ppb: Vec<i64> => Column::I64,
        /// Half width of the bound at `ref_from`.
        err_ns: Vec<u64> => Column::U64,
        /// Half width of the bound at `ref_to`.
        err_to_ns: Vec<u64> => Column::U64,
        /// How fast the bound grows past `ref_to`, in 10^-9: what the oscillator may still do.
        err_rate_ppb: Vec<u64> => Column::U64,
        /// What the bounds assume.
        bound_class: Vec<BoundClass> => enum8,
        /// Status at `ref_to`.
        status: Vec<ClockStatus> => enum8,
        /// Revision; of two segments with the same `ref_from` the highest wins.
        rev: Vec<u32> => Column::U32,
    }
}

rows! {
    /// Steps of a node's clock, as the agent saw them.
    ClockStepRows => "clock_steps" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// When: the node's mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// When: REF, ns since 1970.
        at: Vec<i64> => Column::DateTime64,
        /// By how much; positive = forward.
        size_ns: Vec<i64> => Column::I64,
        /// Which clock.
        scale: Vec<ClockScale> => enum8,
    }
}

rows! {
    /// Disruptions that agents told of, and those of regions' references.
    ClockDisruptionRows => "clock_disruptions" {
        /// Region of the node, or of the aggregator that saw it.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node; empty = of two regions' references, one against the other.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id; of references the run of the region's own.
        boot: Vec<u64> => Column::U64,
        /// Of references the region of the other.
        peer: LowCardinality => Column::LowCardinality,
        /// Run of the reference that the clock is measured against.
        ref_run: Vec<u64> => Column::U64,
        /// Until then it had not happened: mono, or REF of the region, ns.
        mono_from: Vec<u64> => Column::U64,
        /// By then it had.
        mono_to: Vec<u64> => Column::U64,
        /// That moment: REF, ns since 1970.
        at: Vec<i64> => Column::DateTime64,
        /// Number of the batch that told; 0 = of references.
        batch: Vec<u64> => Column::U64,
        /// How it showed.
        sign: Vec<DisruptionSign> => enum8,
    }
}

rows! {
    /// Clock models as they are now, for the aggregator that takes a node over.
    ClockStateRows => "clock_states" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// Run of the reference that the model speaks of.
        ref_run: Vec<u64> => Column::U64,
        /// Newest batch that it has seen; the highest wins.
        batch: Vec<u64> => Column::U64,
        /// Where its last segment ends: mono, ns; 0 = it has none.
        segment_end: Vec<u64> => Column::U64,
        /// The model.
        state: Vec<Vec<u8>> => Column::Bytes,
    }
}

rows! {
    /// Claims of nodes about their wall clocks, and whether they can be true.
    ClockClaimRows => "clock_claims" {
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the node's boot id.
        boot: Vec<u64> => Column::U64,
        /// When: the node's mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// When: REF, ns since 1970.
        at: Vec<i64> => Column::DateTime64,
        /// Who says so.
        source: Vec<ClaimSource> => enum8,
        /// 0 when it says that it knows nothing.
        synchronized: Vec<u8> => Column::U8,
        /// UTC - wall as claimed, ns.
        utc_wall_ns: Vec<i64> => Column::I64,
        /// Half width of that, ns.
        bound_ns: Vec<u64> => Column::U64,
        /// Whether it can be true.
        verdict: Vec<ClaimVerdict> => enum8,
        /// REF - wall by the claim, at least, ns; 0 unless contradicted.
        claimed_low_ns: Vec<i64> => Column::I64,
        /// At most.
        claimed_high_ns: Vec<i64> => Column::I64,
        /// REF - wall as measured, at least, ns.
        measured_low_ns: Vec<i64> => Column::I64,
        /// At most.
        measured_high_ns: Vec<i64> => Column::I64,
    }
}
