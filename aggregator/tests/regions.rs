//! Regions that measure one another, and what the root makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::program::{Program, ask, engine_url, store};
use support::{chronyd, engine_is_here, eventually};
use syncline_stamping::Reading;
use syncline_store::rows::{ClockStatus, RegionClaimRows, RegionLinkRows};
use syncline_store::{LowCardinality, Store};

const MS: i64 = 1_000_000;

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

/// A region that is not there: what its aggregator would write. Its reference is the first one's.
struct MadeUp {
    /// Names, runs and anchors of the others, ns.
    others: Vec<(&'static str, u64, i64)>,
}

impl MadeUp {
    /// It measures both to the truth, and claims that UTC is where it is, but for `off_ns`.
    async fn says(&self, store: &Store, off_ns: i64) {
        let now = Reading::take();
        let own_anchor_ns = self.others[0].2;
        let ref_at = now.raw_ns + own_anchor_ns;
        let (region, ref_run) = (|| LowCardinality::constant("zz", 1), vec![7]);
        for (other, run, anchor_ns) in &self.others {
            let off = anchor_ns - own_anchor_ns;
            let link = RegionLinkRows {
                region: region(),
                peer: LowCardinality::constant(other, 1),
                ref_run: ref_run.clone(),
                peer_run: vec![*run],
                ref_at: vec![ref_at],
                off: vec![off],
                low: vec![off - MS],
                high: vec![off + MS],
                rate_ppb: vec![0],
                err_rate_ppb: vec![100],
                status: vec![ClockStatus::Synchronized],
            };
            store.insert(link.into_block().unwrap(), &format!("{other} {ref_at}")).await.unwrap();
        }
        let claim = RegionClaimRows {
            region: region(),
            ref_run,
            ref_at: vec![ref_at],
            utc_off: vec![now.wall_ns - ref_at + off_ns],
            bound_ns: vec![MS.unsigned_abs()],
        };
        store.insert(claim.into_block().unwrap(), &format!("claim {ref_at}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_whose_claim_of_utc_is_false_is_named_and_harms_no_other() {
    if !engine_is_here() || !chronyd::is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_daemon, chrony) = chronyd::that_claims(dir.path()).await;
    let chrony = chrony.to_string();
    let start = |region: &str, more: &[&str]| {
        let fixed = ["--region", region, "--listen", "127.0.0.1:0", "--chrony", &chrony, "--probe-interval", "50ms"];
        Program::start(dir.path(), &[&fixed[..], more].concat())
    };
    let root = start("us", &["--store-dir", dir.path().to_str().unwrap()]);
    let (url, state) = (engine_url(dir.path()), dir.path().join("eu"));
    let eu = start("eu", &["--clickhouse-url", &url, "--state-dir", state.to_str().unwrap(), "--root", &root.url()]);
    let store = store(dir.path()).await;
    let others = [("us", &root), ("eu", &eu)].map(|(region, program)| {
        let run = program.says("reference_run").trim_start_matches("0x");
        (region, u64::from_str_radix(run, 16).unwrap(), program.says("anchor_ns").parse().unwrap())
    });
    let made_up = MadeUp { others: others.to_vec() };
    let verdict = async |region: &str| {
        let newest =
            "SELECT toString(verdict), off_by_ns > 1000000000 FROM region_pairs WHERE peer = '(utc)' AND region = ";
        ask(&store, &format!("{newest} '{region}' ORDER BY created DESC LIMIT 1")).await
    };
    let is_named = async || {
        made_up.says(&store, 2_000 * MS).await;
        verdict("zz").await == "false\t1"
    };
    eventually("the false claim is named", is_named).await;
    assert_eq!((verdict("us").await.as_str(), verdict("eu").await.as_str()), ("consistent\t0", "consistent\t0"));
    assert_eq!(root.log().matches("what it says of the other cannot be true").count(), 1, "once");
}
