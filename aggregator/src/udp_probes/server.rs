//! Answers packets, on a thread of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use syncline_exchange::{MasterKey, Message, PACKET_BYTES, Packet, SessionId};
use syncline_stamping::{Reading, StampMap, StampedSocket, Way};
use syncline_timebase::{Instant, Reference as ReferenceScale, Wall};

use super::sessions::{Refused, Sessions};
use crate::clock_service::Limits;
use crate::counters::{Counters, count};
use crate::reference::Reference;
use crate::stopping::Stopping;

/// Packets taken before those that departed are asked after: follow-ups should not be late.
const MOST_AT_ONCE: usize = 32;
/// Replies whose departure is waited for.
const MOST_DEPARTING: usize = 1_024;
/// How often it looks whether to stop.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The answering side.
#[derive(Debug)]
pub struct Server {
    socket: StampedSocket,
    reference: Reference,
    sessions: Sessions,
    stamps: StampMap,
    departing: VecDeque<(SessionId, u64, Way)>,
    counters: Arc<Counters>,
}

/// A packet that came.
struct Arrival {
    bytes: [u8; PACKET_BYTES + 1],
    len: usize,
    way: Way,
    read: Instant<ReferenceScale>,
    at: Option<Instant<Wall>>,
}

/// Starts the thread.
///
/// # Errors
/// The system gives none.
pub fn spawn(server: Server, stopping: Stopping) -> io::Result<()> {
    std::thread::Builder::new().name("udp-probes".to_owned()).spawn(move || server.run(&stopping)).map(drop)
}

impl Server {
    /// Answers at `socket` with `reference`, whose sessions have keys of `master`.
    pub fn new(
        socket: StampedSocket,
        reference: Reference,
        master: MasterKey,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Self {
        let sessions = Sessions::new(master, reference.run(), limits.rate, limits.sessions);
        let stamps = StampMap::new(Reading::take());
        Self { socket, reference, sessions, stamps, departing: VecDeque::new(), counters }
    }

    fn run(mut self, stopping: &Stopping) {
        while !stopping.is_wanted() {
            let waited = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&LOOK_UP));
            if let Err(error) = waited
                && error != rustix::io::Errno::INTR
            {
                return tracing::error!(%error, "cannot wait for probes over UDP: nodes go on over gRPC");
            }
            self.answer_all();
            self.follow_up_all();
        }
    }

    fn answer_all(&mut self) {
        let arrivals = self.arrivals();
        if arrivals.is_empty() {
            return;
        }
        let is_one_wall = self.stamps.update(Reading::take());
        for arrival in arrivals {
            self.answer(&arrival, is_one_wall);
        }
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let next = || {
            let mut bytes = [0; PACKET_BYTES + 1];
            // An error is that of an answer sent before, to a port that is closed by now.
            let received = self.socket.receive(&mut bytes).transpose()?;
            let read = self.reference.now();
            Some(received.ok().map(|r| Arrival { bytes, len: r.len, way: r.way, read, at: r.at }))
        };
        std::iter::from_fn(next).take(MOST_AT_ONCE).flatten().collect()
    }

    fn answer(&mut self, arrival: &Arrival, is_one_wall: bool) {
        let Arrival { bytes, len, way, read, at } = arrival;
        let (packet, key) = match self.sessions.admit(bytes.get(..*len).unwrap_or_default(), *read) {
            Ok(admitted) => admitted,
            Err(why) => return count(counter(&self.counters, why)),
        };
        // Not before it came: a bound that rests on it stays true.
        let stamped = at.filter(|_| is_one_wall).map(|at| self.stamps.place(at));
        let received = stamped.map_or(*read, |placed| self.reference.of_raw(placed.raw + placed.raw_slack).min(*read));
        let message = Message::Reply { received, replied: self.reference.now(), has_follow_up: at.is_some() };
        let reply = Packet { message, ..packet }.seal(key);
        if let Err(error) = self.socket.send_back(&reply, way) {
            tracing::debug!(%error, peer = %way.peer, "a probe's answer was not sent");
            return count(&self.counters.udp_probes_unsent);
        }
        count(&self.counters.probes_answered);
        if self.departing.len() == MOST_DEPARTING {
            self.departing.pop_front();
        }
        self.departing.push_back((packet.session, packet.number, *way));
    }

    /// Tells when the replies departed.
    fn follow_up_all(&mut self) {
        let next = || self.socket.departed::<PACKET_BYTES>().ok().flatten();
        let departures: Vec<_> = std::iter::from_fn(next).collect();
        if departures.is_empty() || !self.stamps.update(Reading::take()) {
            return;
        }
        for departed in departures {
            // It comes from our own kernel, and only with a stamp: nobody else can put it there.
            let Ok(packet) = Packet::peek(&departed.bytes) else { continue };
            // A follow-up departs too, and is followed by nothing.
            let is_it =
                |(session, number, _): &(SessionId, u64, _)| (*session, *number) == (packet.session, packet.number);
            let Message::Reply { .. } = packet.message else { continue };
            let Some(place) = self.departing.iter().position(is_it) else { continue };
            // Stamps come in the order of sending: those before it have none.
            let Some((_, _, way)) = self.departing.drain(..=place).next_back() else { continue };
            let placed = self.stamps.place(departed.at);
            let message = Message::FollowUp { replied: self.reference.of_raw(placed.raw - placed.raw_slack) };
            let Some(key) = self.sessions.key(packet.session) else { continue };
            if self.socket.send_back(&Packet { message, ..packet }.seal(key), &way).is_err() {
                count(&self.counters.udp_probes_unsent);
            }
        }
    }
}

fn counter(counters: &Counters, why: Refused) -> &std::sync::atomic::AtomicU64 {
    match why {
        Refused::Malformed => &counters.udp_probes_malformed,
        Refused::Forged => &counters.udp_probes_forged,
        Refused::Replayed => &counters.udp_probes_replayed,
        Refused::TooMany => &counters.probes_refused,
        Refused::NoRoom => &counters.udp_sessions_refused,
    }
}
