//! What nodes say of their wall clocks, beside a real chronyd that says what UTC is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, store};
use support::{chronyd, engine_is_here, eventually};
use syncline_event::{ClaimSource, ClockClaim};
use syncline_sim::NodeSettings;
use syncline_timebase::Span;

const SECOND: i64 = 1_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_contradicts_the_probes_is_reported_with_both_numbers() {
    if !engine_is_here() || !chronyd::is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_daemon, chrony) = chronyd::that_claims(dir.path()).await;
    let (store_dir, chrony) = (dir.path().join("store"), chrony.to_string());
    std::fs::create_dir(&store_dir).unwrap();
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--chrony", &chrony, "--store-dir"];
    let program = Program::start(&store_dir, &[&arguments[..], &[store_dir.to_str().unwrap()]].concat());
    let store = store(&store_dir).await;
    let mut agent = SimulatedAgent::new("n1", "us", 11, NodeSettings::default());
    // What is known of UTC is of the aggregator's own reference.
    agent.change_reference(program.reference_run(), Span::ZERO);
    let mut uplink = Uplink::to(&program).await;
    for _ in 0..3 {
        uplink.store(&agent.next_batch(1)).await;
    }
    // UTC is the reference here, as far as chronyd claims; the node's wall clock is off by what the simulation made it.
    let mut claims = async |off_ns: i64, said: bool| {
        let mut batch = agent.next_batch(1);
        let true_ns = -agent.wall_minus_reference_ns();
        let utc_minus_wall_ns = said.then_some((true_ns + off_ns, 100_000_000));
        batch.claims = vec![ClockClaim { source: ClaimSource::Chrony, at: batch.sealed_at, utc_minus_wall_ns }];
        uplink.store(&batch).await;
    };
    // The aggregator may not have asked its chronyd yet.
    let last = async || ask(&store, "SELECT verdict FROM clock_claims ORDER BY mono_ns DESC LIMIT 1").await;
    let agrees = async || {
        claims(0, true).await;
        let verdict = last().await;
        assert!(["consistent", "unknown"].contains(&verdict.as_str()), "a true claim is {verdict}");
        verdict == "consistent"
    };
    eventually("a true claim is consistent", agrees).await;
    claims(2 * SECOND, true).await;
    let row = ask(
        &store,
        "SELECT verdict, claimed_low_ns > measured_high_ns, claimed_high_ns - claimed_low_ns >= 200000000, source, synchronized FROM clock_claims ORDER BY mono_ns DESC LIMIT 1",
    )
    .await;
    assert_eq!(row, "contradicted\t1\t1\tchrony\t1");
    claims(2 * SECOND, true).await;
    claims(0, false).await;
    assert_eq!(last().await, "unknown");
    let told = program.log().matches("what the node says of its wall clock is false").count();
    assert_eq!(told, 1, "once, and with both numbers");
    assert!(program.log().contains("claimed_ns=(") && program.log().contains("measured_ns=("));
}
