//! Probes over one gRPC stream.

use std::sync::{Arc, Mutex, PoisonError};

use syncline_proto::v1::clock_client::ClockClient;
use syncline_proto::v1::{ProbeReply, ProbeRequest};
use syncline_timebase::{Instant, Knot, Mono, Probe};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{ANSWER_WITHIN, Reference};
use crate::clock::Clocks;
use crate::endpoint::{Aggregator, explain, root_cause};

/// Probes without an answer after which the connection is made anew.
const MOST_UNANSWERED: u32 = 3;

/// Why a stream of probes ended.
#[derive(Debug, Error)]
pub(super) enum SessionError {
    #[error("cannot connect: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Failed(String),
    #[error("the aggregator ended the stream")]
    Ended,
    #[error("{MOST_UNANSWERED} probes in a row got no answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
}

/// A finished probe.
pub(super) struct Exchange {
    pub(super) probe: Probe,
    pub(super) knots: [Knot; 2],
    pub(super) reference: Reference,
}

pub(super) struct Session {
    clocks: Clocks,
    requests: mpsc::Sender<u64>,
    replies: Streaming<ProbeReply>,
    departure: Departure,
    last_id: u64,
}

/// Id and T1 of the newest probe, stamped as the connection takes the request from the stream: the last moment we see.
type Departure = Arc<Mutex<Option<(u64, Instant<Mono>)>>>;

impl Session {
    pub(super) async fn connect(aggregator: &Aggregator, clocks: Clocks) -> Result<Self, SessionError> {
        let channel = aggregator.endpoint().connect().await.map_err(|e| SessionError::Unreachable(root_cause(&e)))?;
        let (requests, ids) = mpsc::channel(1);
        let departure = Departure::default();
        let stamped = Arc::clone(&departure);
        let outgoing = ReceiverStream::new(ids).map(move |id| {
            *stamped.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, clocks.mono()));
            ProbeRequest { id }
        });
        let mut client = ClockClient::new(channel);
        let opening = timeout(ANSWER_WITHIN, client.probe(outgoing)).await.map_err(|_| SessionError::Silent)?;
        let replies = opening.map_err(|status| SessionError::Failed(explain(&status)))?.into_inner();
        Ok(Self { clocks, requests, replies, departure, last_id: 0 })
    }

    /// Sends probes until one is answered. The first knot is read before the request is on its way: between T1 and the
    /// packet's departure nothing may take time.
    pub(super) async fn exchange(&mut self) -> Result<Exchange, SessionError> {
        for _ in 0..MOST_UNANSWERED {
            self.last_id += 1;
            let before = self.clocks.knot();
            self.requests.send(self.last_id).await.map_err(|_| SessionError::Ended)?;
            if let Ok(answer) = timeout(ANSWER_WITHIN, self.answer(before)).await {
                return answer;
            }
        }
        Err(SessionError::Silent)
    }

    /// Waits for the answer to the newest probe; late answers to older ones are left out.
    async fn answer(&mut self, before: Knot) -> Result<Exchange, SessionError> {
        loop {
            let message = self.replies.message().await;
            let returned = self.clocks.mono();
            let reply = message.map_err(|status| SessionError::Failed(explain(&status)))?;
            if let Some(exchange) = self.finish(before, reply.ok_or(SessionError::Ended)?, returned) {
                return Ok(exchange);
            }
        }
    }

    fn finish(&self, before: Knot, reply: ProbeReply, returned: Instant<Mono>) -> Option<Exchange> {
        let departure = *self.departure.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, sent) = departure?;
        let received = Instant::from_ns(reply.received_reference_ns);
        let replied = Instant::from_ns(reply.replied_reference_ns);
        if reply.id != id || id != self.last_id || replied < received {
            return None;
        }
        Some(Exchange {
            probe: Probe { sent, received, replied, returned },
            knots: [before, self.clocks.knot()],
            reference: Reference { region: reply.region, run: reply.reference_run },
        })
    }
}
