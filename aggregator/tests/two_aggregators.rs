//! Batches that two aggregators of a region hold at once: one has acknowledged them to nobody who heard it, so their node went to the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, engine_url, store};
use support::relay::{Mode, Relay};
use support::truth::check;
use support::{engine_is_here, eventually};
use syncline_event::Batch;
use syncline_sim::NodeSettings;
use syncline_store::Store;
use tempfile::TempDir;

const WAITS: usize = 20;
/// Who is gone is waited for so long.
const CLAIMS_LAST_MS: &str = "8000";
const TOLD_APART: &str = "SELECT count(), uniqExact(node, boot, seq) FROM events";

fn agent() -> SimulatedAgent {
    SimulatedAgent::new("n", "us", 5, NodeSettings::default())
}

/// One of the two, on the engine in `dir` by way of a relay.
async fn start(dir: &Path, name: &str) -> (Program, Relay) {
    let (relay, url) = Relay::to_engine_in(dir).await;
    (start_at(dir, name, &url), relay)
}

fn start_at(dir: &Path, name: &str, url: &str) -> Program {
    start_with_claims(dir, name, url, CLAIMS_LAST_MS)
}

fn start_with_claims(dir: &Path, name: &str, url: &str, last_ms: &str) -> Program {
    let state = dir.join(name);
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", url, "--state-dir"];
    let arguments = [&arguments[..], &[state.to_str().unwrap()]].concat();
    Program::start_with(dir, &arguments, &[("SYNCLINE_TEST_CLAIMS_LAST_MS", last_ms)])
}

/// Batches until `agent` has made so many.
fn batches(agent: &mut SimulatedAgent, count: usize) -> Vec<Batch> {
    (0..count).map(|_| agent.next_batch(WAITS)).collect()
}

async fn deliver(program: &Program, batches: &[Batch]) {
    let mut uplink = Uplink::to(program).await;
    for batch in batches {
        uplink.deliver(batch).await;
    }
}

/// How many batches it says wait.
fn waiting(dir: &Path, name: &str) -> Option<u64> {
    let said = std::fs::read(dir.join(name).join("spool/waiting.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&said).ok()?["waiting"]["batches"].as_u64()
}

/// Waits until the aggregator knows that all it has taken, so many batches of the ledger's, is stored: what it is cut off from then is none of that.
async fn knows_all_stored(dir: &Path, name: &str, store: &Store, batches: usize) {
    eventually("they are in the ledger", async || {
        ask(store, "SELECT count() FROM ingest_ledger").await == batches.to_string()
    })
    .await;
    let seen_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    eventually("it says that nothing waits", async || {
        let said = std::fs::read(dir.join(name).join("spool/waiting.json")).unwrap_or_default();
        let said = serde_json::from_slice::<serde_json::Value>(&said).unwrap_or_default();
        said["waiting"]["batches"] == 0 && said["at_ms"].as_u64() > Some(seen_ms)
    })
    .await;
}

async fn has_stored(store: &Store, rows: usize) {
    assert_eq!(ask(store, TOLD_APART).await, format!("{rows}\t{rows}"));
    let others = "SELECT (SELECT count() FROM repeated_rows(t0 = now() - 7200, t1 = now() + 7200)) \
        + (SELECT count() - uniqExact(node, boot, batch) FROM short_waits) \
        + (SELECT count() - uniqExact(node, boot, batch) FROM ingest_ledger)";
    assert_eq!(ask(store, others).await, "0", "rows of other tables that are there twice");
    let audit = "SELECT countIf(NOT is_whole) FROM batch_audit(t0 = now() - 7200, t1 = now() + 7200)";
    assert_eq!(ask(store, audit).await, "0");
}

/// The ledger tells the one that comes later, however much later; and what only the first has is placed rightly by a model that is older than the
/// node's.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_one_has_stored_is_not_stored_again() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let ((first, relay), (second, _relay)) = (start(dir.path(), "first").await, start(dir.path(), "second").await);
    let mut agent = agent();
    let mut uplink = Uplink::to(&first).await;
    for batch in batches(&mut agent, 3) {
        uplink.store(&batch).await;
    }
    knows_all_stored(dir.path(), "first", &store, 3).await;
    relay.set(Mode::Cut);
    let (only_first, both) = (batches(&mut agent, 3), batches(&mut agent, 4));
    deliver(&first, &only_first).await;
    deliver(&first, &both).await;
    eventually("it is behind", async || waiting(dir.path(), "first") == Some(7)).await;
    first.kill();

    let mut uplink = Uplink::to(&second).await;
    for batch in both.iter().chain(&batches(&mut agent, 5)) {
        uplink.store(batch).await;
    }
    has_stored(&store, (3 + 4 + 5) * WAITS).await;

    let first = start_at(dir.path(), "first", &engine_url(dir.path()));
    eventually("the first has caught up", async || waiting(dir.path(), "first") == Some(0)).await;
    has_stored(&store, agent.truth.len()).await;
    // It goes on there: what the other one stored meanwhile is known.
    deliver(&first, &batches(&mut agent, 1)).await;
    eventually("the next is stored", async || check(&store, "events", &agent.truth).await.rows == agent.truth.len())
        .await;
    has_stored(&store, agent.truth.len()).await;
    drop((second, engine));
}

/// What it was about to insert as it was killed, and could not, the other one has stored in part as it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_one_has_stored_of_a_group_that_was_under_way_is_not_stored_again() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let ((first, relay), (second, _relay)) = (start(dir.path(), "first").await, start(dir.path(), "second").await);
    let mut agent = agent();
    let held = batches(&mut agent, 6);
    Uplink::to(&first).await.store(&held[0]).await;
    knows_all_stored(dir.path(), "first", &store, 1).await;
    // The one that is known is a group by itself, and the others are one behind it.
    relay.set(Mode::Cut);
    deliver(&first, &held).await;
    eventually("it is behind", async || waiting(dir.path(), "first") == Some(6)).await;
    relay.set(Mode::LoseInserts);
    eventually("the group is under way", async || relay.lost_inserts() > 0).await;
    first.kill();

    let mut uplink = Uplink::to(&second).await;
    for batch in &held[1..4] {
        uplink.store(batch).await;
    }
    let first = start_at(dir.path(), "first", &engine_url(dir.path()));
    eventually("the first has caught up", async || waiting(dir.path(), "first") == Some(0)).await;
    assert!(first.log().contains("is stored again"));
    has_stored(&store, agent.truth.len()).await;
    check(&store, "events", &agent.truth).await;
    drop((first, second, engine));
}

/// Neither is in the ledger as the other one looks.
#[tokio::test(flavor = "multi_thread")]
async fn where_both_store_at_once_nothing_is_there_twice() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let ((first, to_first), (second, to_second)) =
        (start(dir.path(), "first").await, start(dir.path(), "second").await);
    let mut agent = agent();
    for _ in 0..5 {
        let held = batches(&mut agent, 8);
        for relay in [&to_first, &to_second] {
            relay.set(Mode::Cut);
        }
        deliver(&first, &held[..6]).await;
        deliver(&second, &held[2..]).await;
        both_wait_for(dir.path(), 6).await;
        for relay in [&to_first, &to_second] {
            relay.set(Mode::Pass);
        }
        both_wait_for(dir.path(), 0).await;
        has_stored(&store, agent.truth.len()).await;
    }
    drop((first, second, engine));
}

async fn both_wait_for(dir: &Path, batches: u64) {
    let stand = async || ["first", "second"].iter().all(|name| waiting(dir, name) == Some(batches));
    eventually(&format!("{batches} wait at each"), stand).await;
}

/// Of what one has stored a part of as it ends or stands still the other one stores the rest, and the first nothing more, whatever it was about to.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_begun_as_it_stands_still_the_other_one_ends() {
    if !engine_is_here() {
        return;
    }
    for lost in ["events", "ingest_ledger"] {
        let Begun { dir, store, agent, held, first, relay, second, engine } = begun(lost).await;
        first.signal(Signal::STOP);
        let mut uplink = Uplink::to(&second).await;
        for batch in &held[2..] {
            uplink.store(batch).await;
        }
        assert!(second.log().contains("are looked for in each table"));
        relay.set(Mode::Pass);
        first.signal(Signal::CONT);
        eventually("the first has caught up", async || waiting(dir.path(), "first") == Some(0)).await;
        has_stored(&store, agent.truth.len()).await;
        check(&store, "events", &agent.truth).await;
        drop((first, second, engine));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_begun_as_it_is_killed_the_other_one_ends() {
    if !engine_is_here() {
        return;
    }
    for lost in ["short_waits", "ingest_ledger"] {
        let Begun { dir, store, agent, held, first, second, engine, .. } = begun(lost).await;
        first.kill();
        let mut uplink = Uplink::to(&second).await;
        for batch in &held[2..] {
            uplink.store(batch).await;
        }
        let first = start_at(dir.path(), "first", &engine_url(dir.path()));
        eventually("the first has caught up", async || waiting(dir.path(), "first") == Some(0)).await;
        has_stored(&store, agent.truth.len()).await;
        check(&store, "events", &agent.truth).await;
        drop((first, second, engine));
    }
}

/// Its claims are renewed, and ClickHouse takes nothing of one table from it, for a reason that another one does not have.
#[tokio::test(flavor = "multi_thread")]
async fn who_can_claim_and_not_insert_leaves_a_group_to_the_other_one() {
    if !engine_is_here() {
        return;
    }
    let Begun { dir, store, agent, held, first, relay, second, engine } = begun("events").await;
    let mut uplink = Uplink::to(&second).await;
    for batch in &held[2..] {
        uplink.store(batch).await;
    }
    assert!(first.log().contains("other aggregators that have the same batches may store them first"));
    relay.set(Mode::Pass);
    eventually("the first has caught up", async || waiting(dir.path(), "first") == Some(0)).await;
    has_stored(&store, agent.truth.len()).await;
    check(&store, "events", &agent.truth).await;
    drop((first, second, engine));
}

/// An insert without an answer may go in yet, after another one has looked for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_ends_while_an_insert_has_no_answer_does_not_withdraw_its_claims() {
    if !engine_is_here() {
        return;
    }
    let Begun { dir, store, agent, held, first, relay, second, engine } = begun("events").await;
    assert!(first.terminate().success());
    let said = "SELECT state, count() FROM (SELECT argMax(state, version) AS state FROM batch_claims WHERE batch > 1 GROUP BY writer, batch) GROUP BY state";
    assert_eq!(ask(&store, said).await, "claimed\t5");
    let mut uplink = Uplink::to(&second).await;
    for batch in &held[2..] {
        uplink.store(batch).await;
    }
    relay.set(Mode::Pass);
    let first = start_at(dir.path(), "first", &engine_url(dir.path()));
    eventually("the first has caught up", async || waiting(dir.path(), "first") == Some(0)).await;
    has_stored(&store, agent.truth.len()).await;
    check(&store, "events", &agent.truth).await;
    drop((first, second, engine));
}

/// Each question takes longer than claims are good for: nothing goes in, and the store is not asked without a pause. Once it is faster all goes in.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_too_slow_for_claims_is_waited_for() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let (relay, url) = Relay::to_engine_in(dir.path()).await;
    let program = start_with_claims(dir.path(), "slow", &url, "3000");
    let mut agent = agent();
    Uplink::to(&program).await.store(&batches(&mut agent, 1)[0]).await;
    relay.set(Mode::Late);
    deliver(&program, &batches(&mut agent, 3)).await;
    let told = "claims on batches are old before anything goes in";
    eventually("it is told", async || program.log().contains(told)).await;
    assert_eq!(waiting(dir.path(), "slow"), Some(3));
    relay.set(Mode::Pass);
    eventually("it has caught up", async || waiting(dir.path(), "slow") == Some(0)).await;
    has_stored(&store, agent.truth.len()).await;
    drop((program, engine));
}

struct Begun {
    dir: TempDir,
    store: Store,
    agent: SimulatedAgent,
    /// What the first one holds.
    held: Vec<Batch>,
    first: Program,
    /// Its way to the store.
    relay: Relay,
    second: Program,
    engine: Program,
}

/// Two aggregators, of which the first has begun to store five of six batches as a group, and cannot store what goes into one of the tables.
async fn begun(lost: &'static str) -> Begun {
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let (first, relay) = start(dir.path(), "first").await;
    let second = start_at(dir.path(), "second", &engine_url(dir.path()));
    let mut agent = agent();
    let held = batches(&mut agent, 6);
    Uplink::to(&first).await.store(&held[0]).await;
    knows_all_stored(dir.path(), "first", &store, 1).await;
    // The one that is known is a group by itself, and the others are one behind it.
    relay.set(Mode::Cut);
    deliver(&first, &held).await;
    eventually("it is behind", async || waiting(dir.path(), "first") == Some(6)).await;
    relay.set(Mode::LoseInsertsInto(lost));
    eventually("it has begun", async || {
        relay.lost_inserts() > 0 && ask(&store, "SELECT count() FROM process_states").await == "6"
    })
    .await;
    Begun { dir, store, agent, held, first, relay, second, engine }
}
