//! How far all of it is settled, and what may not be fetched meanwhile.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::super::context::Context;
use super::super::intake::Taken;
use super::Member;
use crate::counters::add;

/// How far all has come is committed so often: what is settled and not committed comes again at a takeover, and is known.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// From so much of the spool on, and down to so much, nothing is fetched.
const CROWDED_SHARE: f64 = 0.5;
const ROOMY_SHARE: f64 = 0.4;

impl Member {
    /// Notes what was taken, and how far all of it is settled.
    pub(super) fn advance(&mut self, consumer: &BaseConsumer<Context>) {
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
    pub(super) fn commit(&mut self, consumer: &BaseConsumer<Context>) {
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

    /// Fetches of no partition more than there is room for.
    pub(super) fn pause(&mut self, consumer: &BaseConsumer<Context>) {
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
