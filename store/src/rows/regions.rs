//! Regions against each other.

use super::{ClockStatus, PairVerdict, enum8, rows};
use crate::{Column, LowCardinality};

rows! {
    /// What regions measure of one another.
    RegionLinkRows => "region_links" {
        /// Region that measures.
        region: LowCardinality => Column::LowCardinality,
        /// Region that is measured.
        peer: LowCardinality => Column::LowCardinality,
        /// Run of `region`'s own reference.
        ref_run: Vec<u64> => Column::U64,
        /// Run of `peer`'s reference.
        peer_run: Vec<u64> => Column::U64,
        /// When: REF of `region`, ns since 1970.
        ref_at: Vec<i64> => Column::I64,
        /// REF of peer - REF of region, ns.
        off: Vec<i64> => Column::I64,
        /// At least.
        low: Vec<i64> => Column::I64,
        /// At most.
        high: Vec<i64> => Column::I64,
        /// d(REF of peer - REF of region) / d REF of region in 10^-9.
        rate_ppb: Vec<i64> => Column::I64,
        /// How fast the bound grows past `ref_at`, in 10^-9.
        err_rate_ppb: Vec<u64> => Column::U64,
        /// Status at `ref_at`.
        status: Vec<ClockStatus> => enum8,
    }
}

rows! {
    /// What regions claim of UTC.
    RegionClaimRows => "region_claims" {
        /// Region whose aggregator claims it.
        region: LowCardinality => Column::LowCardinality,
        /// Run of its own reference.
        ref_run: Vec<u64> => Column::U64,
        /// When: its REF, ns since 1970.
        ref_at: Vec<i64> => Column::I64,
        /// UTC - REF as claimed, ns.
        utc_off: Vec<i64> => Column::I64,
        /// Half width of that, ns.
        bound_ns: Vec<u64> => Column::U64,
    }
}

rows! {
    /// Every two regions, and each and UTC: what follows from all links and claims together.
    RegionPairRows => "region_pairs" {
        /// One region.
        region: LowCardinality => Column::LowCardinality,
        /// The other, or `(utc)`.
        peer: LowCardinality => Column::LowCardinality,
        /// Run of `region`'s reference.
        ref_run: Vec<u64> => Column::U64,
        /// Run of `peer`'s reference; 0 = UTC.
        peer_run: Vec<u64> => Column::U64,
        /// When: REF of the root, ns since 1970.
        at: Vec<i64> => Column::DateTime64,
        /// REF of peer - REF of region, ns.
        off: Vec<i64> => Column::I64,
        /// At least.
        low: Vec<i64> => Column::I64,
        /// At most.
        high: Vec<i64> => Column::I64,
        /// 1 when they measure each other, or the region claims it.
        direct: Vec<u8> => Column::U8,
        /// By that alone, at least, ns.
        direct_low: Vec<i64> => Column::I64,
        /// At most.
        direct_high: Vec<i64> => Column::I64,
        /// Of that beside all others.
        verdict: Vec<PairVerdict> => enum8,
        /// It is off by at least so much, ns.
        off_by_ns: Vec<u64> => Column::U64,
    }
}
