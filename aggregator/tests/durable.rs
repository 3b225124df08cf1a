//! What was acknowledged is stored once, whatever happens to the aggregator and to ClickHouse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, command, engine_pid, engine_url, error_line, fails, store};
use support::relay::{Mode, Relay};
use support::stored::{holds, number};
use support::{DEADLINE, engine_is_here, eventually, prometheus};
use syncline_event::Batch;
use syncline_sim::NodeSettings;
use syncline_spool::{Config, Disk, Spool};
use tokio::time::timeout;

fn agent(name: &str) -> SimulatedAgent {
    SimulatedAgent::new(name, "us", name.bytes().map(u64::from).sum(), NodeSettings::default())
}

/// An aggregator that may be killed, on the engine at `url` of another one; it comes back with the state that it had.
fn start(dir: &Path, url: &str, more: &[&str]) -> Program {
    let state = dir.join("behind");
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", url, "--state-dir"];
    Program::start(dir, &[&arguments[..], &[state.to_str().unwrap()], more].concat())
}

/// Some agents that send one batch after the other, and keep what is not acknowledged.
struct Fleet {
    agents: Vec<(SimulatedAgent, Vec<Batch>)>,
    sent: BTreeMap<String, BTreeSet<u64>>,
    events: u64,
}

impl Fleet {
    fn new(names: &[&str]) -> Self {
        let agents = names.iter().map(|name| (agent(name), Vec::new())).collect();
        Self { agents, sent: BTreeMap::new(), events: 0 }
    }

    /// Sends, until the aggregator is not there any more.
    async fn send_until_broken(&mut self, program: &Program) {
        while Uplink::to_if_there(program).await.is_some() {
            self.send(program, 4).await;
        }
    }

    /// Sends what is left, and so many more each, as far as the aggregator is there.
    async fn send(&mut self, program: &Program, batches: usize) {
        for (agent, left) in &mut self.agents {
            for _ in 0..batches {
                let batch = agent.next_batch(20);
                self.events += batch.waits.len() as u64;
                self.sent.entry(batch.origin.node.to_string()).or_default().insert(batch.number);
                left.push(batch);
            }
            let Some(mut uplink) = Uplink::to_if_there(program).await else { continue };
            let mut acknowledged = BTreeSet::new();
            for batch in &*left {
                uplink.send_if_there(batch).await;
                // Some are on their way at any time.
                if batch.number % 3 == 0 {
                    acknowledged.extend(uplink.answer_within(DEADLINE).await);
                }
            }
            while acknowledged.len() < left.len()
                && let Some(number) = uplink.answer_within(DEADLINE).await
            {
                acknowledged.insert(number);
            }
            left.retain(|batch| !acknowledged.contains(&batch.number));
        }
    }
}

/// How often it is killed.
fn kills() -> u64 {
    std::env::var("SYNCLINE_INGEST_KILLS").map_or(12, |text| text.parse().expect("SYNCLINE_INGEST_KILLS: a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_an_aggregator_stores_all_that_it_acknowledged_once() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let mut fleet = Fleet::new(&["k1", "k2", "k3"]);
    for kill in 0..kills() {
        let program = start(dir.path(), &url, &[]);
        // At any time: while it takes batches in, and while it stores them.
        let after = Duration::from_millis(kill * 37 % 600);
        {
            let mut sending = pin!(fleet.send_until_broken(&program));
            if timeout(after, &mut sending).await.is_err() {
                program.signal(Signal::KILL);
                sending.await;
            }
        }
        program.kill();
    }
    let program = start(dir.path(), &url, &[]);
    fleet.send(&program, 1).await;
    holds(&store, &fleet.sent, fleet.events).await;
    println!(
        "ingest: kills={} batches={} events={} lost=0 duplicate=0",
        kills(),
        fleet.sent.values().map(BTreeSet::len).sum::<usize>(),
        fleet.events
    );
    drop((program, engine));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_insert_is_not_known_to_have_happened_is_the_same_after_a_kill() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let (relay, url) = Relay::to_engine_in(dir.path()).await;
    let program = start(dir.path(), &url, &[]);
    let mut fleet = Fleet::new(&["g1", "g2"]);
    fleet.send(&program, 1).await;
    holds(&store, &fleet.sent, 40).await;
    // It cannot ask which batches are new: the first waits alone, and the others are one group once it can.
    relay.set(Mode::Cut);
    fleet.send(&program, 5).await;
    eventually("it tries", async || program.log().contains("the store does not tell which batches it has")).await;
    let broken = "CREATE MATERIALIZED VIEW broken ENGINE = Null AS SELECT throwIf(CAST(node, 'String') = 'g2') AS never FROM ingest_ledger";
    ask(&store, broken).await;
    relay.set(Mode::Pass);
    eventually("all but the ledger is stored", async || number(&store, "SELECT count() FROM events").await == 240)
        .await;
    eventually("the ledger was tried", async || program.log().contains("insert failed again")).await;
    program.kill();
    let program = start(dir.path(), &url, &[]);
    eventually("the group is stored again", async || program.log().contains("is stored again")).await;
    // What comes again meanwhile, in groups of its own.
    for (agent, _) in &mut fleet.agents {
        let mut uplink = Uplink::to(&program).await;
        let batch = agent.next_batch(20);
        uplink.deliver(&batch).await;
        uplink.deliver(&batch).await;
        fleet.sent.get_mut(batch.origin.node.as_str()).unwrap().insert(batch.number);
        fleet.events += 20;
    }
    ask(&store, "DROP VIEW broken").await;
    holds(&store, &fleet.sent, fleet.events).await;
    drop((program, engine));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_is_set_aside_and_the_rest_of_its_group_is_stored() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let (relay, url) = Relay::to_engine_in(dir.path()).await;
    let program = start(dir.path(), &url, &[]);
    ask(&store, "ALTER TABLE short_waits ADD CONSTRAINT sound CHECK node != 'bad'").await;
    relay.set(Mode::Cut);
    let (mut good, mut bad) = (agent("good"), agent("bad"));
    let mut uplink = Uplink::to(&program).await;
    for _ in 0..3 {
        uplink.deliver(&good.next_batch(10)).await;
        uplink.deliver(&bad.next_batch(10)).await;
    }
    relay.set(Mode::Pass);
    uplink.store(&good.next_batch(10)).await;
    let ledger = "SELECT node, count() FROM ingest_ledger GROUP BY node";
    eventually("the good ones are stored", async || ask(&store, ledger).await == "good\t4").await;
    assert_eq!(ask(&store, "SELECT count() FROM short_waits").await, "4");
    let aside = dir.path().join("behind/spool/aside");
    let is_kept = |name: &str| name.starts_with("unstorable-") && name.ends_with(".batch");
    // The directory is made with the first of them.
    let files = || {
        let files = std::fs::read_dir(&aside).into_iter().flatten();
        files.map(|file| file.unwrap().file_name().into_string().unwrap())
    };
    eventually("the bad ones are set aside", async || files().filter(|name| is_kept(name)).count() == 3).await;
    assert!(program.log().contains("will never be stored; it is set aside"));
    drop((program, engine));
}

/// A power loss after it would find nothing that the spool still had, otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_has_answered_is_on_the_disk() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let synced = "SELECT value FROM system.events WHERE event = 'DirectorySync'";
    let before = ask(&store, synced).await.parse().unwrap_or(0);
    Uplink::to(&program).await.store(&agent("synced").next_batch(10)).await;
    assert!(number(&store, synced).await > before, "{before}");
    let off = "SELECT count() FROM system.merge_tree_settings WHERE name IN ('fsync_after_insert', 'fsync_part_directory') AND value != '1'";
    assert_eq!(ask(&store, off).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_to_whoever_asks() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (relay, url) = Relay::to_engine_in(dir.path()).await;
    let program = start(dir.path(), &url, &["--metrics", "127.0.0.1:0"]);
    let spool = dir.path().join("behind/spool");
    let status = || {
        let of = ["status", "--store-dir", dir.path().to_str().unwrap(), "--spool", spool.to_str().unwrap()];
        let output = command(&of).output().unwrap();
        // The disk of whoever tests may be nearly full: that is told, too.
        let is_behind = String::from_utf8(output.stderr).unwrap().contains("the store is behind: ");
        assert!(!is_behind || !output.status.success());
        (is_behind, String::from_utf8(output.stdout).unwrap())
    };
    let says = |what: &'static str| eventually(what, async move || status().1.contains(what));
    let (mut agent, mut uplink) = (agent("told"), Uplink::to(&program).await);
    uplink.store(&agent.next_batch(10)).await;
    says(" batches=0 oldest_s=0.0 ").await;
    assert!(!status().0);
    relay.set(Mode::Cut);
    for _ in 0..3 {
        uplink.deliver(&agent.next_batch(10)).await;
    }
    says(" batches=3 ").await;
    eventually("it is seen to be behind", async || status().0).await;
    let metrics = prometheus::get(&format!("http://{}/metrics", program.says("metrics"))).unwrap();
    assert!(metrics.contains("\nsyncline_aggregator_spool_waiting_batches 3\n"), "{metrics}");
    relay.set(Mode::Pass);
    says(" batches=0 ").await;
    assert!(program.terminate().success());
    assert!(status().1.contains(" ended_s_ago="));
    let none =
        command(&["status", "--store-dir", dir.path().to_str().unwrap(), "--spool", "/nowhere"]).output().unwrap();
    assert!(error_line(&none).contains("/nowhere"), "{}", error_line(&none));
    drop(engine);
}

/// A batch as a later version would send it.
fn from_the_future(batch: &Batch) -> Vec<u8> {
    let message = zstd::decode_all(&*syncline_proto::encode(batch).unwrap()).unwrap();
    zstd::encode_all(&*[&message[..], &[0xf8, 0x01, 0x01]].concat(), 1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_from_the_future_is_kept_for_it() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let mut agent = agent("later");
    let (later, plain) = (agent.next_batch(10), agent.next_batch(10));
    let mut uplink = Uplink::to(&program).await;
    uplink.send_bytes(later.number, from_the_future(&later)).await;
    assert_eq!(uplink.answer().await, (later.number, Ok(())));
    uplink.store(&plain).await;
    let aside = dir.path().join("spool/aside");
    let files = || std::fs::read_dir(&aside).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let mut kept = files();
    kept.sort();
    assert!(kept.len() == 2 && kept[0].to_string_lossy().contains("/later-"), "{kept:?}");
    assert_eq!(std::fs::read(&kept[0]).unwrap(), from_the_future(&later));
    assert!(program.terminate().success());

    // Of a version that does not know it, it is kept on; what this version knows is stored at the next start.
    let again = agent.next_batch(10);
    std::fs::write(aside.join("later-0.batch"), syncline_proto::encode(&again).unwrap()).unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    eventually("it is stored", async || number(&store, "SELECT count() FROM ingest_ledger").await == 2).await;
    eventually("its file is gone", async || files().iter().all(|file| kept.contains(file))).await;
    assert!(program.log().contains("still kept for a later version"));
}

/// The first record that the spool in `dir` has to keep, of the newer of its cursor's two slots.
fn cursor(dir: &Path) -> u64 {
    let slots = std::fs::read(dir.join("store.cursor")).unwrap();
    let number = |slot: &[u8], at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
    let (_, next) = slots.chunks_exact(8_192).map(|slot| (number(slot, 32), number(slot, 40))).max().unwrap();
    next
}

/// What its model has seen and no saved state has would pin the spool, for as long as the others send.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_falls_silent_among_others_does_not_keep_the_spool() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let (mut silent, mut steady) = (agent("silent"), agent("steady"));
    let mut uplink = Uplink::to(&program).await;
    for _ in 0..3 {
        uplink.deliver(&silent.next_batch(10)).await;
    }
    eventually("the cursor is behind what the silent one has sent", async || {
        uplink.deliver(&steady.next_batch(1)).await;
        cursor(&dir.path().join("spool")) >= 3
    })
    .await;
}

/// A spool in `dir` as an aggregator of another version left it, with these batches.
fn fill(dir: &Path, batches: impl IntoIterator<Item = Vec<u8>>) {
    std::fs::create_dir_all(dir).unwrap();
    let (mut spool, _) = Spool::open(Disk::open(dir).unwrap(), Config::default()).unwrap();
    for batch in batches {
        spool.append(&[&[1, 0, 0, 0, 0, 0, 0, 0, 0], &batch[..]].concat(), 0).unwrap();
        if spool.pending_bytes() > 1 << 20 {
            spool.commit().unwrap();
        }
    }
    spool.commit().unwrap();
}

/// As after a rollback: what the newer version acknowledged is for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_acknowledged_is_kept_for_it_and_waits_for_room() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let spool = dir.path().join("behind/spool");
    let mut agent = agent("rolled-back");
    let later = (0..8).map(|_| from_the_future(&bulky(agent.next_batch(10)))).collect::<Vec<_>>();
    fill(&spool, later.into_iter().chain([syncline_proto::encode(&agent.next_batch(10)).unwrap()]));
    let kept = || {
        let files = std::fs::read_dir(spool.join("aside")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("later-") && name.ends_with(".batch")).count()
    };
    let stored = async || number(&store, "SELECT count() FROM ingest_ledger").await;

    let program = start(dir.path(), &url, &["--spool-bytes", "64MiB"]);
    eventually("there is no room for all", async || program.log().contains("there is no more room")).await;
    assert!((1..8).contains(&kept()), "{}", kept());
    assert_eq!(stored().await, 0, "what is behind waits");
    assert!(program.terminate().success());

    let program = start(dir.path(), &url, &["--spool-bytes", "1GiB"]);
    eventually("what is behind is stored", async || stored().await == 1).await;
    assert_eq!(kept(), 8);
    drop((program, engine));
}

/// What a group may have is bounded in records that are no batches, too: what is noted of it has its limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_records_that_are_no_batches_is_passed() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let spool = dir.path().join("behind/spool");
    let none = std::iter::repeat_n(b"no batch".to_vec(), syncline_spool::NOTE_LIMIT * 8 + 1);
    fill(&spool, none.chain([syncline_proto::encode(&agent("behind").next_batch(10)).unwrap()]));
    let program = start(dir.path(), &url, &[]);
    eventually("what is behind is stored", async || number(&store, "SELECT count() FROM ingest_ledger").await == 1)
        .await;
    drop((program, engine));
}

/// Of three batches in the spool, the first two of which were about to be stored, the disk has lost the second.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_a_loss_in_a_group_that_was_under_way_is_stored() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let spool = dir.path().join("behind/spool");
    let mut agent = agent("lost");
    let batches: Vec<Vec<u8>> = (0..3).map(|_| syncline_proto::encode(&agent.next_batch(10)).unwrap()).collect();
    fill(&spool, batches.clone());
    {
        let (spool, _) = Spool::open(Disk::open(&spool).unwrap(), Config::default()).unwrap();
        let number = |number: u64| number.to_le_bytes();
        let intent = [&[1], &number(0)[..], &number(2), &[0b11], b"group/lost"].concat();
        spool.reader("store").unwrap().save(&intent).unwrap();
    }
    let at = |bytes: &[u8]| bytes.windows(batches[1].len()).position(|part| part == batches[1]);
    let files = std::fs::read_dir(&spool).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap()));
    let (segment, mut bytes) = files.into_iter().find(|(_, bytes)| at(bytes).is_some()).unwrap();
    let damaged = at(&bytes).unwrap();
    bytes[damaged] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let program = start(dir.path(), &url, &[]);
    let ledger = "SELECT batch FROM ingest_ledger ORDER BY batch";
    eventually("the others are stored", async || ask(&store, ledger).await.lines().count() == 2).await;
    assert_eq!(ask(&store, ledger).await, "1\n3");
    assert!(program.log().contains("the spool's disk has lost batches"), "{}", program.log());
    drop((program, engine));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_the_oldest_batch_waits_is_told_after_a_kill_too() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (relay, url) = Relay::to_engine_in(dir.path()).await;
    let program = start(dir.path(), &url, &[]);
    let (mut agent, mut uplink) = (agent("old"), Uplink::to(&program).await);
    uplink.store(&agent.next_batch(10)).await;
    relay.set(Mode::LoseInserts);
    uplink.deliver(&agent.next_batch(10)).await;
    eventually("it is under way", async || relay.lost_inserts() > 0).await;
    program.kill();
    let program = start(dir.path(), &url, &[]);
    eventually("it is stored again", async || program.log().contains("is stored again")).await;
    let waiting = || {
        let said = std::fs::read(dir.path().join("behind/spool/waiting.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&said).unwrap()["waiting"].clone()
    };
    eventually("how old it is is told", async || {
        waiting()["batches"] == 1 && waiting()["oldest_ms"].as_u64() > Some(0)
    })
    .await;
    relay.set(Mode::Pass);
    eventually("nothing waits", async || waiting()["batches"] == 0 && waiting()["oldest_ms"] == 0).await;
    drop((program, engine));
}

/// Resident memory of a process, bytes.
fn memory(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn while_clickhouse_stands_still_the_spool_fills_and_memory_does_not() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let program = start(dir.path(), &engine_url(dir.path()), &["--spool-bytes", "64MiB"]);
    let mut agent = agent("full");
    let mut uplink = Uplink::to(&program).await;
    uplink.store(&agent.next_batch(1_000)).await;
    kill_process(engine_pid(dir.path()), Signal::STOP).unwrap();

    // So large that the spool has soon as much as it may.
    let mut sent = BTreeMap::from([("full".to_owned(), BTreeSet::from([1]))]);
    let (mut acknowledged, mut full_memory, mut early_memory) = (0, 0, 0);
    for step in 0.. {
        let batch = bulky(agent.next_batch(100));
        sent.get_mut("full").unwrap().insert(batch.number);
        uplink.send(&batch).await;
        let Some(number) = uplink.answer_within(Duration::from_secs(3)).await else {
            full_memory = memory(&program).max(full_memory);
            break;
        };
        assert_eq!(number, batch.number);
        acknowledged += 1;
        if step == 8 {
            early_memory = memory(&program);
        }
        assert!(acknowledged < 1_000, "the spool takes more than it may");
    }
    assert!(acknowledged > 10, "{acknowledged} batches were acknowledged");
    assert!(full_memory < early_memory + (128 << 20), "{} MiB, then {} MiB", early_memory >> 20, full_memory >> 20);
    kill_process(engine_pid(dir.path()), Signal::CONT).unwrap();
    // The one that waits for room is acknowledged, too.
    let last = *sent["full"].iter().next_back().unwrap();
    assert_eq!(uplink.answer().await, (last, Ok(())));
    let events = 1_000 + 100 * (sent["full"].len() as u64 - 1);
    holds(&store, &sent, events).await;
    println!("stall: acknowledged={acknowledged} memory_mib={}/{}", early_memory >> 20, full_memory >> 20);
    drop((program, engine));
}

/// The same batch with a megabyte of reasons that nobody has, of letters by chance, which do not compress.
fn bulky(mut batch: Batch) -> Batch {
    let mut state = batch.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 94) as u8)
    };
    batch.reasons.extend((0..256).map(|_| (0..4_096).map(|_| letter()).collect::<String>()));
    batch
}

#[test]
fn a_spool_is_for_one_aggregator() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _engine = Program::embedded(dir.path());
    let (url, spool) = (engine_url(dir.path()), dir.path().join("spool"));
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", &url];
    let (state, spool) = (dir.path().join("other"), spool.to_str().unwrap());
    let output = fails(&[&arguments[..], &["--state-dir", state.to_str().unwrap(), "--spool", spool]].concat());
    let line = error_line(&output);
    assert!(line.contains(spool) && line.contains("in use by another process"), "{line}");
    let output = fails(&[&arguments[..], &["--state-dir", state.to_str().unwrap(), "--spool", "/proc/none"]].concat());
    let line = error_line(&output);
    assert!(line.contains("cannot use the spool /proc/none (--spool)"), "{line}");
}
