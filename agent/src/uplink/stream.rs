//! Batches over one bidirectional gRPC stream: sent in order, kept until the aggregator says that they are stored.

use syncline_probe::{explain, root_cause};
use syncline_proto::v1::collector_client::CollectorClient;
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::inquiry;
use crate::endpoint::Aggregator;
use crate::queue::SharedQueue;

/// Batches sent and not yet acknowledged.
pub const WINDOW: usize = 16;

/// Why a connection ended.
#[derive(Debug, Error)]
pub(super) enum Ending {
    #[error("cannot be reached ({0})")]
    Unreachable(String),
    #[error("broke the connection off ({0})")]
    Broken(String),
    #[error("serves region {theirs:?}, and this node is in {ours:?}")]
    OtherRegion { theirs: String, ours: String },
}

impl Ending {
    /// What a person can do.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => "start it, or name another with --aggregator",
            Self::OtherRegion { .. } => "name aggregators of the node's region with --aggregator",
        }
    }
}

/// An open stream.
pub(super) struct Stream {
    requests: mpsc::Sender<IngestRequest>,
    replies: Streaming<IngestReply>,
    channel: Channel,
}

/// A stream to `aggregator`, if it serves `region` (or that does not matter).
pub(super) async fn open(aggregator: &Aggregator, region: Option<&str>) -> Result<Stream, Ending> {
    let channel = connect(aggregator).await?;
    if let Some(region) = region {
        inquiry::serves(channel.clone(), region).await?;
    }
    let (requests, outgoing) = mpsc::channel(WINDOW);
    let opening = CollectorClient::new(channel.clone()).ingest(ReceiverStream::new(outgoing)).await;
    let replies = opening.map_err(|status| Ending::Broken(explain(&status)))?.into_inner();
    Ok(Stream { requests, replies, channel })
}

/// A connection, on which nothing was said yet.
pub(super) async fn connect(aggregator: &Aggregator) -> Result<Channel, Ending> {
    let connecting = aggregator.endpoint().connect().await;
    connecting.map_err(|error| Ending::Unreachable(root_cause(&error)))
}

impl Stream {
    /// The connection, for what else is to be asked.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Sends what the queue has, as far as the window goes.
    pub(super) async fn fill(&self, queue: &SharedQueue) -> Result<(), Ending> {
        while let Some(entry) = queue.change_quietly(|queue| queue.send_next(WINDOW)) {
            let request = IngestRequest { number: entry.number(), batch_zstd: entry.bytes };
            // The channel holds a whole window, so this waits only if the connection is stuck; then nobody else is kept.
            self.requests.send(request).await.map_err(|_| Ending::Broken("it closed the stream".into()))?;
        }
        Ok(())
    }

    /// The next reply.
    pub(super) async fn reply(&mut self) -> Result<IngestReply, Ending> {
        let reply = self.replies.message().await.map_err(|status| Ending::Broken(explain(&status)))?;
        reply.ok_or_else(|| Ending::Broken("it ended the stream".into()))
    }
}

/// Does what a reply says of a batch; whether that was on its way.
pub(super) fn settle(queue: &SharedQueue, reply: IngestReply) -> bool {
    let number = reply.number;
    let known = match reply.outcome {
        Some(Outcome::Stored(_)) => queue.change(|queue| queue.stored(number)),
        Some(Outcome::Refused(refused)) => {
            tracing::error!(
                batch = number,
                why = one_line(&refused.why),
                "the aggregator refuses a batch for good: its events are lost; do agent and aggregator have the same version?"
            );
            queue.change(|queue| queue.refused(number))
        }
        None => false,
    };
    if !known {
        tracing::warn!(batch = number, "the aggregator acknowledged a batch that is not on its way; ignored");
    }
    known
}

/// Text from outside, fit for a log.
fn one_line(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
