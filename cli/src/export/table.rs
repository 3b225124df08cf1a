//! `--format parquet`: the rows themselves, as ClickHouse writes them.

use clickhouse::Row;
use serde::Deserialize;

use super::sink::Sink;
use super::{Export, Tally};
use crate::source::Question;
use crate::waits::{BEFORE_NS, IS_IN_FULL, all_runtime, view};
use crate::window::Window;

/// Rows of a row group: what the store holds before it writes.
const ROW_GROUP: &str = "262144";

/// As the view has them, but what is not known is NULL and enumerations and addresses are texts, as other tools expect.
const COLUMNS: &str = "t.aligned AS aligned, t.aligned_end AS aligned_end, nullIf(t.err_ns, 18446744073709551615) AS err_ns, \
    nullIf(t.err_end_ns, 18446744073709551615) AS err_end_ns, toString(t.region) AS region, toString(t.service) AS service, \
    toString(t.node) AS node, t.boot AS boot, t.seq AS seq, t.pid AS pid, t.tid AS tid, t.goid AS goid, toString(t.kind) AS kind, \
    toString(t.reason) AS reason, t.mono_ns AS mono_ns, t.wall AS wall, t.dur_ns AS dur_ns, t.weight AS weight, if(bitTest(t.flags, 0), t.run_delay_ns, NULL) AS run_delay_ns, \
    t.flags AS flags, t.stack AS site, named.frames AS frames, t.stack_id AS stack_id, t.waker_goid AS waker_goid, t.waker_stack_id AS waker_stack_id, \
    t.address AS address, if(t.kind = 'syscall', t.result, NULL) AS result, nullIf(t.fd, -1) AS fd, toString(t.fd_type) AS fd_type, \
    if(t.local_port = 0, '', toString(t.local_address)) AS local_address, t.local_port AS local_port, \
    if(t.peer_port = 0, '', toString(t.peer_address)) AS peer_address, t.peer_port AS peer_port, t.trace AS trace_id, t.span AS span_id, \
    toString(t.bound_class) AS bound_class, toString(t.clock_status) AS clock_status, t.epoch AS epoch, t.model_rev AS model_rev, \
    t.region_off_ns AS region_off_ns";

#[derive(Row, Deserialize)]
struct Found {
    waits: u64,
    unbounded: u64,
    own: u64,
}

pub(super) async fn write(export: &Export<'_>, sink: &mut Sink) -> anyhow::Result<Tally> {
    let waits = export.args.waits(export.window);
    let window = Window { from_ns: export.window.from_ns.saturating_sub(BEFORE_NS), to_ns: export.window.to_ns };
    let view = view("timeline", window);
    let is_own = if export.args.runtime { "0".to_owned() } else { format!("{IS_IN_FULL} AND {}", all_runtime()) };
    // Stacks of the range, and a little more: buckets are minutes of the regions' clocks.
    let from = format!(
        "FROM {view} AS t LEFT JOIN (SELECT stack_id, frames FROM stacks_named WHERE stack_id IN (SELECT DISTINCT stack_id FROM events \
            WHERE toUnixTimestamp(bucket) >= {{stacks_from:Int64}} AND toUnixTimestamp(bucket) <= {{stacks_to:Int64}})) AS named \
            ON t.stack_id = named.stack_id \
        WHERE {}",
        waits.conditions()
    );
    let mut params = waits.params;
    let apart_ns = 3_600_000_000_000;
    let second = |ns: i64| ns.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)).to_string();
    params.push(("stacks_from".to_owned(), second(window.from_ns.saturating_sub(apart_ns))));
    params.push(("stacks_to".to_owned(), second(window.to_ns.saturating_add(apart_ns))));

    let tally = count(export, &from, &is_own, &params).await?;
    let sql = format!("SELECT {COLUMNS} {from} AND NOT ({is_own})");
    let looks = [("output_format_parquet_row_group_size", ROW_GROUP.to_owned())];
    let question = Question { sql: &sql, format: "Parquet", params: &params, looks: &looks, settings: &[] };
    export.source.stream(&question, sink).await?;
    Ok(tally)
}

/// What the file will hold: its writer does not tell.
async fn count(export: &Export<'_>, from: &str, is_own: &str, params: &[(String, String)]) -> anyhow::Result<Tally> {
    let sql = format!(
        "SELECT countIf(NOT c.is_own) AS waits, countIf(NOT c.is_own AND c.is_unbounded) AS unbounded, countIf(c.is_own) AS own FROM ( \
            SELECT ({is_own}) AS is_own, t.err_ns = 18446744073709551615 OR t.err_end_ns = 18446744073709551615 AS is_unbounded {from}) AS c"
    );
    let mut cursor = export.source.cursor::<Found>(&sql, params)?;
    let found = cursor.next().await.map_err(|error| export.source.explain(error))?;
    let Found { waits, unbounded, own } = found.unwrap_or(Found { waits: 0, unbounded: 0, own: 0 });
    Ok(Tally { waits, unbounded, own, ..Tally::default() })
}
