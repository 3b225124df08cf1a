//! From a disruption of the clocks to a burst of probes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;
mod support;

use std::time::{Duration, Instant as Stopwatch};

use fake::{Answer, Fake, eventually};
use rustix::process::Signal;
use support::agent::Agent;
use support::go_program::{ANY, GoProgram};
use syncline_agent::clock::Clocks;
use syncline_event::Batch;
use syncline_timebase::{Instant, Mono, Span};

/// A start's burst.
const BURST: usize = 16;
const INTERVAL: Span = Span::from_s(2);
/// The agent takes a second without a knot for a disruption.
const STOPPED_FOR: Duration = Duration::from_millis(1_500);

fn batches(fake: &Fake) -> Vec<Batch> {
    fake.arrivals().iter().map(|arrival| syncline_proto::decode(&arrival.bytes).unwrap()).collect()
}

/// When the probes that arrived were sent.
fn sent(fake: &Fake) -> Vec<Instant<Mono>> {
    batches(fake).iter().flat_map(|batch| &batch.probes).map(|probe| probe.sent).collect()
}

/// Half of the pauses between these are no longer.
fn usual_pause(sent: &[Instant<Mono>]) -> Span {
    let mut pauses: Vec<Span> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    pauses.sort_unstable();
    pauses[pauses.len() / 2]
}

/// When the agent goes on after it was stopped for long enough.
async fn stopped(agent: &Agent, meanwhile: impl FnOnce()) -> Instant<Mono> {
    agent.signal(Signal::STOP);
    let stopped = Stopwatch::now();
    meanwhile();
    eventually("it was stopped for long enough", async || stopped.elapsed() >= STOPPED_FOR).await;
    let resumed = Clocks::default().mono();
    agent.signal(Signal::CONT);
    resumed
}

async fn burst_since(fake: &Fake, resumed: Instant<Mono>) {
    let sent_since = || sent(fake).into_iter().filter(|sent| *sent > resumed).collect::<Vec<_>>();
    eventually("a burst", async || sent_since().len() >= BURST).await;
    assert!(usual_pause(&sent_since()[..BURST]).ns() < INTERVAL.ns() / 4, "{:?}", sent_since());
}

/// It is stopped, so that no knot is read for a while, but the clocks go on: nothing but the knots tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_stopped_probes_fast_at_once_and_holds_what_it_has_until_then() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let mut program = GoProgram::start(&ANY.program("waits"), &["scenarios"]);
    let mut agent = Agent::start(&fake.url(), program.pid(), &["--probe-interval", "2s"]);
    agent.wait_until_ready();
    eventually("the burst of the start is over", async || sent(&fake).len() >= BURST + 2).await;
    assert!(usual_pause(&sent(&fake)[BURST - 1..]).ns() > INTERVAL.ns() / 2);

    let mut reported = 0;
    let resumed = stopped(&agent, || {
        program.go();
        reported = program.events_until_done().len();
    })
    .await;
    burst_since(&fake, resumed).await;
    let again = stopped(&agent, || ()).await;
    assert!(again - resumed < Span::from_s(10), "this machine is too slow to say anything of a second one soon after");
    burst_since(&fake, again).await;
    let waits = || batches(&fake).iter().map(|batch| batch.waits.len()).sum::<usize>();
    eventually("as many waits as the program reports", async || waits() >= reported).await;
    assert!(program.finish().success());
    held_until_an_exchange_that_began_behind_them(&batches(&fake));
    agent.terminate();
}

fn held_until_an_exchange_that_began_behind_them(batches: &[Batch]) {
    for batch in batches.iter().filter(|batch| !batch.waits.is_empty()) {
        let sent = batch.probes.last().expect("waits went without a probe").sent;
        assert!((0..batch.waits.len()).all(|row| batch.waits.end(row) < sent));
    }
}
