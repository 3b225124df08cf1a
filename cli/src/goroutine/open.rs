//! The waits of a goroutine that have not ended: they go on, or its process ended before them.

use serde::{Deserialize, Serialize};

use super::GoroutineArgs;
use super::query::Who;
use crate::blockers::short;
use crate::source::Source;
use crate::target::{self, Target};
use crate::units;
use crate::waits::{self, REASON, site};
use crate::window::Window;

/// Waits read at most: a goroutine has few, and few nodes have one of its numbers.
const MAX_WAITS: u32 = 1_000;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    GoesOn,
    /// It was not told of again although it should have been.
    Silent,
    /// It never ended.
    ProcessEnded,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct OpenWait {
    #[serde(flatten)]
    pub(super) who: Who,
    pub(super) fate: Fate,
    pub(super) kind: String,
    pub(super) reason: String,
    /// Its begin, and when it was looked at last or its process ended; the fleet's clock, ns since 1970.
    pub(super) since_ns: i64,
    pub(super) seen_ns: i64,
    /// How long it had gone on then.
    pub(super) seen_after_ns: u64,
    /// It was found going on at its begin, and is older.
    pub(super) began_before: u8,
    pub(super) stack_id: u64,
    #[serde(flatten)]
    pub(super) target: Target,
    /// The innermost frame first: `function file:line`, or an address.
    #[serde(default)]
    pub(super) stack: Vec<String>,
}

/// What goes on and what never ended, in the same columns. The bucket is the minute of the look, by a coarse idea of the clock, and regions
/// may be apart.
const OPEN: &str = "\
    SELECT region, node, boot, service, pid, goid, kind, reason, since, seen, open_ns, flags, stack_id, fd, fd_type, peer_address, peer_port, \
        address, trace, span, if(is_current = 1, 'goes_on', 'silent') AS fate \
    FROM open_waits_now \
    UNION ALL \
    SELECT region, node, boot, service, pid, goid, kind, reason, aligned AS since, aligned_end AS seen, dur_ns AS open_ns, flags, stack_id, fd, \
        fd_type, peer_address, peer_port, address, trace, span, 'process_ended' AS fate \
    FROM open_waits WHERE bitTest(flags, 6) AND pid = {pid:UInt32} AND goid = {goid:UInt64} \
        AND bucket >= toDateTime(intDiv({from:Int64}, 1000000000)) - INTERVAL 1 HOUR";

/// Where the clocks of regions are on the root's, which has no row.
const REGIONS: &str =
    "SELECT region AS map_region, argMax(off_to, (ref_to, rev)) AS map_off FROM region_clock GROUP BY region";

/// When a wait that had not ended was looked at last, on the fleet's clock; none if there never was one.
pub(super) async fn newest_ns(source: &Source) -> anyhow::Result<Option<i64>> {
    #[derive(Deserialize)]
    struct Newest {
        seen_ns: Option<i64>,
    }
    let sql = format!(
        "SELECT maxOrNull(toUnixTimestamp64Nano(aligned_end) + map_off) AS seen_ns \
        FROM open_waits AS t LEFT JOIN ({REGIONS}) AS r ON t.region = r.map_region \
        WHERE bucket >= (SELECT max(bucket) FROM open_waits) - INTERVAL 2 MINUTE"
    );
    let newest: Vec<Newest> = source.rows(&sql, &[]).await?;
    Ok(newest.first().and_then(|newest| newest.seen_ns))
}

/// Those of the goroutine in the window, on every node that has one of its numbers, what was seen last first.
pub(super) async fn waits(source: &Source, window: Window, args: &GoroutineArgs) -> anyhow::Result<Vec<OpenWait>> {
    let mut conditions = vec![
        "t.pid = {pid:UInt32}",
        "t.goid = {goid:UInt64}",
        "since_ns < {to:Int64}",
        "(t.fate = 'goes_on' OR seen_ns >= {from:Int64})",
    ];
    let mut params = vec![
        ("pid".to_owned(), args.pid.to_string()),
        ("goid".to_owned(), args.goid.to_string()),
        ("from".to_owned(), window.from_ns.to_string()),
        ("to".to_owned(), window.to_ns.to_string()),
    ];
    let mut only = |name: &str, value: &Option<String>, condition| {
        if let Some(value) = value {
            params.push((name.to_owned(), value.clone()));
            conditions.push(condition);
        }
    };
    only("region", &args.region, "t.region = {region:String}");
    only("node", &args.node, "t.node = {node:String}");
    let sql = format!(
        "SELECT toString(t.region) AS region, toString(t.node) AS node, toString(t.service) AS service, boot, t.fate AS fate, \
            toString(t.kind) AS kind, {REASON} AS reason, toUnixTimestamp64Nano(t.since) + map_off AS since_ns, \
            toUnixTimestamp64Nano(t.seen) + map_off AS seen_ns, t.open_ns AS seen_after_ns, toUInt8(bitTest(t.flags, 7)) AS began_before, \
            stack_id, {target} \
        FROM ({OPEN}) AS t LEFT JOIN ({REGIONS}) AS r ON t.region = r.map_region \
        WHERE {conditions} ORDER BY seen_ns DESC, region, node, since_ns LIMIT {MAX_WAITS}",
        target = target::columns(),
        conditions = conditions.join(" AND "),
    );
    let mut found: Vec<OpenWait> = source.rows(&sql, &params).await?;
    let stacks = waits::stacks(source, found.iter().map(|wait| wait.stack_id).collect()).await?;
    for wait in &mut found {
        wait.stack = stacks.get(&wait.stack_id).cloned().unwrap_or_default();
    }
    Ok(found)
}

impl OpenWait {
    /// How long it has gone on, or did as far as is known.
    pub(super) fn lasted_ns(&self, now_ns: i64) -> u64 {
        match self.fate {
            Fate::GoesOn => now_ns.saturating_sub(self.since_ns).max(0).unsigned_abs().max(self.seen_after_ns),
            Fate::Silent | Fate::ProcessEnded => self.seen_after_ns,
        }
    }

    /// `still waits, for 21.0 s, seen 3.00 s ago: select in main.main main.go:3`
    pub(super) fn text(&self, now_ns: i64) -> String {
        let at_least = if self.began_before == 1 { "at least " } else { "" };
        let lasted = format!("{at_least}{}", units::span(self.lasted_ns(now_ns)));
        let ago = units::span(now_ns.saturating_sub(self.seen_ns).max(0).unsigned_abs());
        let story = match self.fate {
            Fate::GoesOn => format!("still waits, for {lasted}, seen {ago} ago"),
            Fate::Silent => {
                format!("waited, for {lasted}, when it was seen last, {ago} ago (is its agent still there?)")
            }
            Fate::ProcessEnded => format!("never ended: its process did, {ago} ago, after {lasted}"),
        };
        let place = site(&self.stack).map_or_else(String::new, |site| format!(" in {}", short(site)));
        format!("{story}: {}{place}{}", self.reason, self.target.after_place_with_address(&self.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::tcp;

    const SECOND: i64 = 1_000_000_000;

    fn wait(fate: Fate) -> OpenWait {
        OpenWait {
            who: Who { region: "eu".into(), node: "eu-1".into(), service: "cart".into(), boot: 1 },
            fate,
            kind: "goroutine".into(),
            reason: "IO wait".into(),
            since_ns: 100 * SECOND,
            seen_ns: 118 * SECOND,
            seen_after_ns: 18_000_000_000,
            began_before: 0,
            stack_id: 1,
            target: tcp("10.0.0.9:443"),
            stack: vec!["runtime.gopark /go/proc.go:1".into(), "main.main /shop/main.go:3".into()],
        }
    }

    #[test]
    fn it_says_what_became_of_a_wait_that_has_not_ended() {
        let what = "IO wait in main.main main.go:3 for tcp 10.0.0.9:443";
        let text = |fate| wait(fate).text(121 * SECOND);
        assert_eq!(text(Fate::GoesOn), format!("still waits, for 21.0 s, seen 3.00 s ago: {what}"));
        assert_eq!(
            text(Fate::Silent),
            format!("waited, for 18.0 s, when it was seen last, 3.00 s ago (is its agent still there?): {what}")
        );
        assert_eq!(text(Fate::ProcessEnded), format!("never ended: its process did, 3.00 s ago, after 18.0 s: {what}"));
    }

    #[test]
    fn of_one_that_was_there_before_its_agent_only_the_least_age_is_known() {
        let older = OpenWait { began_before: 1, ..wait(Fate::GoesOn) };
        assert!(older.text(121 * SECOND).starts_with("still waits, for at least 21.0 s, "));
        // The clock of the one who asks may be behind.
        assert_eq!(older.lasted_ns(110 * SECOND), 18_000_000_000);
    }
}
