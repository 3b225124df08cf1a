//! The Clock service: four-stamp exchanges with the nodes of the region, and with other regions' aggregators.
//!
//! T2 is read when the request comes out of the stream and T3 when the reply is handed to it, in one `poll` of one
//! task with nothing in between. Both sides of an exchange stamp at the same layer (above HTTP/2), so what the layers
//! below cost is nearly the same in both directions and cancels in the midpoint; what does not cancel is inside the
//! round trip, and so inside the hard bound.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use syncline_proto::v1::clock_server::{Clock, ClockServer};
use syncline_proto::v1::{ProbeReply, ProbeRequest};
use syncline_timebase::{Instant, Reference as ReferenceScale};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::counters::{Counters, count};
use crate::reference::Reference;
use crate::stopping::Stopping;

/// What one peer may ask of the service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams open at once, of all peers together.
    pub streams: usize,
    /// Probes a second on one stream, in the long run.
    pub probes_per_second: u32,
    /// Probes on one stream at once, after a pause.
    pub burst: u32,
}

impl Default for Limits {
    /// Enough for 100,000 nodes, each with a burst of probes after a step.
    fn default() -> Self {
        Self { streams: 100_000, probes_per_second: 50, burst: 100 }
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
    counters: Arc<Counters>,
    stopping: Stopping,
}

impl ClockService {
    /// A service that answers with `reference`, the time of `region`, until `stopping`. `mapped` says whether that is
    /// itself measured against another region's.
    pub fn new(
        reference: Reference,
        region: Arc<str>,
        mapped: bool,
        limits: Limits,
        counters: Arc<Counters>,
        stopping: Stopping,
    ) -> Self {
        Self {
            reference,
            region,
            mapped,
            limits,
            streams: Arc::new(Semaphore::new(limits.streams)),
            counters,
            stopping,
        }
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
            allowance: Allowance::new(self.limits, self.reference.now()),
            counters: Arc::clone(&self.counters),
            stopping: Box::pin(self.stopping.clone().wanted()),
            ended: false,
            _place: place,
        }))
    }
}

impl ClockService {
    fn refuse_stream(&self) -> Status {
        count(&self.counters.probe_streams_refused);
        Status::resource_exhausted(format!("{} probe streams are open already", self.limits.streams))
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
            let status = format!("more than {} probes a second on one stream", self.allowance.per_second);
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

/// A token bucket on reference time, in whole nanoseconds of allowance.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    per_second: u32,
    probe_ns: i64,
    full_ns: i64,
    left_ns: i64,
    at: Instant<ReferenceScale>,
}

impl Allowance {
    fn new(limits: Limits, now: Instant<ReferenceScale>) -> Self {
        let probe_ns = 1_000_000_000 / i64::from(limits.probes_per_second.max(1));
        let full_ns = probe_ns * i64::from(limits.burst.max(1));
        Self { per_second: limits.probes_per_second, probe_ns, full_ns, left_ns: full_ns, at: now }
    }

    fn take(&mut self, now: Instant<ReferenceScale>) -> bool {
        self.left_ns = self.left_ns.saturating_add((now - self.at).ns()).min(self.full_ns);
        self.at = now;
        let enough = self.left_ns >= self.probe_ns;
        if enough {
            self.left_ns -= self.probe_ns;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::Span;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate_holds() {
        let limits = Limits { streams: 1, probes_per_second: 10, burst: 3 };
        let start = Instant::from_ns(1_000);
        let mut allowance = Allowance::new(limits, start);
        assert_eq!((0..5).filter(|_| allowance.take(start)).count(), 3);
        assert!(!allowance.take(start + Span::from_ms(99)));
        assert!(allowance.take(start + Span::from_ms(100)));
        assert!(!allowance.take(start + Span::from_ms(101)));
        let later = start + Span::from_s(3_600);
        assert_eq!((0..5).filter(|_| allowance.take(later)).count(), 3, "a pause earns one burst and no more");
    }
}
