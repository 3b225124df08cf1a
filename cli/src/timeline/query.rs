//! The waits of a window, read from the store's view `timeline`.

use serde::Deserialize;

use super::event::Event;
use super::picture::View;
use crate::args::TimelineArgs;
use crate::ending;
use crate::source::Source;
use crate::stuck::{Wanted, stuck};
use crate::target;
use crate::waits::{self, IS_IN_FULL, Overlapping, all_runtime};
use crate::window::Window;

/// How many goroutines wait still that began before this, of those that pass the filters.
pub(super) async fn still(source: &Source, before_ns: i64, args: &TimelineArgs) -> anyhow::Result<u64> {
    let wanted = Wanted {
        whose: &args.whose,
        reason: args.reason.as_deref(),
        trace: None,
        min_duration: args.min_duration,
        began_before_ns: Some(before_ns),
        with_own: args.runtime,
    };
    Ok(stuck(source, &wanted).await?.waits.len() as u64)
}

/// The waits that overlap the window and pass the filters: all, or the longest.
pub(super) async fn view(source: &Source, window: Window, args: &TimelineArgs) -> anyhow::Result<View> {
    let (sql, params) = question(window, args);
    let rows: Vec<Row> = source.rows(&sql, &params).await?;
    let (matched, own_waits, own_waited_ns) =
        rows.first().map_or((0, 0, 0), |row| (row.matched, row.own_waits, row.own_waited_ns));
    let mut events: Vec<Event> = rows.into_iter().filter(|row| row.is_own == 0).map(|row| row.event).collect();
    let ids = events.iter().flat_map(|event| [event.stack_id, event.ending.waker_stack_id]).collect();
    let stacks = waits::stacks(source, ids).await?;
    for event in &mut events {
        // Several events may have one stack.
        event.stack = stacks.get(&event.stack_id).cloned().unwrap_or_default();
        event.ending.complete(&stacks);
    }
    events.sort_by_key(|event| (event.start_ns, event.goid));
    Ok(View { from_ns: window.from_ns, to_ns: window.to_ns, events, matched, own_waits, own_waited_ns, still: 0 })
}

#[derive(Deserialize)]
struct Row {
    /// Of the program.
    matched: u64,
    /// Of Go's own goroutines.
    own_waits: u64,
    own_waited_ns: u64,
    is_own: u8,
    #[serde(flatten)]
    event: Event,
}

fn question(window: Window, args: &TimelineArgs) -> (String, Vec<(String, String)>) {
    let mut waits = Overlapping::window(window);
    waits.only_whose(&args.whose);
    waits.only_reason(args.reason.as_deref());
    waits.only("shortest", args.min_duration, "dur_ns >= {shortest:UInt64}");
    let (view, conditions) = (&waits.view, waits.conditions());
    let is_own = if args.runtime { "0".to_owned() } else { is_own(view, &conditions) };
    let sql = format!(
        "SELECT toUnixTimestamp64Nano(aligned) AS start_ns, toUnixTimestamp64Nano(aligned_end) AS end_ns, \
            dur_ns AS duration_ns, nullIf(err_ns, 18446744073709551615) AS bound_ns, \
            region, node, service, pid, tid, goid, toString(t.kind) AS kind, {reason} AS reason, \
            if(bitTest(flags, 0), run_delay_ns, NULL) AS run_delay_ns, {target}, {ending}, stack_id, \
            toUInt8({is_own}) AS is_own, countIf(is_own = 0) OVER () AS matched, countIf(is_own = 1) OVER () AS own_waits, \
            sumIf(duration_ns, is_own = 1) OVER () AS own_waited_ns \
        FROM {view} AS t WHERE {conditions} ORDER BY is_own, duration_ns DESC, start_ns LIMIT {limit}",
        reason = waits::REASON,
        target = target::columns(),
        ending = ending::COLUMNS,
        limit = args.limit,
    );
    (sql, waits.params)
}

/// Whether a wait is of Go's own goroutines, as `syncline blockers` has it: an expression on the rows of the view under these conditions.
fn is_own(view: &str, conditions: &str) -> String {
    let stacks = format!("SELECT stack_id FROM {view} AS t WHERE {conditions}");
    let own = format!("SELECT stack_id FROM stacks_named WHERE stack_id IN ({stacks}) AND {}", all_runtime());
    format!("{IS_IN_FULL} AND stack_id IN ({own})")
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
            sql.contains("t.service = {service:String}") && !sql.contains("DROP") && sql.ends_with("LIMIT 7"),
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
