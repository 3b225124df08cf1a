//! Which stacks agents need not tell: by what was stored, by a look into the store, and what happens when the store loses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, engine_url, store};
use support::{engine_is_here, eventually};
use syncline_event::{Batch, Stack, Symbol, limits};
use syncline_proto::v1::KnownRequest;
use syncline_proto::v1::collector_client::CollectorClient;
use syncline_sim::NodeSettings;
use tonic::Code;

const NAMED: [u64; 2] = [0x40_1000, 0x40_2000];
/// The last address has no name: it is of C code, or nobody could read the file.
const UNNAMED: [u64; 2] = [0x40_1000, 0x40_3000];

fn stacks() -> [Stack; 2] {
    [NAMED, UNNAMED].map(|pcs| Stack::new(7, pcs.to_vec()))
}

fn symbol(pc: u64) -> Symbol {
    Symbol { build_id: 7, pc, depth: 0, function: format!("main.f{pc:x}"), file: "main.go".into(), line: 12 }
}

fn batch(agent: &mut SimulatedAgent) -> Batch {
    Batch { stacks: stacks().into(), symbols: NAMED.map(symbol).into(), ..agent.next_batch(10) }
}

fn agent(seed: u64) -> SimulatedAgent {
    SimulatedAgent::new(&format!("n{seed}"), "us", seed, NodeSettings::default())
}

/// Which of the two stacks, and of one that nobody has told, need not be told.
async fn known(url: &str) -> [bool; 3] {
    let [named, unnamed] = stacks();
    let stack_ids = vec![named.id.0, unnamed.id.0, 99];
    let mut client = CollectorClient::connect(url.to_owned()).await.unwrap();
    let reply = client.known(KnownRequest { stack_ids }).await.unwrap().into_inner();
    [0, 1, 2].map(|place| reply.says(place))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_known_with_the_names_of_its_addresses_to_all_aggregators_of_the_store() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    assert_eq!(known(&program.url()).await, [false; 3]);
    Uplink::to(&program).await.store(&batch(&mut agent(1))).await;
    // The ledger is written before what it told is remembered.
    eventually("it is known", async || known(&program.url()).await == [true, false, false]).await;

    let other_dir = tempfile::tempdir().unwrap();
    let url = engine_url(dir.path());
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", &url];
    let state = ["--state-dir", other_dir.path().to_str().unwrap()];
    let other = Program::start(dir.path(), &[&arguments[..], &state].concat());
    assert_eq!(known(&other.url()).await, [true, false, false], "by a look into the store");
    // Whoever can name the last address does, here or there.
    let mut late = batch(&mut agent(2));
    late.stacks.remove(0);
    late.symbols = vec![symbol(UNNAMED[1])];
    Uplink::to(&other).await.store(&late).await;
    // Both have just looked for it in vain.
    for program in [&other, &program] {
        eventually("it has all names", async || known(&program.url()).await == [true, true, false]).await;
    }
    assert!(other.terminate().success() && program.terminate().success());
}

async fn known_after(dir: &Path, loss: &str) -> [bool; 3] {
    let program = Program::embedded(dir);
    assert_eq!(known(&program.url()).await, [true, false, false], "what was known is, after a restart");
    ask(&store(dir).await, &format!("{loss} SETTINGS mutations_sync = 2")).await;
    assert!(program.terminate().success());
    let program = Program::embedded(dir);
    let known = known(&program.url()).await;
    Uplink::to(&program).await.store(&batch(&mut agent(3 + loss.len() as u64))).await;
    assert!(program.terminate().success());
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_has_lost_is_to_be_told_again() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    Uplink::to(&program).await.store(&batch(&mut agent(1))).await;
    assert!(program.terminate().success());
    for loss in ["ALTER TABLE symbols DELETE WHERE pc = 4202496", "ALTER TABLE stacks DELETE WHERE 1"] {
        assert_eq!(known_after(dir.path(), loss).await, [false; 3], "{loss}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_has_its_bound() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let mut client = CollectorClient::connect(program.url()).await.unwrap();
    let ask = |stacks: usize| KnownRequest { stack_ids: (1..=stacks as u64).collect() };
    let reply = client.known(ask(limits::ASKED_STACKS)).await.unwrap().into_inner();
    assert_eq!(reply.known, [0; limits::ASKED_STACKS / 8]);
    let status = client.known(ask(limits::ASKED_STACKS + 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(program.terminate().success());
}
