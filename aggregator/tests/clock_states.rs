//! Clock models across the death of the aggregator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, engine_url, store};
use support::truth::check;
use support::{engine_is_here, eventually};
use syncline_event::Batch;
use syncline_sim::{NodeSettings, OscillatorSettings};
use syncline_timebase::Span;

/// How often it is killed.
fn kills() -> usize {
    std::env::var("SYNCLINE_CLOCK_KILLS").map_or(20, |text| text.parse().expect("SYNCLINE_CLOCK_KILLS: a number"))
}

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
    let kills = kills();
    for round in 0..kills {
        let program = start(dir.path(), &url);
        let mut uplink = Uplink::to(&program).await;
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
    assert!(joined + 1 >= segments && segments > kills, "{joined} of {segments} segments join");
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
    Uplink::to(&program).await.store(&agent.next_batch(10)).await;
    // Behind the ledger.
    eventually("the state is saved", async || ask(&store, "SELECT count() FROM clock_states").await == "1").await;
    program.kill();
    let garbled = "INSERT INTO clock_states (region, node, boot, ref_run, batch, segment_end, state)
        SELECT region, node, boot, ref_run, batch + 1, segment_end, concat(state, 'x') FROM clock_states";
    ask(&store, garbled).await;
    let program = start(dir.path(), &url);
    Uplink::to(&program).await.store(&agent.next_batch(10)).await;
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
    let [mut to_first, mut to_second] = [Uplink::to(&first).await, Uplink::to(&second).await];
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

/// What is known of its oscillator and its offset goes with a node to an aggregator that has measured the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_over_keeps_what_is_known_of_its_clock() {
    if engine_is_here() {
        fails_over(false).await;
    }
}

/// And if that was killed since, and cannot measure it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_over_to_an_aggregator_that_was_restarted_keeps_what_is_known_of_its_clock() {
    if engine_is_here() {
        fails_over(true).await;
    }
}

async fn fails_over(is_restarted: bool) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store, mut agent) = (engine_url(dir.path()), store(dir.path()).await, agent());
    let first = start(dir.path(), &url);
    // The second on another anchor, as on a machine of its own.
    let state = dir.path().join("second");
    let anchor = std::fs::read_to_string(dir.path().join("killed/reference.json")).unwrap();
    let mut anchor: serde_json::Value = serde_json::from_str(&anchor).unwrap();
    anchor["anchor_ns"] = (anchor["anchor_ns"].as_i64().unwrap() - 12_345_678).into();
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("reference.json"), anchor.to_string()).unwrap();
    let second = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", &url, "--probe-interval", "50ms"];
    let others = ["--state-dir", state.to_str().unwrap(), "--root", &engine.url(), "--peer", &first.url()];
    let start_second = || Program::start(dir.path(), &[&second[..], &others].concat());
    let mut second = start_second();
    let run =
        |program: &Program| u64::from_str_radix(program.says("reference_run").trim_start_matches("0x"), 16).unwrap();
    let anchor_ns = |program: &Program| program.says("anchor_ns").parse::<i64>().unwrap();

    agent.change_reference(run(&first), Span::ZERO);
    let mut uplink = Uplink::to(&first).await;
    for _ in 0..40 {
        uplink.store(&agent.next_batch(20)).await;
    }
    let saved = async || ask(&store, "SELECT max(batch) FROM clock_states").await.parse::<u64>().unwrap();
    eventually("a state with all that", async || {
        uplink.store(&agent.next_batch(20)).await;
        saved().await > 40
    })
    .await;
    let measured = format!("SELECT count() FROM region_links WHERE peer_run = {}", run(&first));
    eventually("the two references measured", async || ask(&store, &measured).await != "0").await;
    let first_anchor_ns = anchor_ns(&first);
    if is_restarted {
        let kept = || std::fs::read(state.join("links.bin")).unwrap_or_default();
        let of_first = run(&first).to_le_bytes();
        eventually("what it measured is kept", async || kept().windows(8).any(|run| run == of_first)).await;
    }
    first.kill();
    if is_restarted {
        second.kill();
        second = start_second();
    }

    // Both are on one oscillator here, so that the anchors tell what they are to one another.
    agent.change_reference(run(&second), Span::from_ns(anchor_ns(&second) - first_anchor_ns));
    let mut uplink = Uplink::to(&second).await;
    uplink.store(&agent.next_batch(20)).await;
    // After one probe a model that began with it would know nothing of the rate: 500 us more for each second.
    for _ in 0..60 {
        uplink.store(&agent.next_batch_without_probe(20)).await;
    }
    let stored = check(&store, "events", &agent.truth).await;
    assert_eq!(stored.rows, agent.truth.len());
    assert!(stored.widest_ns < 5_000_000, "{stored:?}");
    assert!(second.log().contains("goes on along what is known of the two"), "{}", second.log());
    let disruptions = ask(&store, "SELECT count() FROM clock_segments_log WHERE status = 'disrupted'").await;
    assert_eq!(disruptions, "0");
}
