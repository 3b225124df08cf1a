//! The Collector service: batches in, one answer each, `stored` once the batch is in the spool, durably. Beside it, questions which stacks
//! need not be told.
//!
//! ```text
//! read -> decode, check -> spool -> answer
//! ```
//!
//! A node's batches are in the spool in the order of its stream, so its clock model sees its samples in order. Where the spool is full, or its disk
//! fails, nothing is answered and nothing more is read: agents keep what they have. What bounds a peer:
//! - a message may have [`limits::WIRE_BYTES`] and a little (for the refusal to be an answer and not a broken stream);
//! - a stream has at most [`IN_FLIGHT`] batches between reading and answer, then it is not read any more;
//! - all streams together share the [`Budget`]: a batch waits for the worst case of its decoding before it is decoded,
//!   and keeps its bytes until it is answered;
//! - connections and streams are bounded in [`crate::connections`] and [`crate::serve`].
//!
//! A batch that fails here is answered `refused` with the reason and counted; the stream lives on. One of a format that only a later version knows
//! is kept for it, and is answered `stored`. A batch that is durable and whose answer does not arrive comes again, and is stored once:
//! the ledger tells which were there before.

use std::sync::Arc;
use std::time::Duration;

use syncline_event::limits;
use syncline_proto::v1::collector_server::{Collector, CollectorServer};
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest, KnownReply, KnownRequest, Refused, Stored};
use syncline_spool::RecordNo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::aside::Cause;
use super::spooled::Spooled;
use crate::budget::{Budget, Grant};
use crate::counters::count;
use crate::pipeline::{Pipeline, Refusal};
use crate::stopping::Stopping;

/// Batches of one stream between reading and answer.
pub const IN_FLIGHT: usize = 4;
/// How long the end of a stream waits for what is on its way to the disk.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);
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
    spooled: Arc<Spooled>,
    budget: Budget,
    stopping: Stopping,
}

impl CollectorService {
    /// A service that checks by `pipeline` and feeds the spool, within `budget`, until `stopping`.
    pub(crate) fn new(pipeline: Arc<Pipeline>, spooled: Arc<Spooled>, budget: Budget, stopping: Stopping) -> Self {
        Self { pipeline, spooled, budget, stopping }
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
            spooled: Arc::clone(&self.spooled),
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
    spooled: Arc<Spooled>,
    budget: Budget,
    stopping: Stopping,
    places: Arc<Semaphore>,
    replies: mpsc::Sender<Reply>,
}

impl StreamIngest {
    /// Until the peer ends the stream, or is gone, or we stop. What is on its way to the disk by then is answered in all cases.
    async fn run(self, requests: Streaming<IngestRequest>) {
        let end = tokio::select! {
            end = self.read(requests) => end,
            () = self.replies.closed() => None,
            () = self.stopping.clone().wanted() => Some(stopping_status()),
        };
        // Whoever holds all places knows that nothing is in flight; on a disk that fails that may take for ever.
        let finished = tokio::time::timeout(DURABLE_WITHIN, self.places.acquire_many(IN_FLIGHT as u32)).await;
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
            match self.check(&request).await {
                Ok(events) => {
                    grant.shrink_to(request.batch_zstd.len());
                    let Ok(durable) = self.spooled.append(&request.batch_zstd, events).await else {
                        return Some(failed_status());
                    };
                    self.answer_once(durable, number, (grant, place));
                }
                Err(refusal) => {
                    drop(grant);
                    let reply = self.refuse(&request, refusal).await;
                    let _ = self.replies.send(Ok(reply)).await;
                }
            }
        }
    }

    /// How many events are in the batch, which is sound.
    async fn check(&self, request: &IngestRequest) -> Result<u64, Refusal> {
        let (number, batch_zstd, pipeline) = (request.number, request.batch_zstd.clone(), Arc::clone(&self.pipeline));
        let is_large = batch_zstd.len() > LARGE;
        let check = move || pipeline.decode(number, &batch_zstd).map(|batch| batch.waits.len() as u64);
        if !is_large {
            return check();
        }
        let task = tokio::task::spawn_blocking(check);
        task.await.unwrap_or_else(|error| Err(Refusal::Defect(error.to_string())))
    }

    fn answer_once(&self, durable: oneshot::Receiver<RecordNo>, number: u64, held: (Grant, OwnedSemaphorePermit)) {
        let (pipeline, replies) = (Arc::clone(&self.pipeline), self.replies.clone());
        tokio::spawn(async move {
            if durable.await.is_ok() {
                count(&pipeline.counters().batches_spooled);
                // A peer that is gone asks again on its next stream, and is told then.
                let _ = replies.send(Ok(stored(number))).await;
            } else {
                count(&pipeline.counters().batches_abandoned);
                // The peer need not wait for an answer that does not come.
                let _ = replies.send(Err(failed_status())).await;
            }
            drop(held);
        });
    }

    async fn refuse(&self, request: &IngestRequest, refusal: Refusal) -> IngestReply {
        let cause = Cause::of(&refusal);
        let is_kept = matches!(refusal, Refusal::Undecodable(_)) && self.keep(cause, request, &refusal).await;
        if is_kept && cause == Cause::Later {
            tracing::warn!(number = request.number, why = %refusal, "a batch is kept for a later version of the aggregator");
            count(&self.pipeline.counters().batches_later);
            return stored(request.number);
        }
        self.pipeline.count_refusal(request.number, &refusal);
        refused(request.number, refusal.to_string())
    }

    /// Sets the batch aside; whether there was room.
    async fn keep(&self, cause: Cause, request: &IngestRequest, why: &Refusal) -> bool {
        let (spooled, batch_zstd, why) = (Arc::clone(&self.spooled), request.batch_zstd.clone(), why.to_string());
        let keep = move || spooled.aside().keep(&cause.name_of(&batch_zstd), &batch_zstd, &why);
        let kept = tokio::task::spawn_blocking(keep).await;
        match kept {
            Ok(Ok(Some(file))) => {
                tracing::info!(file = %file.display(), "a batch that cannot be read is set aside");
                true
            }
            Ok(Ok(None)) => false,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a batch that cannot be read cannot be set aside");
                false
            }
            Err(_) => false,
        }
    }
}

fn stored(number: u64) -> IngestReply {
    IngestReply { number, outcome: Some(Outcome::Stored(Stored {})) }
}

fn refused(number: u64, why: String) -> IngestReply {
    IngestReply { number, outcome: Some(Outcome::Refused(Refused { why })) }
}

fn failed_status() -> Status {
    Status::unavailable("the aggregator's spool has failed; send again what was not acknowledged")
}

fn stopping_status() -> Status {
    Status::unavailable("the aggregator is stopping; send again what was not acknowledged")
}
