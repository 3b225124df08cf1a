//! Batches through the real program into the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Truth, Uplink};
use support::program::{Program, ask, engine_url, store};
use support::relay::{Mode, Relay};
use support::truth::check;
use support::{engine_is_here, eventually};
use syncline_sim::{NodeSettings, OscillatorSettings, WallStep};
use syncline_store::Store;

fn skewed() -> NodeSettings {
    let oscillator = OscillatorSettings { frequency_ppb: 35_000.0, ..OscillatorSettings::default() };
    let wall_steps = vec![WallStep { at_ns: 5_500_000_000, size_ns: -750_000_000 }];
    NodeSettings { oscillator, wall_steps, ..NodeSettings::default() }
}

fn agent(seed: u64) -> SimulatedAgent {
    SimulatedAgent::new(&format!("n{seed}"), "us", seed, skewed())
}

async fn count(store: &Store, table: &str) -> u64 {
    ask(store, &format!("SELECT count() FROM {table}")).await.parse().unwrap()
}

/// How many rows of `node` there are, each checked against the truth.
async fn check_events(store: &Store, node: &str, truth: &Truth) -> usize {
    let checked = check(store, &format!("events WHERE node = '{node}'"), truth).await;
    assert!(checked.widest_ns < 5_000_000, "a bound of {} ns says nothing", checked.widest_ns);
    checked.rows
}

/// How each node's goroutine spent its time in so many seconds: 0.9 s of each were told of its process, and all of them of itself.
async fn check_states(store: &Store, seconds: u64) {
    let split = "SELECT DISTINCT service, pid, state, reason, round(total_ns / 1e8), times, round(mean, 1), handoffs FROM \
        state_split(t0 = now64(9) - 60, t1 = now64(9) + 60) WHERE total_ns != 0 ORDER BY state";
    let blocked = format!("orders\t42\tblocked\tselect\t{}\t{seconds}\t1\t{}", 9 * seconds, 2 * seconds);
    let told = ask(store, split).await;
    assert_eq!(told.lines().next(), Some(&*blocked), "{told}");
    assert!(told.lines().count() == 2 && told.contains("\trunning\t\t0\t"), "{told}");
    let lives = "SELECT DISTINCT goid, round(lived_ns / 1e8), running_ns + blocked_ns = lived_ns, blocked_most, state, fate, runs, \
        err_ns < 5000000 FROM goroutine_split(t0 = now64(9) - 60, t1 = now64(9) + 60)";
    let life = format!("18\t{}\t1\tselect\tblocked\talive\t{seconds}\t1", 10 * seconds - 1);
    assert_eq!(ask(store, lives).await, life);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_stored_on_one_clock_inside_their_bounds() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let mut agents = [agent(1), agent(2)];
    for agent in &mut agents {
        let mut uplink = Uplink::to(&program).await;
        for sent in 1..=10 {
            let batch = agent.next_batch(500);
            uplink.store(&batch).await;
            let stored = ask(&store, &format!("SELECT count() FROM events WHERE node = '{}'", batch.origin.node)).await;
            assert_eq!(stored, (500 * sent).to_string(), "what is in the ledger is visible");
        }
    }
    for (agent, node) in agents.iter().zip(["n1", "n2"]) {
        assert_eq!(check_events(&store, node, &agent.truth).await, 5_000);
    }
    for (table, rows) in
        [("short_waits", 20), ("process_states", 20), ("losses", 20), ("clock_segments_log", 20), ("clock_steps", 2)]
    {
        assert_eq!(count(&store, table).await, rows, "{table}");
    }
    check_states(&store, 10).await;
    assert_eq!(ask(&store, "SELECT countIf(used = 1), count() FROM clock_probes").await, "20\t20");
    for table in ["nodes", "stacks", "symbols"] {
        assert!(count(&store, table).await >= 1, "{table}");
    }
    let step = ask(&store, "SELECT DISTINCT round(size_ns / 1e6), scale FROM clock_steps").await;
    assert_eq!(step, "-750\twall");
    let lanes = ask(
        &store,
        "SELECT count(), uniqExact(node), any(stack) FROM timeline(t0 = now64(9) - 60, t1 = now64(9) + 60)",
    )
    .await;
    assert_eq!(lanes, "10000\t2\tmain.take");
    let wall = ask(&store, "SELECT node, wall_offset_ns, err_ns FROM skew_now ORDER BY node").await;
    assert_eq!(wall.lines().count(), 2, "{wall}");
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_is_stored_once_on_any_stream_and_after_a_restart() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, program) = (agent(3), Program::embedded(dir.path()));
    let batches: Vec<_> = (0..4).map(|_| agent.next_batch(100)).collect();
    for _ in 0..2 {
        let mut uplink = Uplink::to(&program).await;
        for batch in batches.iter().chain(&batches) {
            uplink.deliver(batch).await;
        }
    }
    let anchor = program.says("anchor_ns").to_owned();
    let run = program.says("reference_run").to_owned();
    assert!(program.terminate().success());

    let program = Program::embedded(dir.path());
    assert_eq!((program.says("anchor_ns"), program.says("reference_run")), (&*anchor, &*run), "nobody was moved");
    let mut uplink = Uplink::to(&program).await;
    for batch in &batches {
        uplink.store(batch).await;
    }
    let store = store(dir.path()).await;
    assert_eq!(ask(&store, "SELECT count(), uniqExact(seq) FROM events").await, "400\t400");
    for table in ["short_waits", "process_states", "losses", "clock_probes", "clock_segments_log"] {
        assert_eq!(count(&store, table).await, 4, "{table}");
    }
    check_states(&store, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_batch_of_this_region_is_refused_and_the_stream_lives_on() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let mut uplink = Uplink::to(&program).await;
    let why = async |uplink: &mut Uplink, number| {
        let (answered, refused) = uplink.answer().await;
        assert_eq!(answered, number);
        refused.unwrap_err()
    };

    uplink.send_bytes(1, b"no batch at all".to_vec()).await;
    assert!(why(&mut uplink, 1).await.contains("zstd"));
    let mut batch = agent(4).next_batch(3);
    let truncated = syncline_proto::encode(&batch).unwrap();
    uplink.send_bytes(1, truncated[..truncated.len() / 2].to_vec()).await;
    why(&mut uplink, 1).await;
    uplink.send_bytes(77, truncated.clone()).await;
    assert!(why(&mut uplink, 77).await.contains("says batch 77"));
    batch.waits.reason[1] = 99;
    uplink.send(&batch).await;
    assert!(why(&mut uplink, 1).await.contains("reason"));
    let abroad = SimulatedAgent::new("n5", "eu", 5, NodeSettings::default()).next_batch(3);
    uplink.send(&abroad).await;
    let refused = why(&mut uplink, 1).await;
    assert!(refused.contains("region \"eu\"") && refused.contains("region \"us\""), "{refused}");

    uplink.store(&agent(4).next_batch(3)).await;
    assert_eq!(count(&store(dir.path()).await, "events").await, 3);
}

/// An aggregator whose ClickHouse is behind a relay, on the engine of another one.
async fn behind_a_relay(dir: &std::path::Path) -> (Program, Program, Relay) {
    let engine = Program::embedded(dir);
    let url = engine_url(dir);
    let (user, target) = url.strip_prefix("http://").unwrap().rsplit_once('@').unwrap();
    let relay = Relay::to(target.trim_end_matches('/').to_owned()).await;
    let url = format!("http://{user}@{}", relay.address);
    let state = dir.join("behind");
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", &url, "--state-dir"];
    let program = Program::start(dir, &[&arguments[..], &[state.to_str().unwrap()]].concat());
    (engine, program, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_clickhouse_batches_are_acknowledged_and_with_it_again_they_are_stored_together() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_engine, program, relay) = behind_a_relay(dir.path()).await;
    let (mut agent, mut uplink) = (agent(6), Uplink::to(&program).await);
    uplink.store(&agent.next_batch(50)).await;
    let store = store(dir.path()).await;
    ask(&store, "SYSTEM STOP MERGES").await;

    relay.set(Mode::Cut);
    for _ in 0..40 {
        uplink.deliver(&agent.next_batch(50)).await;
    }
    eventually("the outage is logged", async || program.log().contains("ClickHouse does not take rows")).await;
    assert_eq!(count(&store, "events").await, 50);

    relay.set(Mode::Pass);
    eventually("all are stored", async || count(&store, "ingest_ledger").await == 41).await;
    assert_eq!(ask(&store, "SELECT count(), uniqExact(seq) FROM events").await, "2050\t2050");
    assert_eq!(check_events(&store, "n6", &agent.truth).await, 2_050);
    // The first one alone, some that came while the store went away, and the rest.
    let parts: u64 = ask(&store, "SELECT uniqExact(_part) FROM events").await.parse().unwrap();
    let days: u64 = ask(&store, "SELECT uniqExact(toDate(bucket)) FROM events").await.parse().unwrap();
    assert!(parts <= 4 * days, "{parts} parts of 41 batches in {days} days");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_in_the_ledger_once_all_of_its_rows_are_stored() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let (mut agent, mut uplink) = (agent(8), Uplink::to(&program).await);
    uplink.store(&agent.next_batch(50)).await;
    let store = store(dir.path()).await;
    ask(&store, "RENAME TABLE losses TO all_losses").await;
    let batch = agent.next_batch(50);
    uplink.deliver(&batch).await;
    eventually("its events are stored", async || count(&store, "events").await == 100).await;
    eventually("it was tried again", async || program.log().contains("insert failed again")).await;
    assert_eq!(count(&store, "ingest_ledger").await, 1, "its losses are not stored");
    ask(&store, "RENAME TABLE all_losses TO losses").await;
    eventually("it is in the ledger", async || count(&store, "ingest_ledger").await == 2).await;
    let whole = "SELECT count(), countIf(is_whole), sum(found_events), sum(found_losses) FROM batch_audit(t0 = now() - 3600, t1 = now() + 3600)";
    assert_eq!(ask(&store, whole).await, "2\t2\t100\t18");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_in_an_outage_ends_in_time_and_tells_the_agents() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_engine, program, relay) = behind_a_relay(dir.path()).await;
    let (mut agent, mut uplink) = (agent(8), Uplink::to(&program).await);
    relay.set(Mode::Cut);
    uplink.deliver(&agent.next_batch(50)).await;
    eventually("the outage is noticed", async || program.log().contains("ClickHouse does not take rows")).await;
    let ending = tokio::task::spawn_blocking(|| program.terminate());
    assert_eq!(uplink.end().await.code(), tonic::Code::Unavailable);
    assert!(ending.await.unwrap().success());
}
