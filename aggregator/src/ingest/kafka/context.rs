//! What librdkafka tells from within a poll.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Statistics, TopicPartitionList};

use super::status::Status;

/// What changed of our partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These are ours from here on.
    Assigned(Vec<i32>),
    /// These are not ours any more.
    Revoked(Vec<i32>),
}

/// Keeps what happens in a poll until that is over.
pub(super) struct Context {
    changes: Mutex<Vec<Change>>,
    topic: String,
    status: Arc<Status>,
}

impl Context {
    pub(super) fn new(topic: &str, status: Arc<Status>) -> Self {
        Self { changes: Mutex::default(), topic: topic.to_owned(), status }
    }

    /// What happened since the last call, in its order.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        syncline_kafka::log(level, facility, text);
    }

    /// How far the group is behind, of the partitions that are ours.
    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.get(&self.topic).map(|topic| topic.partitions.values());
        let lags = partitions.into_iter().flatten().filter(|partition| partition.desired).map(|one| one.consumer_lag);
        // -1 while it is not known.
        self.status.set_lag(lags.filter_map(|lag| u64::try_from(lag).ok()).sum());
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                tracing::warn!(reason, "no Kafka broker answers: batches wait there, and are taken when one does");
            }
            Some(RDKafkaErrorCode::Fatal) => tracing::error!(reason, "the Kafka consumer failed for good"),
            _ => tracing::debug!(target: "librdkafka", %error, reason, "error"),
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.changed(Change::Assigned(partitions(list))),
            Rebalance::Revoke(list) => self.changed(Change::Revoked(partitions(list))),
            Rebalance::Error(error) => tracing::warn!(%error, "the group of Kafka consumers could not be rebalanced"),
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}
