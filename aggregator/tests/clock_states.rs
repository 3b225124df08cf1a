//! Clock models across the death of the aggregator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Uplink};
use support::engine_is_here;
use support::program::{Program, ask, engine_url, store};
use support::truth::check;
use syncline_event::Batch;
use syncline_sim::{NodeSettings, OscillatorSettings};

const ROUNDS: usize = 20;

/// A node whose clock runs fast and drifts, so that a model which has just begun knows much less than one that went on.
fn agent() -> SimulatedAgent {
    let oscillator = OscillatorSettings { frequency_ppb: 90_000.0, ..OscillatorSettings::default() };
    SimulatedAgent::new("n1", "us", 3, NodeSettings { oscillator, ..NodeSettings::default() })
}

/// An aggregator on the engine of another one, so that killing it leaves the store alone.
fn start(dir: &std::path::Path, url: &str) -> Program {
    start_as(dir, url, "killed")
}

fn start_as(dir: &std::path::Path, url: &str, name: &str) -> Program {
    let state = dir.join(name);
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", url, "--state-dir"];
    Program::start(dir, &[&arguments[..], &[state.to_str().unwrap()]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_an_aggregator_loses_no_lock_and_breaks_no_bound() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let (mut agent, mut unanswered) = (agent(), Vec::<Batch>::new());
    for round in 0..ROUNDS {
        let program = start(dir.path(), &url);
        let mut uplink = Uplink::connect(&program.url()).await;
        for batch in std::mem::take(&mut unanswered) {
            uplink.store(&batch).await;
        }
        for _ in 0..=round % 4 {
            uplink.store(&agent.next_batch(50)).await;
        }
        // What is under way as it is killed is sent again.
        unanswered = (0..round % 3).map(|_| agent.next_batch(50)).collect();
        for batch in &unanswered {
            uplink.send(batch).await;
        }
        program.kill();
    }
    let sent = agent.truth.len() - unanswered.iter().map(|batch| batch.waits.len()).sum::<usize>();
    let stored = check(&store, "events", &agent.truth).await;
    assert!(stored.rows >= sent, "{} of {sent}", stored.rows);
    // Between the last knot of the state and the first after it MONO may have bent, by 0.25 ms a second at most.
    assert!(stored.widest_ns < 2_500_000, "a bound of {} ns", stored.widest_ns);
    // A model that goes on begins a segment where one ended, of what was saved of it.
    let joined = ask(
        &store,
        "SELECT countIf(mono_from IN (SELECT mono_to FROM clock_segments_log)), count() FROM clock_segments_log",
    )
    .await;
    let [joined, segments] = joined.split('\t').map(|v| v.parse::<usize>().unwrap()).collect::<Vec<_>>()[..] else {
        panic!("{joined}")
    };
    assert!(joined + 1 >= segments && segments > ROUNDS, "{joined} of {segments} segments join");
    drop(engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_of_no_use_begins_a_new_model_and_is_told() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store, mut agent) = (engine_url(dir.path()), store(dir.path()).await, agent());
    let program = start(dir.path(), &url);
    Uplink::connect(&program.url()).await.store(&agent.next_batch(10)).await;
    program.kill();
    assert_eq!(ask(&store, "SELECT count() FROM clock_states").await, "1");
    let garbled = "INSERT INTO clock_states (region, node, boot, ref_run, batch, segment_end, state)
        SELECT region, node, boot, ref_run, batch + 1, segment_end, concat(state, 'x') FROM clock_states";
    ask(&store, garbled).await;
    let program = start(dir.path(), &url);
    Uplink::connect(&program.url()).await.store(&agent.next_batch(10)).await;
    assert!(program.log().contains("the saved state of a clock model is of no use"), "{}", program.log());
    assert_eq!(ask(&store, "SELECT countIf(err_ns < 5000000), count() FROM events").await, "20\t20");
    drop(engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_from_another_aggregator_is_known_as_that_left_it() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store, mut agent) = (engine_url(dir.path()), store(dir.path()).await, agent());
    let [first, second] = ["first", "second"].map(|name| start_as(dir.path(), &url, name));
    let [mut to_first, mut to_second] = [Uplink::connect(&first.url()).await, Uplink::connect(&second.url()).await];
    for uplink in [&mut to_first, &mut to_second] {
        for _ in 0..3 {
            uplink.store(&agent.next_batch(20)).await;
        }
    }
    to_first.store(&agent.next_batch(20)).await;
    assert!(first.log().contains("it was with another aggregator meanwhile"), "{}", first.log());
    let stored = check(&store, "events", &agent.truth).await;
    assert_eq!(stored.rows, 7 * 20);
    drop(engine);
}
