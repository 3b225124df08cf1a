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

use crate::traffic::{Encoded, Traffic};

/// Unacknowledged batches of a node; the agent's window.
const WINDOW: usize = 16;
/// A benchmark that takes longer than this has no result.
const PATIENCE: Duration = Duration::from_secs(300);

/// Sends everything; returns when everything is acknowledged, with one line of JSON.
pub(crate) async fn all(aggregator: SocketAddr, traffic: Vec<Traffic>) -> Result<String> {
    let mut streams = Vec::new();
    for node in traffic {
        streams.push(Stream::open(aggregator, node).await?);
    }
    let start = Instant::now();
    let mut nodes = JoinSet::new();
    for stream in streams {
        nodes.spawn(stream.run());
    }
    let mut sent = Sent::default();
    while let Some(node) = tokio::time::timeout(PATIENCE, nodes.join_next()).await.context("no end in sight")? {
        sent.add(node??);
    }
    Ok(sent.report(start.elapsed()))
}

#[derive(Default)]
struct Sent {
    events: u64,
    wire_bytes: u64,
    acknowledged_after: Vec<Duration>,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.wire_bytes += other.wire_bytes;
        self.acknowledged_after.extend(other.acknowledged_after);
    }

    fn report(mut self, took: Duration) -> String {
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
            "seconds": took.as_secs_f64(),
            "ack_p50_ms": ms(0.5),
            "ack_p99_ms": ms(0.99),
        })
        .to_string()
    }
}

/// One node's connection.
struct Stream {
    requests: mpsc::Sender<IngestRequest>,
    replies: Streaming<IngestReply>,
    unsent: std::vec::IntoIter<Encoded>,
    on_the_way: HashMap<u64, (Instant, u64)>,
    sent: Sent,
}

impl Stream {
    async fn open(aggregator: SocketAddr, traffic: Traffic) -> Result<Self> {
        let mut client = CollectorClient::connect(format!("http://{aggregator}")).await?;
        let (requests, outgoing) = mpsc::channel(WINDOW);
        let replies = client.ingest(ReceiverStream::new(outgoing)).await?.into_inner();
        let unsent = traffic.batches.into_iter();
        Ok(Self { requests, replies, unsent, on_the_way: HashMap::new(), sent: Sent::default() })
    }

    async fn run(mut self) -> Result<Sent> {
        loop {
            self.fill_window().await?;
            if self.on_the_way.is_empty() {
                return Ok(self.sent);
            }
            let reply = self.replies.message().await?.context("the aggregator ended the stream")?;
            self.acknowledged(reply)?;
        }
    }

    async fn fill_window(&mut self) -> Result<()> {
        while self.on_the_way.len() < WINDOW {
            let Some(batch) = self.unsent.next() else { return Ok(()) };
            self.sent.wire_bytes += batch.bytes.len() as u64;
            self.on_the_way.insert(batch.number, (Instant::now(), batch.waits));
            self.requests.send(IngestRequest { number: batch.number, batch_zstd: batch.bytes.into() }).await?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, reply: IngestReply) -> Result<()> {
        match reply.outcome {
            Some(Outcome::Stored(_)) => {}
            other => bail!("batch {} is not stored: {other:?}", reply.number),
        }
        let (sent, waits) = self.on_the_way.remove(&reply.number).context("acknowledged twice")?;
        self.sent.acknowledged_after.push(sent.elapsed());
        self.sent.events += waits;
        Ok(())
    }
}
