//! Stores a chunk: its batches are decoded and shown to their nodes' clocks one after the other, and inserted side by side.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use syncline_event::{Batch, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::lease::Lease;
use super::order::Order;
use super::partition::{Chunk, Record};
use crate::budget::{Budget, Grant};
use crate::counters::{add, count};
use crate::ingest::aside::{Aside, Cause};
use crate::pipeline::{Pipeline, Prepared, Refusal, StoreOutcome};
use crate::stopping::Stopping;

/// Batches of one chunk between decoding and the store.
const IN_FLIGHT: usize = 16;
/// What decoding a sound batch takes at most.
const DECODING_BYTES: usize = limits::WIRE_BYTES + 2 * limits::DECODED_BYTES;
/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What storing needs.
#[derive(Debug)]
pub(super) struct Storing {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) budget: Budget,
    pub(super) aside: Arc<Aside>,
    pub(super) topic: Arc<str>,
}

/// A chunk that was begun.
pub(super) struct Begun {
    pub(super) partition: i32,
    pub(super) chunk: Arc<Chunk>,
    pub(super) order: Arc<Mutex<Order>>,
    pub(super) lease: Arc<Lease>,
    /// Wanted when the partition is not ours any more, or the program ends.
    pub(super) stopping: Stopping,
}

/// It is not to be gone on with.
#[derive(Debug)]
struct GivenUp;

impl Storing {
    /// Whether all of the chunk is in the store, set aside, or of another region; false if it was given up.
    pub(super) async fn store(self: Arc<Self>, begun: Begun) -> bool {
        let begun = Arc::new(begun);
        let under = Under {
            storing: Arc::clone(&self),
            begun: Arc::clone(&begun),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
        };
        let is_done = under.run().await;
        // A chunk that was given up comes again, and would be counted again.
        if is_done && begun.chunk.missing > 0 {
            self.tell_missing(&begun);
        }
        is_done
    }

    fn tell_missing(&self, begun: &Begun) {
        add(&self.pipeline.counters().kafka_records_missing, begun.chunk.missing);
        tracing::error!(
            partition = begun.partition,
            from = begun.chunk.from,
            missing = begun.chunk.missing,
            "Kafka has deleted records before they were read: their batches are lost; keep them longer (retention.ms), or see why the group was behind"
        );
    }
}

/// A chunk under way.
struct Under {
    storing: Arc<Storing>,
    begun: Arc<Begun>,
    places: Arc<Semaphore>,
}

impl Under {
    async fn run(self) -> bool {
        let (mut inserts, mut sound) = (JoinSet::new(), true);
        for index in 0..self.begun.chunk.records.len() {
            if self.take(index, &mut inserts).await.is_err() {
                sound = false;
                break;
            }
        }
        while let Some(stored) = inserts.join_next().await {
            sound &= stored.unwrap_or(false);
        }
        sound
    }

    async fn take(&self, index: usize, inserts: &mut JoinSet<bool>) -> Result<(), GivenUp> {
        let pipeline = &self.storing.pipeline;
        let record = &self.begun.chunk.records[index];
        count(&pipeline.counters().kafka_records);
        let told = syncline_kafka::region_in(&record.key);
        if told.is_some_and(|region| region != pipeline.region()) {
            count(&pipeline.counters().kafka_records_other_region);
            return Ok(());
        }
        let place = self.place().await?;
        let mut grant = self.storing.budget.grant(DECODING_BYTES).await;
        let batch = match self.decode(index).await {
            Ok(batch) => batch,
            // Where the key says that it is ours, no other group takes it.
            Err(Refusal::OtherRegion { .. }) if told.is_none() => {
                count(&pipeline.counters().kafka_records_other_region);
                return Ok(());
            }
            Err(refusal) => return self.set_aside(record, Cause::of(&refusal), &refusal.to_string()).await,
        };
        let is_stored = self.is_stored(&batch, inserts).await?;
        pipeline.recall(&batch.id()).await;
        self.holds()?;
        if is_stored {
            // Its samples are shown to the clock, which may not have seen them; its rows are there.
            pipeline.observe(&batch);
            count(&pipeline.counters().kafka_batches_known);
            return Ok(());
        }
        let prepared = match self.prepare(batch).await {
            Ok(prepared) => prepared,
            Err(refusal) => return self.set_aside(record, Cause::of(&refusal), &refusal.to_string()).await,
        };
        grant.shrink_to(prepared.bytes());
        inserts.spawn(self.insert(index, prepared, (grant, place)));
        Ok(())
    }

    /// Waits for a place among those that are being stored.
    async fn place(&self) -> Result<OwnedSemaphorePermit, GivenUp> {
        self.holds()?;
        let place = tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place,
            () = self.begun.stopping.clone().wanted() => return Err(GivenUp),
        };
        place.map_err(|_| GivenUp)
    }

    fn holds(&self) -> Result<(), GivenUp> {
        let holds = !self.begun.stopping.is_wanted() && self.begun.lease.is_held(Instant::now());
        if holds { Ok(()) } else { Err(GivenUp) }
    }

    async fn decode(&self, index: usize) -> Result<Batch, Refusal> {
        let (pipeline, begun) = (Arc::clone(&self.storing.pipeline), Arc::clone(&self.begun));
        working(move || pipeline.decode_any(&begun.chunk.records[index].value).map(|(batch, _)| batch)).await
    }

    async fn prepare(&self, batch: Batch) -> Result<Prepared, Refusal> {
        let pipeline = Arc::clone(&self.storing.pipeline);
        working(move || pipeline.prepare(&batch)).await
    }

    /// Looks whether a batch that may have come before is in the store. What was begun of this chunk comes first: it may be the same batch.
    async fn is_stored(&self, batch: &Batch, inserts: &mut JoinSet<bool>) -> Result<bool, GivenUp> {
        let id = batch.id();
        let order = || self.begun.order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_stored = false;
        if order().may_be_known(&id) {
            while let Some(stored) = inserts.join_next().await {
                if !stored.unwrap_or(false) {
                    return Err(GivenUp);
                }
            }
            is_stored = self.look(batch).await?;
        }
        if !is_stored {
            order().is_new(&id);
        }
        Ok(is_stored)
    }

    async fn look(&self, batch: &Batch) -> Result<bool, GivenUp> {
        loop {
            self.holds()?;
            match self.storing.pipeline.stored(&[batch]).await {
                Ok(stored) => return Ok(stored == [true]),
                Err(error) => tracing::debug!(%error, "whether a batch is in the store cannot be seen; trying again"),
            }
            self.pause().await;
        }
    }

    fn insert(
        &self,
        index: usize,
        prepared: Prepared,
        held: (Grant, OwnedSemaphorePermit),
    ) -> impl Future<Output = bool> + Send + use<> {
        let here = Self {
            storing: Arc::clone(&self.storing),
            begun: Arc::clone(&self.begun),
            places: Arc::clone(&self.places),
        };
        async move {
            if here.holds().is_err() {
                return false;
            }
            let stopping = here.begun.stopping.clone();
            let outcome = here.while_it_holds(here.storing.pipeline.store(prepared, stopping.wanted())).await;
            drop(held);
            match outcome {
                StoreOutcome::Stored => true,
                StoreOutcome::Refused(why) => {
                    let record = &here.begun.chunk.records[index];
                    here.set_aside(record, Cause::Unstorable, &why).await.is_ok()
                }
                StoreOutcome::Abandoned => {
                    count(&here.storing.pipeline.counters().batches_abandoned);
                    false
                }
            }
        }
    }

    /// Looks each time before `storing` goes on: all may have stood still since, while it waited for its turn or was between two tables.
    async fn while_it_holds(&self, storing: impl Future<Output = StoreOutcome>) -> StoreOutcome {
        let mut storing = pin!(storing);
        poll_fn(|context| match self.holds() {
            Ok(()) => storing.as_mut().poll(context),
            Err(GivenUp) => Poll::Ready(StoreOutcome::Abandoned),
        })
        .await
    }

    /// Writes a record that will never be stored to a file, trying until that is done.
    async fn set_aside(&self, record: &Record, cause: Cause, why: &str) -> Result<(), GivenUp> {
        let counters = self.storing.pipeline.counters();
        let place = (self.begun.partition, record.offset);
        let name = cause.name(&format!("{}-{}-{}", self.storing.topic, place.0, place.1));
        let mut is_told = false;
        loop {
            self.holds()?;
            let (aside, name) = (Arc::clone(&self.storing.aside), name.clone());
            let (value, text) = (record.value.clone(), why.to_owned());
            let keep = move || aside.keep(&name, &value, &text);
            match tokio::task::spawn_blocking(keep).await {
                Ok(Ok(Some(path))) => {
                    if cause == Cause::Later {
                        count(&counters.batches_later);
                        tracing::warn!(partition = place.0, offset = place.1, why, file = %path.display(), "a batch is kept for a later version of the aggregator");
                    } else {
                        count(&counters.kafka_records_aside);
                        tracing::error!(partition = place.0, offset = place.1, why, file = %path.display(), "a record will never be stored; it is set aside");
                    }
                    return Ok(());
                }
                Ok(Ok(None)) => {
                    count(&counters.kafka_records_lost);
                    tracing::error!(
                        partition = place.0,
                        offset = place.1,
                        why,
                        "a record will never be stored, and there is no more room to set it aside: it is lost"
                    );
                    return Ok(());
                }
                Ok(Err(error)) if !is_told => {
                    is_told = true;
                    tracing::error!(partition = place.0, offset = place.1, why, %error, "a record will never be stored, and cannot be set aside; trying until it can");
                }
                _ => {}
            }
            self.pause().await;
        }
    }

    async fn pause(&self) {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => (),
            () = self.begun.stopping.clone().wanted() => (),
        }
    }
}

async fn working<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Refusal::Defect(error.to_string())))
}
