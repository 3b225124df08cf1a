//! A UDP relay that repeats, reorders, changes and loses packets.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// What it does to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Every packet arrives, beside a copy of it, a changed copy and a part of it, some after their successor.
    Hostile,
    /// None arrives.
    Swallow,
    /// Every packet arrives, and nothing else.
    Pass,
}

/// Between one asking socket and one answering.
pub(crate) struct UdpRelay {
    /// Where to send what is to be relayed.
    pub(crate) address: SocketAddr,
    treatment: watch::Sender<Treatment>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    repeated_there: AtomicU64,
    changed_there: AtomicU64,
    swallowed: AtomicU64,
}

impl UdpRelay {
    pub(crate) fn to(target: SocketAddr, treatment: Treatment) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // The threads end with the test's process; until then they look up now and then.
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let address = socket.local_addr().unwrap();
        let (treatment, treatments) = watch::channel(treatment);
        let counts = Arc::<Counts>::default();
        let pump = Pump { socket, target, client: None, held: None, treatments, counts: Arc::clone(&counts) };
        std::thread::spawn(move || pump.run());
        Self { address, treatment, counts }
    }

    pub(crate) fn set(&self, treatment: Treatment) {
        self.treatment.send_replace(treatment);
    }

    pub(crate) fn repeated_there(&self) -> u64 {
        self.counts.repeated_there.load(Ordering::Relaxed)
    }

    pub(crate) fn changed_there(&self) -> u64 {
        self.counts.changed_there.load(Ordering::Relaxed)
    }

    pub(crate) fn swallowed(&self) -> u64 {
        self.counts.swallowed.load(Ordering::Relaxed)
    }
}

struct Pump {
    socket: UdpSocket,
    target: SocketAddr,
    client: Option<SocketAddr>,
    /// A packet that its successor overtakes.
    held: Option<(Vec<u8>, SocketAddr)>,
    treatments: watch::Receiver<Treatment>,
    counts: Arc<Counts>,
}

impl Pump {
    fn run(mut self) {
        let (mut buffer, mut round) = ([0; 2_048], 0u64);
        while self.treatments.has_changed().is_ok() {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else { continue };
            round += 1;
            let to = if from == self.target { self.client } else { Some(self.target) };
            if from != self.target {
                self.client = Some(from);
            }
            let Some(to) = to else { continue };
            let treatment = *self.treatments.borrow();
            match treatment {
                Treatment::Swallow => drop(self.counts.swallowed.fetch_add(1, Ordering::Relaxed)),
                Treatment::Pass => drop(self.socket.send_to(&buffer[..len], to)),
                Treatment::Hostile => self.hostile(&buffer[..len], to, round),
            }
        }
    }

    fn hostile(&mut self, packet: &[u8], to: SocketAddr, round: u64) {
        let mut changed = packet.to_vec();
        // The first eight bytes make it malformed; this makes it a forgery.
        let place = 8 + round as usize % (packet.len() - 8);
        changed[place] ^= 1 << (round % 8);
        let send = |bytes: &[u8], to| drop(self.socket.send_to(bytes, to));
        send(&changed, to);
        send(&packet[..packet.len() - 1], to);
        if let Some((held, to)) = self.held.take() {
            send(packet, to);
            send(&held, to);
        } else if round.is_multiple_of(5) {
            self.held = Some((packet.to_vec(), to));
            return;
        } else {
            send(packet, to);
        }
        send(packet, to);
        if to == self.target {
            self.counts.repeated_there.fetch_add(1, Ordering::Relaxed);
            self.counts.changed_there.fetch_add(1, Ordering::Relaxed);
        }
    }
}
