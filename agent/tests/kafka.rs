//! The way over Kafka, against brokers that take batches, refuse them, fail, or are not there: those of librdkafka itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake::eventually;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use syncline_agent::queue::{BatchId, Entry, Queue, SharedQueue};
use syncline_agent::uplink::{KafkaUplink, WINDOW};
use syncline_kafka::{DEFAULT_TOPIC, Settings};
use syncline_timebase::BootId;

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PARTITIONS: i32 = 3;

fn cluster() -> (Cluster, Settings) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(DEFAULT_TOPIC, PARTITIONS, 1).unwrap();
    let settings = settings(&cluster.bootstrap_servers(), DEFAULT_TOPIC);
    (cluster, settings)
}

fn settings(brokers: &str, topic: &str) -> Settings {
    let brokers: Vec<_> = brokers.split(',').map(|broker| broker.parse().unwrap()).collect();
    Settings::new(&brokers, topic.parse().unwrap(), Vec::new())
}

fn bytes_of(number: u64) -> Vec<u8> {
    format!("the bytes of batch {number}").into_bytes()
}

fn queue_of(numbers: std::ops::Range<u64>) -> Arc<SharedQueue> {
    let queue = SharedQueue::new(Queue::new(1 << 20));
    for number in numbers {
        let id = BatchId { boot: BootId(7), run_first_seq: 1, number };
        assert!(queue.change(|queue| queue.push(Entry::new(id, bytes_of(number).into(), 10))).is_empty());
    }
    Arc::new(queue)
}

fn uplink(settings: &Settings, queue: &Arc<SharedQueue>) -> KafkaUplink {
    KafkaUplink::new(settings.clone(), "eu".to_owned(), "n1".to_owned(), Arc::clone(queue))
}

async fn run_to_the_end(settings: &Settings, queue: &Arc<SharedQueue>) {
    queue.change(Queue::close);
    let run = uplink(settings, queue).run();
    tokio::time::timeout(Duration::from_secs(180), run).await.expect("the uplink did not finish");
}

/// A record's key and value.
type Record = (Vec<u8>, Vec<u8>);

/// What is in each partition that has something.
fn records(settings: &Settings) -> BTreeMap<i32, Vec<Record>> {
    let consumer: BaseConsumer = settings.consumer("reader").unwrap().create().unwrap();
    let (mut list, mut left) = (TopicPartitionList::new(), 0);
    for partition in 0..PARTITIONS {
        list.add_partition_offset(settings.topic(), partition, Offset::Beginning).unwrap();
        let (low, high) = consumer.fetch_watermarks(settings.topic(), partition, Duration::from_secs(10)).unwrap();
        left += high - low;
    }
    consumer.assign(&list).unwrap();
    let (mut records, deadline) = (BTreeMap::<_, Vec<_>>::new(), Instant::now() + Duration::from_secs(20));
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} records cannot be read");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let record = (message.key().unwrap().to_vec(), message.payload().unwrap().to_vec());
        records.entry(message.partition()).or_default().push(record);
        left -= 1;
    }
    records
}

/// The batches in the one partition in which they must all be, in their order, and how many came again.
fn arrived(settings: &Settings) -> (Vec<u64>, usize) {
    let records = records(settings);
    assert_eq!(records.len(), 1, "one node, one partition: {records:?}");
    let records = records.into_values().next().unwrap();
    assert!(records.iter().all(|(key, _)| key == b"eu/n1/0000000000000007"), "{records:?}");
    let (mut first, mut again) = (Vec::new(), 0);
    for (_, value) in records {
        let number = String::from_utf8_lossy(&value).rsplit_once(' ').unwrap().1.parse().unwrap();
        assert_eq!(value, bytes_of(number));
        if first.contains(&number) {
            again += 1;
        } else {
            first.push(number);
        }
    }
    (first, again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_arrive_once_in_order_in_one_partition_and_leave_the_queue() {
    let (_cluster, settings) = cluster();
    let queue = queue_of(1..101);
    run_to_the_end(&settings, &queue).await;
    assert_eq!(arrived(&settings), ((1..101).collect(), 0));
    let fate = queue.look(Queue::fate);
    assert_eq!((fate.stored_batches, fate.stored_waits, fate.waiting_waits), (100, 1_000, 0));
    assert_eq!(queue.look(Queue::connections), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fatal_error_a_new_producer_goes_on_in_order() {
    let (cluster, settings) = cluster();
    let lost_track = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[fenced, lost_track, fenced]);
    let queue = queue_of(1..41);
    run_to_the_end(&settings, &queue).await;
    let (first, _) = arrived(&settings);
    // Those that were on their way behind the first one may be there before it: a mock broker does not look at their sequence.
    let begin = first.iter().position(|number| *number == 1).unwrap();
    assert!(begin < WINDOW && first[begin..].is_sorted(), "{first:?}");
    assert_eq!(first.iter().sum::<u64>(), (1..41).sum::<u64>());
    assert_eq!(queue.look(Queue::fate).stored_batches, 40);
    assert!(queue.look(Queue::connections) >= 2, "{} producers", queue.look(Queue::connections));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_refused_and_counted_and_the_others_go_on() {
    let (cluster, settings) = cluster();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let queue = queue_of(1..21);
    run_to_the_end(&settings, &queue).await;
    let fate = queue.look(Queue::fate);
    assert_eq!((fate.stored_batches, fate.refused_batches, fate.refused_waits), (19, 1, 10));
    let refused = queue.take_refused();
    let (arrived, _) = arrived(&settings);
    assert_eq!((refused.len(), arrived.len()), (1, 19));
    assert!(!arrived.contains(&refused[0].number()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_away_get_everything_when_they_are_back() {
    let (cluster, settings) = cluster();
    let queue = queue_of(1..11);
    let uplink = uplink(&settings, &queue);
    let mut connected = uplink.connected();
    tokio::spawn(uplink.run());
    queue.until(|queue| queue.fate().stored_batches == 10).await;
    assert!(*connected.wait_for(|connected| *connected).await.unwrap());
    cluster.broker_down(1).unwrap();
    for number in 11..31 {
        let id = BatchId { boot: BootId(7), run_first_seq: 1, number };
        assert!(queue.change(|queue| queue.push(Entry::new(id, bytes_of(number).into(), 10))).is_empty());
    }
    assert_eq!(queue.look(Queue::fate).stored_batches, 10, "nobody is there");
    cluster.broker_up(1).unwrap();
    eventually("everything is stored", async || queue.look(Queue::fate).stored_batches == 30).await;
    assert_eq!(arrived(&settings).0, (1..31).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_brokers_and_a_wrong_topic_are_told_in_a_line_and_waited_for() {
    let (cluster, _) = cluster();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (brokers, topic, parts) in [
        (nobody.clone(), DEFAULT_TOPIC, [nobody.as_str(), "--kafka-brokers"]),
        (cluster.bootstrap_servers(), "misspelt", ["misspelt", "--kafka-topic"]),
    ] {
        let settings = settings(&brokers, topic);
        let uplink = uplink(&settings, &queue_of(1..3));
        let mut trouble = uplink.trouble();
        let running = tokio::spawn(uplink.run());
        let told = tokio::time::timeout(Duration::from_secs(20), trouble.wait_for(Option::is_some)).await;
        let told = told.expect("nothing is told").unwrap().clone().unwrap();
        assert!(parts.iter().all(|part| told.contains(part)) && !told.contains('\n'), "{told}");
        running.abort();
    }
}
