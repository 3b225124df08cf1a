//! Batches to Kafka: kept until the broker has them, and sent again, the same bytes in the same order, by the next producer.
//!
//! ```text
//! producer  one idempotent producer, from its start to its end, and what became of each batch
//! ending    why one ended, and what to do about a batch that the broker does not take
//! ```
//!
//! A producer that has failed for good (librdkafka's fatal errors: the broker has lost track of what it had sent) is of no more use. The next
//! one begins with the oldest batch that is not acknowledged; what the broker had of these is there twice then, and is stored once.
//!
//! The connection to an aggregator stays, for clock probes and questions: see [`Session`](super::Session).

mod ending;
mod producer;

use std::collections::VecDeque;
use std::sync::Arc;

use rdkafka::error::KafkaError;
use syncline_kafka::Settings;
use syncline_probe::Backoff;
use tokio::sync::watch;

use crate::queue::{Entry, Queue, SharedQueue};
use ending::Ending;
use producer::{Delivery, Producer};

use super::stream::WINDOW;

/// Sends a queue's batches to Kafka, for ever.
#[derive(Debug)]
pub struct KafkaUplink {
    settings: Settings,
    region: String,
    node: String,
    queue: Arc<SharedQueue>,
    connected: watch::Sender<bool>,
    trouble: watch::Sender<Option<String>>,
    told: bool,
}

impl KafkaUplink {
    /// An uplink for the batches of `node`, not yet connected.
    pub fn new(settings: Settings, region: String, node: String, queue: Arc<SharedQueue>) -> Self {
        let (connected, trouble) = (watch::channel(false).0, watch::channel(None).0);
        Self { settings, region, node, queue, connected, trouble, told: false }
    }

    /// Whether there is a producer now that has seen the topic.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// What keeps it from sending, in a line, if something does.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Sends, and begins again with another producer when one ends. Returns only when the queue is finished.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.queue.look(Queue::is_finished) {
            let ended = self.one_producer(&mut backoff).await;
            self.connected.send_replace(false);
            self.queue.change_quietly(Queue::disconnected);
            if let Err(ending) = ended {
                self.tell_failure(&ending);
                tokio::time::sleep(backoff.after_failure()).await;
            }
        }
    }

    async fn one_producer(&mut self, backoff: &mut Backoff) -> Result<(), Ending> {
        let mut producer = Producer::open(&self.settings).await?;
        self.queue.change(Queue::reconnected);
        self.tell_success();
        let sent = self.send_all(&mut producer, backoff).await;
        producer.close().await;
        sent
    }

    async fn send_all(&mut self, producer: &mut Producer, backoff: &mut Backoff) -> Result<(), Ending> {
        let mut changes = self.queue.changes();
        let mut waiting = VecDeque::new();
        while !self.queue.look(Queue::is_finished) {
            waiting.extend(std::iter::from_fn(|| self.queue.change_quietly(|queue| queue.send_next(WINDOW))));
            self.send_waiting(producer, &mut waiting)?;
            tokio::select! {
                delivery = producer.delivery() => {
                    self.settle(delivery?)?;
                    backoff.reset();
                }
                _ = changes.changed() => {}
            }
        }
        Ok(())
    }

    /// As many as the producer has room for.
    fn send_waiting(&self, producer: &Producer, waiting: &mut VecDeque<Entry>) -> Result<(), Ending> {
        while let Some(entry) = waiting.front() {
            let key = syncline_kafka::key_of(&self.region, &self.node, entry.id.boot);
            match producer.send(&key, entry.number(), &entry.bytes) {
                Ok(true) => drop(waiting.pop_front()),
                // There is, once another one is delivered.
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.refused_or_ended(entry.number(), &error)?;
                    waiting.pop_front();
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, Delivery { number, result }: Delivery) -> Result<(), Ending> {
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.told) {
                    tracing::info!("Kafka takes batches again");
                }
                self.queue.change(|queue| queue.stored(number));
                Ok(())
            }
            Err(error) => self.refused_or_ended(number, &error),
        }
    }

    /// Only a batch that is too large is refused: everything else may pass, or be mended.
    fn refused_or_ended(&self, number: u64, error: &KafkaError) -> Result<(), Ending> {
        if !ending::is_too_large(error) {
            return Err(Ending::Failed(error.to_string()));
        }
        tracing::error!(
            batch = number,
            "the Kafka broker does not take a batch of this size: its events are lost; raise message.max.bytes of the brokers, or \
             max.message.bytes of the topic {}, to 17 MiB",
            self.settings.topic()
        );
        self.queue.change(|queue| queue.refused(number));
        Ok(())
    }

    /// Told once until a batch arrives again: a producer that has seen the topic may not be let write to it.
    fn tell_failure(&mut self, ending: &Ending) {
        self.trouble.send_replace(Some(ending.to_string()));
        if self.told {
            tracing::debug!("{ending}");
        } else {
            tracing::warn!("{ending}; trying again, and keeping events meanwhile");
        }
        self.told = true;
    }

    fn tell_success(&self) {
        self.trouble.send_replace(None);
        self.connected.send_replace(true);
        let (brokers, topic) = (self.settings.brokers(), self.settings.topic());
        if self.told {
            tracing::debug!(brokers, topic, "producing to Kafka again");
        } else {
            tracing::info!(brokers, topic, "producing to Kafka");
        }
    }
}
