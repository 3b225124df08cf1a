//! A node with several aggregators: which one gets its batches, and what happens when that one is away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fake::{Answer, Stoppable, eventually};
use syncline_agent::queue::{BatchId, Entry, Queue, SharedQueue};
use syncline_agent::uplink::{Ranking, Switching, Uplink};
use syncline_timebase::BootId;
use tokio::sync::watch;
use tonic::transport::Endpoint;

/// As in life, but not as slow.
const SOON: Switching = Switching {
    after_failing: Duration::from_millis(300),
    after_answering: Duration::from_millis(300),
    ask_every: Duration::from_millis(50),
};
/// Batches up to this one are taken at once, later ones when the test says so.
const TAKEN_AT_ONCE: u64 = 3;

/// Two aggregators, the node's preferred one first, and an uplink to them.
struct Region {
    preferred: Option<Stoppable>,
    other: Stoppable,
    /// Whether all batches are taken.
    open: Arc<AtomicBool>,
    queue: Arc<SharedQueue>,
    in_use: watch::Receiver<Endpoint>,
    uplink: tokio::task::JoinHandle<()>,
}

impl Region {
    async fn start(prepare: impl FnOnce(&Stoppable)) -> Self {
        let open = Arc::<AtomicBool>::default();
        let policy = || {
            let open = Arc::clone(&open);
            move |_, number| match open.load(Ordering::SeqCst) {
                false if number > TAKEN_AT_ONCE => Answer::KeepSilent,
                _ => Answer::Store,
            }
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let [one, two] = [Stoppable::start(any, policy()).await, Stoppable::start(any, policy()).await];
        let ranking = Ranking::of("n1", vec![one.fake.aggregator(), two.fake.aggregator()]).unwrap();
        let is_one = ranking.at(0).to_string() == one.fake.url();
        let (preferred, other) = if is_one { (one, two) } else { (two, one) };
        prepare(&preferred);
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        let uplink = Uplink::new(ranking, Arc::clone(&queue)).of_region("eu".to_owned()).switching(SOON);
        let in_use = uplink.in_use();
        let uplink = tokio::spawn(uplink.run());
        Self { preferred: Some(preferred), other, open, queue, in_use, uplink }
    }

    fn push(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let entry = entry(number);
            assert!(self.queue.change(|queue| queue.push(entry)).is_empty());
        }
    }

    fn stored(&self) -> u64 {
        self.queue.look(Queue::fate).stored_batches
    }

    fn uses(&self, url: &str) -> bool {
        self.in_use.borrow().uri().to_string().trim_end_matches('/') == url
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.uplink.abort();
    }
}

fn entry(number: u64) -> Entry {
    Entry::new(BatchId { boot: BootId(1), run_first_seq: 1, number }, bytes(number).into(), 10)
}

fn bytes(number: u64) -> Vec<u8> {
    format!("the bytes of batch {number}").into_bytes()
}

fn numbers(aggregator: &Stoppable) -> Vec<u64> {
    aggregator.fake.arrivals().iter().map(|arrival| arrival.number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_preferred_one_stops_the_other_gets_the_rest_and_it_gets_it_back() {
    let mut region = Region::start(|_| ()).await;
    region.push(1..13);
    let preferred = region.preferred.take().unwrap();
    eventually("all have arrived, and three are stored", async || {
        numbers(&preferred).len() == 12 && region.stored() == 3
    })
    .await;
    assert!(region.uses(&preferred.fake.url()) && numbers(&region.other).is_empty());

    let address = preferred.fake.address;
    drop(preferred);
    region.open.store(true, Ordering::SeqCst);
    eventually("all are stored", async || region.stored() == 12).await;
    assert_eq!(numbers(&region.other), (4..13).collect::<Vec<_>>(), "what was acknowledged does not come again");
    assert!(region.other.fake.arrivals().iter().all(|arrival| arrival.bytes == bytes(arrival.number)));
    assert!(region.uses(&region.other.fake.url()));

    let back = Stoppable::start(address, |_, _| Answer::Store).await;
    eventually("it is in use again", async || region.uses(&back.fake.url())).await;
    region.push(13..20);
    eventually("all are stored", async || region.stored() == 19).await;
    assert_eq!(numbers(&back), (13..20).collect::<Vec<_>>());
    assert_eq!(numbers(&region.other).len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_of_another_region_gets_no_batch() {
    let of_us = |preferred: &Stoppable| "us".clone_into(&mut preferred.fake.reference.region.lock().unwrap());
    let region = Region::start(of_us).await;
    region.push(1..4);
    eventually("all are stored", async || region.stored() == 3).await;
    assert!(numbers(region.preferred.as_ref().unwrap()).is_empty());
    assert_eq!(numbers(&region.other), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_connections_and_no_batches_is_left() {
    let (any, cutting) = ("127.0.0.1:0".parse().unwrap(), Arc::new(Mutex::new(None)));
    let start = async || {
        let (own, cutting) = (Arc::new(OnceLock::new()), Arc::clone(&cutting));
        let url = Arc::clone(&own);
        let policy = move |_, _| match *cutting.lock().unwrap() == url.get().cloned() {
            true => Answer::Cut,
            false => Answer::Store,
        };
        let started = Stoppable::start(any, policy).await;
        own.set(started.fake.url()).unwrap();
        started
    };
    let [one, two] = [start().await, start().await];
    let ranking = Ranking::of("n1", vec![one.fake.aggregator(), two.fake.aggregator()]).unwrap();
    *cutting.lock().unwrap() = Some(ranking.at(0).to_string());
    let other = if ranking.at(0).to_string() == one.fake.url() { two } else { one };
    let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
    let uplink = Uplink::new(ranking, Arc::clone(&queue)).of_region("eu".to_owned()).switching(SOON);
    let uplink = tokio::spawn(uplink.run());
    let entry = entry(1);
    assert!(queue.change(|queue| queue.push(entry)).is_empty());
    eventually("it is stored by the other", async || queue.look(Queue::fate).stored_batches == 1).await;
    assert_eq!(numbers(&other), [1]);
    uplink.abort();
}
