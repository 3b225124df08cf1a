//! The Clock service: four-stamp exchanges with the nodes of the region, and with other regions' aggregators.
//!
//! T2 is read when the request comes out of the stream and T3 when the reply is handed to it, in one `poll` of one
//! task with nothing in between. Both sides of an exchange stamp at the same layer (above HTTP/2), so what the layers
//! below cost is nearly the same in both directions and cancels in the midpoint; what does not cancel is inside the
//! round trip, and so inside the hard bound.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use syncline_exchange::{ANSWERED_PER_SECOND, SessionId};
use syncline_proto::v1::clock_server::{Clock, ClockServer};
use syncline_proto::v1::{OpenSessionReply, OpenSessionRequest, ProbeReply, ProbeRequest};
use syncline_timebase::{Instant, Reference as ReferenceScale};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::allowance::{Allowance, Rate};
use crate::counters::{Counters, count};
use crate::peers::PeerAllowances;
use crate::reference::Reference;
use crate::stopping::Stopping;
use crate::udp_probes::Grants;

/// What one peer may ask of the service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams open at once, of all peers together.
    pub streams: usize,
    /// Probes on one stream, or of one UDP session.
    pub rate: Rate,
    /// UDP sessions that are kept.
    pub sessions: usize,
    /// UDP sessions that one address may ask for; nodes behind one translated address share it.
    pub session_rate: Rate,
    /// Addresses whose requests for sessions are counted at once.
    pub session_peers: usize,
}

impl Default for Limits {
    /// Enough for 100,000 nodes, each with a burst of probes after a step. A node needs a session at its start and after each
    /// restart of its aggregator; one that is refused probes over gRPC and asks again a minute later.
    fn default() -> Self {
        Self {
            streams: 100_000,
            rate: Rate { per_second: ANSWERED_PER_SECOND, burst: 2 * ANSWERED_PER_SECOND },
            sessions: 200_000,
            session_rate: Rate { per_second: 2, burst: 200 },
            session_peers: 65_536,
        }
    }
}

/// Answers probes with the region's reference time.
#[derive(Debug)]
pub struct ClockService {
    reference: Reference,
    region: Arc<str>,
    mapped: bool,
    limits: Limits,
    streams: Arc<Semaphore>,
    grants: Option<Grants>,
    asking: Mutex<PeerAllowances>,
    counters: Arc<Counters>,
    stopping: Stopping,
}

impl ClockService {
    /// A service that answers with `reference`, the time of `region`, until `stopping`. `mapped` says whether that is
    /// itself measured against another region's; `grants` makes sessions for UDP, where there is that.
    pub fn new(
        reference: Reference,
        region: Arc<str>,
        mapped: bool,
        limits: Limits,
        grants: Option<Grants>,
        counters: Arc<Counters>,
        stopping: Stopping,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(limits.streams));
        let asking = Mutex::new(PeerAllowances::new(limits.session_rate, limits.session_peers));
        Self { reference, region, mapped, limits, streams, grants, asking, counters, stopping }
    }

    /// As a tonic service. A request is a few bytes; more is refused unread.
    pub fn into_server(self) -> ClockServer<Self> {
        ClockServer::new(self).max_decoding_message_size(1024)
    }
}

#[tonic::async_trait]
impl Clock for ClockService {
    type ProbeStream = Replies<Streaming<ProbeRequest>>;

    async fn probe(&self, request: Request<Streaming<ProbeRequest>>) -> Result<Response<Self::ProbeStream>, Status> {
        let place = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| self.refuse_stream())?;
        Ok(Response::new(Replies {
            requests: request.into_inner(),
            reference: self.reference,
            region: Arc::clone(&self.region),
            mapped: self.mapped,
            allowance: Allowance::new(self.limits.rate, self.reference.now()),
            counters: Arc::clone(&self.counters),
            stopping: Box::pin(self.stopping.clone().wanted()),
            ended: false,
            _place: place,
        }))
    }

    async fn open_session(&self, request: Request<OpenSessionRequest>) -> Result<Response<OpenSessionReply>, Status> {
        let reference_run = self.reference.run();
        let mut reply = OpenSessionReply {
            region: self.region.as_ref().to_owned(),
            reference_run,
            mapped: self.mapped,
            ..OpenSessionReply::default()
        };
        if let Some(grants) = &self.grants {
            self.allow_session(&request)?;
            let (SessionId(session), key) = grants.open(reference_run);
            tracing::debug!(node = request.get_ref().node, session, "UDP session");
            (reply.session, reply.key) = (session, key.as_bytes().to_vec());
            reply.port = u32::from(grants.port());
        }
        Ok(Response::new(reply))
    }
}

impl ClockService {
    fn refuse_stream(&self) -> Status {
        count(&self.counters.probe_streams_refused);
        Status::resource_exhausted(format!("{} probe streams are open already", self.limits.streams))
    }

    fn allow_session<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let peer = request.remote_addr().map(|address| address.ip());
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if asking.take(peer, self.reference.now()) {
            return Ok(());
        }
        count(&self.counters.udp_session_requests_refused);
        let per_second = self.limits.session_rate.per_second;
        Err(Status::resource_exhausted(format!(
            "more than {per_second} UDP sessions a second for one address: probe over gRPC, and ask again in a minute"
        )))
    }
}

/// The replies to a stream of requests, in their order. Nothing is kept between the two: a peer that does not read its
/// replies is not read from.
pub struct Replies<R> {
    requests: R,
    reference: Reference,
    region: Arc<str>,
    mapped: bool,
    allowance: Allowance,
    counters: Arc<Counters>,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl<R> Stream for Replies<R>
where
    R: Stream<Item = Result<ProbeRequest, Status>> + Unpin,
{
    type Item = Result<ProbeReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.requests).poll_next(context);
        let received = self.reference.now();
        if polled.is_pending() && self.stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(self.end(Status::unavailable("the aggregator is stopping")))));
        }
        Poll::Ready(match ready!(polled) {
            Some(Ok(request)) => Some(self.reply(request, received)),
            Some(Err(status)) => Some(Err(self.end(status))),
            None => None,
        })
    }
}

impl<R> Replies<R> {
    fn reply(&mut self, request: ProbeRequest, received: Instant<ReferenceScale>) -> Result<ProbeReply, Status> {
        if !self.allowance.take(received) {
            count(&self.counters.probes_refused);
            let status = format!("more than {} probes a second on one stream", self.allowance.per_second());
            return Err(self.end(Status::resource_exhausted(status)));
        }
        count(&self.counters.probes_answered);
        let mut reply = ProbeReply {
            id: request.id,
            received_reference_ns: received.ns(),
            replied_reference_ns: 0,
            region: self.region.as_ref().to_owned(),
            reference_run: self.reference.run(),
            mapped: self.mapped,
        };
        reply.replied_reference_ns = self.reference.now().ns();
        Ok(reply)
    }

    fn end(&mut self, status: Status) -> Status {
        self.ended = true;
        status
    }
}
