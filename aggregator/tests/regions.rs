//! Regions that measure one another, and what the root makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::program::{Program, ask, engine_url, store};
use support::{engine_is_here, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_two_regions_are_known_against_each_other_inside_the_bound() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Program::embedded(dir.path());
    let url = engine_url(dir.path());
    let start = |region: &str, others: &[&str]| {
        let state = dir.path().join(region);
        let fixed =
            ["--region", region, "--listen", "127.0.0.1:0", "--clickhouse-url", &url, "--probe-interval", "50ms"];
        Program::start(dir.path(), &[&fixed[..], &["--state-dir", state.to_str().unwrap()], others].concat())
    };
    let eu = start("eu", &["--root", &root.url()]);
    let ap = start("ap", &["--root", &root.url(), "--peer", &eu.url()]);
    let store = store(dir.path()).await;
    let pairs = async || {
        let newest = "SELECT region, peer, off, low, high, direct, toString(verdict) FROM region_pairs
            WHERE peer != '(utc)' AND (SELECT uniq(region, peer) FROM region_pairs WHERE peer != '(utc)') = 3
            ORDER BY created DESC LIMIT 1 BY region, peer";
        ask(&store, newest).await
    };
    eventually("all three pairs", async || pairs().await.lines().count() == 3).await;

    // All run on one oscillator here, so the anchors tell the truth.
    let anchor = |region: &str| {
        let program = match region {
            "us" => &root,
            "eu" => &eu,
            _ => &ap,
        };
        program.says("anchor_ns").parse::<i64>().unwrap()
    };
    for row in pairs().await.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let [off, low, high] = [2, 3, 4].map(|at| fields[at].parse::<i64>().unwrap());
        let truth = anchor(fields[1]) - anchor(fields[0]);
        assert!((low..=high).contains(&truth), "{truth}: {row}");
        assert!((low..=high).contains(&off) && high - low < 20_000_000, "a bound on a loopback: {row}");
        assert_eq!(fields[5..], ["1", "consistent"], "{row}");
    }
}
