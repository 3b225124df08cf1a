//! What is asked of the store for some rounds at once.

use super::{APART_MS, GONE_MS};

/// A step is looked for in segments of so long before it was stored, ms: the two are inserted one after the other, the one perhaps not at once.
const LATE_MS: i64 = 300_000;

/// The pieces of models that came in a round, but for those that were told before and are known better.
const PIECES: &str = "SELECT {round} AS round, region, node, boot, min(mono_from) AS mono_first, max(mono_to) AS mono_last \
    FROM clock_segments_log WHERE {inserted} AND {near} AND rev = 1 GROUP BY round, region, node, boot";

/// The rounds that are read at once.
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) every_ms: i64,
    pub(super) rounds: i64,
    /// References are so far ahead of the database's clock, which may have been set back by hours.
    pub(super) ahead_ms: i64,
}

impl Span {
    fn to_ms(&self) -> i64 {
        self.from_ms + self.every_ms * self.rounds
    }

    fn inserted(&self, column: &str) -> String {
        within(column, self.from_ms, self.to_ms())
    }

    /// What was inserted in time is of times near it, but for what waited.
    fn near(&self, column: &str) -> String {
        within(column, self.from_ms - GONE_MS, self.ends_ms())
    }

    /// What did not wait.
    fn at_once(&self, column: &str) -> String {
        within(column, self.from_ms - APART_MS, self.ends_ms())
    }

    /// When these rounds end by the reference that is ahead furthest.
    fn ends_ms(&self) -> i64 {
        self.to_ms() + self.ahead_ms + APART_MS
    }

    fn round_of(&self, column: &str) -> String {
        format!("intDiv(toUnixTimestamp64Milli({column}) - {} - 1, {})", self.from_ms, self.every_ms)
    }

    /// Of these rounds, and of so many before them, which have numbers below zero.
    fn pieces(&self, before: i64) -> String {
        let from_ms = self.from_ms - before * self.every_ms;
        let longer = Self { from_ms, rounds: self.rounds + before, ..*self };
        let sql = PIECES.replace("{round}", &format!("{} - {before}", longer.round_of("created")));
        sql.replace("{inserted}", &longer.inserted("created")).replace("{near}", &longer.near("as_of"))
    }

    pub(super) fn segments(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, toString(node) AS node, argMax((boot, ref_run, epoch, ref_off_to, err_to_ns, \
             wall_off, rate_ppb, toInt8(status), toUnixTimestamp64Milli(created), toUnixTimestamp64Milli(as_of)), (as_of, rev)) AS newest \
             FROM clock_segments_log WHERE {} AND {} AND rev = 1 GROUP BY round, region, node, ref_run",
            self.round_of("created"),
            self.inserted("created"),
            self.near("as_of"),
        )
    }

    /// Their minutes are by the node's own idea of the time, which may be as far off as any region's.
    pub(super) fn batches(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, toString(node) AS node, argMax(boot, stored_at) AS boot, \
             toUnixTimestamp64Milli(max(stored_at)) AS at_ms FROM ingest_ledger WHERE {} AND {} GROUP BY round, region, node",
            self.round_of("stored_at"),
            self.inserted("stored_at"),
            self.at_once("bucket"),
        )
    }

    pub(super) fn round_trips(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, toString(node) AS node, min(clock_probes.rtt_ns) AS rtt_ns FROM clock_probes \
             WHERE {} AND {} GROUP BY round, region, node",
            self.round_of("received"),
            self.inserted("received"),
            self.near("at"),
        )
    }

    /// Each with the first round that a segment came in which covers it: another aggregator may place it anew. Who reads has to know which of them were
    /// told.
    pub(super) fn steps(&self) -> String {
        format!(
            "SELECT min(p.round) AS round, toString(s.region) AS region, toString(s.node) AS node, s.boot AS boot, s.mono_ns AS mono_ns, \
             toUnixTimestamp64Nano(min(s.at)) AS at_ns, argMin(s.size_ns, s.at) AS size_ns \
             FROM (SELECT region, node, boot, mono_ns, at, size_ns FROM clock_steps WHERE {} AND scale = 'wall') AS s \
             INNER JOIN ({}) AS p ON s.region = p.region AND s.node = p.node AND s.boot = p.boot \
             WHERE s.mono_ns > p.mono_first AND s.mono_ns <= p.mono_last \
             GROUP BY s.region, s.node, s.boot, s.mono_ns ORDER BY round, region, node, at_ns",
            self.near("at"),
            self.pieces(LATE_MS.div_euclid(self.every_ms) + 1),
        )
    }

    pub(super) fn claims(&self) -> String {
        format!(
            "SELECT p.round AS round, toString(c.region) AS region, toString(c.node) AS node, toUnixTimestamp64Milli(c.at) AS at_ms, \
             toString(c.source) AS source, toUInt8(c.verdict = 'contradicted') AS is_contradicted, \
             (c.claimed_low_ns, c.claimed_high_ns) AS claimed, (c.measured_low_ns, c.measured_high_ns) AS measured \
             FROM (SELECT * FROM clock_claims WHERE {} AND verdict != 'unknown') AS c \
             INNER JOIN ({}) AS p ON c.region = p.region AND c.node = p.node AND c.boot = p.boot \
             WHERE c.mono_ns > p.mono_first AND c.mono_ns <= p.mono_last ORDER BY round, region, node, c.mono_ns, source",
            self.at_once("at"),
            self.pieces(0),
        )
    }

    /// The newest by the root's reference: where the database's clock was set back, what was said before was inserted at the same times.
    pub(super) fn pairs(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, ref_run, toString(peer) AS peer, peer_run, argMax((low, high, \
             multiIf(direct != 1, 0, verdict = 'false', 1, verdict = 'doubted', 2, 0), off_by_ns, toUnixTimestamp64Milli(created)), (at, created)) AS newest \
             FROM region_pairs WHERE {} GROUP BY round, region, ref_run, peer, peer_run ORDER BY round, region, ref_run, peer, peer_run",
            self.round_of("created"),
            self.inserted("created"),
        )
    }

    pub(super) fn violations(&self) -> String {
        format!(
            "SELECT {} AS round, (src_region, src_node) AS `from`, (dst_region, dst_node) AS `to`, sum(violated) AS messages, \
             toUInt64(max(-least(slack_ns, 0))) AS by_ns FROM pair_checks FINAL WHERE {} AND minute > fromUnixTimestamp64Milli({}, 'UTC') \
             AND violated > 0 GROUP BY round, src_region, src_node, dst_region, dst_node ORDER BY round, `from`, `to`",
            self.round_of("checked"),
            self.inserted("checked"),
            self.from_ms - GONE_MS,
        )
    }
}

/// Nodes that were heard of in the day before: the newest segment of each.
pub(super) fn heard(at_ms: i64) -> String {
    format!(
        "SELECT toString(region) AS region, toString(node) AS node, argMax((boot, ref_run, mono_to, toUnixTimestamp64Milli(created), \
         toUnixTimestamp64Milli(as_of)), (created, as_of)) AS newest FROM clock_segments_log WHERE {} AND rev = 1 GROUP BY region, node",
        day_before(at_ms),
    )
}

/// What each run of a reference showed of how far the database's clock is from it, in the day before: the least of each part of the day, by time.
pub(super) fn apart(at_ms: i64, part_ms: i64) -> String {
    format!(
        "SELECT intDiv(toUnixTimestamp64Milli(created), {part_ms}) AS part, toString(region) AS region, ref_run, \
         min(toUnixTimestamp64Milli(created) - toUnixTimestamp64Milli(as_of)) AS apart_ms \
         FROM clock_segments_log WHERE {} AND rev = 1 GROUP BY part, region, ref_run ORDER BY part",
        day_before(at_ms),
    )
}

fn day_before(at_ms: i64) -> String {
    let from_ms = at_ms - GONE_MS;
    let of_time = within("as_of", from_ms - APART_MS, at_ms + GONE_MS);
    format!("{} AND {of_time}", within("created", from_ms, at_ms))
}

/// Times after one and until the other, ms.
fn within(column: &str, from_ms: i64, to_ms: i64) -> String {
    let at = |ms: i64| format!("fromUnixTimestamp64Milli({ms}, 'UTC')");
    format!("({column} > {} AND {column} <= {})", at(from_ms), at(to_ms))
}
