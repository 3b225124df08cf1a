//! What was stored before much was known is placed again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Truth, Uplink};
use support::program::{Program, ask, engine_url, store};
use support::truth::check;
use support::{engine_is_here, eventually};
use syncline_sim::{NodeSettings, OscillatorSettings};
use syncline_store::Store;

/// Batches of a second each before the first probe, and after it until they are settled.
const BEFORE: u64 = 5;
const AFTER: u64 = 75;
const WAITS: usize = 40;

/// Rows of `from` that were stored before the first probe: how many have a bound, and all have the truth inside.
async fn bounded(store: &Store, from: &str, truth: &Truth) -> usize {
    let before = 1_000 + BEFORE * WAITS as u64;
    let from = format!("{from} WHERE seq < {before} AND err_ns < 10000000 AND err_end_ns < 10000000");
    check(store, &from, truth).await.rows
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_from_before_the_first_probe_get_their_place_once_it_is_known() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let oscillator = OscillatorSettings { frequency_ppb: -60_000.0, ..OscillatorSettings::default() };
    let mut agent = SimulatedAgent::new("n1", "us", 5, NodeSettings { oscillator, ..NodeSettings::default() });
    let mut uplink = Uplink::to(&program).await;
    for _ in 0..BEFORE {
        let mut batch = agent.next_batch(WAITS);
        (batch.probes, batch.probe_paths, batch.reference_run) = (Vec::new(), Vec::new(), 0);
        uplink.store(&batch).await;
    }
    assert_eq!(bounded(&store, "events", &agent.truth).await, 0, "nothing is known of them yet");
    // Rows without a probe are of the run of the aggregator that stored them: its probes are of that too.
    let run = u64::from_str_radix(&program.says("reference_run")[2..], 16).unwrap();
    for _ in 0..AFTER {
        let batch = agent.next_batch(1);
        uplink.store(&syncline_event::Batch { reference_run: run, ..batch }).await;
    }
    let revisions = ask(&store, "SELECT count() FROM clock_segments FINAL WHERE rev = 2").await;
    assert!(revisions.parse::<u64>().unwrap() >= BEFORE, "{revisions} pieces were revised");
    // All but those of the last moments before a batch without a knot behind them.
    let most = BEFORE as usize * WAITS * 9 / 10;
    let live = "events_live(t0 = now64(9, 'UTC') - 3600, t1 = now64(9, 'UTC') + 3600)";
    let placed = bounded(&store, live, &agent.truth).await;
    assert!(placed >= most, "{placed} of {} are placed at once", BEFORE as usize * WAITS);
    eventually("the rows are settled", async || bounded(&store, "events", &agent.truth).await >= most).await;
    // Those of the newest revisions come last.
    let same = format!(
        "SELECT countIf(e.al_off != l.al_off OR e.err_ns != l.err_ns OR e.al_end_off != l.al_end_off OR e.err_end_ns != l.err_end_ns), count()
         FROM events AS e INNER JOIN (SELECT node, boot, seq, al_off, al_end_off, err_ns, err_end_ns FROM {live}) AS l USING (node, boot, seq)"
    );
    let all = format!("0\t{}", agent.truth.len());
    eventually("rows are what they should be", async || ask(&store, &same).await == all).await;
}

/// An aggregator that has revised what it stored of a node, and dies before it has settled that: the node. Updates are collected for
/// seconds, but a slow machine may come to one before it is looked at: then with another node.
async fn killed_before_it_settles(start: impl Fn() -> Program, store: &Store) -> (String, SimulatedAgent) {
    for attempt in 1..=5 {
        let program = start();
        let node = format!("n{attempt}");
        let mut agent = SimulatedAgent::new(&node, "us", 5, NodeSettings::default());
        let mut uplink = Uplink::to(&program).await;
        for _ in 0..BEFORE {
            uplink.store(&agent.next_batch_without_probe(WAITS)).await;
        }
        let run = u64::from_str_radix(&program.says("reference_run")[2..], 16).unwrap();
        for _ in 0..AFTER {
            uplink.deliver(&syncline_event::Batch { reference_run: run, ..agent.next_batch(1) }).await;
        }
        let revised = format!("SELECT count() FROM clock_segments_log WHERE rev = 2 AND node = '{node}'");
        eventually("pieces are revised", async || ask(store, &revised).await.parse::<u64>().unwrap() >= BEFORE).await;
        program.kill();
        if !store.unsettled("us", 2).await.unwrap().is_empty() {
            return (node, agent);
        }
    }
    panic!("each was settled before the aggregator could be killed");
}

/// An aggregator that dies before it has settled what it was to leaves that to the next one.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_aggregator_did_not_settle_before_it_was_killed_the_next_one_settles() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let state = dir.path().join("killed");
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", &url, "--state-dir"];
    let start = || Program::start(dir.path(), &[&arguments[..], &[state.to_str().unwrap()]].concat());
    let (node, agent) = killed_before_it_settles(start, &store).await;
    let next = start();
    eventually("the next one settles it", async || store.unsettled("us", 2).await.unwrap().is_empty()).await;
    assert!(next.log().contains("an aggregator before this one was to settle"), "{}", next.log());
    let most = BEFORE as usize * WAITS * 9 / 10;
    let of_node = format!("(SELECT * FROM events WHERE node = '{node}')");
    let placed = bounded(&store, &of_node, &agent.truth).await;
    assert!(placed >= most, "{placed} of {} are placed", BEFORE as usize * WAITS);
    drop(engine);
}
