//! The accounts of runs, as `run_accounts` has them.

use serde::{Deserialize, Serialize};

use super::Range;
use crate::source::Source;
use crate::window::{T0, T1, Window};

/// A row of the view `run_accounts`, which says what its columns mean. Runs of which no batch is counted are not among them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RunAccount {
    pub(super) region: String,
    pub(super) node: String,
    pub(super) boot: u64,
    pub(super) run_seq: u64,
    pub(super) from_batch: u64,
    pub(super) to_batch: u64,
    pub(super) captured: Option<u64>,
    pub(super) events: u64,
    pub(super) short_waits: u64,
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) left_out: Option<u64>,
    pub(super) waiting: Option<i64>,
    pub(super) unexplained: Option<i64>,
    pub(super) batches: u64,
    pub(super) dropped: u64,
    pub(super) missing: i64,
    pub(super) is_ended: u8,
    pub(super) open: Option<i64>,
    pub(super) miscounted: Option<i64>,
}

const COLUMNS: &str = "toString(region) AS region, toString(node) AS node, boot, run_seq, from_batch, to_batch, toUInt64(captured) AS captured, \
    toUInt64(events) AS events, toUInt64(short_waits) AS short_waits, lost, twice, toUInt64(left_out) AS left_out, toInt64(waiting) AS waiting, \
    unexplained, toUInt64(batches) AS batches, toUInt64(dropped) AS dropped, missing, toUInt8(is_ended) AS is_ended, open, miscounted";

pub(super) async fn find(source: &Source, range: &Range, window: Window) -> anyhow::Result<Vec<RunAccount>> {
    let (condition, params) = range.condition(window);
    let sql = format!(
        "SELECT * FROM (SELECT {COLUMNS} FROM run_accounts(t0 = {T0}, t1 = {T1})) WHERE from_batch <= to_batch AND {condition} ORDER BY region, node, boot, run_seq"
    );
    source.rows(&sql, &params).await
}
