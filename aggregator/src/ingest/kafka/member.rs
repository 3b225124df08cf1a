//! The thread that is a member of the group: it polls, hands records on, and commits how far they are settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use syncline_kafka::Settings;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::context::{Change, Context};
use super::intake::{Intake, Record, Source, Taken};
use super::partition::{Fetched, Partition};
use super::status::Status;
use crate::counters::add;
use crate::stopping::{Stop, Stopping, stop};

/// How long a poll waits: what was settled meanwhile is committed after it.
const POLL: Duration = Duration::from_millis(20);
/// Records taken before anything else has its turn.
const MOST_AT_ONCE: usize = 1_000;
/// How long the group's coordinator may take to tell what is committed, and how often it is asked.
const COMMITTED_WITHIN: Duration = Duration::from_secs(10);
const COMMITTED_TRIES: usize = 3;
/// Pause before another consumer takes the place of one that failed for good.
const AFTER_FATAL: Duration = Duration::from_secs(1);
/// How far all has come is committed so often: what is settled and not committed comes again at a takeover, and is known.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// From so much of the spool on, and down to so much, nothing is fetched.
const CROWDED_SHARE: f64 = 0.5;
const ROOMY_SHARE: f64 = 0.4;

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
    records: UnboundedSender<Record>,
    /// Tells its intake when it is not ours any more.
    _stop: Stop,
    /// Which taking over this is: what was taken of an earlier one does not count.
    taking: u64,
}

pub(super) struct Member {
    config: ClientConfig,
    topic: String,
    intake: Arc<Intake>,
    runtime: Handle,
    stopping: Stopping,
    status: Arc<Status>,
    owned: BTreeMap<i32, Owned>,
    takings: u64,
    told: Sender<Taken>,
    taken: Receiver<Taken>,
    /// No commit before.
    quiet_until: Instant,
    /// How often the spool's disk has lost something, as far as it is known here.
    losses: u64,
    /// The spool has no more room for what Kafka keeps meanwhile.
    is_crowded: bool,
    is_trouble_told: bool,
}

impl Member {
    pub(super) fn join(
        settings: &Settings,
        group: &str,
        intake: Arc<Intake>,
        stopping: Stopping,
    ) -> anyhow::Result<Membership> {
        let (told, taken) = channel();
        let status = Arc::<Status>::default();
        let mut member = Self {
            config: settings.consumer(group)?,
            topic: settings.topic().to_owned(),
            intake,
            runtime: Handle::current(),
            stopping,
            status: Arc::clone(&status),
            owned: BTreeMap::new(),
            takings: 0,
            told,
            taken,
            quiet_until: Instant::now(),
            losses: 0,
            is_crowded: false,
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
            // What is in no spool comes again, to whoever takes these partitions over.
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
            self.poll(consumer)?;
            self.follow_changes(consumer);
            self.advance(consumer);
            if Instant::now() >= self.quiet_until {
                self.commit(consumer);
            }
            self.pause(consumer);
        }
        self.advance(consumer);
        self.commit(consumer);
        Ok(())
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
        let record = Record {
            offset,
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
        };
        let Some(owned) = self.owned.get_mut(&number) else { return false };
        let mut fetched = owned.partition.fetched(offset, record.bytes());
        if fetched == Fetched::Before {
            tracing::warn!(
                partition = number,
                offset,
                "Kafka gives records from before what is stored (its log was cut back, or the topic made anew): going on there; what is in the store is passed over"
            );
            self.own(number, Partition::cut_back(offset));
            let Some(owned) = self.owned.get_mut(&number) else { return false };
            fetched = owned.partition.fetched(offset, record.bytes());
        }
        let Some(owned) = self.owned.get_mut(&number) else { return false };
        let Fetched::Next { missing } = fetched else { return false };
        if missing > 0 {
            tracing::error!(
                partition = number,
                before = offset,
                missing,
                "Kafka has deleted records before they were read: their batches are lost; keep them longer (retention.ms), or see why the group was behind"
            );
        }
        // It has ended only if the program does.
        let _ = owned.records.send(record);
        owned.partition.has_enough()
    }

    /// The partition is ours from here on.
    fn own(&mut self, number: i32, partition: Partition) {
        self.takings += 1;
        let (stop, stopping) = stop();
        let (records, received) = unbounded_channel();
        let source =
            Source { partition: number, taking: self.takings, records: received, stopping, told: self.told.clone() };
        self.runtime.spawn(Arc::clone(&self.intake).run(source));
        self.owned.insert(number, Owned { partition, records, _stop: stop, taking: self.takings });
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
            return self.join_anew(consumer);
        };
        tracing::info!(?committed, "partitions are ours: partition and offset");
        committed.into_iter().for_each(|(number, offset)| self.own(number, Partition::new(offset)));
        // One that was paused when it was ours before.
        if let Err(error) = consumer.resume(&self.list(partitions)) {
            tracing::debug!(%error, "cannot resume");
        }
    }

    /// Whatever is under way is read again from where the group has committed.
    fn join_anew(&mut self, consumer: &BaseConsumer<Context>) {
        self.owned.clear();
        consumer.unsubscribe();
        if let Err(error) = consumer.subscribe(&[&self.topic]) {
            tracing::error!(%error, "librdkafka does not subscribe");
        }
    }

    /// What the group has committed of each of these.
    fn committed(&self, consumer: &BaseConsumer<Context>, partitions: &[i32]) -> Option<Vec<(i32, Option<i64>)>> {
        for _ in 0..COMMITTED_TRIES {
            match consumer.committed_offsets(self.list(partitions), COMMITTED_WITHIN) {
                Ok(list) if list.elements().iter().all(|element| element.error().is_ok()) => {
                    let elements = list.elements();
                    let read = elements.iter().map(|element| {
                        let offset = if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None };
                        (element.partition(), offset)
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

    /// Notes what was taken, and how far all of it is settled.
    fn advance(&mut self, consumer: &BaseConsumer<Context>) {
        while let Ok(Taken { partition, taking, offset, number }) = self.taken.try_recv() {
            if let Some(owned) = self.owned.get_mut(&partition).filter(|owned| owned.taking == taking) {
                owned.partition.taken(offset, number);
            }
        }
        let (next, losses) = self.intake.spooled.settled();
        if std::mem::replace(&mut self.losses, losses) != losses {
            tracing::warn!("the spool's disk has lost batches: Kafka gives again what is not committed");
            self.join_anew(consumer);
        }
        let missing = self.owned.values_mut().map(|owned| owned.partition.settled(next)).sum();
        add(&self.intake.pipeline.counters().kafka_records_missing, missing);
        self.status.set_under_way(self.owned.values().map(|owned| owned.partition.under_way()).sum());
    }

    /// Commits how far all of it is settled.
    fn commit(&mut self, consumer: &BaseConsumer<Context>) {
        self.quiet_until = Instant::now() + COMMIT_EVERY;
        let mut list = TopicPartitionList::new();
        let due: Vec<(i32, i64)> = self
            .owned
            .iter()
            .filter_map(|(number, owned)| Some((*number, owned.partition.to_be_committed()?)))
            .collect();
        if due.is_empty() {
            return;
        }
        for (number, offset) in &due {
            if let Err(error) = list.add_partition_offset(&self.topic, *number, Offset::Offset(*offset)) {
                tracing::error!(%error, offset, "not an offset");
                return;
            }
        }
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => {
                for (number, offset) in due {
                    if let Some(owned) = self.owned.get_mut(&number) {
                        owned.partition.committed(offset);
                    }
                }
            }
            Err(error) => self.refused(&error),
        }
    }

    /// What is not committed comes again, and is known then.
    fn refused(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            // A rebalance follows, or is under way.
            Some(
                Code::IllegalGeneration | Code::UnknownMemberId | Code::RebalanceInProgress | Code::AssignmentLost,
            ) => {
                tracing::info!(%error, "the group goes on without us, until it lets us in again");
            }
            _ if !std::mem::replace(&mut self.is_trouble_told, true) => {
                tracing::warn!(%error, "Kafka does not take a commit; trying again");
            }
            _ => {}
        }
    }

    fn pause(&mut self, consumer: &BaseConsumer<Context>) {
        self.follow_room();
        for (number, owned) in &mut self.owned {
            let Some(is_paused) = owned.partition.changes_pause(self.is_crowded) else { continue };
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, *number);
            let changed = if is_paused { consumer.pause(&list) } else { consumer.resume(&list) };
            match changed {
                Ok(()) => owned.partition.is_paused = is_paused,
                Err(error) => tracing::debug!(%error, partition = number, "cannot pause or resume"),
            }
        }
    }

    /// Kafka keeps what the spool has no room for; what comes by gRPC would have to wait at the agents.
    fn follow_room(&mut self) {
        let used = self.intake.spooled.share_used();
        self.is_crowded = used >= CROWDED_SHARE || self.is_crowded && used > ROOMY_SHARE;
    }
}
