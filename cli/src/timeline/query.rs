//! The waits of a window, read from the store's view `timeline`.

use std::collections::HashMap;

use chrono::DateTime;
use serde::Deserialize;

use super::event::Event;
use super::picture::View;
use super::window::Window;
use crate::args::TimelineArgs;
use crate::source::Source;

/// The view finds waits by their beginning; those that began this long before the window and last into it are shown too.
const BEFORE_NS: i64 = 60_000_000_000;
/// Beyond this year (2191) ClickHouse's times of nanoseconds and sums with them would overflow.
const LATEST_NS: i64 = 7_000_000_000_000_000_000;

/// The end of the newest wait in the store; none if it is empty.
///
/// Buckets are minutes of the regions' own clocks, which are at most `apart_ns` from the fleet's.
pub(super) async fn newest_ns(source: &Source) -> anyhow::Result<Option<i64>> {
    #[derive(Deserialize)]
    struct Newest {
        bucket_s: i64,
        apart_ns: i64,
    }
    #[derive(Deserialize)]
    struct End {
        end_ns: Option<i64>,
    }
    let sql = "SELECT toInt64(toUnixTimestamp(max(bucket))) AS bucket_s, \
        (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) FROM region_clock) AS apart_ns FROM events";
    let newest: Vec<Newest> = source.rows(sql, &[]).await?;
    let Some(newest) = newest.first().filter(|newest| newest.bucket_s > 0) else { return Ok(None) };
    let around_ns = newest.apart_ns.saturating_add(2 * BEFORE_NS);
    let bucket_ns = newest.bucket_s.saturating_mul(1_000_000_000);
    let from = view_between(bucket_ns.saturating_sub(around_ns), bucket_ns.saturating_add(around_ns));
    let sql = format!("SELECT toUnixTimestamp64Nano(maxOrNull(aligned_end)) AS end_ns FROM {from}");
    let ends: Vec<End> = source.rows(&sql, &[]).await?;
    Ok(ends.first().and_then(|end| end.end_ns))
}

/// The waits that overlap the window and pass the filters: all, or the longest.
pub(super) async fn view(source: &Source, window: Window, args: &TimelineArgs) -> anyhow::Result<View> {
    let (sql, params) = question(window, args);
    let rows: Vec<Row> = source.rows(&sql, &params).await?;
    let matched = rows.first().map_or(0, |row| row.matched);
    let mut stacks = stacks(source, &rows).await?;
    let mut events: Vec<Event> = rows.into_iter().map(|row| row.event).collect();
    for event in &mut events {
        // Several events may have one stack.
        event.stack = stacks.get_mut(&event.stack_id).cloned().unwrap_or_default();
    }
    events.sort_by_key(|event| (event.start_ns, event.goid));
    Ok(View { from_ns: window.from_ns, to_ns: window.to_ns, events, matched })
}

#[derive(Deserialize)]
struct Row {
    matched: u64,
    #[serde(flatten)]
    event: Event,
}

fn question(window: Window, args: &TimelineArgs) -> (String, Vec<(String, String)>) {
    let mut params = vec![("window_from".to_owned(), window.from_ns.clamp(0, LATEST_NS).to_string())];
    let mut conditions = vec!["toUnixTimestamp64Nano(aligned_end) > {window_from:Int64}".to_owned()];
    let mut filter = |name: &str, value: Option<String>, condition: &str| {
        if let Some(value) = value {
            params.push((name.to_owned(), value));
            conditions.push(condition.to_owned());
        }
    };
    filter("service", args.service.clone(), "service = {service:String}");
    filter("region", args.region.clone(), "region = {region:String}");
    filter("node", args.node.clone(), "node = {node:String}");
    filter("reason", args.reason.clone(), "positionCaseInsensitiveUTF8(reason, {reason:String}) > 0");
    filter("shortest", args.min_duration.map(|ns| ns.to_string()), "dur_ns >= {shortest:UInt64}");
    let sql = format!(
        "SELECT toUnixTimestamp64Nano(aligned) AS start_ns, toUnixTimestamp64Nano(aligned_end) AS end_ns, \
            dur_ns AS duration_ns, nullIf(err_ns, 18446744073709551615) AS bound_ns, \
            region, node, service, pid, goid, reason, \
            if(bitTest(flags, 0), run_delay_ns, NULL) AS run_delay_ns, stack_id, count() OVER () AS matched \
        FROM {view} WHERE {conditions} ORDER BY duration_ns DESC, start_ns LIMIT {limit}",
        view = view_between(window.from_ns.saturating_sub(BEFORE_NS), window.to_ns),
        conditions = conditions.join(" AND "),
        limit = args.limit,
    );
    (sql, params)
}

/// The frames of the rows' stacks, by stack id.
async fn stacks(source: &Source, rows: &[Row]) -> anyhow::Result<HashMap<u64, Vec<String>>> {
    #[derive(Deserialize)]
    struct Stack {
        stack_id: u64,
        frames: Vec<String>,
    }
    let mut ids: Vec<u64> = rows.iter().map(|row| row.event.stack_id).filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let list: Vec<String> = ids.iter().map(u64::to_string).collect();
    let params = [("ids".to_owned(), format!("[{}]", list.join(",")))];
    let sql = "SELECT stack_id, frames FROM stacks_named WHERE stack_id IN {ids:Array(UInt64)}";
    let stacks: Vec<Stack> = source.rows(sql, &params).await?;
    Ok(stacks.into_iter().map(|stack| (stack.stack_id, stack.frames)).collect())
}

/// The view with its parameters, which ClickHouse wants as literals.
fn view_between(from_ns: i64, to_ns: i64) -> String {
    let literal = |ns: i64| DateTime::from_timestamp_nanos(ns.clamp(0, LATEST_NS)).format("%Y-%m-%d %H:%M:%S%.9f");
    format!("timeline(t0 = '{}', t1 = '{}')", literal(from_ns), literal(to_ns))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn asked(arguments: &[&str]) -> (String, Vec<(String, String)>) {
        let cli = Cli::parse_from(["syncline", "timeline"].iter().chain(arguments));
        let Command::Timeline(args) = cli.command else { panic!("not a timeline") };
        question(Window { from_ns: 120_000_000_000, to_ns: 121_000_000_001 }, &args)
    }

    #[test]
    fn filters_are_bound_parameters_and_never_text() {
        let (sql, params) = asked(&["--service", "'; DROP", "--min-duration", "2ms", "--limit", "7"]);
        assert!(
            sql.contains("service = {service:String}") && !sql.contains("DROP") && sql.ends_with("LIMIT 7"),
            "{sql}"
        );
        assert!(params.contains(&("service".to_owned(), "'; DROP".to_owned())));
        assert!(params.contains(&("shortest".to_owned(), "2000000".to_owned())));
        assert!(!sql.contains("{region:"), "{sql}");
    }

    #[test]
    fn the_view_is_asked_a_minute_earlier() {
        let (sql, _) = asked(&[]);
        let view = "timeline(t0 = '1970-01-01 00:01:00.000000000', t1 = '1970-01-01 00:02:01.000000001')";
        assert!(sql.contains(view), "{sql}");
    }
}
