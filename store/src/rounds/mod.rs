//! What is known of the fleet's clocks, round by round, as alerts are evaluated on it: from what was stored until then, so that a round
//! of last week is what it was.
//!
//! A round takes what was inserted in it, by the database's own clock. What waited to be inserted, while an aggregator or the store was away, is not of the
//! present (`present`): of a node that nothing else has come from, nothing is known now, and it is silent since then. Steps and claims carry no time of
//! insertion: they are of the round whose segments cover them. Steps are told of whenever they come, each once (`steps`). What regions say of UTC
//! lasts for [`LASTS_MS`].

mod present;
mod rows;
mod span;
mod steps;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use syncline_alerts::round::{ClaimSeen, Contradiction, LinkSeen, NodeSeen, RegionSeen, Step, Violation};
use syncline_alerts::{Interval, Round};

use crate::{Store, StoreError, json};
use present::{OLD_MS, Present};
use rows::{
    ApartRow, BatchRow, ClaimRow, DOUBTED, HeardRow, Newest, PROVED, PairRow, RoundTrip, Segment, StepRow, ViolationRow,
};
use span::Span;
use steps::Told;

/// A node that was not heard of for so long is gone.
const GONE_MS: i64 = 86_400_000;
/// Regions are put together each 10 s; what was said of them holds for so long.
const LASTS_MS: i64 = 30_000;
/// REF leaves UTC by so much meanwhile, ppm, as the aggregator takes it too for what it claims (AWS ClockBound's advice).
const LEAVES_PPM: i64 = 50;
/// Clocks of regions may be so far from the database's, ms. They run on oscillators that nobody steers, for months perhaps.
const APART_MS: i64 = 3_600_000;
/// How far a reference is from the database's clock is what the last two such times say in which something came of it, ms.
const PART_MS: i64 = 600_000;
const MS: i64 = 1_000_000;

/// Reads rounds one after another.
#[derive(Clone, Debug)]
pub struct Rounds {
    every_ms: i64,
    /// End of the round that was read last.
    at_ms: i64,
    nodes: BTreeMap<Name, Heard>,
    regions: BTreeMap<(String, u64), (i64, RegionSeen)>,
    /// By region, run, peer and its run: what a run says of another is nothing that the next one goes on with.
    links: BTreeMap<(String, u64, String, u64), (i64, LinkSeen)>,
    present: Present,
    steps: Told,
}

/// Region and node.
type Name = (String, String);

/// What is remembered of a node.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at_ms: i64,
    boot: u64,
    /// The run of the reference that its newest segment leads to.
    run: u64,
    /// There are segments of it in this boot: those tell when it was heard.
    is_placed: bool,
}

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
        let present = known_before(store.read(&span::apart(at_ms, PART_MS)).await?);
        let (mut nodes, mut steps) = (BTreeMap::new(), Told::default());
        for HeardRow { region, node, newest: (boot, run, mono_to, created_ms, ref_ms) } in
            store.read(&span::heard(at_ms)).await?
        {
            // A node of which nothing has come since is heard of by what came before.
            let waited_ms = present.waited_ms((&region, run), ref_ms, created_ms).unwrap_or(0);
            let name = (region, node);
            steps.begin(name.clone(), boot, mono_to);
            nodes.insert(name, Heard { at_ms: created_ms - waited_ms, boot, run, is_placed: true });
        }
        // And those steps of boots before that are looked for once more.
        let (every_ms, ahead_ms) = (every_ms.max(1), present.ahead_ms());
        let before = Span { from_ms: at_ms, every_ms, rounds: 0, ahead_ms };
        for StepRow { region, node, boot, mono_ns, .. } in store.read(&before.steps()).await? {
            steps.is_new(&(region, node), (boot, mono_ns));
        }
        let (regions, links) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { every_ms, at_ms, nodes, regions, links, present, steps })
    }

    /// End of the round that was read last, ms.
    pub fn at_ms(&self) -> i64 {
        self.at_ms
    }

    /// Reads on from so much earlier, as the database's clock was set back: what is remembered was so much earlier.
    pub fn set_back(&mut self, by_ms: u64) {
        let by_ms = i64::try_from(by_ms).unwrap_or(i64::MAX);
        self.at_ms -= by_ms;
        self.nodes.values_mut().for_each(|heard| heard.at_ms -= by_ms);
        self.regions.values_mut().for_each(|(at_ms, _)| *at_ms -= by_ms);
        self.links.values_mut().for_each(|(at_ms, _)| *at_ms -= by_ms);
        self.present.set_back(by_ms);
    }

    /// The next so many rounds. They have to be over, and what belongs to them inserted.
    ///
    /// # Errors
    /// As [`Store::now_ms`]. Then nothing was read.
    pub async fn next(&mut self, store: &Store, rounds: u32) -> Result<Vec<Round>, StoreError> {
        let (every_ms, ahead_ms) = (self.every_ms, self.present.ahead_ms());
        let span = Span { from_ms: self.at_ms, every_ms, rounds: i64::from(rounds), ahead_ms };
        let mut read = Read {
            segments: by_round(store.read(&span.segments()).await?, |row: &Segment| row.round),
            batches: by_round(store.read(&span.batches()).await?, |row: &BatchRow| row.round),
            round_trips: by_round(store.read(&span.round_trips()).await?, |row: &RoundTrip| row.round),
            // What was stored after the segment that covers it is of the first round that it is found in.
            steps: by_round(store.read(&span.steps()).await?, |row: &StepRow| row.round.max(0)),
            claims: by_round(store.read(&span.claims()).await?, |row: &ClaimRow| row.round),
            pairs: by_round(store.read(&span.pairs()).await?, |row: &PairRow| row.round),
            violations: by_round(store.read(&span.violations()).await?, |row: &ViolationRow| row.round),
        };
        Ok((0..span.rounds).map(|round| self.round(round, &mut read)).collect())
    }

    fn round(&mut self, round: i64, read: &mut Read) -> Round {
        self.at_ms += self.every_ms;
        let segments = read.segments.remove(&round).unwrap_or_default();
        self.take_apart(&segments);
        let mut seen = self.take_segments(segments);
        self.take_batches(read.batches.remove(&round).unwrap_or_default());
        self.nodes.retain(|_, heard| self.at_ms - heard.at_ms <= GONE_MS);
        self.steps.retain(|name| self.nodes.contains_key(name));
        self.present.forget(self.at_ms - GONE_MS);
        for (name, heard) in &self.nodes {
            let (region, node) = name.clone();
            let unheard = NodeSeen { region, node, boot: heard.boot, ..NodeSeen::default() };
            let seen = seen.entry(name.clone()).or_insert(unheard);
            seen.silent_ns = u64::try_from((self.at_ms - heard.at_ms).saturating_mul(MS)).unwrap_or(0);
        }
        Self::take_round_trips(read.round_trips.remove(&round).unwrap_or_default(), &mut seen);
        self.take_steps(read.steps.remove(&round).unwrap_or_default(), &mut seen);
        self.take_claims(read.claims.remove(&round).unwrap_or_default(), &mut seen);
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

    /// How far references are from the database's clock, by what came at once: by a quarter of a run's nodes, so that one with a wrong model says nothing of
    /// the others.
    fn take_apart(&mut self, segments: &[Segment]) {
        let mut runs: BTreeMap<(&str, u64), Vec<i64>> = BTreeMap::new();
        for Segment { region, newest, .. } in segments.iter().filter(|segment| is_known(&segment.newest)) {
            runs.entry((region, newest.1)).or_default().push(newest.8 - newest.9);
        }
        for (run, mut apart_ms) in runs {
            apart_ms.sort_unstable();
            self.present.take(run, apart_ms[apart_ms.len() / 4], self.at_ms);
        }
    }

    /// What is known of nodes now, by the newest segment of each that is of the present.
    fn take_segments(&mut self, segments: Vec<Segment>) -> BTreeMap<Name, NodeSeen> {
        let mut newest: BTreeMap<Name, (bool, i64, Newest)> = BTreeMap::new();
        for Segment { region, node, newest: segment, .. } in segments {
            let waited_ms = if is_known(&segment) {
                self.present.waited_ms((&region, segment.1), segment.9, segment.8)
            } else {
                None
            };
            let heard_ms = segment.8 - waited_ms.unwrap_or(0);
            let this = (waited_ms.is_none(), heard_ms, segment);
            let best = newest.entry((region, node)).or_insert(this);
            if (best.0, best.1) < (this.0, this.1) {
                *best = this;
            }
        }
        let mut seen = BTreeMap::new();
        for (name, (is_present, at_ms, segment)) in newest {
            if is_present {
                self.nodes.insert(name.clone(), Heard { at_ms, boot: segment.0, run: segment.1, is_placed: true });
                seen.insert(name.clone(), node_seen(name, &segment));
            } else {
                let heard =
                    self.nodes.entry(name).or_insert(Heard { at_ms, boot: segment.0, run: segment.1, is_placed: true });
                heard.at_ms = heard.at_ms.max(at_ms);
            }
        }
        seen
    }

    /// A node whose clock never became known has batches and no segments: it is heard by those. Of others segments tell, and whether they waited.
    fn take_batches(&mut self, rows: Vec<BatchRow>) {
        for BatchRow { region, node, boot, at_ms, .. } in rows {
            let this = Heard { at_ms, boot, run: 0, is_placed: false };
            let heard = self.nodes.entry((region, node)).or_insert(this);
            let is_next_boot = heard.boot != boot && at_ms - heard.at_ms > OLD_MS / 2;
            if is_next_boot || !heard.is_placed {
                *heard = this;
            }
        }
    }

    /// Of what is silent they tell what was.
    fn take_round_trips(rows: Vec<RoundTrip>, seen: &mut BTreeMap<Name, NodeSeen>) {
        for RoundTrip { region, node, rtt_ns, .. } in rows {
            if let Some(seen) = seen.get_mut(&(region, node)).filter(|seen| is_heard(seen)) {
                seen.round_trip_ns = Some(rtt_ns);
            }
        }
    }

    fn take_steps(&mut self, rows: Vec<StepRow>, seen: &mut BTreeMap<Name, NodeSeen>) {
        for StepRow { region, node, boot, mono_ns, at_ns, size_ns, .. } in rows {
            let name = (region, node);
            let Some(seen) = seen.get_mut(&name) else { continue };
            if self.steps.is_new(&name, (boot, mono_ns)) {
                let ago_ms = self.stored_ms(&name, at_ns / MS).map_or(0, |then_ms| (self.at_ms - then_ms).max(0));
                seen.steps.push(Step { at_ns, size_ns, ago_ns: ago_ms.saturating_mul(MS).unsigned_abs() });
            }
        }
    }

    fn take_claims(&self, rows: Vec<ClaimRow>, seen: &mut BTreeMap<Name, NodeSeen>) {
        for ClaimRow { region, node, at_ms, source, is_contradicted, claimed, measured, .. } in rows {
            let interval = |(low, high): (i64, i64)| Interval { low, high };
            let both = Contradiction { claimed_ns: interval(claimed), measured_ns: interval(measured) };
            let name = (region, node);
            let then_ms = self.stored_ms(&name, at_ms);
            let is_old = then_ms.is_some_and(|then_ms| self.at_ms - then_ms > OLD_MS + self.every_ms);
            if let Some(seen) = seen.get_mut(&name).filter(|seen| !is_old && is_heard(seen)) {
                seen.claims.push(ClaimSeen { source, contradiction: (is_contradicted == 1).then_some(both) });
            }
        }
    }

    /// When something was by the database's clock that was at `ref_ms` by the reference of a node.
    fn stored_ms(&self, name: &Name, ref_ms: i64) -> Option<i64> {
        self.present.stored_ms((&name.0, self.nodes.get(name)?.run), ref_ms)
    }

    fn take_pair(&mut self, pair: PairRow) {
        let PairRow { region, ref_run, peer, peer_run, newest: (low, high, word, off_by_ns, at_ms), .. } = pair;
        let (false_by_ns, is_doubted) = ([PROVED, DOUBTED].contains(&word).then_some(off_by_ns), word == DOUBTED);
        if peer == UTC {
            // UTC - REF was stored.
            let utc_ns = Some(Interval { low: high.saturating_neg(), high: low.saturating_neg() });
            let seen = RegionSeen { region: region.clone(), run: ref_run, utc_ns, false_by_ns, is_doubted };
            self.regions.insert((region, ref_run), (at_ms, seen));
        } else {
            let (apart_ns, runs) = (Interval { low, high }, (region.clone(), ref_run, peer.clone(), peer_run));
            let link = LinkSeen { region, run: ref_run, peer, peer_run, apart_ns, false_by_ns };
            self.links.insert(runs, (at_ms, link));
        }
    }
}

/// The name that UTC has among regions.
const UTC: &str = "(utc)";

/// What references showed of the database's clock before the first round: the last two times count in which something came of them, of which the newest
/// may have nothing but what waited.
fn known_before(rows: Vec<ApartRow>) -> Present {
    let mut runs: BTreeMap<(String, u64), Vec<(i64, i64)>> = BTreeMap::new();
    for ApartRow { part, region, ref_run, apart_ms } in rows {
        runs.entry((region, ref_run)).or_default().push((part, apart_ms));
    }
    let mut present = Present::default();
    for (run, parts) in runs {
        for (part, apart_ms) in parts.into_iter().rev().take(2) {
            present.begin(run.clone(), apart_ms, part.saturating_mul(PART_MS));
        }
    }
    present
}

/// What is known of REF - UTC so much later.
fn carried(seen: &RegionSeen, age_ms: i64) -> RegionSeen {
    let left_ns = (age_ms.max(0) * LEAVES_PPM).unsigned_abs();
    RegionSeen { utc_ns: seen.utc_ns.map(|utc| utc.widened(left_ns)), ..seen.clone() }
}

/// Rows of one kind, by the rounds that they are of.
type ByRound<T> = BTreeMap<i64, Vec<T>>;

struct Read {
    segments: ByRound<Segment>,
    batches: ByRound<BatchRow>,
    round_trips: ByRound<RoundTrip>,
    steps: ByRound<StepRow>,
    claims: ByRound<ClaimRow>,
    pairs: ByRound<PairRow>,
    violations: ByRound<ViolationRow>,
}

fn by_round<T>(rows: Vec<T>, round: impl Fn(&T) -> i64) -> ByRound<T> {
    let mut all = ByRound::new();
    rows.into_iter().for_each(|row| all.entry(round(&row)).or_default().push(row));
    all
}

/// Whether anything is known of a clock at the end of its segment.
fn is_known(&(_, _, _, _, err_ns, _, _, status, ..): &Newest) -> bool {
    status != 0 && err_ns != u64::MAX
}

fn is_heard(seen: &NodeSeen) -> bool {
    seen.silent_ns <= (OLD_MS * MS).unsigned_abs()
}

/// As `clock_now` has it.
fn node_seen((region, node): Name, newest: &Newest) -> NodeSeen {
    let (boot, run, epoch, ref_off, err_ns, wall_off, rate_ppb, status, ..) = *newest;
    let skew = Interval::around(wall_off.saturating_sub(ref_off), err_ns);
    let frequency_ppb = (status == 1).then_some(rate_ppb.saturating_neg());
    let skew_ns = is_known(newest).then_some(skew);
    NodeSeen { region, node, boot, run, epoch, skew_ns, frequency_ppb, ..NodeSeen::default() }
}
