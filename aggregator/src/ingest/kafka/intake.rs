//! Takes the records of one partition into the spool, one after the other.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use syncline_event::limits;
use syncline_spool::RecordNo;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::budget::Budget;
use crate::counters::count;
use crate::ingest::aside::{Aside, Cause};
use crate::ingest::spooled::Spooled;
use crate::pipeline::{Pipeline, Refusal};
use crate::stopping::Stopping;

/// What decoding a sound batch takes at most.
const DECODING_BYTES: usize = limits::WIRE_BYTES + 2 * limits::DECODED_BYTES;
/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What taking records needs.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) spooled: Arc<Spooled>,
    pub(super) budget: Budget,
    pub(super) aside: Arc<Aside>,
    pub(super) topic: Arc<str>,
}

/// A record of the topic.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Record {
    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.len()
    }
}

/// A record was taken: its number in the spool, or that it needs no place there.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) partition: i32,
    /// Which taking over of the partition it belongs to.
    pub(super) taking: u64,
    pub(super) offset: i64,
    pub(super) number: Option<RecordNo>,
}

/// A partition, as long as it is ours.
pub(super) struct Source {
    pub(super) partition: i32,
    pub(super) taking: u64,
    pub(super) records: UnboundedReceiver<Record>,
    /// Wanted when the partition is not ours any more, or the program ends.
    pub(super) stopping: Stopping,
    pub(super) told: Sender<Taken>,
}

/// It is not to be gone on with.
struct GivenUp;

impl Intake {
    /// Takes records until the partition is not ours any more, or nothing is taken any more.
    pub(super) async fn run(self: Arc<Self>, mut source: Source) {
        loop {
            let record = tokio::select! {
                record = source.records.recv() => record,
                () = source.stopping.clone().wanted() => None,
            };
            let Some(record) = record else { return };
            if self.take(&source, &record).await.is_err() {
                return;
            }
        }
    }

    async fn take(&self, source: &Source, record: &Record) -> Result<(), GivenUp> {
        let counters = self.pipeline.counters();
        count(&counters.kafka_records);
        let told = syncline_kafka::region_in(&record.key);
        if told.is_some_and(|region| region != self.pipeline.region()) {
            count(&counters.kafka_records_other_region);
            source.passed(record);
            return Ok(());
        }
        let mut grant = self.budget.grant(DECODING_BYTES).await;
        let events = match self.check(&record.value).await {
            Ok(events) => events,
            // Where the key says that it is ours, no other group takes it.
            Err(Refusal::OtherRegion { .. }) if told.is_none() => {
                count(&counters.kafka_records_other_region);
                source.passed(record);
                return Ok(());
            }
            Err(refusal) => {
                // It may take long.
                drop(grant);
                self.set_aside(source, record, &refusal).await?;
                source.passed(record);
                return Ok(());
            }
        };
        grant.shrink_to(record.value.len());
        let durable = tokio::select! {
            durable = self.spooled.append(&record.value, events) => durable.map_err(|_| GivenUp)?,
            () = source.stopping.clone().wanted() => return Err(GivenUp),
        };
        let (told, partition, taking, offset) = (source.told.clone(), source.partition, source.taking, record.offset);
        let (pipeline, spooled) = (Arc::clone(&self.pipeline), Arc::clone(&self.spooled));
        tokio::spawn(async move {
            match durable.await {
                Ok(number) => {
                    count(&pipeline.counters().batches_spooled);
                    let _ = told.send(Taken { partition, taking, offset, number: Some(number) });
                }
                // The aggregator ends, and the record comes again.
                Err(_) => spooled.is_found_ended(),
            }
            drop(grant);
        });
        Ok(())
    }

    /// How many events are in the batch, which is sound.
    async fn check(&self, batch_zstd: &[u8]) -> Result<u64, Refusal> {
        let (pipeline, batch_zstd) = (Arc::clone(&self.pipeline), batch_zstd.to_vec());
        let check = move || pipeline.decode_any(&batch_zstd).map(|(batch, _)| batch.waits.len() as u64);
        let task = tokio::task::spawn_blocking(check);
        task.await.unwrap_or_else(|error| Err(Refusal::Defect(error.to_string())))
    }

    /// Writes a record that is no batch of this version to a file, trying until that is done.
    async fn set_aside(&self, source: &Source, record: &Record, refusal: &Refusal) -> Result<(), GivenUp> {
        let counters = self.pipeline.counters();
        let (cause, why) = (Cause::of(refusal), refusal.to_string());
        let (partition, offset) = (source.partition, record.offset);
        let name = cause.name(&format!("{}-{partition}-{offset}", self.topic));
        let mut is_told = false;
        loop {
            let (aside, name) = (Arc::clone(&self.aside), name.clone());
            let (value, text) = (record.value.clone(), why.clone());
            let keep = move || aside.keep(&name, &value, &text);
            match tokio::task::spawn_blocking(keep).await {
                Ok(Ok(Some(path))) if cause == Cause::Later => {
                    count(&counters.batches_later);
                    tracing::warn!(partition, offset, why, file = %path.display(), "a batch is kept for a later version of the aggregator");
                    return Ok(());
                }
                Ok(Ok(Some(path))) => {
                    count(&counters.kafka_records_aside);
                    tracing::error!(partition, offset, why, file = %path.display(), "a record will never be stored; it is set aside");
                    return Ok(());
                }
                Ok(Ok(None)) => {
                    count(&counters.kafka_records_lost);
                    tracing::error!(
                        partition,
                        offset,
                        why,
                        "a record will never be stored, and there is no more room to set it aside: it is lost"
                    );
                    return Ok(());
                }
                Ok(Err(error)) if !is_told => {
                    is_told = true;
                    tracing::error!(partition, offset, why, %error, "a record will never be stored, and cannot be set aside; trying until it can");
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => (),
                () = source.stopping.clone().wanted() => return Err(GivenUp),
            }
        }
    }
}

impl Source {
    /// The record needs no place in the spool.
    fn passed(&self, record: &Record) {
        // The thread may have ended.
        let (partition, taking, offset) = (self.partition, self.taking, record.offset);
        let _ = self.told.send(Taken { partition, taking, offset, number: None });
    }
}
