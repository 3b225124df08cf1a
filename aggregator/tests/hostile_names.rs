//! Nodes that send what no node should, over gRPC: what Prometheus reads stays small, and is no line more than ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use prost::Message as _;
use support::agent::{SimulatedAgent, Uplink};
use support::program::Program;
use support::prometheus::{self, ask, get};
use support::{engine_is_here, eventually};
use syncline_proto::v1;
use syncline_sim::NodeSettings;

/// More than are listed. Each is stored on its own, so more take long: `SYNCLINE_HOSTILE_NODES=10000` has so many sent.
const NODES: u64 = 1_200;
/// As docs/metrics.md has it.
const LISTED: usize = 1_000;
const VALUES_OF_A_NODE: usize = 12;

fn agent(name: &str) -> SimulatedAgent {
    SimulatedAgent::new(name, "us", 1, NodeSettings::default())
}

/// A sound batch but for the names of its node and region, which no agent of ours would send.
fn of_names(node: &str, region: &str) -> Vec<u8> {
    let mut batch = v1::Batch::from(&agent("n").next_batch(0));
    let origin = batch.origin.as_mut().unwrap();
    (origin.node, origin.region) = (node.to_owned(), region.to_owned());
    zstd::bulk::compress(&batch.encode_to_vec(), 1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_stay_bounded_and_are_read_whatever_nodes_are_called() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = ["--region", "us", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--store-dir"];
    let program = Program::start(dir.path(), &[&options[..], &[dir.path().to_str().unwrap()]].concat());
    let page = || get(&format!("http://{}/metrics", program.says("metrics"))).unwrap();
    let mut uplink = Uplink::to(&program).await;

    let long = "n".repeat(1 << 20);
    let longest = "m".repeat(253);
    let wrong = [
        "",
        "evil\"} 1\nevil_total{x=\"",
        "evil\n# HELP evil x",
        "evil\u{0}",
        "evil\u{1b}[2J",
        "evil\\",
        "evil{x=\"1\"}",
        "\u{202e}evil",
        &long,
    ];
    for (number, name) in (1..).zip(wrong) {
        uplink.send_bytes(number, of_names(name, "us")).await;
        let (_, answer) = uplink.answer().await;
        let why = answer.unwrap_err();
        assert!(why.contains("node") && why.len() < 1_000 && !why.contains('\n'), "{why:?}");
        uplink.send_bytes(number, of_names("evil", &format!("us{name}"))).await;
        let is_own = name.is_empty();
        assert_eq!(uplink.answer().await.1.is_ok(), is_own, "of another region");
    }
    uplink.store(&agent(&longest).next_batch(0)).await;

    let given = std::env::var("SYNCLINE_HOSTILE_NODES").ok().and_then(|nodes| nodes.parse().ok());
    let nodes = given.unwrap_or(NODES);
    for name in 0..nodes {
        uplink.send(&agent(&format!("node-{name}")).next_batch(0)).await;
        if name >= 32 {
            assert_eq!(uplink.answer().await.1, Ok(()));
        }
    }
    for _ in 0..nodes.min(32) {
        assert_eq!(uplink.answer().await.1, Ok(()));
    }
    let all = nodes + 2;
    let counted = async || page().lines().any(|line| line == format!("syncline_nodes{{region=\"us\"}} {all}"));
    eventually("all are counted", counted).await;
    let page = page();
    let of_nodes = page.lines().filter(|line| line.contains("node=\"")).count();
    assert!(of_nodes > LISTED && of_nodes <= LISTED * VALUES_OF_A_NODE, "{of_nodes} lines");
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    let is_ours = |line: &str| line.starts_with("syncline_") || line.starts_with("# ");
    let foreign =
        page.lines().find(|line| !is_ours(line) || line.contains("evil_total") || line.contains(char::is_control));
    assert_eq!(foreign, None);

    if prometheus::path("prometheus").is_none() {
        return;
    }
    let daemon =
        prometheus::prometheus(dir.path(), program.says("metrics"), &prometheus::shipped_rules()).await.unwrap();
    let reads = async || {
        ask(&daemon, "syncline_nodes_unlisted").first().is_some_and(|(_, count)| *count == (all - LISTED as u64) as f64)
    };
    eventually("a real Prometheus reads them", reads).await;
    let status = "count(syncline_node_clock_status)";
    assert_eq!(ask(&daemon, status)[0].1, (LISTED * 4) as f64);
    assert!(program.terminate().success());
}
