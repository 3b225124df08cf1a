//! The Collector service: batches in, one answer each, `stored` only after all rows are in the store. Beside it, questions which stacks
//! need not be told.
//!
//! ```text
//! read -> decode -> observe, align, build rows -> insert -> answer
//! '----- one after the other, a stream -----'    '- side by side -'
//! ```
//!
//! A node's batches are read and observed in the order of its stream, so its clock model sees its samples in order;
//! their inserts overlap. What bounds a peer:
//! - a message may have [`limits::WIRE_BYTES`] and a little (for the refusal to be an answer and not a broken stream);
//! - a stream has at most [`IN_FLIGHT`] batches between reading and answer, then it is not read any more;
//! - all streams together share the [`Budget`]: a batch waits for the worst case of its decoding before it is decoded,
//!   and keeps what it really takes until it is answered;
//! - connections and streams are bounded in [`crate::connections`] and [`crate::serve`].
//!
//! A batch that fails here is answered `refused` with the reason and counted; the stream lives on. A stream that ends
//! takes its unanswered batches with it: the agent sends them again, and the insert tokens see to it that each row is
//! there once.

use std::sync::Arc;

use syncline_event::limits;
use syncline_proto::v1::collector_server::{Collector, CollectorServer};
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest, KnownReply, KnownRequest, Refused, Stored};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::budget::{Budget, Grant};
use crate::counters::count;
use crate::pipeline::{Pipeline, Prepared, Refusal, StoreOutcome};
use crate::stopping::Stopping;

/// Batches of one stream between reading and answer.
pub const IN_FLIGHT: usize = 4;
/// Room in a message beside the batch.
const ENVELOPE_BYTES: usize = 64 << 10;
/// What decoding a sound batch takes at most, before it is known to be sound: the compressed and the decompressed bytes,
/// and columns about as large again. Bytes made to waste memory take more (an empty message of 2 bytes becomes a struct),
/// in as many batches at once as the budget lets in.
const DECODING_BYTES: usize = limits::WIRE_BYTES + 2 * limits::DECODED_BYTES;
/// Batches above this many bytes are decoded off the async workers; below, the hand-over would cost more.
const LARGE: usize = 16 << 10;

type Reply = Result<IngestReply, Status>;

/// Takes batches in.
#[derive(Debug)]
pub struct CollectorService {
    pipeline: Arc<Pipeline>,
    budget: Budget,
    stopping: Stopping,
}

impl CollectorService {
    /// A service that feeds `pipeline`, within `budget`, until `stopping`.
    pub fn new(pipeline: Arc<Pipeline>, budget: Budget, stopping: Stopping) -> Self {
        Self { pipeline, budget, stopping }
    }

    /// As a tonic service.
    pub fn into_server(self) -> CollectorServer<Self> {
        CollectorServer::new(self).max_decoding_message_size(limits::WIRE_BYTES + ENVELOPE_BYTES)
    }
}

#[tonic::async_trait]
impl Collector for CollectorService {
    type IngestStream = ReceiverStream<Reply>;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Self::IngestStream>, Status> {
        if self.stopping.is_wanted() {
            return Err(stopping_status());
        }
        let (replies, stream) = mpsc::channel(IN_FLIGHT);
        let ingest = StreamIngest {
            pipeline: Arc::clone(&self.pipeline),
            budget: self.budget.clone(),
            stopping: self.stopping.clone(),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            replies,
        };
        tokio::spawn(ingest.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn known(&self, request: Request<KnownRequest>) -> Result<Response<KnownReply>, Status> {
        let stacks = request.into_inner().stack_ids;
        if stacks.len() > limits::ASKED_STACKS {
            let why = format!("{} stacks in one question; {} are allowed", stacks.len(), limits::ASKED_STACKS);
            return Err(Status::invalid_argument(why));
        }
        Ok(Response::new(KnownReply::of(&self.pipeline.knows(&stacks).await)))
    }
}

/// One stream of batches.
struct StreamIngest {
    pipeline: Arc<Pipeline>,
    budget: Budget,
    stopping: Stopping,
    places: Arc<Semaphore>,
    replies: mpsc::Sender<Reply>,
}

impl StreamIngest {
    /// Until the peer ends the stream, or is gone, or we stop. Inserts under way are finished in all cases.
    async fn run(self, requests: Streaming<IngestRequest>) {
        let end = tokio::select! {
            end = self.read(requests) => end,
            () = self.replies.closed() => None,
            () = self.stopping.clone().wanted() => Some(stopping_status()),
        };
        // Whoever holds all places knows that nothing is in flight.
        let finished = self.places.acquire_many(IN_FLIGHT as u32).await;
        if let Some(status) = end {
            let _ = self.replies.send(Err(status)).await;
        }
        drop(finished);
    }

    async fn read(&self, mut requests: Streaming<IngestRequest>) -> Option<Status> {
        loop {
            // Taken before reading, so that a batch which would have to wait stays with its sender.
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            let request = match requests.message().await {
                Ok(request) => request?,
                Err(status) => return Some(status),
            };
            let number = request.number;
            let mut grant = self.budget.grant(DECODING_BYTES).await;
            match self.prepare(request).await {
                Ok(prepared) => {
                    grant.shrink_to(prepared.bytes());
                    let storing =
                        Storing { prepared, pipeline: Arc::clone(&self.pipeline), replies: self.replies.clone() };
                    let stopping = self.stopping.clone();
                    tokio::spawn(async move {
                        storing.run(stopping).await;
                        drop((grant, place));
                    });
                }
                Err(refusal) => self.refuse(number, &refusal, grant).await,
            }
        }
    }

    async fn prepare(&self, request: IngestRequest) -> Result<Prepared, Refusal> {
        let is_large = request.batch_zstd.len() > LARGE;
        let batch = self.work(is_large, move |pipeline| pipeline.decode(request.number, &request.batch_zstd)).await?;
        self.pipeline.recall(&batch.id()).await;
        self.work(is_large, move |pipeline| pipeline.prepare(&batch)).await
    }

    /// Work that takes CPU.
    async fn work<T: Send + 'static>(
        &self,
        is_large: bool,
        work: impl FnOnce(&Pipeline) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        if !is_large {
            return work(&self.pipeline);
        }
        let pipeline = Arc::clone(&self.pipeline);
        let task = tokio::task::spawn_blocking(move || work(&pipeline));
        task.await.unwrap_or_else(|error| Err(Refusal::Defect(error.to_string())))
    }

    async fn refuse(&self, number: u64, refusal: &Refusal, grant: Grant) {
        drop(grant);
        self.pipeline.count_refusal(number, refusal);
        let _ = self.replies.send(Ok(refused(number, refusal.to_string()))).await;
    }
}

/// A batch on its way into the store.
struct Storing {
    prepared: Prepared,
    pipeline: Arc<Pipeline>,
    replies: mpsc::Sender<Reply>,
}

impl Storing {
    async fn run(self, stopping: Stopping) {
        let number = self.prepared.number();
        let replies = self.replies.clone();
        // Attempts are finished even then; only further ones are of no use.
        let of_no_use = async {
            tokio::select! {
                () = replies.closed() => (),
                () = stopping.wanted() => (),
            }
        };
        let reply = match self.pipeline.store(self.prepared, of_no_use).await {
            StoreOutcome::Stored => IngestReply { number, outcome: Some(Outcome::Stored(Stored {})) },
            StoreOutcome::Refused(why) => refused(number, why),
            StoreOutcome::Abandoned => return count(&self.pipeline.counters().batches_abandoned),
        };
        // A peer that is gone asks again on its next stream, and is told then.
        let _ = self.replies.send(Ok(reply)).await;
    }
}

fn refused(number: u64, why: String) -> IngestReply {
    IngestReply { number, outcome: Some(Outcome::Refused(Refused { why })) }
}

fn stopping_status() -> Status {
    Status::unavailable("the aggregator is stopping; send again what was not acknowledged")
}
