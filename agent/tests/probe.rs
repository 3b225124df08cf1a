//! The prober against a clock service whose reference the test knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fake::{Answer, Fake, eventually};
use syncline_agent::clock::Clocks;
use syncline_agent::probe::{Heard, ProbeListener, UsableProbe};
use syncline_event::ProbePath;
use syncline_exchange::Pacing;
use syncline_probe::{Hints, ProberConfig, spawn};
use syncline_timebase::{Instant, Mono, Reference, Span};
use tokio::sync::watch;
use tonic::transport::Endpoint;

struct Probing {
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: watch::Sender<bool>,
    whom: watch::Sender<Endpoint>,
    hints: watch::Sender<Hints>,
    thread: std::thread::JoinHandle<()>,
}

impl Probing {
    fn start(fake: &Fake) -> Self {
        Self::start_at(fake, Pacing::every(Span::from_ms(20)))
    }

    fn start_at(fake: &Fake, pacing: Pacing) -> Self {
        let whom = watch::Sender::new(fake.aggregator().endpoint().clone());
        let config = ProberConfig { name: "n1".to_owned(), endpoint: whom.subscribe(), pacing, udp: true };
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (stop, stopped) = watch::channel(false);
        let (hints, hint) = watch::channel(Hints::default());
        let mut listener = ProbeListener::new("eu".to_owned(), whom.subscribe());
        let sink = Arc::clone(&heard);
        let sink = move |event| sink.lock().unwrap().push(listener.hear(event));
        Self { heard, stop, whom, hints, thread: spawn(config, Clocks::default(), hint, stopped, sink).unwrap() }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn usable(&self) -> Vec<UsableProbe> {
        let usable = |heard| if let Heard::Usable(probe) = heard { Some(probe) } else { None };
        self.heard().into_iter().filter_map(usable).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offset_of_the_reference_lies_between_the_four_stamps() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let offset_ns = 123_456_789_012;
    fake.reference.offset_ns.store(offset_ns, Ordering::SeqCst);
    let probing = Probing::start(&fake);
    eventually("ten probes finish", async || probing.usable().len() >= 10).await;
    for UsableProbe { probe, path, run, knots } in probing.usable() {
        // Node and reference share a clock here, so causality gives hard bounds without any tolerance.
        let arrival: Instant<Reference> = probe.received;
        let there = |mono: Instant<Mono>| mono.ns() + offset_ns;
        assert!(there(probe.sent) <= arrival.ns(), "{probe:?}");
        assert!(probe.replied.ns() <= there(probe.returned), "{probe:?}");
        let [before, after] = knots.unwrap();
        assert!(before.mono <= probe.sent && probe.returned <= after.mono, "{before:?} {probe:?} {after:?}");
        assert_eq!((path, run), (ProbePath::Grpc, 1), "the fake has no UDP");
    }
    probing.stop.send_replace(true);
    eventually("the thread ends", async || probing.thread.is_finished()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_says_against_which_run_of_the_reference_it_was_made() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let probing = Probing::start(&fake);
    eventually("a probe finishes", async || !probing.usable().is_empty()).await;
    fake.reference.run.store(2, Ordering::SeqCst);
    eventually("a probe against the second run", async || probing.usable().iter().any(|probe| probe.run == 2)).await;
    let runs: Vec<u64> = probing.usable().iter().map(|probe| probe.run).collect();
    assert!(runs.is_sorted() && runs[0] == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_of_another_region_is_not_believed() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    "us".clone_into(&mut fake.reference.region.lock().unwrap());
    let probing = Probing::start(&fake);
    eventually("it is told", async || !probing.heard().is_empty()).await;
    let told = Heard::WrongRegion { aggregator: fake.url(), theirs: "us".to_owned() };
    assert!(probing.heard().iter().all(|heard| *heard == told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_go_to_another_aggregator_as_soon_as_that_is_in_use() {
    let (first, second) = (Fake::start(|_, _| Answer::Store).await, Fake::start(|_, _| Answer::Store).await);
    second.reference.run.store(2, Ordering::SeqCst);
    let probing = Probing::start(&first);
    eventually("a probe finishes", async || !probing.usable().is_empty()).await;
    probing.whom.send_replace(second.aggregator().endpoint().clone());
    eventually("a probe of the second", async || probing.usable().iter().any(|probe| probe.run == 2)).await;
    let runs: Vec<u64> = probing.usable().iter().map(|probe| probe.run).collect();
    assert!(runs.is_sorted(), "none of the first afterwards: {runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_aggregator_is_probed_as_fast_as_the_first_was_at_the_start() {
    let (first, second) = (Fake::start(|_, _| Answer::Store).await, Fake::start(|_, _| Answer::Store).await);
    second.reference.run.store(2, Ordering::SeqCst);
    // After those of a start the next probe comes when this test is long over.
    let probing = Probing::start_at(&first, Pacing::every(Span::from_s(3_600)));
    let of_run = |run| probing.usable().iter().filter(|probe| probe.run == run).count();
    eventually("the probes of a start", async || of_run(1) >= 16).await;
    probing.whom.send_replace(second.aggregator().endpoint().clone());
    eventually("as many of the second", async || of_run(2) >= 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_notices_that_the_clocks_jumped_has_them_probed_as_fast_as_at_a_start() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let probing = Probing::start_at(&fake, Pacing::every(Span::from_s(3_600)));
    eventually("the probes of a start", async || probing.usable().len() >= 16).await;
    probing.hints.send_modify(|hints| hints.disruptions += 1);
    eventually("as many again, though the next one was due in an hour", async || probing.usable().len() >= 32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_shows_a_step_is_followed_by_a_burst() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let slow = Span::from_ms(300);
    let probing = Probing::start_at(&fake, Pacing { interval: slow, fast: (Span::from_ms(10), 16), idle: slow });
    eventually("the probes of a start, and one more", async || probing.usable().len() > 16).await;
    let step_ns = 5_000_000_000;
    fake.reference.offset_ns.fetch_add(step_ns, Ordering::SeqCst);
    let stepped = || {
        let is_behind = |probe: &UsableProbe| probe.probe.sent.offset_to(probe.probe.received).ns() >= step_ns;
        probing.usable().into_iter().filter(is_behind).map(|probe| probe.probe.sent).collect::<Vec<_>>()
    };
    eventually("a burst", async || stepped().len() > 16).await;
    let mut pauses: Vec<Span> = stepped()[..17].windows(2).map(|pair| pair[1] - pair[0]).collect();
    pauses.sort_unstable();
    assert!(pauses[8].ns() < slow.ns() / 2, "{pauses:?}");
}
