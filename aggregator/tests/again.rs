//! What comes again, late or beside a wall clock that was set is stored once, where it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use support::agent::{SimulatedAgent, Uplink};
use support::engine_is_here;
use support::program::{Program, ask, store};
use support::stored::{holds, number};
use support::truth::check;
use syncline_event::Batch;
use syncline_sim::{NodeSettings, WallStep};
use syncline_timebase::Offset;

/// Batches that come between a batch and its repetitions.
const LATER: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_a_hundred_times_is_stored_once() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let mut agent = SimulatedAgent::new("again", "us", 7, NodeSettings::default());
    let batches: Vec<Batch> = (0..60).map(|_| agent.next_batch(10)).collect();
    let later: Vec<Batch> = (0..LATER).map(|_| agent.next_batch(1)).collect();
    let mut uplinks = [Uplink::to(&program).await, Uplink::to(&program).await];
    for some in batches.chunks(UNDER_WAY).chain(later.chunks(UNDER_WAY)) {
        uplinks[0].deliver_together(some).await;
    }
    let numbers = batches.iter().chain(&later).map(|batch| batch.number).collect();
    let (sent, events) = (BTreeMap::from([("again".to_owned(), numbers)]), 600 + LATER as u64);
    // Out of order, on two streams, among others and after them.
    for time in 0..100_usize {
        for again in [time * 7 % 60, 3] {
            uplinks[time % 2].deliver(&batches[again]).await;
        }
    }
    holds(&store, &sent, events).await;
    let last = agent.next_batch(10);
    uplinks[0].store(&last).await;
    let told = ask(&store, "SELECT count(), uniqExact(seq) FROM events").await;
    assert_eq!(told, format!("{0}\t{0}", events + 10));
    assert_eq!(check(&store, "events", &agent.truth).await.rows as u64, events + 10);
}

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
/// How many batches of a stream wait for their answers.
const UNDER_WAY: usize = 32;

/// Forward and back, over midnights, while batches are in flight and come again: rows are where the reference says, or, before the first probe, in the
/// minute that the batch says, and each is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_set_by_hours_moves_no_row_and_hides_no_batch() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let step = |at_s: i64, hours: i64| WallStep { at_ns: at_s * 1_000_000_000, size_ns: hours * HOUR_NS };
    let wall_steps = vec![step(0, 7), step(4, -31), step(7, 50), step(10, -26)];
    let settings = NodeSettings { wall_steps, ..NodeSettings::default() };
    let mut agent = SimulatedAgent::new("set", "us", 5, settings);
    // As an agent that has no probe yet: all that it knows is its wall clock, which is seven hours ahead.
    let first = agent.next_batch_without_probe(20);
    let first = Batch { coarse_reference: Offset::from_ns(first.wall_offset.ns()), ..first };
    let batches: Vec<Batch> = [first].into_iter().chain((0..12).map(|_| agent.next_batch(20))).collect();
    let mut uplinks = [Uplink::to(&program).await, Uplink::to(&program).await];
    for (place, batch) in batches.iter().enumerate() {
        uplinks[0].deliver(batch).await;
        // Those of before a step come again after it.
        uplinks[1].deliver(&batches[place / 2]).await;
    }
    uplinks[1].deliver_together(&batches).await;
    let last = agent.next_batch(20);
    uplinks[1].store(&last).await;

    let sent: Vec<u64> = batches.iter().chain([&last]).map(|batch| batch.number).collect();
    let ledger = ask(&store, "SELECT batch FROM ingest_ledger ORDER BY batch").await;
    assert_eq!(ledger.lines().map(|line| line.parse().unwrap()).collect::<Vec<u64>>(), sent);
    assert_eq!(check(&store, "events", &agent.truth).await.rows, agent.truth.len());
    assert_eq!(number(&store, "SELECT uniqExact(seq) FROM events").await, agent.truth.len() as u64);
    // In the minute of the wait, but for one at its edge, which the agent knows by some milliseconds.
    let beside = "SELECT countIf(abs(toUnixTimestamp(bucket) + 30 - (mono_ns + al_off) / 1e9) > 31) FROM events WHERE seq >= 1020";
    assert_eq!(ask(&store, beside).await, "0");
    let bucket_s = number(&store, "SELECT toUnixTimestamp(bucket) FROM events WHERE seq = 1000").await as i64;
    let ahead_s = bucket_s - agent.truth[&1_000].0 / 1_000_000_000;
    assert!((7 * 3_600 - 60..=7 * 3_600).contains(&ahead_s), "{ahead_s}");
    let whole = "SELECT count(), countIf(is_whole) FROM batch_audit(t0 = now() - 7200, t1 = now() + 86400)";
    assert_eq!(ask(&store, whole).await, "14\t14");
}
