//! What the demo shows in the end: the timeline, the skews, the planted cause, and how to ask more.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::check::Findings;
use super::plan::{REGIONS, Region};
use super::store::Store;
use super::truth::{JudgedRow, Row, Truth};
use crate::place;

/// A stretch of the fleet's clock, ns since 1970.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
}

impl Window {
    /// The view of the waits that began in this window.
    fn timeline(self) -> String {
        self.of("timeline")
    }

    /// A view that takes a window.
    pub(crate) fn of(self, view: &str) -> String {
        format!("{view}(t0 = '{}', t1 = '{}')", seconds(self.from_ns), seconds(self.to_ns))
    }
}

/// Seconds since 1970 as ClickHouse reads a DateTime64(9).
fn seconds(ns: i64) -> String {
    format!("{}.{:09}", ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000))
}

/// The store's events, each counted once.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Stored {
    pub(crate) events: usize,
    /// Those that the timeline does not have in the window.
    pub(crate) astray: usize,
}

/// Messages from one node to another, of which both ends were seen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Messages {
    pub(crate) src_node: String,
    pub(crate) dst_node: String,
    pub(crate) pairs: usize,
    pub(crate) violated: usize,
    pub(crate) cannot_tell: usize,
}

/// Asks the store and prints the answers.
pub(crate) struct Report<'a> {
    pub(crate) store: Store<'a>,
    pub(crate) truth: &'a Truth,
    pub(crate) window: Window,
}

impl Report<'_> {
    /// All waits with their times on the fleet's clock. Only a hard bound counts as one.
    pub(crate) async fn rows(&self) -> Result<Vec<Row>> {
        self.rows_where("true").await
    }

    /// Those of them of which that is true.
    pub(crate) async fn rows_where(&self, condition: &str) -> Result<Vec<Row>> {
        let query = format!(
            "SELECT region, goid, reason, mono_ns, mono_ns + dur_ns AS mono_end_ns, \
             toUnixTimestamp64Nano(aligned) AS start_ns, toUnixTimestamp64Nano(aligned_end) AS end_ns, \
             {HARD_BOUNDS} FROM {} WHERE {condition}",
            self.window.timeline()
        );
        self.store.rows(&query).await
    }

    /// What the store holds, wherever on the timeline it is.
    pub(crate) async fn stored(&self) -> Result<Stored> {
        self.stored_where("true").await
    }

    /// Those of them of which that is true.
    pub(crate) async fn stored_where(&self, condition: &str) -> Result<Stored> {
        let query = format!(
            "SELECT uniqExact((node, boot, seq)) AS events, \
             uniqExactIf((node, boot, seq), (node, boot, seq) NOT IN (SELECT node, boot, seq FROM {})) AS astray \
             FROM events WHERE {condition}",
            self.window.timeline()
        );
        self.store.rows(&query).await?.first().copied().context("the store did not count its events")
    }

    /// What the kernels saw sent and received between nodes, held against the published clocks.
    pub(crate) async fn messages(&self) -> Result<Vec<Messages>> {
        let query = format!(
            "SELECT src_node, dst_node, pairs, violated, cannot_tell FROM {} ORDER BY src_node, dst_node",
            self.window.of("pair_sums")
        );
        self.store.rows(&query).await
    }

    pub(crate) async fn show(&self, rows: &[JudgedRow], findings: &Findings) -> Result<()> {
        self.show_timeline(rows).await?;
        self.show_skews().await?;
        self.show_pairs(findings).await?;
        self.show_cause().await?;
        show_times(findings);
        show_order(findings);
        self.show_next();
        Ok(())
    }

    /// Around the longest wait for a lock.
    async fn show_timeline(&self, rows: &[JudgedRow]) -> Result<()> {
        let locks = rows.iter().filter(|row| row.reason.starts_with(LOCKS));
        let Some(longest) = locks.max_by_key(|row| row.end.true_ns - row.start.true_ns) else {
            println!("\nno goroutine waited for a lock");
            return Ok(());
        };
        let from = longest.start.published_ns - BEFORE_NS;
        let to = longest.start.published_ns + AFTER_NS;
        println!("\n-- one contended request and what the fleet did meanwhile (syncline timeline)");
        let words = ["--from", &from.to_string(), "--to", &to.to_string(), "--rows", "20", "--lanes", "24"];
        let words: Vec<_> = ["timeline"].into_iter().chain(words).collect();
        print!("{}", self.store.text(&words).await?);
        Ok(())
    }

    async fn show_skews(&self) -> Result<()> {
        let found: Vec<Skew> = self.store.rows(SKEWS).await?;
        let steps: Vec<Step> = self.store.rows(STEPS).await?;
        println!("\n-- clock skew of each node: its wall clock - the fleet's clock (skew_now)");
        println!(
            "{:6} {:>15} {:>26} {:>15} {:>15} {:>12} {:>12}  status",
            "node", "injected", "found", "drift injected", "found", "step inj.", "found"
        );
        for (index, region) in REGIONS.iter().enumerate() {
            let skew = found.iter().find(|skew| skew.node == region.node);
            let line = skew.map_or_else(
                || format!("{:6} nothing found", region.node),
                |skew| self.skew_line(index, region, skew, &steps),
            );
            println!("{line}");
        }
        Ok(())
    }

    async fn show_pairs(&self, findings: &Findings) -> Result<()> {
        let Some(fed) = &findings.fed else { return Ok(()) };
        if fed.iter().any(|fed| fed.violated > 0) {
            // The command would end with the exit code of a contradiction; the findings name it.
            return Ok(());
        }
        println!("\n-- a message is sent before it is received, whatever the clocks say (syncline skew --pairs)");
        print!("{}", self.store.text(&["skew", "--pairs"]).await?);
        Ok(())
    }

    fn skew_line(&self, index: usize, region: &Region, skew: &Skew, steps: &[Step]) -> String {
        let injected = self.truth.skew_ns(index, skew.as_of_ns).map_or_else(|| "unknown".to_owned(), millis);
        let bound = skew.bound_ns.map_or_else(|| "unbounded".to_owned(), |ns| format!("{:.3}", ns as f64 / 1e6));
        let step: i64 = steps.iter().filter(|step| step.node == region.node).map(|step| step.size_ns).sum();
        format!(
            "{:6} {:>12} ms {:>23} ms {:>11} ppm {:>11} ppm {:>9} ms {:>9} ms  {}",
            region.node,
            injected,
            format!("{} +/- {bound}", millis(skew.wall_offset_ns)),
            ppm(region.clock.drift_ppb),
            ppm(skew.drift_ppb),
            millis(region.clock.step_ns),
            millis(step),
            skew.status
        )
    }

    async fn show_cause(&self) -> Result<()> {
        let query = cause(&self.window.timeline());
        println!("\n-- which lock cost most, and what its holder did meanwhile (SQL)");
        let found: Vec<Cause> = self.store.rows(&query).await?;
        let Some(first) = found.first() else {
            println!("no goroutine waited for a lock");
            return Ok(());
        };
        println!(
            "region {}: {} waits for a lock, {:.1} s in all, the longest {:.1} ms",
            first.region, first.waits, first.total_s, first.longest_ms
        );
        println!("  blocked in                 {}", first.blocked);
        for cause in &found {
            println!("  its holder was waiting in  {} ({}), {} times", cause.holder, cause.holder_reason, cause.seen);
        }
        Ok(())
    }

    fn show_next(&self) {
        let (cli, store) = (place::from_here(self.store.cli), place::from_here(self.store.dir));
        let syncline = format!("{} --store {}", cli.display(), store.display());
        println!("\n-- ask on");
        println!("  {syncline} skew");
        println!("  {syncline} timeline --region eu --reason mutex");
        println!(
            "  {syncline} sql \"SELECT region, kind, reason, count(), max(dur_ns) FROM events GROUP BY ALL ORDER BY 5 DESC\"\n"
        );
    }
}

/// The half widths of a row's bounds; NULL where there is none.
pub(crate) const HARD_BOUNDS: &str = "\
    if(bound_class = 'hard' AND err_ns < 4000000000000000000, toInt64(err_ns), NULL) AS start_err_ns, \
    if(bound_class = 'hard' AND err_end_ns < 4000000000000000000, toInt64(err_end_ns), NULL) AS end_err_ns";
/// How Go's reasons for a lock begin.
const LOCKS: &str = "sync.";
const BEFORE_NS: i64 = 15_000_000;
const AFTER_NS: i64 = 45_000_000;

const SKEWS: &str = "SELECT node, toString(status) AS status, wall_offset_ns, drift_ppb, \
     if(err_ns < 4000000000000000000, toInt64(err_ns), NULL) AS bound_ns, toUnixTimestamp64Nano(as_of) AS as_of_ns FROM skew_now";
const STEPS: &str = "SELECT node, size_ns FROM clock_steps WHERE scale = 'wall'";

#[derive(Deserialize)]
struct Skew {
    node: String,
    status: String,
    wall_offset_ns: i64,
    bound_ns: Option<i64>,
    drift_ppb: i64,
    as_of_ns: i64,
}

#[derive(Deserialize)]
struct Step {
    node: String,
    size_ns: i64,
}

#[derive(Deserialize)]
struct Cause {
    region: String,
    blocked: String,
    waits: u64,
    total_s: f64,
    longest_ms: f64,
    holder: String,
    holder_reason: String,
    seen: u64,
}

/// The place where most time was lost to a lock, and what those who released the lock had themselves waited for
/// meanwhile, other than the lock: on one node, so MONO orders them exactly. A place is the service's own functions on
/// the stack, innermost first. Goroutines' waits alone: what their threads wait in is a part of those, or of no wait.
fn cause(timeline: &str) -> String {
    format!(
        "WITH \
         named AS (SELECT stack_id, arrayStringConcat(arrayMap(f -> splitByChar(' ', f)[1], \
            arrayFilter(f -> startsWith(f, 'main.'), frames)), ' < ') AS place FROM stacks_named), \
         waits AS (SELECT t.*, n.place AS place FROM {timeline} AS t ANY LEFT JOIN named AS n ON t.stack_id = n.stack_id \
            WHERE t.kind = 'goroutine'), \
         locks AS (SELECT * FROM waits WHERE startsWith(reason, '{LOCKS}')), \
         worst AS (SELECT region, place, count() AS waits, sum(dur_ns) / 1e9 AS total_s, max(dur_ns) / 1e6 AS longest_ms \
            FROM locks GROUP BY region, place ORDER BY total_s DESC LIMIT 1) \
         SELECT w.region AS region, w.place AS blocked, any(w.waits) AS waits, any(w.total_s) AS total_s, any(w.longest_ms) AS longest_ms, \
            h.place AS holder, toString(h.reason) AS holder_reason, uniqExact(h.seq) AS seen \
         FROM locks AS l \
         INNER JOIN worst AS w ON l.region = w.region AND l.place = w.place \
         INNER JOIN waits AS h ON h.node = l.node AND h.boot = l.boot AND h.pid = l.pid AND h.goid = l.waker_goid \
         WHERE NOT startsWith(h.reason, '{LOCKS}') \
            AND h.mono_ns + h.dur_ns > l.mono_ns AND h.mono_ns + h.dur_ns <= l.mono_ns + l.dur_ns \
         GROUP BY region, blocked, holder, holder_reason ORDER BY seen DESC LIMIT 3"
    )
}

fn show_times(findings: &Findings) {
    let (inside, all) = findings.inside();
    println!("\n-- both ends of {all} waits, held against the truth");
    println!("{inside} inside their published bounds, {} not", all - inside);
}

fn show_order(findings: &Findings) {
    println!("\n-- order of {} messages between regions, judged by published times and bounds alone", findings.pairs());
    println!(
        "right {}, wrong {}, cannot tell {} (bounds overlap); {} more had no captured wait on one side",
        findings.right, findings.wrong, findings.cannot_tell, findings.unmatched
    );
}

/// With its sign, in ms.
fn millis(ns: i64) -> String {
    format!("{:+.3}", ns as f64 / 1e6)
}

/// With its sign, in ppm.
fn ppm(ppb: i64) -> String {
    format!("{:+.2}", ppb as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(seconds(1_700_000_000_000_000_042), "1700000000.000000042");
        assert_eq!(millis(-48_700_000), "-48.700");
        assert_eq!(ppm(35_000), "+35.00");
    }
}
