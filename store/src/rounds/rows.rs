//! What the store answers, row by row.

use serde::Deserialize;

use super::Name;

/// boot, run, epoch, REF - mono and half its bound, WALL - mono, rate, status, when it was inserted, and its end by REF, ms.
pub(super) type Newest = (u64, u64, u32, i64, u64, i64, i64, i8, i64, i64);

/// Of one run; a node that another aggregator has taken over may have several in a round.
#[derive(Deserialize)]
pub(super) struct Segment {
    pub(super) round: i64,
    pub(super) region: String,
    pub(super) node: String,
    pub(super) newest: Newest,
}

#[derive(Deserialize)]
pub(super) struct BatchRow {
    pub(super) round: i64,
    pub(super) region: String,
    pub(super) node: String,
    pub(super) boot: u64,
    pub(super) at_ms: i64,
}

#[derive(Deserialize)]
pub(super) struct RoundTrip {
    pub(super) round: i64,
    pub(super) region: String,
    pub(super) node: String,
    pub(super) rtt_ns: u64,
}

#[derive(Deserialize)]
pub(super) struct StepRow {
    pub(super) round: i64,
    pub(super) region: String,
    pub(super) node: String,
    pub(super) boot: u64,
    pub(super) mono_ns: u64,
    pub(super) at_ns: i64,
    pub(super) size_ns: i64,
}

#[derive(Deserialize)]
pub(super) struct ClaimRow {
    pub(super) round: i64,
    pub(super) region: String,
    pub(super) node: String,
    pub(super) at_ms: i64,
    pub(super) source: String,
    pub(super) is_contradicted: u8,
    pub(super) claimed: (i64, i64),
    pub(super) measured: (i64, i64),
}

/// A word that is false by what bounds say, and one that is likely to be.
pub(super) const PROVED: u8 = 1;
pub(super) const DOUBTED: u8 = 2;

#[derive(Deserialize)]
pub(super) struct PairRow {
    pub(super) round: i64,
    pub(super) region: String,
    pub(super) ref_run: u64,
    pub(super) peer: String,
    pub(super) peer_run: u64,
    /// low, high, whether the direct word is false ([`PROVED`]) or [`DOUBTED`], by how much, when it was inserted.
    pub(super) newest: (i64, i64, u8, u64, i64),
}

#[derive(Deserialize)]
pub(super) struct ViolationRow {
    pub(super) round: i64,
    pub(super) from: Name,
    pub(super) to: Name,
    pub(super) messages: u64,
    pub(super) by_ns: u64,
}

#[derive(Deserialize)]
pub(super) struct HeardRow {
    pub(super) region: String,
    pub(super) node: String,
    /// boot, run, end on the node, when it was inserted, and its end by REF, ms.
    pub(super) newest: (u64, u64, u64, i64, i64),
}

#[derive(Deserialize)]
pub(super) struct ApartRow {
    pub(super) part: i64,
    pub(super) region: String,
    pub(super) ref_run: u64,
    pub(super) apart_ms: i64,
}
