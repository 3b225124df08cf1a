//! The thread that is a member of the group: it polls, hands records on, and commits how far they are settled.

mod committing;
mod taking_over;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message as _};
use syncline_kafka::Settings;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::context::Context;
use super::intake::{Intake, Record, Taken};
use super::partition::{Fetched, Partition};
use super::status::Status;
use crate::stopping::{Stop, Stopping};

/// How long a poll waits: what was settled meanwhile is committed after it.
const POLL: Duration = Duration::from_millis(20);
/// Records taken before anything else has its turn.
const MOST_AT_ONCE: usize = 1_000;
/// Pause before another consumer takes the place of one that failed for good.
const AFTER_FATAL: Duration = Duration::from_secs(1);

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

    /// Once, until a record comes again.
    fn tell(&mut self, error: &KafkaError) {
        if !std::mem::replace(&mut self.is_trouble_told, true) {
            tracing::warn!(%error, topic = self.topic, "Kafka gives no records; trying again");
        }
    }
}
