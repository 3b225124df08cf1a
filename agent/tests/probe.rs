//! The prober against a clock service whose reference the test knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::{Answer, Fake, eventually};
use syncline_agent::clock::Clocks;
use syncline_agent::probe::{ProbeEvent, ProberConfig, Schedule, spawn};
use syncline_timebase::{Instant, Mono, Reference};
use tokio::sync::watch;

struct Probing {
    events: Arc<Mutex<Vec<ProbeEvent>>>,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl Probing {
    fn start(fake: &Fake) -> Self {
        let config = ProberConfig {
            aggregator: fake.aggregator(),
            region: "eu".to_owned(),
            schedule: Schedule::every(Duration::from_millis(20)),
        };
        let events = Arc::<Mutex<Vec<ProbeEvent>>>::default();
        let (stop, stopped) = watch::channel(false);
        let sink = Arc::clone(&events);
        let sink = move |event| sink.lock().unwrap().push(event);
        Self { events, stop, thread: spawn(config, Clocks::default(), stopped, sink).unwrap() }
    }

    fn events(&self) -> Vec<ProbeEvent> {
        self.events.lock().unwrap().clone()
    }

    fn finished(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, ProbeEvent::Finished { .. })).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offset_of_the_reference_lies_between_the_four_stamps() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let offset_ns = 123_456_789_012;
    fake.reference.offset_ns.store(offset_ns, Ordering::SeqCst);
    let probing = Probing::start(&fake);
    eventually("ten probes finish", || probing.finished() >= 10).await;
    for event in probing.events() {
        let ProbeEvent::Finished { probe, run, knots: [before, after] } = event else { panic!("{event:?}") };
        // Node and reference share a clock here, so causality gives hard bounds without any tolerance.
        let arrival: Instant<Reference> = probe.received;
        let there = |mono: Instant<Mono>| mono.ns() + offset_ns;
        assert!(there(probe.sent) <= arrival.ns(), "{probe:?}");
        assert!(probe.replied.ns() <= there(probe.returned), "{probe:?}");
        assert!(before.mono <= probe.sent && probe.returned <= after.mono, "{before:?} {probe:?} {after:?}");
        assert_eq!(run, 1);
    }
    probing.stop.send_replace(true);
    eventually("the thread ends", || probing.thread.is_finished()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_run_of_the_reference_is_told_before_its_first_probe() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let probing = Probing::start(&fake);
    eventually("a probe finishes", || probing.finished() >= 1).await;
    fake.reference.run.store(2, Ordering::SeqCst);
    let is_second = |event: &ProbeEvent| matches!(event, ProbeEvent::Finished { run: 2, .. });
    eventually("a probe against the second run", || probing.events().iter().any(is_second)).await;
    let events = probing.events();
    let first = events.iter().position(is_second).unwrap();
    assert!(matches!(&events[first - 1], ProbeEvent::ReferenceChanged { now } if now.run == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_of_another_region_is_not_believed() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    "us".clone_into(&mut fake.reference.region.lock().unwrap());
    let probing = Probing::start(&fake);
    eventually("it is told", || !probing.events().is_empty()).await;
    let told = ProbeEvent::WrongRegion { theirs: "us".to_owned() };
    assert!(probing.events().iter().all(|event| *event == told));
}
