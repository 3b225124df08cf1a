//! The clock service, and the way from one region's clock to the other's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;
use support::program::{Program, ask, engine_url, store};
use support::{engine_is_here, eventually};
use syncline_proto::v1::ProbeRequest;
use syncline_proto::v1::clock_client::ClockClient;
use tokio_stream::iter;

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_in_order_by_the_reference_and_not_without_limit() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let mut client = ClockClient::connect(program.url()).await.unwrap();
    let ids = [7u64, 3, 9, 0, u64::MAX];
    let requests = iter(ids.map(|id| ProbeRequest { id }));
    let mut replies = client.probe(requests).await.unwrap().into_inner();
    let run = u64::from_str_radix(&program.says("reference_run")[2..], 16).unwrap();
    let mut before = 0;
    for id in ids {
        let reply = replies.message().await.unwrap().unwrap();
        assert_eq!((reply.id, reply.region.as_str(), reply.reference_run), (id, "us", run));
        assert!(before <= reply.received_reference_ns && reply.received_reference_ns <= reply.replied_reference_ns);
        before = reply.replied_reference_ns;
    }
    assert!(replies.message().await.unwrap().is_none());

    let flood = iter((0..1_000).map(|id| ProbeRequest { id }));
    let mut replies = client.probe(flood).await.unwrap().into_inner();
    let refused = loop {
        match replies.message().await {
            Ok(reply) => assert!(reply.is_some(), "all of a flood was answered"),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_mapped_to_the_root_inside_the_bound() {
    is_mapped_to_the_root_inside_the_bound("eu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_aggregator_of_the_root_region_is_mapped_as_another_regions_is() {
    is_mapped_to_the_root_inside_the_bound("us").await;
}

/// The anchor of another host's reference, as far as one machine can have that.
fn put_another_anchor(state: &Path, region: &str) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let anchor_ns = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64;
    let kept = json!({ "boot": boot.trim(), "region": region, "anchor_ns": anchor_ns, "anchor_bracket_ns": 0 });
    std::fs::create_dir_all(state).unwrap();
    std::fs::write(state.join("reference.json"), kept.to_string()).unwrap();
}

async fn is_mapped_to_the_root_inside_the_bound(region: &str) {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Program::embedded(dir.path());
    let (url, state, root_url) = (engine_url(dir.path()), dir.path().join("second"), root.url());
    put_another_anchor(&state, region);
    let arguments = [
        "--region",
        region,
        "--listen",
        "127.0.0.1:0",
        "--clickhouse-url",
        &url,
        "--root",
        &root_url,
        "--probe-interval",
        "50ms",
    ];
    let region = Program::start(dir.path(), &[&arguments[..], &["--state-dir", state.to_str().unwrap()]].concat());
    let store = store(dir.path()).await;
    let rows = async || {
        ask(
            &store,
            "SELECT off, err_ns, off_to, err_to_ns, ref_from, ref_to, root, status FROM region_clock ORDER BY ref_from",
        )
        .await
    };
    eventually("twenty rows", async || rows().await.lines().count() >= 20).await;

    // Both run on one oscillator here, so the anchors tell the truth.
    let anchor = |program: &Program| program.says("anchor_ns").parse::<i64>().unwrap();
    let truth = anchor(&root) - anchor(&region);
    let (mut ends, mut starts) = (HashSet::new(), HashSet::new());
    for row in rows().await.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let number = |at: usize| fields[at].parse::<i64>().unwrap();
        assert!((number(0) - truth).abs() <= number(1) && (number(2) - truth).abs() <= number(3), "{truth}: {row}");
        assert!(number(3) < 20_000_000, "a bound on a loopback: {row}");
        assert_eq!(fields[6..], ["us", "synchronized"]);
        starts.insert(number(4));
        ends.insert(number(5));
    }
    assert!(starts.difference(&ends).count() <= 1, "each row but the first starts where another ends");
    drop(region);
}
