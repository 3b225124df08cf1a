//! Which partitions are ours, and from where on.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::unbounded_channel;

use super::super::context::{Change, Context};
use super::super::intake::Source;
use super::super::partition::Partition;
use super::{Member, Owned};
use crate::stopping::stop;

/// How long the group's coordinator may take to tell what is committed, and how often it is asked.
const COMMITTED_WITHIN: Duration = Duration::from_secs(10);
const COMMITTED_TRIES: usize = 3;

impl Member {
    /// Partitions were given to us, or taken away.
    pub(super) fn follow_changes(&mut self, consumer: &BaseConsumer<Context>) {
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
    pub(super) fn join_anew(&mut self, consumer: &BaseConsumer<Context>) {
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

    pub(super) fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    /// The partition is ours from here on.
    pub(super) fn own(&mut self, number: i32, partition: Partition) {
        self.takings += 1;
        let (stop, stopping) = stop();
        let (records, received) = unbounded_channel();
        let source =
            Source { partition: number, taking: self.takings, records: received, stopping, told: self.told.clone() };
        self.runtime.spawn(Arc::clone(&self.intake).run(source));
        self.owned.insert(number, Owned { partition, records, _stop: stop, taking: self.takings });
    }
}
