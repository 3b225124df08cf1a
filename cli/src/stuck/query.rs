//! The waits that go on, from the store's view `open_waits_now`.

use std::collections::HashSet;

use serde::Deserialize;

use super::sites::site_of;
use crate::source::Source;
use crate::target::{self, Target};
use crate::waits::{self, REASON};
use crate::whose::Whose;

/// Waits read at most.
const MAX_WAITS: u64 = 50_000;

/// A wait that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Wait {
    pub(super) region: String,
    pub(super) node: String,
    pub(super) boot: u64,
    pub(super) service: String,
    pub(super) pid: u32,
    pub(crate) goid: u64,
    pub(crate) kind: String,
    pub(super) reason: String,
    /// Its begin, and when it was looked at last: the region's clock, ns since 1970.
    pub(super) since_ns: i64,
    pub(super) seen_ns: i64,
    is_current: u8,
    /// It was found going on at its begin, and is older.
    began_before: u8,
    /// The stack may be cut.
    is_cut: u8,
    stack_id: u64,
    #[serde(flatten)]
    pub(super) target: Target,
    /// The innermost frame first: `function file:line`, or an address.
    #[serde(default)]
    pub(super) stack: Vec<String>,
}

/// The waits, the oldest first, and what was left out of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) waits: Vec<Wait>,
    /// Of Go's own goroutines.
    pub(super) own: u64,
    /// Not told of again although they should have been.
    pub(super) silent: u64,
    /// There may be more than were read.
    pub(super) is_cut: bool,
}

/// Which of them are asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) whose: &'a Whose,
    pub(crate) reason: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    /// Those that have gone on for so long, ns.
    pub(crate) min_duration: Option<u64>,
    /// The region's clock, ns since 1970.
    pub(crate) began_before_ns: Option<i64>,
    /// Go's own goroutines, too.
    pub(crate) with_own: bool,
}

pub(crate) async fn stuck(source: &Source, wanted: &Wanted<'_>) -> anyhow::Result<Stuck> {
    let (sql, params) = question(wanted);
    let mut found: Vec<Wait> = source.rows(&sql, &params).await?;
    let stacks = waits::stacks(source, found.iter().map(|wait| wait.stack_id).collect()).await?;
    for wait in &mut found {
        wait.stack = stacks.get(&wait.stack_id).cloned().unwrap_or_default();
    }
    Ok(sorted_out(found, wanted.with_own))
}

fn question(wanted: &Wanted<'_>) -> (String, Vec<(String, String)>) {
    let mut conditions = vec!["1".to_owned()];
    let mut params = Vec::new();
    for condition in wanted.whose.conditions() {
        conditions.push(condition.sql.to_owned());
        params.push((condition.name.to_owned(), condition.value));
    }
    let mut only = |name: &str, value: Option<String>, condition: &str| {
        if let Some(value) = value {
            params.push((name.to_owned(), value));
            conditions.push(condition.to_owned());
        }
    };
    let like = format!("positionCaseInsensitiveUTF8({REASON}, {{reason:String}}) > 0");
    only("trace", wanted.trace.map(str::to_owned), "trace = {trace:String}");
    only("reason", wanted.reason.map(str::to_owned), &like);
    let shortest = wanted.min_duration.map(|ns| ns.to_string());
    only("shortest", shortest, "dateDiff('nanosecond', since, now64(9, 'UTC')) >= {shortest:UInt64}");
    let before = wanted.began_before_ns.map(|ns| ns.to_string());
    only("before", before, "toUnixTimestamp64Nano(since) < {before:Int64}");
    let sql = format!(
        "SELECT toString(region) AS region, toString(node) AS node, boot, toString(service) AS service, pid, goid, \
            toString(kind) AS kind, {REASON} AS reason, toUnixTimestamp64Nano(since) AS since_ns, \
            toUnixTimestamp64Nano(seen) AS seen_ns, is_current, toUInt8(bitAnd(flags, 128) != 0) AS began_before, \
            toUInt8(bitAnd(flags, 12) != 0) AS is_cut, stack_id, {target} \
        FROM open_waits_now AS t WHERE {conditions} ORDER BY since_ns, region, node, pid, goid LIMIT {MAX_WAITS}",
        target = target::columns(),
        conditions = conditions.join(" AND ")
    );
    (sql, params)
}

/// One wait of each goroutine: in C code it is in a system call as well.
fn sorted_out(found: Vec<Wait>, with_own: bool) -> Stuck {
    let goroutine = |wait: &Wait| (wait.region.clone(), wait.node.clone(), wait.boot, wait.pid, wait.goid);
    let in_c: HashSet<_> = found.iter().filter(|wait| wait.kind == "cgo").map(goroutine).collect();
    let mut stuck = Stuck { is_cut: found.len() as u64 >= MAX_WAITS, ..Stuck::default() };
    for wait in found {
        if wait.kind == "syscall" && in_c.contains(&goroutine(&wait)) {
            continue;
        }
        if wait.is_current == 0 {
            stuck.silent += 1;
        } else if !with_own && wait.is_own() {
            stuck.own += 1;
        } else {
            stuck.waits.push(wait);
        }
    }
    stuck
}

impl Wait {
    /// Nothing but the runtime on a stack that was taken in full.
    fn is_own(&self) -> bool {
        self.is_cut == 0 && waits::is_all_runtime(&self.stack)
    }

    /// It began before it was found going on, so that it is longer than is known.
    pub(super) fn began_before(&self) -> bool {
        self.began_before != 0
    }

    pub(super) fn site(&self) -> &str {
        site_of(&self.stack)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn wait(goid: u64, kind: &str, stack: &[&str]) -> Wait {
        Wait {
            region: "eu".to_owned(),
            node: "eu-1".to_owned(),
            boot: 1,
            service: "cart".to_owned(),
            pid: 42,
            goid,
            kind: kind.to_owned(),
            reason: "chan receive".to_owned(),
            since_ns: 1_000_000_000 * i64::try_from(goid).unwrap(),
            seen_ns: 90_000_000_000,
            is_current: 1,
            began_before: 0,
            is_cut: 0,
            stack_id: goid,
            target: Target::default(),
            stack: stack.iter().map(|frame| (*frame).to_owned()).collect(),
        }
    }

    #[test]
    fn each_goroutine_is_once_among_them_and_the_others_are_counted() {
        let own = &["runtime.gopark p.go:1", "runtime.bgsweep m.go:2"];
        let cut = Wait { is_cut: 1, ..wait(6, "goroutine", own) };
        let silent = Wait { is_current: 0, ..wait(5, "goroutine", &["main.a a.go:1"]) };
        let found = vec![
            wait(1, "cgo", &["main.c c.go:1"]),
            wait(1, "syscall", &["main.c c.go:1"]),
            wait(2, "syscall", &["main.s s.go:1"]),
            wait(3, "goroutine", own),
            wait(4, "goroutine", &[]),
            silent,
            cut,
        ];
        let stuck = sorted_out(found.clone(), false);
        let listed: Vec<_> = stuck.waits.iter().map(|wait| (wait.goid, wait.kind.as_str())).collect();
        assert_eq!(listed, [(1, "cgo"), (2, "syscall"), (4, "goroutine"), (6, "goroutine")]);
        assert_eq!((stuck.own, stuck.silent, stuck.is_cut), (1, 1, false));
        assert_eq!(sorted_out(found, true).waits.len(), 5);
    }
}
