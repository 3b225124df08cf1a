//! Batches through Kafka into the real engine, by the real program: with librdkafka's mock brokers, and with a real one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rustix::process::{Pid, Signal, kill_process};
use support::agent::{SimulatedAgent, Uplink};
use support::kafka::{Cluster, Feed};
use support::program::{Program, ask, engine_pid, engine_url, error_line, fails, store};
use support::prometheus;
use support::truth::check;
use support::{engine_is_here, eventually};
use syncline_event::Batch;
use syncline_sim::{NodeSettings, OscillatorSettings};
use syncline_store::Store;

const GROUP: &str = "syncline-us";
const WAITS: usize = 50;
/// Claims of members that were killed are waited for, each time.
const CLAIMS_LAST_MS: &str = "8000";

fn agents(count: u64) -> Vec<SimulatedAgent> {
    let agent = |seed| SimulatedAgent::new(&format!("n{seed}"), "us", seed, NodeSettings::default());
    (1..=count).map(agent).collect()
}

/// The next batch of each agent, so many times.
fn round(agents: &mut [SimulatedAgent], times: usize) -> Vec<Batch> {
    let next = |_| agents.iter_mut().map(|agent| agent.next_batch(WAITS)).collect::<Vec<_>>();
    (0..times).flat_map(next).collect()
}

/// The engine, and an aggregator that takes nothing from Kafka: so that the others may be killed.
fn keeper(dir: &Path) -> Program {
    Program::embedded(dir)
}

/// A member of the group, with state of its own.
fn member(name: &str, dir: &Path, cluster: &Cluster) -> Program {
    let (url, state) = (engine_url(dir), dir.join(name));
    std::fs::create_dir_all(&state).unwrap();
    let brokers = cluster.brokers();
    let arguments = [
        "--region",
        "us",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
        "--clickhouse-url",
        &url,
        "--state-dir",
        state.to_str().unwrap(),
        "--kafka-brokers",
        &brokers,
        "--kafka-config",
        cluster.session(),
    ];
    Program::start_with(&state, &arguments, &[("SYNCLINE_TEST_CLAIMS_LAST_MS", CLAIMS_LAST_MS)])
}

/// Batches that the member's spool has taken.
fn spooled(member: &Program) -> usize {
    let metrics = prometheus::get(&format!("http://{}/metrics", member.says("metrics"))).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("syncline_aggregator_batches_spooled_total "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

async fn events(store: &Store) -> usize {
    ask(store, "SELECT count() FROM events").await.parse().unwrap()
}

/// From now on so many tokens of a table are remembered.
async fn remember_tokens(store: &Store, most: u32) {
    for table in ["events", "ingest_ledger", "short_waits", "clock_probes"] {
        let alter = format!("ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = {most}");
        store.client().query(&alter).execute().await.unwrap();
    }
}

/// So many batches are in the store, each row of theirs once, and the group has nothing left to do.
async fn all_once(store: &Store, cluster: &Cluster, batches: usize) {
    let mut stored = 0;
    while stored < batches * WAITS {
        let before = stored;
        eventually("more is stored", async || {
            stored = events(store).await;
            stored > before
        })
        .await;
    }
    eventually("all is committed", async || cluster.is_done(GROUP)).await;
    let rows = "SELECT count(), uniqExact(node, boot, seq) FROM events";
    assert_eq!(ask(store, rows).await, format!("{0}\t{0}", batches * WAITS));
    let ledger = "SELECT count(), uniqExact(node, boot, batch), sum(events) FROM ingest_ledger";
    assert_eq!(ask(store, ledger).await, format!("{batches}\t{batches}\t{}", batches * WAITS));
    let whole = "SELECT count(), countIf(is_whole) FROM batch_audit(t0 = now64(9) - 3600, t1 = now64(9) + 3600)";
    assert_eq!(ask(store, whole).await, format!("{batches}\t{batches}"));
}

async fn straight(cluster: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let (mut agents, feed) = (agents(5), Feed::to(cluster));
    let batches = round(&mut agents, 10);
    batches.iter().for_each(|batch| feed.send(batch));
    feed.send_bytes("us/n1/0000000000000001", b"no batch at all");
    let mut abroad = SimulatedAgent::new("abroad", "eu", 9, NodeSettings::default());
    feed.send(&abroad.next_batch(WAITS));
    // No group takes that: by its key it is of us, by itself it is not.
    feed.send_bytes("us/abroad/0000000000000009", &syncline_proto::encode(&abroad.next_batch(WAITS)).unwrap());
    // As an agent does that was killed before it knew.
    batches.iter().rev().for_each(|batch| feed.send(batch));
    feed.flush();

    let program = member("a", dir.path(), cluster);
    all_once(&store, cluster, batches.len()).await;
    for (agent, node) in agents.iter().zip(1..) {
        let checked = check(&store, &format!("events WHERE node = 'n{node}'"), &agent.truth).await;
        assert!(checked.rows == 10 * WAITS && checked.widest_ns < 5_000_000, "{checked:?}");
    }
    let aside: Vec<_> = std::fs::read_dir(dir.path().join("a/kafka-aside")).unwrap().collect();
    assert_eq!(aside.len(), 4, "two records, and why: {aside:?}");
    // The tokens of today are forgotten one day; the ledger is not.
    remember_tokens(&store, 0).await;
    let before = ask(&store, "SELECT count() FROM clock_probes").await;
    batches.iter().chain(&batches).for_each(|batch| feed.send(batch));
    feed.flush();
    eventually("what came again is passed over", async || cluster.is_done(GROUP)).await;
    all_once(&store, cluster, batches.len()).await;
    assert_eq!(ask(&store, "SELECT count() FROM clock_probes").await, before);
    assert!(program.terminate().success() && keeper.terminate().success());
}

/// Members are killed as they store; each time the next one goes on.
async fn kills(cluster: &Cluster, times: usize) {
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let (mut agents, feed, mut sent) = (agents(4), Feed::to(cluster), Vec::new());
    for _ in 0..times {
        let batches = round(&mut agents, 5);
        // Some come again, each time.
        sent.iter().rev().take(6).for_each(|batch| feed.send(batch));
        batches.iter().for_each(|batch| feed.send(batch));
        feed.flush();
        sent.extend(batches);
        // Asked before it is there, or it might have stored all by then.
        let before = events(&store).await;
        let program = member("a", dir.path(), cluster);
        eventually("some of it is stored", async || events(&store).await > before).await;
        program.kill();
    }
    let _last = member("a", dir.path(), cluster);
    all_once(&store, cluster, sent.len()).await;
}

/// A member is stopped in the middle of what it stores, and loses its partitions; it wakes when all is done by another one.
async fn zombie(cluster: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let (mut agents, feed) = (agents(4), Feed::to(cluster));
    let zombie = member("zombie", dir.path(), cluster);
    let mut sent = round(&mut agents, 2);
    sent.iter().for_each(|batch| feed.send(batch));
    feed.flush();
    all_once(&store, cluster, sent.len()).await;

    let (engine, pid) = (engine_pid(dir.path()), Pid::from_raw(zombie.pid().cast_signed()).unwrap());
    kill_process(engine, Signal::STOP).unwrap();
    let more = round(&mut agents, 5);
    more.iter().for_each(|batch| feed.send(batch));
    feed.flush();
    sent.extend(more);
    eventually("it has all of it, and stores", async || spooled(&zombie) >= sent.len()).await;
    kill_process(pid, Signal::STOP).unwrap();
    kill_process(engine, Signal::CONT).unwrap();

    let other = member("other", dir.path(), cluster);
    all_once(&store, cluster, sent.len()).await;
    // So it has nothing but claims when it wakes.
    remember_tokens(&store, 0).await;
    kill_process(pid, Signal::CONT).unwrap();
    // Both are members after that, or the zombie's partitions would go to nobody.
    eventually("it is let in again", async || {
        let more = round(&mut agents, 1);
        more.iter().for_each(|batch| feed.send(batch));
        feed.flush();
        sent.extend(more);
        zombie.log().matches("partitions are ours").count() > 1
    })
    .await;
    all_once(&store, cluster, sent.len()).await;
    assert!(other.terminate().success() && zombie.terminate().success());
}

/// Two members take turns, each killed as it stores, and much is read again: no bound is broken, and the models go on.
async fn clocks(cluster: &Cluster, times: usize) {
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let drifting = |seed| {
        let oscillator = OscillatorSettings { frequency_ppb: 90_000.0, ..OscillatorSettings::default() };
        SimulatedAgent::new(&format!("n{seed}"), "us", seed, NodeSettings { oscillator, ..NodeSettings::default() })
    };
    let (mut agents, feed, mut sent): (Vec<_>, _, Vec<Batch>) =
        ((1..=3).map(drifting).collect(), Feed::to(cluster), Vec::new());
    for time in 0..times {
        // What was sent last comes again behind what is new, and all of it in the end.
        let batches = round(&mut agents, 4);
        batches.iter().chain(sent.iter().rev().take(12)).for_each(|batch| feed.send(batch));
        feed.flush();
        sent.extend(batches);
        let before = events(&store).await;
        let program = member(["a", "b"][time % 2], dir.path(), cluster);
        eventually("some of it is stored", async || events(&store).await > before).await;
        program.kill();
    }
    sent.iter().for_each(|batch| feed.send(batch));
    feed.flush();
    let _last = member("a", dir.path(), cluster);
    all_once(&store, cluster, sent.len()).await;
    for (agent, node) in agents.iter().zip(1..) {
        let checked = check(&store, &format!("events WHERE node = 'n{node}'"), &agent.truth).await;
        assert_eq!(checked.rows, times * 4 * WAITS);
        assert!(checked.widest_ns < 2_500_000, "n{node}: a bound of {} ns", checked.widest_ns);
        // One epoch, each segment but the first begins where one ended, and all who told of one told the same.
        let sql = format!(
            "WITH log AS (SELECT * FROM clock_segments_log WHERE node = 'n{node}')
             SELECT uniqExact(epoch), countIf(status = 'disrupted'), uniqExactIf(mono_from, mono_from NOT IN (SELECT mono_to FROM log)),
                 uniqExact(mono_from, mono_to, ref_off, ref_off_to, err_to_ns) - uniqExact(mono_from) FROM log"
        );
        assert_eq!(ask(&store, &sql).await, "1\t0\t1\t0", "n{node}");
    }
}

/// The newest segment of the member's spool, and where what was written to it ends.
fn segment_of(dir: &Path) -> (PathBuf, usize) {
    let files = std::fs::read_dir(dir.join("a/spool")).unwrap().map(|file| file.unwrap().path());
    let newest = files.filter(|path| path.extension().is_some_and(|of| of == "segment")).max().unwrap();
    // Room behind that is zeros.
    let end = std::fs::read(&newest).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (newest, end)
}

/// The spool's disk damages what a member has not stored yet.
async fn disk_loses(cluster: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let (mut agents, feed) = (agents(4), Feed::to(cluster));
    let program = member("a", dir.path(), cluster);
    let mut sent = round(&mut agents, 2);
    sent.iter().for_each(|batch| feed.send(batch));
    feed.flush();
    all_once(&store, cluster, sent.len()).await;

    let engine = engine_pid(dir.path());
    kill_process(engine, Signal::STOP).unwrap();
    let mut more = async || {
        let more = round(&mut agents, 3);
        more.iter().for_each(|batch| feed.send(batch));
        feed.flush();
        sent.extend(more);
        eventually("it has all of it", async || spooled(&program) >= sent.len()).await;
    };
    more().await;
    // So the first of them are read, and those that come now are not.
    eventually("they wait for the store", async || program.log().contains("the store is behind")).await;
    let (_, from) = segment_of(dir.path());
    more().await;
    let (segment, to) = segment_of(dir.path());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
    let (mut byte, at) = ([0], ((from + to) / 2) as u64);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
    kill_process(engine, Signal::CONT).unwrap();
    all_once(&store, cluster, sent.len()).await;
    assert!(program.log().contains("Kafka gives again what is not committed"), "{}", program.log());
    assert!(program.terminate().success());
}

/// Members come and go in order while batches come.
async fn rebalances(cluster: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let (mut agents, feed, mut sent) = (agents(4), Feed::to(cluster), Vec::new());
    let mut members = vec![member("m0", dir.path(), cluster)];
    for number in 1..4 {
        let more = round(&mut agents, 4);
        more.iter().for_each(|batch| feed.send(batch));
        feed.flush();
        sent.extend(more);
        members.push(member(&format!("m{number}"), dir.path(), cluster));
        if number > 1 {
            assert!(members.remove(0).terminate().success());
        }
    }
    all_once(&store, cluster, sent.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_stored_once_on_one_clock_and_what_is_none_is_set_aside() {
    if engine_is_here() {
        straight(&Cluster::mock()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_killed_lose_nothing_and_store_nothing_twice() {
    if engine_is_here() {
        kills(&Cluster::mock(), 4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_stores_nothing_twice() {
    if engine_is_here() {
        zombie(&Cluster::mock()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_killed_lose_no_lock_and_break_no_bound() {
    if engine_is_here() {
        clocks(&Cluster::mock(), 6).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_of_a_spool_loses_comes_again() {
    if engine_is_here() {
        disk_loses(&Cluster::mock()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    if engine_is_here() {
        rebalances(&Cluster::mock()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_refused_are_made_again() {
    if !engine_is_here() {
        return;
    }
    let cluster = Cluster::mock();
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let _program = member("a", dir.path(), &cluster);
    if let Cluster::Mock(mock) = &cluster {
        let errors = [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        ];
        mock.request_errors(RDKafkaApiKey::OffsetCommit, &errors);
    }
    let feed = Feed::to(&cluster);
    let batches = round(&mut agents(4), 5);
    batches.iter().for_each(|batch| feed.send(batch));
    feed.flush();
    all_once(&store, &cluster, batches.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_real_broker_it_is_the_same() {
    if !engine_is_here() {
        return;
    }
    for test in 0..4 {
        // Each with a broker of its own, since each has its own store.
        let Some(mut cluster) = Cluster::real().await else { return };
        match test {
            0 => straight(&cluster).await,
            1 => kills(&cluster, 2).await,
            2 => zombie(&cluster).await,
            _ => broker_is_killed(&mut cluster).await,
        }
    }
}

/// A real broker is killed under a member that stores, twice.
async fn broker_is_killed(cluster: &mut Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let _keeper = keeper(dir.path());
    let store = store(dir.path()).await;
    let (mut agents, mut sent) = (agents(4), 0);
    let _program = member("a", dir.path(), cluster);
    for _ in 0..2 {
        let feed = Feed::to(cluster);
        let batches = round(&mut agents, 5);
        batches.iter().for_each(|batch| feed.send(batch));
        feed.flush();
        eventually("some of it is stored", async || events(&store).await > sent * WAITS).await;
        if let Cluster::Real(broker) = cluster {
            broker.restart().await;
        }
        sent += batches.len();
        all_once(&store, cluster, sent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_topic_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store_dir = dir.path().to_str().unwrap();
    let cluster = Cluster::mock();
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--store-dir", store_dir];
    let output =
        fails(&[&arguments[..], &["--kafka-brokers", &cluster.brokers(), "--kafka-topic", "misspelt"]].concat());
    let line = error_line(&output);
    assert!(output.status.code() == Some(1), "{line}");
    assert!(["misspelt", "--kafka-topic"].iter().all(|part| line.contains(part)), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_broker_answers_what_comes_over_grpc_is_stored() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let store_dir = dir.path().to_str().unwrap();
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--kafka-brokers", &nobody, "--store-dir", store_dir];
    let program = Program::start(dir.path(), &arguments);
    let log = program.log();
    assert!([&*nobody, "--kafka-brokers", "over gRPC meanwhile"].iter().all(|part| log.contains(part)), "{log}");
    let mut uplink = Uplink::to(&program).await;
    uplink.store(&agents(1)[0].next_batch(WAITS)).await;
    let store = store(dir.path()).await;
    eventually("it is stored", async || events(&store).await == WAITS).await;
    assert!(program.terminate().success());
}
