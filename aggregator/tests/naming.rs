//! Addresses that no agent could name, from a binary that was handed in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, store};
use support::{engine_is_here, eventually};
use syncline_event::{Batch, Stack};
use syncline_gosym::GoBinary;
use syncline_sim::NodeSettings;
use syncline_store::Binary;

/// A Go program's file.
fn program(dir: &Path) -> Vec<u8> {
    program_of(dir, "shop")
}

/// The file of a Go program of this module: of another one the build is another.
fn program_of(dir: &Path, module: &str) -> Vec<u8> {
    std::fs::write(dir.join("go.mod"), format!("module example.com/{module}\n\ngo 1.21\n")).unwrap();
    std::fs::write(dir.join("main.go"), "package main\n\nfunc main() { println() }\n").unwrap();
    let mut go = Command::new("go");
    let go = go.args(["build", "-o", "shop", "."]).current_dir(dir);
    let built = go.envs([("GOTOOLCHAIN", "go1.27.3"), ("CGO_ENABLED", "0"), ("GOFLAGS", "-buildvcs=false")]).output();
    let built = built.expect("the go command is needed to build the program");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::read(dir.join("shop")).unwrap()
}

/// A batch of an agent that could not read the program.
fn unnamed(agent: &mut SimulatedAgent, stack: Stack) -> Batch {
    Batch { stacks: vec![stack], symbols: Vec::new(), ..agent.next_batch(0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_and_after_an_upload_is_named() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = program(dir.path());
    let binary = GoBinary::parse(&bytes).unwrap();
    let [park, execute] = [binary.probe_sites().unwrap().gopark.vaddr, binary.probe_sites().unwrap().execute.vaddr];
    let (build_id, store_dir) = (binary.build_id(), dir.path().join("store"));
    std::fs::create_dir(&store_dir).unwrap();
    let aggregator = Program::embedded(&store_dir);
    let store = store(&store_dir).await;
    let mut agent = SimulatedAgent::new("n1", "us", 1, NodeSettings::default());
    let mut uplink = Uplink::to(&aggregator).await;
    // 5 is of no Go function.
    let earlier = Stack::new(build_id, vec![park + 1, 5]);
    uplink.store(&unnamed(&mut agent, earlier.clone())).await;
    let kept = Binary { build_id, name: "shop", go_version: "go1.27.3", bytes: &bytes };
    assert!(store.keep_binary(&kept).await.unwrap());
    let frames = async |stack: &Stack| {
        ask(&store, &format!("SELECT frames FROM stacks_named WHERE stack_id = {}", stack.id.0)).await
    };
    eventually("what came before is named", async || frames(&earlier).await.contains("runtime.gopark ")).await;
    assert!(frames(&earlier).await.contains("'0x05'"));
    let later = Stack::new(build_id, vec![execute + 1, park + 1]);
    uplink.store(&unnamed(&mut agent, later.clone())).await;
    eventually("what came after is named", async || frames(&later).await.contains("runtime.execute ")).await;
    let names = "SELECT count(), uniqExact(pc, depth) FROM symbols";
    let (rows, distinct) =
        ask(&store, names).await.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(rows, distinct, "an address is named once");
    ask(&store, "ALTER TABLE symbols DELETE WHERE 1 SETTINGS mutations_sync = 2").await;
    eventually("what was lost is named again", async || frames(&later).await.contains("runtime.execute ")).await;
    assert!(aggregator.terminate().success());
}

/// A stack in `gopark` of a program, by its build.
fn parked(bytes: &[u8]) -> Stack {
    let binary = GoBinary::parse(bytes).unwrap();
    Stack::new(binary.build_id(), vec![binary.probe_sites().unwrap().gopark.vaddr + 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_binary_that_cannot_be_read_nor_half_an_upload_keeps_addresses_from_being_named() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut programs = ["shop", "till"].map(|module| program_of(dir.path(), module));
    programs.sort_by_key(|bytes| parked(bytes).build_id);
    let [half, whole] = &programs;
    let store_dir = dir.path().join("store");
    std::fs::create_dir(&store_dir).unwrap();
    let aggregator = Program::embedded(&store_dir);
    let store = store(&store_dir).await;
    for (build_id, bytes) in [(1, b"x".as_slice()), (parked(half).build_id, half), (parked(whole).build_id, whole)] {
        let kept = Binary { build_id, name: "shop", go_version: "go1.27.3", bytes };
        assert!(store.keep_binary(&kept).await.unwrap());
    }
    ask(&store, "RENAME TABLE binaries TO all_binaries").await;
    // That of build 1, the first in order, cannot be read.
    let show = async |which: &str| {
        let bytes = "if(build_id = 1, toString(throwIf(build_id = 1)), bytes)";
        let view = "CREATE OR REPLACE VIEW binaries AS SELECT * REPLACE";
        ask(&store, &format!("{view} ({bytes} AS bytes) FROM all_binaries WHERE {which}")).await;
    };
    show(&format!("build_id != {} OR part = 0", parked(half).build_id)).await;
    let mut agent = SimulatedAgent::new("n1", "us", 1, NodeSettings::default());
    let mut uplink = Uplink::to(&aggregator).await;
    for stack in [Stack::new(1, vec![7]), parked(half), parked(whole)] {
        uplink.store(&unnamed(&mut agent, stack)).await;
    }
    let is_named = async |bytes: &[u8]| {
        let frames = format!("SELECT frames FROM stacks_named WHERE stack_id = {}", parked(bytes).id.0);
        ask(&store, &frames).await.contains("runtime.gopark ")
    };
    eventually("the whole one names its addresses", async || is_named(whole).await).await;
    assert!(!is_named(half).await);
    show("true").await;
    eventually("so does the other, once it is whole", async || is_named(half).await).await;
    let log = aggregator.log();
    let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("0000000000000001"));
    assert_eq!(warnings.count(), 1, "{log}");
    assert!(aggregator.terminate().success());
}
