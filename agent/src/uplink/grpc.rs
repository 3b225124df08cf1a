//! Batches over one bidirectional gRPC stream: sent in order, kept until the aggregator says that they are stored.

use std::sync::Arc;

use syncline_probe::{Backoff, explain, root_cause};
use syncline_proto::v1::collector_client::CollectorClient;
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::endpoint::Aggregator;
use crate::queue::{Queue, SharedQueue};

/// Batches sent and not yet acknowledged.
pub const WINDOW: usize = 16;

/// Sends a queue's batches to an aggregator, for ever.
#[derive(Debug)]
pub struct Uplink {
    aggregator: Aggregator,
    queue: Arc<SharedQueue>,
    connected: watch::Sender<bool>,
    told: bool,
}

/// Why a connection ended.
#[derive(Debug, Error)]
enum Ending {
    #[error("cannot be reached ({0})")]
    Unreachable(String),
    #[error("broke the connection off ({0})")]
    Broken(String),
}

/// An open stream.
struct Stream {
    requests: mpsc::Sender<IngestRequest>,
    replies: Streaming<IngestReply>,
}

impl Uplink {
    /// An uplink that is not yet connected.
    pub fn new(aggregator: Aggregator, queue: Arc<SharedQueue>) -> Self {
        Self { aggregator, queue, connected: watch::channel(false).0, told: false }
    }

    /// Whether there is a connection now.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Connects, sends, and starts again when the connection ends. Returns only when the queue is finished.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.queue.look(Queue::is_finished) {
            match self.one_connection(&mut backoff).await {
                Ok(()) => return,
                Err(ending) => {
                    self.connected.send_replace(false);
                    self.tell_failure(&ending);
                }
            }
            tokio::time::sleep(backoff.after_failure()).await;
        }
    }

    async fn one_connection(&mut self, backoff: &mut Backoff) -> Result<(), Ending> {
        let mut stream = self.connect().await?;
        self.queue.change(Queue::reconnected);
        self.connected.send_replace(true);
        self.tell_success();
        let mut changes = self.queue.changes();
        while !self.queue.look(Queue::is_finished) {
            self.fill_window(&stream.requests).await?;
            tokio::select! {
                reply = stream.replies.message() => {
                    let reply = reply.map_err(|status| Ending::Broken(explain(&status)))?;
                    let reply = reply.ok_or_else(|| Ending::Broken("it ended the stream".into()))?;
                    self.take_reply(reply, backoff);
                }
                _ = changes.changed() => {}
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Stream, Ending> {
        let connecting = self.aggregator.endpoint().connect().await;
        let channel = connecting.map_err(|e| Ending::Unreachable(root_cause(&e)))?;
        let (requests, outgoing) = mpsc::channel(WINDOW);
        let opening = CollectorClient::new(channel).ingest(ReceiverStream::new(outgoing)).await;
        let replies = opening.map_err(|status| Ending::Broken(explain(&status)))?.into_inner();
        Ok(Stream { requests, replies })
    }

    async fn fill_window(&self, requests: &mpsc::Sender<IngestRequest>) -> Result<(), Ending> {
        while let Some(entry) = self.queue.change_quietly(|queue| queue.send_next(WINDOW)) {
            let request = IngestRequest { number: entry.number, batch_zstd: entry.bytes };
            // The channel holds a whole window, so this waits only if the connection is stuck; then nobody else is kept.
            requests.send(request).await.map_err(|_| Ending::Broken("it closed the stream".into()))?;
        }
        Ok(())
    }

    fn take_reply(&self, reply: IngestReply, backoff: &mut Backoff) {
        let number = reply.number;
        let known = match reply.outcome {
            Some(Outcome::Stored(_)) => self.queue.change(|queue| queue.stored(number)),
            Some(Outcome::Refused(refused)) => {
                tracing::error!(
                    batch = number,
                    why = one_line(&refused.why),
                    "the aggregator refuses a batch for good: its events are lost; do agent and aggregator have the same version?"
                );
                self.queue.change(|queue| queue.refused(number))
            }
            None => false,
        };
        if known {
            backoff.reset();
        } else {
            tracing::warn!(batch = number, "the aggregator acknowledged a batch that is not on its way; ignored");
        }
    }

    fn tell_failure(&mut self, ending: &Ending) {
        if std::mem::replace(&mut self.told, true) {
            tracing::debug!(aggregator = %self.aggregator, "{ending}");
        } else {
            tracing::warn!(
                "the aggregator {} {ending}: start it, or name another with --aggregator; trying again, and keeping events meanwhile",
                self.aggregator
            );
        }
    }

    fn tell_success(&mut self) {
        self.told = false;
        tracing::info!(aggregator = %self.aggregator, "connected");
    }
}

/// Text from outside, fit for a log.
fn one_line(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
