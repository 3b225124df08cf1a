//! The uplink against an aggregator that acknowledges, refuses, breaks off, or is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake::{Answer, Arrival, Fake, eventually};
use syncline_agent::asking::{Answer as Told, Asking};
use syncline_agent::batch::Question;
use syncline_agent::endpoint::Aggregator;
use syncline_agent::queue::{BatchId, Entry, Queue, SharedQueue};
use syncline_agent::uplink::{Uplink, WINDOW};
use syncline_event::StackId;
use syncline_timebase::BootId;
use tokio::net::TcpListener;
use tonic::Code;

fn queue_of(numbers: std::ops::Range<u64>) -> Arc<SharedQueue> {
    let queue = SharedQueue::new(Queue::new(1 << 20));
    for number in numbers {
        let bytes = format!("the bytes of batch {number}").into_bytes().into();
        let id = BatchId { boot: BootId(1), run_first_seq: 1, number };
        let entry = Entry::new(id, bytes, 10);
        assert!(queue.change(|queue| queue.push(entry)).is_empty());
    }
    Arc::new(queue)
}

async fn run_to_the_end(aggregator: Aggregator, queue: &Arc<SharedQueue>) {
    queue.change(Queue::close);
    let run = Uplink::new(aggregator.into(), Arc::clone(queue)).run();
    tokio::time::timeout(Duration::from_secs(20), run).await.expect("the uplink did not finish");
}

fn numbers(arrivals: &[Arrival], connection: usize) -> Vec<u64> {
    arrivals.iter().filter(|arrival| arrival.connection == connection).map(|arrival| arrival.number).collect()
}

#[tokio::test]
async fn batches_arrive_in_order_and_leave_the_queue_when_stored() {
    let fake = Fake::start(|_, _| Answer::Store).await;
    let queue = queue_of(1..101);
    run_to_the_end(fake.aggregator(), &queue).await;
    assert_eq!(numbers(&fake.arrivals(), 1), (1..101).collect::<Vec<_>>());
    let fate = queue.look(Queue::fate);
    assert_eq!((fate.stored_batches, fate.stored_waits, fate.waiting_waits), (100, 1_000, 0));
}

#[tokio::test]
async fn after_a_cut_the_identical_bytes_go_again_from_the_oldest_unacknowledged() {
    let fake = Fake::start(|connection, number| match (connection, number) {
        (1, 1..=3) => Answer::Store,
        (1, 8) => Answer::Cut,
        (1, _) => Answer::KeepSilent,
        _ => Answer::Store,
    })
    .await;
    let queue = queue_of(1..13);
    run_to_the_end(fake.aggregator(), &queue).await;
    let arrivals = fake.arrivals();
    assert_eq!(numbers(&arrivals, 2), (4..13).collect::<Vec<_>>());
    for again in arrivals.iter().filter(|arrival| arrival.connection == 2) {
        let expected = format!("the bytes of batch {}", again.number);
        assert_eq!(again.bytes, expected.as_bytes());
    }
    assert_eq!(queue.look(Queue::fate).stored_batches, 12);
    assert_eq!(queue.look(Queue::connections), 2);
}

#[tokio::test]
async fn a_refused_batch_is_counted_and_not_sent_again() {
    let fake = Fake::start(|_, number| if number == 2 { Answer::Refuse } else { Answer::Store }).await;
    let queue = queue_of(1..4);
    run_to_the_end(fake.aggregator(), &queue).await;
    assert_eq!(numbers(&fake.arrivals(), 1), [1, 2, 3]);
    let fate = queue.look(Queue::fate);
    assert_eq!((fate.stored_waits, fate.refused_batches, fate.refused_waits), (20, 1, 10));
    assert_eq!(queue.take_refused().len(), 1);
}

#[tokio::test]
async fn no_more_than_a_window_is_on_its_way() {
    let open = Arc::new(AtomicBool::new(false));
    let policy = Arc::clone(&open);
    let fake =
        Fake::start(move |_, _| if policy.load(Ordering::SeqCst) { Answer::Store } else { Answer::KeepSilent }).await;
    let queue = queue_of(1..41);
    let uplink = tokio::spawn(Uplink::new(fake.aggregator().into(), Arc::clone(&queue)).run());
    eventually("a window has arrived", async || fake.arrivals().len() >= WINDOW).await;
    // Give it every chance to send too much: a change of the queue wakes it.
    for _ in 0..10 {
        queue.change(|_| ());
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.arrivals().len(), WINDOW);
    uplink.abort();
}

#[tokio::test]
async fn an_aggregator_that_starts_late_gets_everything() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    let queue = queue_of(1..4);
    let uplink = Uplink::new(format!("http://{address}").parse::<Aggregator>().unwrap().into(), Arc::clone(&queue));
    let connected = uplink.connected();
    tokio::spawn(uplink.run());
    // It tries, and is hung up on.
    drop(nobody.accept().await.unwrap());
    drop(nobody);
    assert!(!*connected.borrow());
    let fake = Fake::serve(TcpListener::bind(address).await.unwrap(), |_, _| Answer::Store);
    eventually("everything is stored", async || queue.look(Queue::fate).stored_batches == 3).await;
    assert!(*connected.borrow());
    assert_eq!(fake.arrivals().len(), 3);
}

/// The answer of the present connection; asked for again, as the batcher does, where that of another has gone.
async fn told(asking: &Asking, queue: &SharedQueue, stacks: &[u64]) -> Told {
    let mut answer = None;
    eventually("an answer", async || {
        answer = asking.take(queue.look(Queue::connections));
        if answer.is_none() && asking.is_idle() {
            asking.ask(Question { stacks: stacks.iter().copied().map(StackId).collect(), again: 0 });
        }
        answer.is_some()
    })
    .await;
    answer.unwrap().1
}

#[tokio::test]
async fn questions_are_answered_beside_the_batches_also_after_a_cut() {
    let fake = Fake::start(|connection, _| if connection == 1 { Answer::Cut } else { Answer::Store }).await;
    *fake.stacks.lock().unwrap() = Ok([5, 9].into());
    let (queue, asking) = (queue_of(1..2), Arc::<Asking>::default());
    let uplink = Uplink::new(fake.aggregator().into(), Arc::clone(&queue)).asking(Arc::clone(&asking));
    let running = tokio::spawn(uplink.run());
    for _ in 0..2 {
        let Told::Known(reply) = told(&asking, &queue, &[5, 6, 9]).await else { panic!("it can be asked") };
        assert_eq!([0, 1, 2].map(|place| reply.says(place)), [true, false, true]);
        queue.until(|queue| queue.fate().stored_batches == 1).await;
    }
    for code in [Code::Unimplemented, Code::PermissionDenied] {
        *fake.stacks.lock().unwrap() = Err(code);
        assert_eq!(told(&asking, &queue, &[5]).await, Told::CannotTell, "{code:?}: an older version, or a proxy");
    }
    running.abort();
}
