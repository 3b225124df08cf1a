//! Disruptions that an agent tells of because nothing else shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, engine_url, store};
use support::prometheus;
use support::truth::check;
use support::{engine_is_here, eventually};
use syncline_event::{Batch, ClockDisruption, DisruptionSign};
use syncline_sim::{NodeSettings, PathSettings};
use syncline_timebase::Span;

const SECOND: i64 = 1_000_000_000;
/// All clocks of the node stand still in this second, for so long: less than queues make of its path's delays.
const FROZEN: u64 = 200;
const FREEZE: (i64, i64) = (FROZEN as i64 * SECOND + 430_000_000, 100_000);
const WAITS: usize = 20;

/// Almost no delay there and some back, so that one end of a hard bound is close to the truth; with much queueing.
fn agent(seed: u64) -> SimulatedAgent {
    let path = PathSettings {
        forward_floor_ns: 5_000.0,
        backward_floor_ns: 2_000_000.0,
        queueing_ns: 200_000.0,
        loss: 0.0,
        ..PathSettings::lan()
    };
    SimulatedAgent::new("n1", "us", seed, NodeSettings { path, pauses: vec![FREEZE], ..NodeSettings::default() })
}

/// What an agent tells in the batch of that second that looked a tenth of a second before the freeze, and after it.
fn told(batch: &Batch) -> ClockDisruption {
    let [since, until] = [4, 5].map(|tick: usize| batch.knots[tick].mono);
    ClockDisruption { since, until, sign: DisruptionSign::Hypervisor }
}

fn start(dir: &std::path::Path, url: &str) -> Program {
    let state = dir.join("state");
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--clickhouse-url", url];
    Program::start(dir, &[&arguments[..], &["--state-dir", state.to_str().unwrap()]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_freeze_that_only_the_agent_tells_of_bounds_stay_true_across_a_kill_too() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Program::embedded(dir.path());
    let (url, store) = (engine_url(dir.path()), store(dir.path()).await);
    let mut agent = agent(3);
    let program = start(dir.path(), &url);
    let mut uplink = Uplink::to(&program).await;
    for _ in 1..FROZEN {
        uplink.deliver(&agent.next_batch(WAITS)).await;
    }
    let batch = agent.next_batch_without_probe(WAITS);
    assert_eq!(batch.number, FROZEN);
    uplink.store(&Batch { disruptions: vec![told(&batch)], ..batch }).await;
    let saved = format!("SELECT count() FROM clock_states WHERE batch = {FROZEN}");
    eventually("the model that was told is saved at once", async || ask(&store, &saved).await != "0").await;
    program.kill();

    let program = start(dir.path(), &url);
    let mut uplink = Uplink::to(&program).await;
    for _ in 0..30 {
        uplink.store(&agent.next_batch(WAITS)).await;
    }
    // A lie: of a time to come, and of long ago.
    let lie = agent.next_batch(WAITS);
    let [future, past] = [lie.sealed_at + Span::from_s(9), lie.sealed_at - Span::from_s(7_200)];
    let of = |at| ClockDisruption { since: at, until: at, sign: DisruptionSign::Hypervisor };
    uplink.store(&Batch { disruptions: vec![of(future), of(past)], ..lie }).await;
    let stored = check(&store, "events", &agent.truth).await;
    assert_eq!(stored.rows, (FROZEN as usize + 31) * WAITS);
    let rows = ask(&store, "SELECT node, boot, sign, mono_to - mono_from > 90000000 FROM clock_disruptions").await;
    assert_eq!(rows, format!("n1\t{}\thypervisor\t1", 0xb007));
    assert_eq!(ask(&store, "SELECT max(epoch) FROM events").await, "1", "a lie is no disruption");
    let metrics = prometheus::get(&format!("http://{}/metrics", program.says("metrics"))).unwrap();
    assert!(metrics.contains("syncline_aggregator_disruptions_refused_total 2"), "{metrics}");
    assert!(metrics.contains("syncline_aggregator_disruptions_told_total 0"), "the one before was told: {metrics}");
    drop(engine);
}
