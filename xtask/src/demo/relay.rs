//! The packets' part of a path between two ends, as a network emulator would make it: with a delay of each way, jitter,
//! loss, and another route when told. Streams go by a link (`demo/wan`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use syncline_sim::Random;

use super::plan::Link;

/// How often it looks whether to stop.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Longer packets are none of ours, and cut.
const LONGEST_PACKET: usize = 2_048;
/// Those who send, each from a port of its own; of more the oldest are forgotten.
const MOST_SENDERS: usize = 16;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Out,
    Back,
}

/// What was carried so far, both ways together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) carried: u64,
    pub(crate) lost: u64,
}

impl Traffic {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { carried: self.carried + other.carried, lost: self.lost + other.lost }
    }
}

/// Something to be done while a packet is on its way.
type Deed = Box<dyn FnOnce() + Send>;

struct Shared {
    route: Mutex<Link>,
    at_next_request: Mutex<Option<Deed>>,
    carried: AtomicU64,
    lost: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn new(route: Link) -> Self {
        let (carried, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        let (route, stop) = (Mutex::new(route), AtomicBool::new(false));
        Self { route, at_next_request: Mutex::new(None), carried, lost, stop }
    }
}

/// The packets' part of a path; it ends when this is dropped.
pub(crate) struct PacketRelay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl PacketRelay {
    /// Passes on what comes to `listen`, to `to` and back, but loses `loss` (0 to 1) of it. The seed is that of chance.
    ///
    /// # Errors
    /// When the address is taken.
    pub(crate) fn start(listen: SocketAddr, to: SocketAddr, route: Link, loss: f64, seed: u64) -> Result<Self> {
        let front = UdpSocket::bind(listen).with_context(|| format!("cannot relay packets that come to {listen}"))?;
        front.set_nonblocking(true)?;
        let shared = Arc::new(Shared::new(route));
        let (senders, waiting) = (Vec::new(), BinaryHeap::new());
        let chance = Chance { random: Random::seeded(seed), loss };
        let carrier = Carrier { front, to, senders, waiting, chance, taken: 0, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || carrier.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Packets that come from now on take another route.
    pub(crate) fn reroute(&self, route: Link) {
        *lock(&self.shared.route) = route;
    }

    /// Does it once the next request has come, before that is passed on.
    pub(crate) fn at_next_request(&self, deed: impl FnOnce() + Send + 'static) {
        *lock(&self.shared.at_next_request) = Some(Box::new(deed));
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic { carried: read(&self.shared.carried), lost: read(&self.shared.lost) }
    }
}

impl Drop for PacketRelay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // It may have panicked, which was told when it did.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What a path does to packets by chance.
struct Chance {
    random: Random,
    loss: f64,
}

impl Chance {
    /// How long a packet takes, if it is not lost.
    fn delay(&mut self, route: Link, way: Way) -> Option<Duration> {
        let (lot, jitter) = (self.random.uniform(), self.random.uniform());
        let fixed = match way {
            Way::Out => route.delay,
            Way::Back => route.delay_back,
        };
        (lot >= self.loss).then(|| fixed + route.jitter.mul_f64(jitter))
    }
}

/// A packet on its way. Those due first come first, and of two due at once the one that came first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    number: u64,
    way: Way,
    sender: SocketAddr,
    bytes: Vec<u8>,
}

/// One who sends, and the socket that stands for it at the other end.
struct Sender {
    address: SocketAddr,
    socket: UdpSocket,
}

struct Carrier {
    front: UdpSocket,
    to: SocketAddr,
    senders: Vec<Sender>,
    waiting: BinaryHeap<Reverse<Packet>>,
    chance: Chance,
    taken: u64,
    shared: Arc<Shared>,
}

impl Carrier {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.wait();
            self.take_requests();
            self.take_replies();
            self.deliver();
        }
    }

    /// Until something comes or is due.
    fn wait(&self) {
        let due = self.waiting.peek().map(|Reverse(packet)| packet.due.saturating_duration_since(Instant::now()));
        let pause = due.unwrap_or(LOOK_UP).min(LOOK_UP);
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
        let sockets = self.senders.iter().map(|sender| &sender.socket).chain([&self.front]);
        let mut sockets: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        // Interrupted or not, it looks at all of them.
        let _ = poll(&mut sockets, Some(&pause));
    }

    fn take_requests(&mut self) {
        let mut bytes = [0; LONGEST_PACKET];
        while let Ok((length, from)) = self.front.recv_from(&mut bytes) {
            if self.meet(from).is_err() {
                continue;
            }
            if let Some(deed) = lock(&self.shared.at_next_request).take() {
                deed();
            }
            self.send_off(Way::Out, from, bytes.get(..length).unwrap_or_default());
        }
    }

    fn take_replies(&mut self) {
        let mut bytes = [0; LONGEST_PACKET];
        let mut came = Vec::new();
        for sender in &self.senders {
            // An error is that of a packet before: nobody was there to take it.
            while let Ok(length) = sender.socket.recv(&mut bytes) {
                came.push((sender.address, bytes.get(..length).unwrap_or_default().to_vec()));
            }
        }
        came.into_iter().for_each(|(sender, bytes)| self.send_off(Way::Back, sender, &bytes));
    }

    fn meet(&mut self, address: SocketAddr) -> io::Result<()> {
        if self.senders.iter().any(|sender| sender.address == address) {
            return Ok(());
        }
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        socket.connect(self.to)?;
        if self.senders.len() == MOST_SENDERS {
            self.senders.remove(0);
        }
        self.senders.push(Sender { address, socket });
        Ok(())
    }

    fn send_off(&mut self, way: Way, sender: SocketAddr, bytes: &[u8]) {
        let route = *lock(&self.shared.route);
        let Some(delay) = self.chance.delay(route, way) else {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.taken += 1;
        let (due, number) = (Instant::now() + delay, self.taken);
        self.waiting.push(Reverse(Packet { due, number, way, sender, bytes: bytes.to_vec() }));
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|Reverse(packet)| packet.due <= now) {
            let Some(Reverse(packet)) = self.waiting.pop() else { return };
            let Some(sender) = self.senders.iter().find(|sender| sender.address == packet.sender) else { continue };
            let sent = match packet.way {
                Way::Out => sender.socket.send(&packet.bytes),
                Way::Back => self.front.send_to(&packet.bytes, packet.sender),
            };
            // To one who is not there it is lost, as on any path.
            let counter = if sent.is_ok() { &self.shared.carried } else { &self.shared.lost };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn link(out_ms: u64, back_ms: u64, jitter_ms: u64) -> Link {
        let ms = Duration::from_millis;
        Link { delay: ms(out_ms), delay_back: ms(back_ms), jitter: ms(jitter_ms) }
    }

    #[test]
    fn each_way_has_its_delay_and_jitter_and_a_share_is_lost() {
        let mut chance = Chance { random: Random::seeded(7), loss: 0.25 };
        let route = link(10, 30, 5);
        let mut delays = |way| (0..4_000).filter_map(|_| chance.delay(route, way)).collect::<Vec<_>>();
        let (out, back) = (delays(Way::Out), delays(Way::Back));
        let within = |delays: &[Duration], ms: u64| {
            let all = Duration::from_millis(ms)..Duration::from_millis(ms + 5);
            delays.iter().all(|delay| all.contains(delay)) && (2_800..3_200).contains(&delays.len())
        };
        assert!(within(&out, 10) && within(&back, 30), "{} {}", out.len(), back.len());
    }

    #[test]
    fn packets_are_due_in_the_order_of_their_time_and_then_of_their_coming() {
        let (now, sender) = (Instant::now(), "127.0.0.1:1".parse().unwrap());
        let packet = |ms, number| {
            let due = now + Duration::from_millis(ms);
            Reverse(Packet { due, number, way: Way::Out, sender, bytes: Vec::new() })
        };
        let mut waiting = BinaryHeap::from([packet(3, 1), packet(1, 3), packet(1, 2)]);
        let order: Vec<u64> = std::iter::from_fn(|| waiting.pop()).map(|Reverse(packet)| packet.number).collect();
        assert_eq!(order, [2, 3, 1]);
    }

    #[test]
    fn a_request_and_its_answer_pass_and_the_deed_is_done_on_the_way() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (listen, to) = ("127.0.3.1:0".parse::<SocketAddr>().unwrap(), server.local_addr().unwrap());
        let listen = SocketAddr::new(listen.ip(), to.port());
        let relay = PacketRelay::start(listen, to, link(5, 20, 0), 0.0, 1).unwrap();
        let (done, deed) = mpsc::channel();
        relay.at_next_request(move || done.send(Instant::now()).unwrap());
        let sent = Instant::now();
        client.send_to(b"question", listen).unwrap();
        let mut bytes = [0; 64];
        let (length, from) = server.recv_from(&mut bytes).unwrap();
        let arrived = Instant::now();
        assert_eq!(&bytes[..length], b"question");
        assert!(arrived - sent >= Duration::from_millis(5) && deed.recv().unwrap() < arrived);
        relay.reroute(link(5, 40, 0));
        server.send_to(b"answer", from).unwrap();
        let (length, from) = client.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from), (&b"answer"[..], listen));
        assert!(arrived.elapsed() >= Duration::from_millis(40));
        // A packet is counted once it is sent, and may have come before that.
        while relay.traffic() != (Traffic { carried: 2, lost: 0 }) {
            assert!(arrived.elapsed() < Duration::from_secs(10), "{:?}", relay.traffic());
            std::thread::yield_now();
        }
    }
}
