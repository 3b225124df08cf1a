//! How goroutines spent their time, from the store's views `state_split` and `goroutine_split`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::StatesArgs;
use crate::source::Source;
use crate::waits::view;
use crate::window::Window;

/// A process, and what its goroutines did in the window.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Process {
    pub(super) region: String,
    pub(super) service: String,
    pub(super) node: String,
    pub(super) boot: u64,
    pub(super) pid: u32,
    /// How much of the window was observed.
    pub(super) observed_ns: u64,
    /// Alive at the end.
    pub(super) goroutines: u64,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) runs: u64,
    pub(super) handoffs: u64,
    pub(super) runs_per_s: f64,
    pub(super) handoffs_per_s: f64,
    pub(super) parts: Vec<Part>,
}

/// A state, of `blocked` one reason: state, reason, time in ns, share of all time, how many goroutines were in it at a time, how
/// often.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Part(
    pub(super) String,
    pub(super) String,
    pub(super) u64,
    pub(super) f64,
    pub(super) f64,
    pub(super) Option<u64>,
);

/// A goroutine, and what it did as far as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Goroutine {
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) node: String,
    pub(crate) boot: u64,
    pub(crate) pid: u32,
    pub(crate) goid: u64,
    /// When it was first seen, and as of when the rest is; the fleet's clock, ns since 1970.
    pub(crate) since_ns: i64,
    pub(crate) told_ns: i64,
    pub(crate) lived_ns: u64,
    /// 0: it was there before.
    pub(crate) start_seen: u8,
    pub(crate) fate: String,
    pub(crate) state: String,
    /// Of `blocked`; empty where it is not known.
    pub(crate) reason: String,
    pub(crate) state_ns: u64,
    pub(crate) running_ns: u64,
    pub(crate) runnable_ns: u64,
    pub(crate) syscall_ns: u64,
    pub(crate) cgo_ns: u64,
    pub(crate) blocked_ns: u64,
    pub(crate) blocked_by: BTreeMap<String, u64>,
    pub(crate) blocked_times: BTreeMap<String, u64>,
    pub(crate) runs: u64,
    pub(crate) handoffs: u64,
}

#[derive(Deserialize)]
struct Row<T> {
    matched: u64,
    #[serde(flatten)]
    row: T,
}

/// The newest moment of which one of the tables tells, on the fleet's clock or somewhat later; none if it is empty.
pub(super) async fn newest_ns(source: &Source, table: &str) -> anyhow::Result<Option<i64>> {
    #[derive(Deserialize)]
    struct Newest {
        end_ns: Option<i64>,
    }
    // Rows of a process that is observed come every few seconds, and a row is of the minute of its begin at the earliest.
    let sql = format!(
        "SELECT toUnixTimestamp64Nano(maxOrNull(aligned_end)) \
            + (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) FROM region_clock) AS end_ns \
        FROM {table} WHERE bucket >= (SELECT max(bucket) FROM {table}) - INTERVAL 2 MINUTE"
    );
    let newest: Vec<Newest> = source.rows(&sql, &[]).await?;
    Ok(newest.first().and_then(|newest| newest.end_ns))
}

/// The first of the processes, and how many there are.
pub(super) async fn processes(
    source: &Source,
    window: Window,
    args: &StatesArgs,
) -> anyhow::Result<(Vec<Process>, u64)> {
    let (conditions, mut params) = filters(args);
    params.push(("by".to_owned(), args.by.name().to_owned()));
    let sql = format!(
        "SELECT toString(t.region) AS region, toString(t.service) AS service, toString(t.node) AS node, boot, pid, \
            any(t.observed_ns) AS observed_ns, any(t.goroutines) AS goroutines, any(t.started) AS started, any(t.ended) AS ended, \
            any(t.runs) AS runs, any(t.handoffs) AS handoffs, any(t.runs_per_s) AS runs_per_s, any(t.handoffs_per_s) AS handoffs_per_s, \
            groupArray((state, reason, total_ns, share, mean, times)) AS parts, count() OVER () AS matched \
        FROM {view} AS t WHERE {conditions} GROUP BY t.region, t.service, t.node, boot, pid \
        ORDER BY sumIf(share, state = {{by:String}}) DESC, region, node, pid LIMIT {limit}",
        view = view("state_split", window),
        limit = args.limit,
    );
    split(source.rows(&sql, &params).await?)
}

/// The first of the goroutines, and how many there are.
pub(super) async fn goroutines(
    source: &Source,
    window: Window,
    args: &StatesArgs,
) -> anyhow::Result<(Vec<Goroutine>, u64)> {
    let (conditions, params) = filters(args);
    let order = format!("{}_ns DESC, region, node, pid, goid", args.by.name());
    split(source.rows(&question(window, &conditions, &order, args.limit), &params).await?)
}

/// What is known of one goroutine of a process in the window and the day before, of every node that has one of these numbers, the newest
/// first: what does nothing is not told of again soon. None in the store of an older version.
pub(crate) async fn of_goroutine(
    source: &Source,
    window: Window,
    pid: u32,
    goid: u64,
    place: [Option<&String>; 2],
) -> anyhow::Result<Vec<Goroutine>> {
    if !source.has("goroutine_split").await? {
        return Ok(Vec::new());
    }
    let mut conditions = "pid = {pid:UInt32} AND goid = {goid:UInt64}".to_owned();
    let mut params = vec![("pid".to_owned(), pid.to_string()), ("goid".to_owned(), goid.to_string())];
    for (name, value) in ["region", "node"].into_iter().zip(place) {
        only(&mut conditions, &mut params, name, value);
    }
    // A goroutine may have been seen in several parts, between which no agent was there.
    let window = Window { from_ns: window.from_ns.saturating_sub(DAY_NS), ..window };
    let sql = question(window, &conditions, "told_ns DESC, region, node", MAX_NODES);
    let (found, _) = split(source.rows(&sql, &params).await?)?;
    Ok(found)
}

const DAY_NS: i64 = 86_400_000_000_000;

/// Goroutines of one number that are read at most.
const MAX_NODES: u32 = 1_000;

fn question(window: Window, conditions: &str, order: &str, limit: u32) -> String {
    format!(
        "SELECT toString(t.region) AS region, toString(t.service) AS service, toString(t.node) AS node, boot, pid, goid, \
            toUnixTimestamp64Nano(since) AS since_ns, toUnixTimestamp64Nano(told) AS told_ns, lived_ns, start_seen, \
            toString(t.fate) AS fate, toString(t.state) AS state, toString(t.reason) AS reason, state_ns, running_ns, runnable_ns, \
            syscall_ns, cgo_ns, blocked_ns, blocked_by, blocked_times, runs, handoffs, count() OVER () AS matched \
        FROM {view} AS t WHERE {conditions} ORDER BY {order} LIMIT {limit}",
        view = view("goroutine_split", window),
    )
}

fn filters(args: &StatesArgs) -> (String, Vec<(String, String)>) {
    let (mut conditions, mut params) = ("1".to_owned(), Vec::new());
    for condition in args.whose.conditions() {
        conditions.push_str(&format!(" AND {}", condition.sql));
        params.push((condition.name.to_owned(), condition.value));
    }
    (conditions, params)
}

fn only(conditions: &mut String, params: &mut Vec<(String, String)>, column: &str, value: Option<&String>) {
    if let Some(value) = value {
        conditions.push_str(&format!(" AND t.{column} = {{{column}:String}}"));
        params.push((column.to_owned(), value.clone()));
    }
}

fn split<T>(rows: Vec<Row<T>>) -> anyhow::Result<(Vec<T>, u64)> {
    let matched = rows.first().map_or(0, |row| row.matched);
    Ok((rows.into_iter().map(|row| row.row).collect(), matched))
}
