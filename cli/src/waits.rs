//! What all questions about waits have in common: the store's view `timeline` between two times, and stacks.

use std::collections::HashMap;

use chrono::DateTime;
use serde::Deserialize;
use syncline_insight::{FOREIGN_PATTERN, is_foreign, is_plumbing, parks};

use crate::source::Source;
use crate::whose::Whose;
use crate::window::{Window, Wish};

/// The view finds waits by their beginning; those that began this long before the window and last into it are shown too.
pub(crate) const BEFORE_NS: i64 = 60_000_000_000;
/// Beyond this year (2191) ClickHouse's times of nanoseconds and sums with them would overflow.
const LATEST_NS: i64 = 7_000_000_000_000_000_000;

/// The reason as people read it, an expression on the columns of the view as `t`: that of a system call tells of which kind it is, as the
/// agent's watch has it.
pub(crate) const REASON: &str = "if(t.kind = 'syscall', concat('syscall ', t.reason), toString(t.reason))";

/// Whether Go's frames of a stack are nothing but the runtime's, an expression on `frames`: of Go's own goroutines, if the stack was taken
/// in full.
pub(crate) fn all_runtime() -> String {
    let is_runtime = "startsWith(f, 'runtime.')";
    format!(
        "(arrayExists(f -> {is_runtime}, frames) AND arrayAll(f -> {is_runtime} OR match(f, '{FOREIGN_PATTERN}'), frames))"
    )
}

/// The same of frames that were fetched.
pub(crate) fn is_all_runtime(frames: &[String]) -> bool {
    let mut of_go = frames.iter().filter(|frame| !is_foreign(frame)).peekable();
    of_go.peek().is_some() && of_go.all(|frame| frame.starts_with("runtime."))
}

/// Whether the stack was taken in full, an expression on `flags`.
pub(crate) const IS_IN_FULL: &str = "bitAnd(flags, 12) = 0";

/// The end of the newest wait in the store; none if it is empty.
///
/// Buckets are minutes of the regions' own clocks, which are at most `apart_ns` from the fleet's.
pub(crate) async fn newest_ns(source: &Source) -> anyhow::Result<Option<i64>> {
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

/// The window that is wished for.
pub(crate) async fn window(source: &Source, wish: Wish, usual_ns: i64, now_ns: i64) -> anyhow::Result<Window> {
    Ok(match wish {
        Wish::Given(window) => window,
        // In an empty store the last seconds are as good as any others.
        Wish::NewestData => Window::ending_at(newest_ns(source).await?.unwrap_or(now_ns), usual_ns),
    })
}

/// The frames of stacks by their ids, the innermost first; an id without a stack is left out.
pub(crate) async fn stacks(source: &Source, mut ids: Vec<u64>) -> anyhow::Result<HashMap<u64, Vec<String>>> {
    #[derive(Deserialize)]
    struct Stack {
        stack_id: u64,
        frames: Vec<String>,
    }
    ids.retain(|id| *id != 0);
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

/// The frame that blocks, as `syncline_insight::CallStack::blocking_frame` has it: the innermost that does not only carry the wait; if
/// there is none, the innermost that is not the parking itself.
pub(crate) fn site(stack: &[String]) -> Option<&str> {
    let outside = || stack.iter().find(|frame| !is_plumbing(frame));
    let inside = || stack.iter().find(|frame| !parks(function_of(frame)) && !is_foreign(frame));
    outside().or_else(inside).or(stack.first()).map(String::as_str)
}

/// A frame without its file and line.
pub(crate) fn function_of(frame: &str) -> &str {
    match frame.rsplit_once(' ') {
        Some((function, behind)) if !behind.ends_with(')') => function,
        _ => frame,
    }
}

/// The parts of a question about the waits that overlap a window: the view to read from, its conditions and their parameters.
pub(crate) struct Overlapping {
    pub(crate) view: String,
    conditions: Vec<String>,
    pub(crate) params: Vec<(String, String)>,
}

impl Overlapping {
    pub(crate) fn window(window: Window) -> Self {
        Self {
            view: view_between(window.from_ns.saturating_sub(BEFORE_NS), window.to_ns),
            conditions: vec!["toUnixTimestamp64Nano(aligned_end) > {window_from:Int64}".to_owned()],
            params: vec![("window_from".to_owned(), window.from_ns.clamp(0, LATEST_NS).to_string())],
        }
    }

    /// Only what meets a condition on a value, if there is one; the condition names the value as `{name:Type}`.
    pub(crate) fn only(&mut self, name: &str, value: Option<impl ToString>, condition: &str) {
        if let Some(value) = value {
            self.params.push((name.to_owned(), value.to_string()));
            self.conditions.push(condition.to_owned());
        }
    }

    /// Only what is of these.
    pub(crate) fn only_whose(&mut self, whose: &Whose) {
        for condition in whose.conditions() {
            self.only(condition.name, Some(condition.value), condition.sql);
        }
    }

    /// Only what contains this reason.
    pub(crate) fn only_reason(&mut self, reason: Option<&str>) {
        self.only("reason", reason, &format!("positionCaseInsensitiveUTF8({REASON}, {{reason:String}}) > 0"));
    }

    pub(crate) fn conditions(&self) -> String {
        self.conditions.join(" AND ")
    }
}

fn view_between(from_ns: i64, to_ns: i64) -> String {
    view("timeline", Window { from_ns, to_ns })
}

/// A view of the store with its parameters, which ClickHouse wants as literals.
pub(crate) fn view(name: &str, window: Window) -> String {
    let literal = |ns: i64| DateTime::from_timestamp_nanos(ns.clamp(0, LATEST_NS)).format("%Y-%m-%d %H:%M:%S%.9f");
    format!("{name}(t0 = '{}', t1 = '{}')", literal(window.from_ns), literal(window.to_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_that_blocks_is_the_first_that_is_not_plumbing() {
        let site = |frames: &[&str]| {
            site(&frames.iter().map(|frame| (*frame).to_owned()).collect::<Vec<_>>()).map(str::to_owned)
        };
        let lock =
            ["runtime.gopark /go/proc.go:1", "sync.(*Mutex).lockSlow /go/mutex.go:2", "main.add /shop/cart.go:3"];
        assert_eq!(site(&lock).as_deref(), Some(lock[2]));
        assert_eq!(site(&["runtime.gopark", "runtime.bgsweep"]).as_deref(), Some("runtime.bgsweep"));
        let own = ["vfs_read (kernel)", "runtime.gopark /go/proc.go:1", "runtime.bgsweep /go/mgc.go:2"];
        assert_eq!(site(&own).as_deref(), Some(own[2]));
        assert_eq!(site(&["runtime.gopark"]).as_deref(), Some("runtime.gopark"));
        assert_eq!(site(&[]), None);
    }
}
