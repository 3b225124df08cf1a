//! A stream's path that can be cut, or lose segments.
//!
//! Who is above TCP sees a lost segment as a pause until it is sent again: that is what is made of it here, [`RESENT_AFTER`] each, which is the shortest
//! time-out of Linux. A cut is silence: connections stay, and nothing passes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::soak::Chance;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Pass,
    Cut,
    /// Loses this share of all segments.
    Lossy(f64),
}

const RESENT_AFTER: Duration = Duration::from_millis(200);
const SEGMENT_BYTES: usize = 1_448;

/// Passes on what comes to a port of its own, for as long as the runtime lives.
pub(crate) struct Relay {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Relay {
    /// To `to`, whether or not somebody listens there yet. In the context of a runtime.
    pub(crate) fn start(to: SocketAddr, seed: u64) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no port for a relay")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let (mode, modes) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            let mut seeds = Chance(seed);
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to, modes.clone(), seeds.below(u64::MAX)));
            }
        });
        Ok(Self { address, mode })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn carry(client: TcpStream, to: SocketAddr, mut mode: watch::Receiver<Mode>, seed: u64) {
    passes(&mut mode).await;
    let Ok(server) = TcpStream::connect(to).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, mode.clone(), Chance(seed)) => (),
        () = pump(from_server, to_client, mode, Chance(!seed)) => (),
    }
}

/// Until one side ends.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>, mut chance: Chance) {
    let mut bytes = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        for segment in bytes[..length].chunks(SEGMENT_BYTES) {
            passes(&mut mode).await;
            let now = *mode.borrow_and_update();
            if let Mode::Lossy(share) = now
                && (chance.below(1 << 20) as f64) < share * f64::from(1 << 20)
            {
                tokio::time::sleep(RESENT_AFTER).await;
            }
            if to.write_all(segment).await.is_err() {
                return;
            }
        }
    }
}

/// Waits for the end of a cut.
async fn passes(mode: &mut watch::Receiver<Mode>) {
    let _ = mode.wait_for(|mode| *mode != Mode::Cut).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn nothing_passes_a_cut_and_all_of_it_passes_afterwards() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(server.local_addr().unwrap(), 1).unwrap();
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut bytes = [0; 4];
        client.write_all(b"here").await.unwrap();
        accepted.read_exact(&mut bytes).await.unwrap();
        relay.set(Mode::Cut);
        client.write_all(b"late").await.unwrap();
        let cut = tokio::time::timeout(Duration::from_millis(300), accepted.read_exact(&mut bytes)).await;
        assert!(cut.is_err(), "it passed a cut");
        relay.set(Mode::Pass);
        accepted.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"late");
    }

    #[tokio::test]
    async fn a_loss_takes_time_and_no_bytes() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(server.local_addr().unwrap(), 1).unwrap();
        relay.set(Mode::Lossy(0.5));
        let sent: Vec<u8> = (0..30_000_u32).map(|place| place as u8).collect();
        let (begun, expected) = (Instant::now(), sent.clone());
        tokio::spawn(async move {
            let mut client = TcpStream::connect(relay.address()).await.unwrap();
            client.write_all(&sent).await.unwrap();
        });
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut received = Vec::new();
        accepted.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, expected);
        assert!(begun.elapsed() >= 3 * RESENT_AFTER, "{:?}", begun.elapsed());
    }
}
