//! What is known of the fleet's clocks, round by round, as alerts are evaluated on it: from what was stored until then, so that a round
//! of last week is what it was.
//!
//! A round takes what was inserted in it, by the database's own clock. Steps and claims carry no time of insertion: they are of the round whose
//! segments cover them. What regions say of UTC lasts for [`LASTS_MS`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use syncline_alerts::round::{ClaimSeen, Contradiction, LinkSeen, NodeSeen, RegionSeen, Step, Violation};
use syncline_alerts::{Interval, Round};

use crate::{Store, StoreError, json};

/// A node that was not heard of for so long is gone.
const GONE_MS: i64 = 86_400_000;
/// Regions are put together each 10 s; what was said of them holds for so long.
const LASTS_MS: i64 = 30_000;
/// REF leaves UTC by so much meanwhile, ppm, as the aggregator takes it too for what it claims (AWS ClockBound's advice).
const LEAVES_PPM: i64 = 50;
/// Clocks of regions may be so far from the database's, ms. They run on oscillators that nobody steers, for months perhaps.
const APART_MS: i64 = 3_600_000;
const MS: i64 = 1_000_000;

/// Reads rounds one after another.
#[derive(Clone, Debug)]
pub struct Rounds {
    every_ms: i64,
    /// End of the round that was read last.
    at_ms: i64,
    nodes: BTreeMap<Name, Heard>,
    regions: BTreeMap<(String, u64), (i64, RegionSeen)>,
    links: BTreeMap<Name, (i64, LinkSeen)>,
}

/// Region and node, or two regions.
type Name = (String, String);

/// What is remembered of a node.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at_ms: i64,
    boot: u64,
}

/// boot, run, epoch, REF - mono and half its bound, WALL - mono, rate, status, when it was inserted.
type Newest = (u64, u64, u32, i64, u64, i64, i64, i8, i64);

#[derive(Deserialize)]
struct Segment {
    round: i64,
    region: String,
    node: String,
    newest: Newest,
}

#[derive(Deserialize)]
struct RoundTrip {
    round: i64,
    region: String,
    node: String,
    rtt_ns: u64,
}

#[derive(Deserialize)]
struct StepRow {
    round: i64,
    region: String,
    node: String,
    at_ns: i64,
    size_ns: i64,
}

#[derive(Deserialize)]
struct ClaimRow {
    round: i64,
    region: String,
    node: String,
    source: String,
    is_contradicted: u8,
    claimed: (i64, i64),
    measured: (i64, i64),
}

#[derive(Deserialize)]
struct PairRow {
    round: i64,
    region: String,
    ref_run: u64,
    peer: String,
    /// low, high, whether the direct word is false, by how much, when it was inserted.
    newest: (i64, i64, u8, u64, i64),
}

#[derive(Deserialize)]
struct ViolationRow {
    round: i64,
    from: Name,
    to: Name,
    messages: u64,
    by_ns: u64,
}

#[derive(Deserialize)]
struct HeardRow {
    region: String,
    node: String,
    boot: u64,
    at_ms: i64,
}

/// The pieces of models that came in a round, but for those that were told before and are known better.
const PIECES: &str = "SELECT intDiv(toUnixTimestamp64Milli(created) - {from} - 1, {every}) AS round, region, node, boot, \
    min(mono_from) AS mono_first, max(mono_to) AS mono_last FROM clock_segments_log WHERE {inserted} AND {near} AND rev = 1 \
    GROUP BY round, region, node, boot";

impl Store {
    async fn read<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, StoreError> {
        json::rows(&self.asked(sql, "JSONEachRow").await?, "rounds")
    }
}

impl Rounds {
    /// To be read from `at_ms` on (the database's clock), each `every_ms` long. Nodes that were heard of in the day before are known.
    ///
    /// # Errors
    /// As [`Store::now_ms`].
    pub async fn begin(store: &Store, at_ms: i64, every_ms: i64) -> Result<Self, StoreError> {
        let from = at_ms - GONE_MS;
        let sql = format!(
            "SELECT toString(region) AS region, toString(node) AS node, argMax(boot, created) AS boot, \
             toUnixTimestamp64Milli(max(created)) AS at_ms FROM clock_segments_log \
             WHERE {} AND {} GROUP BY region, node",
            within("created", from, at_ms),
            within("as_of", from - APART_MS, at_ms + APART_MS),
        );
        let heard: Vec<HeardRow> = store.read(&sql).await?;
        let nodes = heard.into_iter().map(|HeardRow { region, node, boot, at_ms }| {
            // A node of which nothing has come since is heard of by what came before.
            ((region, node), Heard { at_ms, boot })
        });
        let every_ms = every_ms.max(1);
        Ok(Self { every_ms, at_ms, nodes: nodes.collect(), regions: BTreeMap::new(), links: BTreeMap::new() })
    }

    /// End of the round that was read last, ms.
    pub fn at_ms(&self) -> i64 {
        self.at_ms
    }

    /// The next so many rounds. They have to be over, and what belongs to them inserted.
    ///
    /// # Errors
    /// As [`Store::now_ms`]. Then nothing was read.
    pub async fn next(&mut self, store: &Store, rounds: u32) -> Result<Vec<Round>, StoreError> {
        let span = Span { from_ms: self.at_ms, every_ms: self.every_ms, rounds: i64::from(rounds) };
        let mut read = Read {
            segments: by_round(store.read(&span.segments()).await?, |row: &Segment| row.round),
            round_trips: by_round(store.read(&span.round_trips()).await?, |row: &RoundTrip| row.round),
            steps: by_round(store.read(&span.steps()).await?, |row: &StepRow| row.round),
            claims: by_round(store.read(&span.claims()).await?, |row: &ClaimRow| row.round),
            pairs: by_round(store.read(&span.pairs()).await?, |row: &PairRow| row.round),
            violations: by_round(store.read(&span.violations()).await?, |row: &ViolationRow| row.round),
        };
        Ok((0..span.rounds).map(|round| self.round(round, &mut read)).collect())
    }

    fn round(&mut self, round: i64, read: &mut Read) -> Round {
        self.at_ms += self.every_ms;
        let mut seen: BTreeMap<Name, NodeSeen> = BTreeMap::new();
        for Segment { region, node, newest, .. } in read.segments.remove(&round).unwrap_or_default() {
            let name = (region, node);
            self.nodes.insert(name.clone(), Heard { at_ms: newest.8, boot: newest.0 });
            seen.insert(name.clone(), node_seen(name, &newest));
        }
        self.nodes.retain(|_, heard| self.at_ms - heard.at_ms <= GONE_MS);
        for (name, heard) in &self.nodes {
            let (region, node) = name.clone();
            let unheard = NodeSeen { region, node, boot: heard.boot, ..NodeSeen::default() };
            let seen = seen.entry(name.clone()).or_insert(unheard);
            seen.silent_ns = u64::try_from((self.at_ms - heard.at_ms).saturating_mul(MS)).unwrap_or(0);
        }
        read.add(round, &mut seen);
        for pair in read.pairs.remove(&round).unwrap_or_default() {
            self.take_pair(pair);
        }
        let (at_ms, lasts) = (self.at_ms, self.every_ms.max(LASTS_MS));
        self.regions.retain(|_, (then_ms, _)| at_ms - *then_ms <= lasts);
        self.links.retain(|_, (then_ms, _)| at_ms - *then_ms <= lasts);
        let violations = read.violations.remove(&round).unwrap_or_default();
        Round {
            at_ns: at_ms.saturating_mul(MS),
            nodes: seen.into_values().collect(),
            regions: self
                .regions
                .values()
                .map(|(then_ms, seen)| carried(seen, at_ms - then_ms + self.every_ms))
                .collect(),
            links: self.links.values().map(|(_, seen)| seen.clone()).collect(),
            violations: violations
                .into_iter()
                .map(|ViolationRow { from, to, messages, by_ns, .. }| Violation { from, to, messages, by_ns })
                .collect(),
        }
    }

    fn take_pair(&mut self, pair: PairRow) {
        let PairRow { region, ref_run, peer, newest: (low, high, is_false, off_by_ns, at_ms), .. } = pair;
        let false_by_ns = (is_false == 1).then_some(off_by_ns);
        if peer == UTC {
            // UTC - REF was stored.
            let utc_ns = Some(Interval { low: high.saturating_neg(), high: low.saturating_neg() });
            let seen = RegionSeen { region: region.clone(), run: ref_run, utc_ns, false_by_ns };
            self.regions.insert((region, ref_run), (at_ms, seen));
        } else {
            let (apart_ns, name) = (Interval { low, high }, (region.clone(), peer.clone()));
            self.links.insert(name, (at_ms, LinkSeen { region, peer, apart_ns, false_by_ns }));
        }
    }
}

/// The name that UTC has among regions.
const UTC: &str = "(utc)";

/// What is known of REF - UTC so much later.
fn carried(seen: &RegionSeen, age_ms: i64) -> RegionSeen {
    let left_ns = (age_ms.max(0) * LEAVES_PPM).unsigned_abs();
    RegionSeen { utc_ns: seen.utc_ns.map(|utc| utc.widened(left_ns)), ..seen.clone() }
}

/// Rows of one kind, by the rounds that they are of.
type ByRound<T> = BTreeMap<i64, Vec<T>>;

struct Read {
    segments: ByRound<Segment>,
    round_trips: ByRound<RoundTrip>,
    steps: ByRound<StepRow>,
    claims: ByRound<ClaimRow>,
    pairs: ByRound<PairRow>,
    violations: ByRound<ViolationRow>,
}

impl Read {
    /// What happened to the nodes in a round.
    fn add(&mut self, round: i64, seen: &mut BTreeMap<Name, NodeSeen>) {
        for RoundTrip { region, node, rtt_ns, .. } in self.round_trips.remove(&round).unwrap_or_default() {
            if let Some(seen) = seen.get_mut(&(region, node)) {
                seen.round_trip_ns = Some(rtt_ns);
            }
        }
        for StepRow { region, node, at_ns, size_ns, .. } in self.steps.remove(&round).unwrap_or_default() {
            if let Some(seen) = seen.get_mut(&(region, node)) {
                seen.steps.push(Step { at_ns, size_ns });
            }
        }
        for claim in self.claims.remove(&round).unwrap_or_default() {
            let ClaimRow { region, node, source, is_contradicted, claimed, measured, .. } = claim;
            let interval = |(low, high): (i64, i64)| Interval { low, high };
            let both = Contradiction { claimed_ns: interval(claimed), measured_ns: interval(measured) };
            if let Some(seen) = seen.get_mut(&(region, node)) {
                seen.claims.push(ClaimSeen { source, contradiction: (is_contradicted == 1).then_some(both) });
            }
        }
    }
}

fn by_round<T>(rows: Vec<T>, round: impl Fn(&T) -> i64) -> ByRound<T> {
    let mut all = ByRound::new();
    rows.into_iter().for_each(|row| all.entry(round(&row)).or_default().push(row));
    all
}

/// As `clock_now` has it.
fn node_seen((region, node): Name, newest: &Newest) -> NodeSeen {
    let (boot, run, epoch, ref_off, err_ns, wall_off, rate_ppb, status, _) = *newest;
    let is_known = status != 0 && err_ns != u64::MAX;
    let skew = Interval::around(wall_off.saturating_sub(ref_off), err_ns);
    let frequency_ppb = (status == 1).then_some(rate_ppb.saturating_neg());
    NodeSeen { region, node, boot, run, epoch, skew_ns: is_known.then_some(skew), frequency_ppb, ..NodeSeen::default() }
}

/// The rounds that are read at once.
struct Span {
    from_ms: i64,
    every_ms: i64,
    rounds: i64,
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
        within(column, self.from_ms - GONE_MS, self.to_ms() + APART_MS)
    }

    fn round_of(&self, column: &str) -> String {
        format!("intDiv(toUnixTimestamp64Milli({column}) - {} - 1, {})", self.from_ms, self.every_ms)
    }

    fn pieces(&self) -> String {
        let sql = PIECES.replace("{from}", &self.from_ms.to_string()).replace("{every}", &self.every_ms.to_string());
        sql.replace("{inserted}", &self.inserted("created")).replace("{near}", &self.near("as_of"))
    }

    fn segments(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, toString(node) AS node, argMax((boot, ref_run, epoch, ref_off_to, err_to_ns, \
             wall_off, rate_ppb, toInt8(status), toUnixTimestamp64Milli(created)), (as_of, rev)) AS newest \
             FROM clock_segments_log WHERE {} AND {} AND rev = 1 GROUP BY round, region, node",
            self.round_of("created"),
            self.inserted("created"),
            self.near("as_of"),
        )
    }

    fn round_trips(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, toString(node) AS node, min(clock_probes.rtt_ns) AS rtt_ns FROM clock_probes \
             WHERE {} AND {} GROUP BY round, region, node",
            self.round_of("received"),
            self.inserted("received"),
            self.near("at"),
        )
    }

    fn steps(&self) -> String {
        format!(
            "SELECT p.round AS round, toString(s.region) AS region, toString(s.node) AS node, toUnixTimestamp64Nano(s.at) AS at_ns, \
             s.size_ns AS size_ns FROM (SELECT region, node, boot, mono_ns, at, size_ns FROM clock_steps WHERE {} AND scale = 'wall') AS s \
             INNER JOIN ({}) AS p ON s.region = p.region AND s.node = p.node AND s.boot = p.boot \
             WHERE s.mono_ns > p.mono_first AND s.mono_ns <= p.mono_last ORDER BY round, region, node, at_ns",
            self.near("at"),
            self.pieces(),
        )
    }

    fn claims(&self) -> String {
        format!(
            "SELECT p.round AS round, toString(c.region) AS region, toString(c.node) AS node, toString(c.source) AS source, \
             toUInt8(c.verdict = 'contradicted') AS is_contradicted, (c.claimed_low_ns, c.claimed_high_ns) AS claimed, \
             (c.measured_low_ns, c.measured_high_ns) AS measured \
             FROM (SELECT * FROM clock_claims WHERE {} AND verdict != 'unknown') AS c \
             INNER JOIN ({}) AS p ON c.region = p.region AND c.node = p.node AND c.boot = p.boot \
             WHERE c.mono_ns > p.mono_first AND c.mono_ns <= p.mono_last ORDER BY round, region, node, c.mono_ns, source",
            within("at", self.from_ms - APART_MS, self.to_ms() + APART_MS),
            self.pieces(),
        )
    }

    fn pairs(&self) -> String {
        format!(
            "SELECT {} AS round, toString(region) AS region, ref_run, toString(peer) AS peer, argMax((low, high, \
             toUInt8(direct = 1 AND verdict IN ('doubted', 'false')), off_by_ns, toUnixTimestamp64Milli(created)), (created, at)) AS newest \
             FROM region_pairs WHERE {} GROUP BY round, region, ref_run, peer, peer_run ORDER BY round, region, ref_run, peer, peer_run",
            self.round_of("created"),
            self.inserted("created"),
        )
    }

    fn violations(&self) -> String {
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

/// Times after one and until the other, ms.
fn within(column: &str, from_ms: i64, to_ms: i64) -> String {
    let at = |ms: i64| format!("fromUnixTimestamp64Milli({ms}, 'UTC')");
    format!("({column} > {} AND {column} <= {})", at(from_ms), at(to_ms))
}
