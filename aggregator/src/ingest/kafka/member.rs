//! The thread that is a member of the group: it polls, commits what is done and what is begun, and begins it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use syncline_kafka::Settings;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::chunk::{Begun, Storing};
use super::context::{Change, Context};
use super::intent::Intent;
use super::lease::Lease;
use super::order::Order;
use super::partition::{Chunk, Partition, Record};
use super::status::Status;
use crate::stopping::{Stop, Stopping, stop};

/// How long a poll waits: what was stored meanwhile is committed after it.
const POLL: Duration = Duration::from_millis(20);
/// Records taken before anything else has its turn.
const MOST_AT_ONCE: usize = 1_000;
/// How long the group's coordinator may take to tell what is committed, and how often it is asked.
const COMMITTED_WITHIN: Duration = Duration::from_secs(10);
const COMMITTED_TRIES: usize = 3;
/// Pause after a commit that was not taken.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);
/// Pause before another consumer takes the place of one that failed for good.
const AFTER_FATAL: Duration = Duration::from_secs(1);
/// How long chunks under way may take once we stop; what is left is begun again by whoever comes.
const GRACE: Duration = Duration::from_secs(5);

/// The membership of a running aggregator.
#[derive(Debug)]
pub struct Membership {
    status: Arc<Status>,
    ended: oneshot::Receiver<()>,
}

impl Membership {
    /// How it stands.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Waits until the group was left, which it is when all stops.
    pub async fn ended(&mut self) {
        // The thread is gone either way.
        let _ = (&mut self.ended).await;
    }
}

/// A partition that is ours.
struct Owned {
    partition: Partition,
    order: Arc<Mutex<Order>>,
    /// Tells its chunk when it is not ours any more.
    stop: Stop,
    stopping: Stopping,
    /// Which taking over this is: a chunk that ends late is of none.
    taken: u64,
}

/// How a chunk ended.
struct Ended {
    partition: i32,
    taken: u64,
    is_done: bool,
}

pub(super) struct Member {
    config: ClientConfig,
    topic: String,
    storing: Arc<Storing>,
    runtime: Handle,
    stopping: Stopping,
    lease: Arc<Lease>,
    status: Arc<Status>,
    owned: BTreeMap<i32, Owned>,
    taken: u64,
    told: Sender<Ended>,
    ended: Receiver<Ended>,
    /// No commit before.
    quiet_until: Instant,
    is_trouble_told: bool,
}

impl Member {
    pub(super) fn join(
        settings: &Settings,
        group: &str,
        storing: Arc<Storing>,
        stopping: Stopping,
    ) -> anyhow::Result<Membership> {
        let (told, ended) = channel();
        let status = Arc::<Status>::default();
        let mut member = Self {
            config: settings.consumer(group)?,
            topic: settings.topic().to_owned(),
            storing,
            runtime: Handle::current(),
            stopping,
            lease: Arc::new(Lease::new(settings.session(), Instant::now())),
            status: Arc::clone(&status),
            owned: BTreeMap::new(),
            taken: 0,
            told,
            ended,
            quiet_until: Instant::now(),
            is_trouble_told: false,
        };
        let consumer = member.consumer()?;
        let (done, ended) = oneshot::channel();
        let work = move || {
            member.run(consumer);
            // Nobody may be waiting.
            let _ = done.send(());
        };
        thread::Builder::new().name("kafka".to_owned()).spawn(work).context("cannot start the thread of Kafka")?;
        Ok(Membership { status, ended })
    }

    fn consumer(&self) -> anyhow::Result<BaseConsumer<Context>> {
        let context = Context::new(&self.topic, Arc::clone(&self.status));
        let consumer: BaseConsumer<Context> =
            self.config.create_with_context(context).context("librdkafka makes no consumer")?;
        consumer.subscribe(&[&self.topic]).context("librdkafka does not subscribe")?;
        Ok(consumer)
    }

    fn run(&mut self, first: BaseConsumer<Context>) {
        let mut next = Some(first);
        while !self.stopping.is_wanted() {
            let consumer = match next.take().map_or_else(|| self.consumer(), Ok) {
                Ok(consumer) => consumer,
                Err(error) => {
                    tracing::error!("{error:#}; trying again");
                    thread::sleep(AFTER_FATAL);
                    continue;
                }
            };
            let ended = self.take_part(&consumer);
            // What is under way is told to end, and what it comes to does not count.
            self.owned.clear();
            self.status.set_partitions(0);
            consumer.unsubscribe();
            if let Err(error) = ended {
                tracing::error!(%error, "the Kafka consumer failed for good: another one takes its place");
                thread::sleep(AFTER_FATAL);
            }
        }
    }

    /// Until all stops, or the consumer fails for good.
    fn take_part(&mut self, consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
        while !self.stopping.is_wanted() {
            self.turn(consumer, true)?;
        }
        let until = Instant::now() + GRACE;
        while self.is_busy() && Instant::now() < until {
            self.turn(consumer, false)?;
        }
        self.turn(consumer, false)
    }

    fn is_busy(&self) -> bool {
        self.owned.values().any(|owned| owned.partition.is_busy())
    }

    fn turn(&mut self, consumer: &BaseConsumer<Context>, begins: bool) -> KafkaResult<()> {
        self.poll(consumer)?;
        self.keep_lease();
        self.follow_changes(consumer);
        self.take_ended();
        self.commit(consumer, begins);
        self.pause(consumer);
        self.status.set_chunks(self.owned.values().filter(|owned| owned.partition.is_busy()).count());
        Ok(())
    }

    /// Before what has ended is taken: that chunks under way were given up is seen there, and not why.
    fn keep_lease(&mut self) {
        let now = Instant::now();
        if !self.lease.is_held(now) && self.is_busy() {
            tracing::warn!(
                "this process stood still, or waited for Kafka, for too long: what was under way is begun again, if it still may be"
            );
            self.owned.values_mut().for_each(Owned::recall);
        }
        // Only then: who looks in between must not take the new lease for its own.
        self.lease.renew(now);
    }

    /// Takes what there is. Ends at a change of our partitions, which comes before what is fetched after it, and where a partition has enough,
    /// so that it is paused before it has more.
    fn poll(&mut self, consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
        let mut wait = POLL;
        for _ in 0..MOST_AT_ONCE {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    if self.take(&message) {
                        break;
                    }
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => self.tell(&error),
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Takes a record; whether its partition has enough then.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> bool {
        self.is_trouble_told = false;
        let (number, offset) = (message.partition(), message.offset());
        let Some(owned) = self.owned.get_mut(&number) else { return false };
        if owned.partition.is_stored(offset) {
            tracing::warn!(
                partition = number,
                offset,
                "Kafka gives records from before what is stored (its log was cut back, or the topic made anew): going on there; what is in the store is passed over"
            );
            self.taken += 1;
            *owned = Owned::new(Some(Intent { from: offset, to: None }), self.taken);
        }
        owned.partition.fetched(Record {
            offset,
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
        });
        owned.partition.has_enough()
    }

    /// Once, until a record comes again.
    fn tell(&mut self, error: &KafkaError) {
        if !std::mem::replace(&mut self.is_trouble_told, true) {
            tracing::warn!(%error, topic = self.topic, "Kafka gives no records; trying again");
        }
    }

    fn follow_changes(&mut self, consumer: &BaseConsumer<Context>) {
        for change in consumer.context().take_changes() {
            match change {
                Change::Revoked(partitions) => {
                    tracing::info!(?partitions, "partitions are not ours any more");
                    partitions.iter().for_each(|partition| drop(self.owned.remove(partition)));
                }
                Change::Assigned(partitions) => self.take_over(consumer, &partitions),
            }
            self.status.set_partitions(self.owned.len());
        }
    }

    fn take_over(&mut self, consumer: &BaseConsumer<Context>, partitions: &[i32]) {
        let Some(committed) = self.committed(consumer, partitions) else {
            tracing::warn!("Kafka does not tell how far the group has come: joining it anew");
            consumer.unsubscribe();
            if let Err(error) = consumer.subscribe(&[&self.topic]) {
                tracing::error!(%error, "librdkafka does not subscribe");
            }
            return;
        };
        tracing::info!(?committed, "partitions are ours: partition, offset, and the end of what was begun");
        for (partition, intent) in committed {
            self.taken += 1;
            self.owned.insert(partition, Owned::new(intent, self.taken));
        }
        // One that was paused when it was ours before.
        if let Err(error) = consumer.resume(&self.list(partitions)) {
            tracing::debug!(%error, "cannot resume");
        }
    }

    /// What the group has committed of each of these.
    fn committed(&self, consumer: &BaseConsumer<Context>, partitions: &[i32]) -> Option<Vec<(i32, Option<Intent>)>> {
        for _ in 0..COMMITTED_TRIES {
            match consumer.committed_offsets(self.list(partitions), COMMITTED_WITHIN) {
                Ok(list) if list.elements().iter().all(|element| element.error().is_ok()) => {
                    let elements = list.elements();
                    let read = elements.iter().map(|element| {
                        let offset = if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None };
                        // rdkafka panics where another program has committed what is no UTF-8.
                        let metadata = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned()));
                        (element.partition(), Intent::read(offset, &metadata.unwrap_or_default()))
                    });
                    return Some(read.collect());
                }
                Ok(_) => tracing::debug!("what is committed of some partition cannot be told"),
                Err(error) => tracing::debug!(%error, "what is committed cannot be told"),
            }
        }
        None
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    fn take_ended(&mut self) {
        while let Ok(Ended { partition, taken, is_done }) = self.ended.try_recv() {
            match self.owned.get_mut(&partition).filter(|owned| owned.taken == taken) {
                Some(owned) if is_done => owned.partition.done(),
                Some(owned) => owned.partition.given_up(),
                None => {}
            }
        }
    }

    /// Commits what is done, and what is to be begun, all in one; and begins it.
    fn commit(&mut self, consumer: &BaseConsumer<Context>, begins: bool) {
        if Instant::now() < self.quiet_until {
            return;
        }
        let (mut list, mut due) = (TopicPartitionList::new(), Vec::new());
        for (number, owned) in &mut self.owned {
            let intent = if begins { owned.partition.intent() } else { owned.partition.end() };
            let Some(intent) = intent else { continue };
            let mut element = list.add_partition(&self.topic, *number);
            element.set_metadata(intent.metadata());
            if let Err(error) = element.set_offset(Offset::Offset(intent.from)) {
                tracing::error!(%error, offset = intent.from, "not an offset");
                return;
            }
            due.push(*number);
        }
        if due.is_empty() {
            return;
        }
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) if begins => due.iter().for_each(|partition| self.begin(*partition)),
            Ok(()) => {}
            Err(error) => self.refused(&error),
        }
    }

    fn refused(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        self.quiet_until = Instant::now() + AFTER_REFUSAL;
        match error.rdkafka_error_code() {
            // A rebalance follows, or is under way.
            Some(
                Code::IllegalGeneration | Code::UnknownMemberId | Code::RebalanceInProgress | Code::AssignmentLost,
            ) => {
                tracing::info!(%error, "the group goes on without us: nothing is begun until it lets us");
            }
            _ if !std::mem::replace(&mut self.is_trouble_told, true) => {
                tracing::warn!(%error, "Kafka does not take a commit: nothing is begun until it does");
            }
            _ => {}
        }
    }

    fn begin(&mut self, number: i32) {
        let Some(owned) = self.owned.get_mut(&number) else { return };
        let Some(chunk) = owned.partition.committed() else { return };
        tracing::debug!(partition = number, from = chunk.from, to = chunk.to, "begun");
        let begun = owned.begun(number, chunk, Arc::clone(&self.lease));
        let (storing, told, taken) = (Arc::clone(&self.storing), self.told.clone(), owned.taken);
        self.runtime.spawn(async move {
            let is_done = storing.store(begun).await;
            // The thread may have ended.
            let _ = told.send(Ended { partition: number, taken, is_done });
        });
    }

    fn pause(&mut self, consumer: &BaseConsumer<Context>) {
        for (number, owned) in &mut self.owned {
            let Some(is_paused) = owned.partition.changes_pause() else { continue };
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, *number);
            let changed = if is_paused { consumer.pause(&list) } else { consumer.resume(&list) };
            match changed {
                Ok(()) => owned.partition.is_paused = is_paused,
                Err(error) => tracing::debug!(%error, partition = number, "cannot pause or resume"),
            }
        }
    }
}

impl Owned {
    fn new(intent: Option<Intent>, taken: u64) -> Self {
        let (stop, stopping) = stop();
        Self { partition: Partition::new(intent), order: Arc::default(), stop, stopping, taken }
    }

    fn begun(&self, partition: i32, chunk: Arc<Chunk>, lease: Arc<Lease>) -> Begun {
        Begun { partition, chunk, order: Arc::clone(&self.order), lease, stopping: self.stopping.clone() }
    }

    /// Tells its chunk to end; another one may begin.
    fn recall(&mut self) {
        // Dropping the former one tells it, too.
        (self.stop, self.stopping) = stop();
    }
}
