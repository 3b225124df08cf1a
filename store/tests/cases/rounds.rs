//! Rounds in which something came late, or twice, or of another run of a reference.

use syncline_alerts::Round;
use syncline_alerts::round::NodeSeen;
use syncline_store::Rounds;

use super::{Fixture, base_ns, run};

const EVERY_MS: i64 = 15_000;
const MS: i64 = 1_000_000;
/// The reference is so far ahead of the database's clock.
const AHEAD_MS: i64 = 60_000;
/// What comes at once takes so long.
const TAKES_MS: i64 = 500;

/// Begin of the first round, by the database's clock.
fn begin_ms() -> i64 {
    base_ns() / MS + 600_000
}

fn mono_ns(at_ms: i64) -> i64 {
    (9_000_000 + at_ms) * MS
}

fn ref_ns(at_ms: i64) -> i64 {
    (begin_ms() + at_ms + AHEAD_MS) * MS
}

/// A segment of a node that ends at `at_ms` after the begin and is `long_ms` long, inserted at `stored_ms`, by a run of the reference. The wall clock is
/// `wall_ms` ahead of that.
async fn segment(
    fixture: &Fixture,
    node: &str,
    (at_ms, long_ms, stored_ms): (i64, i64, i64),
    (wall_ms, run_of): (i64, u64),
) {
    let off = ref_ns(0) - mono_ns(0);
    let sql = format!(
        "INSERT INTO clock_segments_log (region, node, boot, ref_run, epoch, mono_from, mono_to, ref_off, ref_off_to, rate_ppb, err_from_ns, \
         err_to_ns, bound_class, wall_off, status, rev, created) VALUES ('eu', '{node}', 7, {run_of}, 0, {}, {}, {off}, {off}, -20000, \
         100000, 100000, 'hard', {}, 'synchronized', 1, fromUnixTimestamp64Milli({}, 'UTC'))",
        mono_ns(at_ms - long_ms),
        mono_ns(at_ms),
        off + wall_ms * MS,
        begin_ms() + stored_ms,
    );
    run(&fixture.store, &sql).await;
}

/// What comes of a node at once in a round.
async fn at_once(fixture: &Fixture, node: &str, round: i64) {
    let at_ms = round * EVERY_MS + 5_000;
    segment(fixture, node, (at_ms, EVERY_MS, at_ms + TAKES_MS), (0, 9)).await;
}

async fn step(fixture: &Fixture, node: &str, at_ms: i64, off_ms: i64) {
    let sql = format!(
        "INSERT INTO clock_steps (region, node, boot, mono_ns, at, size_ns, scale) VALUES ('eu', '{node}', 7, {}, \
         fromUnixTimestamp64Nano({}, 'UTC'), 300000000, 'wall')",
        mono_ns(at_ms),
        ref_ns(at_ms) + off_ms * MS,
    );
    run(&fixture.store, &sql).await;
}

async fn claim(fixture: &Fixture, node: &str, at_ms: i64) {
    let sql = format!(
        "INSERT INTO clock_claims (region, node, boot, mono_ns, at, source, synchronized, verdict, claimed_low_ns, claimed_high_ns, measured_low_ns, \
         measured_high_ns) VALUES ('eu', '{node}', 7, {}, fromUnixTimestamp64Nano({}, 'UTC'), 'kernel', 1, 'contradicted', 5, 6, 7, 8)",
        mono_ns(at_ms),
        ref_ns(at_ms),
    );
    run(&fixture.store, &sql).await;
}

/// What a run of `eu` says of `us` at `at_ms`, inserted at `stored_ms`.
async fn pair(fixture: &Fixture, (at_ms, stored_ms): (i64, i64), run_of: u64, verdict: &str) {
    let at = |ms: i64| format!("fromUnixTimestamp64Milli({}, 'UTC')", begin_ms() + ms);
    let sql = format!(
        "INSERT INTO region_pairs (region, peer, ref_run, peer_run, at, off, low, high, direct, verdict, off_by_ns, created) VALUES \
         ('eu', 'us', {run_of}, 8, {}, 5, 1, 9, 1, '{verdict}', 7, {})",
        at(at_ms),
        at(stored_ms),
    );
    run(&fixture.store, &sql).await;
}

async fn read(rounds: &mut Rounds, fixture: &Fixture, number: u32) -> Vec<Round> {
    rounds.next(&fixture.store, number).await.unwrap()
}

fn seen<'a>(round: &'a Round, node: &str) -> &'a NodeSeen {
    round.nodes.iter().find(|seen| seen.node == node).unwrap()
}

/// Four rounds, five minutes in which nothing is stored, and what waited meanwhile in the round after it. `b` ended in the middle of that.
pub(super) async fn what_waited_to_be_stored_is_not_of_the_present() {
    let fixture = Fixture::migrated().await;
    for round in 0..4 {
        for node in ["a", "b", "c", "d"] {
            at_once(&fixture, node, round).await;
        }
    }
    let (ended_ms, back_ms) = (12 * EVERY_MS, 24 * EVERY_MS);
    for node in ["a", "b", "c", "d"] {
        segment(&fixture, node, (ended_ms, 8 * EVERY_MS, back_ms + 5_000), (300, 9)).await;
    }
    let stepped_ms = 10 * EVERY_MS;
    step(&fixture, "a", stepped_ms, 0).await;
    claim(&fixture, "a", stepped_ms).await;
    for node in ["a", "c", "d"] {
        at_once(&fixture, node, 25).await;
    }
    claim(&fixture, "c", 25 * EVERY_MS).await;
    let begin = || Rounds::begin(&fixture.store, begin_ms(), EVERY_MS);
    let mut rounds = begin().await.unwrap();
    let all = read(&mut rounds, &fixture, 27).await;
    let mut one_by_one = begin().await.unwrap();
    for round in &all {
        assert_eq!(&read(&mut one_by_one, &fixture, 1).await[0], round);
    }
    let (before, worked_off, after) = (&all[3], &all[24], &all[25]);
    assert!(seen(before, "a").skew_ns.is_some());
    let silent_ns = |at_ms: i64| ((at_ms - ended_ms - TAKES_MS) * MS).unsigned_abs();
    for node in ["a", "b", "c", "d"] {
        let seen = seen(worked_off, node);
        assert_eq!((seen.skew_ns, seen.frequency_ppb), (None, None), "{node}");
        assert_eq!(seen.silent_ns, silent_ns(25 * EVERY_MS), "{node} was heard when that was measured");
    }
    let a = seen(worked_off, "a");
    let ago_ns = ((25 * EVERY_MS - stepped_ms - TAKES_MS) * MS).unsigned_abs();
    assert_eq!(a.steps.iter().map(|step| step.ago_ns).collect::<Vec<_>>(), [ago_ns], "it is told that it was");
    assert!(a.claims.is_empty(), "what was claimed then is not claimed now");
    assert!(seen(after, "a").skew_ns.is_some() && seen(after, "a").silent_ns < 15_000_000_000);
    assert_eq!(seen(after, "c").claims.len(), 1);
    assert_eq!((seen(after, "b").skew_ns, seen(after, "b").silent_ns), (None, silent_ns(26 * EVERY_MS)));
    // Who begins as it is worked off knows it from what was before.
    let mut later = Rounds::begin(&fixture.store, begin_ms() + 24 * EVERY_MS, EVERY_MS).await.unwrap();
    assert_eq!(&read(&mut later, &fixture, 1).await[0], worked_off);
}

pub(super) async fn a_step_is_told_once_also_if_it_is_stored_late_or_placed_anew() {
    let fixture = Fixture::migrated().await;
    for round in 0..8 {
        at_once(&fixture, "a", round).await;
    }
    let mut rounds = Rounds::begin(&fixture.store, begin_ms(), EVERY_MS).await.unwrap();
    let stepped_ms = 2 * EVERY_MS + 2_000;
    for _ in 0..4 {
        assert!(seen(&read(&mut rounds, &fixture, 1).await[0], "a").steps.is_empty());
    }
    step(&fixture, "a", stepped_ms, 0).await;
    let late = read(&mut rounds, &fixture, 1).await.remove(0);
    let ago_ns: Vec<u64> = seen(&late, "a").steps.iter().map(|step| step.ago_ns).collect();
    assert_eq!(ago_ns, [((5 * EVERY_MS - stepped_ms - TAKES_MS) * MS).unsigned_abs()]);
    // Another aggregator has taken the node over, and goes over the same time again.
    segment(&fixture, "a", (4 * EVERY_MS, 4 * EVERY_MS, 5 * EVERY_MS + 7_000), (0, 10)).await;
    step(&fixture, "a", stepped_ms, 1).await;
    assert!(seen(&read(&mut rounds, &fixture, 1).await[0], "a").steps.is_empty());
    let mut later = Rounds::begin(&fixture.store, begin_ms() + 5 * EVERY_MS, EVERY_MS).await.unwrap();
    assert!(read(&mut later, &fixture, 3).await.iter().all(|round| seen(round, "a").steps.is_empty()));
    let mut whole = Rounds::begin(&fixture.store, begin_ms(), EVERY_MS).await.unwrap();
    let told: Vec<usize> =
        read(&mut whole, &fixture, 8).await.iter().map(|round| seen(round, "a").steps.len()).collect();
    assert_eq!(told, [0, 0, 1, 0, 0, 0, 0, 0], "of history it is in its own round");
}

pub(super) async fn what_a_run_says_of_another_region_ends_with_it() {
    let fixture = Fixture::migrated().await;
    pair(&fixture, (3_000, 3_000), 9, "false").await;
    for round in 1..6 {
        let at_ms = round * EVERY_MS + 3_000;
        pair(&fixture, (at_ms, at_ms), 10, "consistent").await;
    }
    let mut rounds = Rounds::begin(&fixture.store, begin_ms(), EVERY_MS).await.unwrap();
    let all = read(&mut rounds, &fixture, 6).await;
    let words = |round: &Round| round.links.iter().map(|link| link.false_by_ns).collect::<Vec<_>>();
    assert_eq!(all.iter().map(words).collect::<Vec<_>>()[..2], [vec![Some(7)], vec![Some(7), None]]);
    assert!(all[2..].iter().all(|round| words(round) == [None]), "{all:?}");
}

pub(super) async fn rounds_go_on_from_where_the_databases_clock_was_set_back_to() {
    let fixture = Fixture::migrated().await;
    for round in 0..4 {
        at_once(&fixture, "a", round).await;
        at_once(&fixture, "b", round).await;
    }
    let mut rounds = Rounds::begin(&fixture.store, begin_ms(), EVERY_MS).await.unwrap();
    read(&mut rounds, &fixture, 4).await;
    // Further than references are from it otherwise.
    let back_ms = 3 * 3_600_000;
    let at_ms = 4 * EVERY_MS + 5_000;
    segment(&fixture, "a", (at_ms, EVERY_MS, at_ms + TAKES_MS - back_ms), (0, 9)).await;
    // What was said when it was there for the first time is no news.
    pair(&fixture, (at_ms, at_ms - back_ms), 9, "consistent").await;
    pair(&fixture, (at_ms - back_ms, at_ms - back_ms + 1_000), 9, "false").await;
    rounds.set_back(back_ms.unsigned_abs());
    let round = read(&mut rounds, &fixture, 1).await.remove(0);
    assert_eq!(round.at_ns, (begin_ms() + 5 * EVERY_MS - back_ms) * MS);
    let silent_ms = |node: &str| seen(&round, node).silent_ns / MS.unsigned_abs();
    assert_eq!((silent_ms("a"), silent_ms("b")), (9_500, 24_500));
    assert!(seen(&round, "a").skew_ns.is_some());
    assert_eq!(round.links.iter().map(|link| link.false_by_ns).collect::<Vec<_>>(), [None]);
}

/// As of an agent that no probe is answered of.
pub(super) async fn a_node_whose_clock_never_became_known_is_heard_by_its_batches() {
    let fixture = Fixture::migrated().await;
    let batch = async |node: &str, boot: u64, at_ms: i64| {
        let stored_ms = begin_ms() + at_ms;
        let sql = format!(
            "INSERT INTO ingest_ledger (bucket, region, node, boot, batch, stored_at) VALUES (toDateTime(intDiv({stored_ms}, 60000) * 60, 'UTC'), 'eu', \
             '{node}', {boot}, {at_ms}, fromUnixTimestamp64Milli({stored_ms}, 'UTC'))"
        );
        run(&fixture.store, &sql).await;
    };
    for node in ["a", "b"] {
        at_once(&fixture, node, 0).await;
    }
    for round in 0..8 {
        let at_ms = round * EVERY_MS + 7_000;
        // What waited of `a` tells nothing; `b` has another boot, of which nothing becomes known.
        batch("a", 7, at_ms).await;
        batch("b", if round > 4 { 8 } else { 7 }, at_ms).await;
        if round < 4 {
            batch("e", 7, at_ms).await;
        }
    }
    let mut rounds = Rounds::begin(&fixture.store, begin_ms(), EVERY_MS).await.unwrap();
    let all = read(&mut rounds, &fixture, 8).await;
    let heard = |round: usize, node: &str| {
        let seen = seen(&all[round], node);
        (seen.silent_ns / MS.unsigned_abs(), seen.boot, seen.skew_ns.is_some())
    };
    assert_eq!(
        [heard(0, "e"), heard(3, "e"), heard(7, "e")],
        [(8_000, 7, false), (8_000, 7, false), (68_000, 7, false)]
    );
    assert_eq!([heard(0, "a"), heard(7, "a")], [(9_500, 7, true), (114_500, 7, false)]);
    assert_eq!([heard(4, "b"), heard(5, "b")], [(69_500, 7, false), (8_000, 8, false)]);
}
