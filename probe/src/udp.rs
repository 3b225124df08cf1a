//! Probes over UDP, with the kernel's stamps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use syncline_exchange::{
    BadPacket, Finished, Message, PACKET_BYTES, Pacer, Packet, Pairing, Refused, SessionId, SessionKey,
};
use syncline_proto::v1::clock_client::ClockClient;
use syncline_proto::v1::{OpenSessionReply, OpenSessionRequest};
use syncline_stamping::{Departed, Reading, StampMap, StampedSocket};
use syncline_timebase::{Instant, Knot, Mono, Span, Wall};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::descriptor::{INTEREST, register};
use crate::failure::{SessionError, explain};
use crate::{ANSWER_WITHIN, Answer, HintReceiver, LocalClock, MOST_UNANSWERED, Path, Peer, ProbeEvent};

/// A follow-up that is later than this is lost.
const FOLLOW_UP_WITHIN: Span = Span::from_ms(50);
/// Packets read before the others of the thread get a turn.
const MOST_AT_ONCE: usize = 64;

/// What an aggregator says to who asks for a session.
pub(crate) enum Offer {
    /// Here is one.
    Session(Grant),
    /// It has no UDP.
    NoUdp,
    /// Not now, and why: others ask too often.
    Later(String),
}

/// What an aggregator hands out.
pub(crate) struct Grant {
    session: SessionId,
    key: SessionKey,
    address: SocketAddr,
    peer: Peer,
}

impl Grant {
    /// Asks the aggregator behind `channel`, whose host is `host`, for a session.
    /// A host with several addresses is tried at another one with each `attempt`.
    pub(crate) async fn ask(channel: Channel, host: &str, name: &str, attempt: usize) -> Result<Offer, SessionError> {
        let mut client = ClockClient::new(channel);
        let request = client.open_session(OpenSessionRequest { node: name.to_owned() });
        let reply = match timeout(ANSWER_WITHIN, request).await {
            Ok(Ok(reply)) => reply.into_inner(),
            // It is older than UDP probes.
            Ok(Err(status)) if status.code() == tonic::Code::Unimplemented => return Ok(Offer::NoUdp),
            Ok(Err(status)) if status.code() == tonic::Code::ResourceExhausted => {
                return Ok(Offer::Later(explain(&status)));
            }
            Ok(Err(status)) => return Err(SessionError::Failed(explain(&status))),
            Err(_) => return Err(SessionError::Silent),
        };
        let port =
            u16::try_from(reply.port).map_err(|_| SessionError::Failed(format!("no UDP port: {}", reply.port)))?;
        if port == 0 {
            return Ok(Offer::NoUdp);
        }
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?.collect();
        let address = addresses.get(attempt % addresses.len().max(1));
        let address = *address.ok_or_else(|| SessionError::Failed(format!("{host} has no address")))?;
        Self::of(&reply, address).map(Offer::Session)
    }

    fn of(reply: &OpenSessionReply, address: SocketAddr) -> Result<Self, SessionError> {
        let key = SessionKey::from_bytes(&reply.key);
        let key = key.ok_or_else(|| SessionError::Failed(format!("a session key of {} bytes", reply.key.len())))?;
        let peer = Peer { region: reply.region.clone(), run: reply.reference_run, mapped: reply.mapped };
        Ok(Self { session: SessionId(reply.session), key, address, peer })
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing ever came back: UDP does not get through.
    NeverAnswered,
    /// It worked until the aggregator fell silent.
    FellSilent,
}

pub(crate) struct UdpSession<C> {
    clock: C,
    grant: Grant,
    socket: AsyncFd<StampedSocket>,
    stamps: StampMap,
    pairing: Pairing,
    /// The number of the next request, and those on their way with the knots before them.
    next_number: u64,
    knots: Vec<(u64, Knot)>,
    unanswered: u32,
    answered: bool,
    /// More packets wait than were taken.
    more: bool,
}

/// A packet that came, and when it was read.
struct Arrival {
    bytes: [u8; PACKET_BYTES + 1],
    len: usize,
    read: Instant<Mono>,
    at: Option<Instant<Wall>>,
}

impl<C: LocalClock> UdpSession<C> {
    pub(crate) fn open(grant: Grant, clock: C) -> Result<Self, SessionError> {
        let any: IpAddr = match grant.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = StampedSocket::bind((any, 0).into())?;
        socket.connect(grant.address)?;
        Ok(Self {
            clock,
            grant,
            socket: register(socket)?,
            stamps: StampMap::new(Reading::take()),
            pairing: Pairing::new(Span::from_ns(ANSWER_WITHIN.as_nanos() as i64), FOLLOW_UP_WITHIN),
            next_number: 0,
            knots: Vec::new(),
            unanswered: 0,
            answered: false,
            more: false,
        })
    }

    /// Probes as `pacer` says until the other side is silent; of `disruptions` that many were heard of before.
    pub(crate) async fn run(
        &mut self,
        pacer: &mut Pacer,
        (hints, disruptions): (&mut HintReceiver, &mut u64),
        tell: &mut impl FnMut(ProbeEvent),
    ) -> Result<Ending, SessionError> {
        let mut last_sent: Option<Instant<Mono>> = None;
        loop {
            let (now, hint) = (self.clock.now(), *hints.borrow_and_update());
            if std::mem::replace(disruptions, hint.disruptions) != hint.disruptions {
                pacer.disrupted(now);
            }
            // Until something comes back there is no reason to be slow: whether UDP gets through is to be found out soon.
            let pause = if self.answered { pacer.pause(now, hint.busy) } else { pacer.least() };
            let due = last_sent.map_or(now, |sent| sent + pause);
            if due <= now {
                self.send();
                pacer.sent();
                last_sent = Some(now);
                continue;
            }
            self.wait(due - now, hints).await?;
            self.finish(|answer| {
                pacer.exchanged(&answer.probe);
                tell(ProbeEvent::Answered(answer));
            });
            let refused = self.pairing.take_refused();
            if refused != Refused::default() {
                tell(ProbeEvent::Refused(refused));
            }
            if self.unanswered >= MOST_UNANSWERED {
                return Ok(if self.answered { Ending::FellSilent } else { Ending::NeverAnswered });
            }
        }
    }

    fn send(&mut self) {
        let number = self.next_number;
        self.next_number += 1;
        let packet = Packet { session: self.grant.session, number, message: Message::Request }.seal(&self.grant.key);
        self.knots.extend(self.clock.knot().map(|knot| (number, knot)));
        self.pairing.sent(number, self.clock.now());
        if let Err(error) = self.socket.get_ref().send(&packet) {
            // It counts as unanswered.
            tracing::debug!(%error, "a probe was not sent");
        }
    }

    /// Waits for packets, for `pause` at most, and takes them.
    async fn wait(&mut self, pause: Span, hints: &mut HintReceiver) -> Result<(), SessionError> {
        let deadline = self.pairing.next_deadline(self.clock.now()).map_or(pause, |deadline| deadline.min(pause));
        let deadline = Duration::from_nanos(deadline.ns().unsigned_abs());
        let is_ready = tokio::select! {
            biased;
            ready = self.socket.ready(INTEREST), if !self.more => {
                // What comes from here on makes it ready again.
                ready?.clear_ready();
                true
            }
            () = tokio::task::yield_now(), if self.more => true,
            () = tokio::time::sleep(deadline) => false,
            () = changed(hints) => false,
        };
        if is_ready { self.take() } else { Ok(()) }
    }

    /// Takes what came and what departed. Stamps are placed by a reading of the clocks behind all of them.
    fn take(&mut self) -> Result<(), SessionError> {
        let (arrivals, departures) = (self.arrivals(), self.departures()?);
        self.more = arrivals.len().max(departures.len()) == MOST_AT_ONCE;
        let is_one_wall = self.stamps.update(Reading::take());
        let placed = |at: Instant<Wall>| is_one_wall.then(|| self.clock.placed(&self.stamps.place(at)));
        for departed in departures {
            let packet = Packet::open(&departed.bytes, &self.grant.key);
            if let (Ok(packet), Some((at, slack))) = (packet, placed(departed.at)) {
                self.pairing.departed(packet.number, at - slack);
            }
        }
        for arrival in arrivals.into_iter().flatten() {
            let at = arrival.at.and_then(placed).map(|(at, slack)| at + slack);
            let bytes = arrival.bytes.get(..arrival.len).unwrap_or_default();
            match Packet::open(bytes, &self.grant.key).and_then(|packet| self.of_this_session(packet)) {
                Ok(packet) => self.pairing.came(packet.number, packet.message, arrival.read, at),
                Err(why) => self.pairing.refuse(why),
            }
        }
        Ok(())
    }

    fn of_this_session(&self, packet: Packet) -> Result<Packet, BadPacket> {
        let is_answer = !matches!(packet.message, Message::Request);
        if packet.session == self.grant.session && is_answer { Ok(packet) } else { Err(BadPacket::Forged) }
    }

    /// The packets that came; `None` for each sign that one of ours did not get through.
    fn arrivals(&self) -> Vec<Option<Arrival>> {
        let next = || {
            let mut bytes = [0; PACKET_BYTES + 1];
            match self.socket.get_ref().receive(&mut bytes) {
                Ok(received) => received.map(|received| {
                    Some(Arrival { bytes, len: received.len, read: self.clock.now(), at: received.at })
                }),
                // The port is closed at the other side, or a router says so: the probe counts as unanswered.
                Err(error) => {
                    tracing::debug!(%error, "a probe was turned back");
                    Some(None)
                }
            }
        };
        std::iter::from_fn(next).take(MOST_AT_ONCE).collect()
    }

    fn departures(&self) -> Result<Vec<Departed<PACKET_BYTES>>, SessionError> {
        let next = || self.socket.get_ref().departed().transpose();
        Ok(std::iter::from_fn(next).take(MOST_AT_ONCE).collect::<Result<_, _>>()?)
    }

    fn finish(&mut self, mut answered: impl FnMut(Answer)) {
        let now = self.clock.now();
        while let Some(finished) = self.pairing.finish(now) {
            (self.answered, self.unanswered) = (true, 0);
            answered(self.answer(&finished));
        }
        self.unanswered += u32::try_from(self.pairing.give_up(now)).unwrap_or(u32::MAX);
    }

    fn answer(&mut self, finished: &Finished) -> Answer {
        let before = self.knots.iter().find(|(number, _)| *number == finished.number).map(|(_, knot)| *knot);
        self.knots.retain(|(number, _)| *number > finished.number);
        Answer {
            probe: finished.probe,
            path: Path::Udp(finished.stamped),
            peer: self.grant.peer.clone(),
            knots: before.zip(self.clock.knot()).map(<[Knot; 2]>::from),
        }
    }
}

/// Ends with the next change; never where nobody makes any.
pub(crate) async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
