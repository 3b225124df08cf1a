//! Probes over one gRPC stream.

use std::sync::{Arc, Mutex, PoisonError};

use syncline_proto::v1::clock_client::ClockClient;
use syncline_proto::v1::{ProbeReply, ProbeRequest};
use syncline_timebase::{Instant, Knot, Mono, Probe};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::failure::{SessionError, explain};
use crate::{ANSWER_WITHIN, Answer, LocalClock, MOST_UNANSWERED, Path, Peer};

pub(crate) struct GrpcSession<C> {
    clock: C,
    requests: mpsc::Sender<u64>,
    replies: Streaming<ProbeReply>,
    departure: Departure,
    last_id: u64,
}

/// Id and T1 of the newest probe, stamped as the connection takes the request from the stream: the last moment we see.
type Departure = Arc<Mutex<Option<(u64, Instant<Mono>)>>>;

impl<C: LocalClock> GrpcSession<C> {
    pub(crate) async fn open(channel: Channel, clock: C) -> Result<Self, SessionError> {
        let (requests, ids) = mpsc::channel(1);
        let departure = Departure::default();
        let stamped = Arc::clone(&departure);
        let outgoing = ReceiverStream::new(ids).map(move |id| {
            *stamped.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, clock.now()));
            ProbeRequest { id }
        });
        let mut client = ClockClient::new(channel);
        let opening = timeout(ANSWER_WITHIN, client.probe(outgoing)).await.map_err(|_| SessionError::Silent)?;
        let replies = opening.map_err(|status| SessionError::Failed(explain(&status)))?.into_inner();
        Ok(Self { clock, requests, replies, departure, last_id: 0 })
    }

    /// Sends probes until one is answered. The first knot is read before the request is on its way: between T1 and the
    /// packet's departure nothing may take time.
    pub(crate) async fn exchange(&mut self) -> Result<Answer, SessionError> {
        for _ in 0..MOST_UNANSWERED {
            self.last_id += 1;
            let before = self.clock.knot();
            self.requests.send(self.last_id).await.map_err(|_| SessionError::Ended)?;
            if let Ok(answer) = timeout(ANSWER_WITHIN, self.answer(before)).await {
                return answer;
            }
        }
        Err(SessionError::Silent)
    }

    /// Waits for the answer to the newest probe; late answers to older ones are left out.
    async fn answer(&mut self, before: Option<Knot>) -> Result<Answer, SessionError> {
        loop {
            let message = self.replies.message().await;
            let returned = self.clock.now();
            let reply = message.map_err(|status| SessionError::Failed(explain(&status)))?;
            if let Some(answer) = self.finish(before, reply.ok_or(SessionError::Ended)?, returned) {
                return Ok(answer);
            }
        }
    }

    fn finish(&self, before: Option<Knot>, reply: ProbeReply, returned: Instant<Mono>) -> Option<Answer> {
        let departure = *self.departure.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, sent) = departure?;
        let received = Instant::from_ns(reply.received_reference_ns);
        let replied = Instant::from_ns(reply.replied_reference_ns);
        if reply.id != id || id != self.last_id || replied < received {
            return None;
        }
        Some(Answer {
            probe: Probe { sent, received, replied, returned },
            path: Path::Grpc,
            peer: Peer { region: reply.region, run: reply.reference_run, mapped: reply.mapped },
            knots: before.zip(self.clock.knot()).map(<[Knot; 2]>::from),
        })
    }
}
