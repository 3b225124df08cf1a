//! All nodes at once, each as an agent does it: one stream, a window of unacknowledged batches.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use syncline_proto::v1::collector_client::CollectorClient;
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::traffic::Encoded;

/// Unacknowledged batches of a node; the agent's window.
pub(crate) const WINDOW: usize = 16;
/// A benchmark that takes longer than this has no result.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Sends everything, of each node its batches; returns when everything is acknowledged.
pub(crate) async fn all(aggregator: SocketAddr, traffic: Vec<Vec<Encoded>>) -> Result<Sent> {
    let mut streams = Vec::new();
    for node in traffic {
        streams.push((Stream::open(aggregator).await?, node));
    }
    let began = Instant::now();
    let mut nodes = JoinSet::new();
    for (stream, node) in streams {
        nodes.spawn(stream.run(node));
    }
    Sent::of_all(began, nodes).await
}

/// What was sent and acknowledged.
pub(crate) struct Sent {
    /// Before the first was.
    pub(crate) began: Instant,
    events: u64,
    wire_bytes: u64,
    acknowledged_after: Vec<Duration>,
}

impl Sent {
    pub(crate) fn nothing(began: Instant) -> Self {
        Self { began, events: 0, wire_bytes: 0, acknowledged_after: Vec::new() }
    }

    /// What all of them have sent, once they have ended.
    pub(crate) async fn of_all(began: Instant, mut senders: JoinSet<Result<Self>>) -> Result<Self> {
        let mut sent = Self::nothing(began);
        while let Some(one) = tokio::time::timeout(PATIENCE, senders.join_next()).await.context("no end in sight")? {
            sent.add(one??);
        }
        Ok(sent)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.wire_bytes += other.wire_bytes;
        self.acknowledged_after.extend(other.acknowledged_after);
    }

    /// One more batch.
    pub(crate) fn acknowledged(&mut self, after: Duration, waits: u64, wire_bytes: u64) {
        self.events += waits;
        self.wire_bytes += wire_bytes;
        self.acknowledged_after.push(after);
    }

    /// A line of JSON, up to now.
    pub(crate) fn report(&mut self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        self.acknowledged_after.sort_unstable();
        let batches = self.acknowledged_after.len();
        let ms = |share: f64| {
            let place = ((batches as f64 * share) as usize).min(batches.saturating_sub(1));
            self.acknowledged_after.get(place).map_or(0.0, |after| after.as_secs_f64() * 1e3)
        };
        serde_json::json!({
            "events": self.events,
            "batches": batches,
            "wire_bytes": self.wire_bytes,
            "seconds": seconds,
            "ack_p50_ms": ms(0.5),
            "ack_p99_ms": ms(0.99),
        })
        .to_string()
    }
}

/// One node's connection.
pub(crate) struct Stream {
    requests: mpsc::Sender<IngestRequest>,
    replies: Streaming<IngestReply>,
    /// By the number of the batch: when it was sent, its waits and its bytes.
    on_the_way: HashMap<u64, (Instant, u64, u64)>,
    sent: Sent,
}

impl Stream {
    pub(crate) async fn open(aggregator: SocketAddr) -> Result<Self> {
        let mut client = CollectorClient::connect(format!("http://{aggregator}")).await?;
        let (requests, outgoing) = mpsc::channel(WINDOW);
        let replies = client.ingest(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { requests, replies, on_the_way: HashMap::new(), sent: Sent::nothing(Instant::now()) })
    }

    async fn run(mut self, batches: Vec<Encoded>) -> Result<Sent> {
        for batch in batches {
            if !self.has_room() {
                self.wait_for_reply().await?;
            }
            self.send(batch).await?;
        }
        self.finish().await
    }

    /// Whether another batch may be on the way.
    pub(crate) fn has_room(&self) -> bool {
        self.on_the_way.len() < WINDOW
    }

    pub(crate) async fn send(&mut self, batch: Encoded) -> Result<()> {
        self.on_the_way.insert(batch.number, (Instant::now(), batch.waits, batch.bytes.len() as u64));
        self.requests.send(IngestRequest { number: batch.number, batch_zstd: batch.bytes.into() }).await?;
        Ok(())
    }

    /// The waits of the batch that is acknowledged next. Nothing is lost if this is given up before.
    pub(crate) async fn wait_for_reply(&mut self) -> Result<u64> {
        let reply = self.replies.message().await?.context("the aggregator ended the stream")?;
        match reply.outcome {
            Some(Outcome::Stored(_)) => {}
            other => bail!("batch {} is not stored: {other:?}", reply.number),
        }
        let (sent, waits, bytes) = self.on_the_way.remove(&reply.number).context("acknowledged twice")?;
        self.sent.acknowledged(sent.elapsed(), waits, bytes);
        Ok(waits)
    }

    /// Waits for what is on the way.
    pub(crate) async fn finish(mut self) -> Result<Sent> {
        while !self.on_the_way.is_empty() {
            self.wait_for_reply().await?;
        }
        Ok(self.sent)
    }
}
