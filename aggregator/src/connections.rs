//! Connections from outside, each of them bounded before a byte of it is believed.
//!
//! - At most [`Limits::open`] at once; beyond that the next ones wait in the kernel's backlog, unaccepted.
//! - A peer that has said nothing for [`Limits::first_byte`] after connecting, or for [`Limits::silence`] later on, is
//!   closed. The server pings an idle peer (see [`crate::serve`]), so a living one is never silent for that long.
//! - Without file descriptors, accepting pauses instead of spinning (tonic's own loop spins a core).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::counters::{Counters, count};

/// Pause after an accept that failed.
const BREATH: Duration = Duration::from_millis(100);

/// What peers may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub open: usize,
    /// From connecting to the first byte.
    pub first_byte: Duration,
    /// Between bytes, later.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open: 10_000, first_byte: Duration::from_secs(10), silence: Duration::from_secs(60) }
    }
}

/// Accepts connections of `listener` for as long as the stream is polled; never ends, never yields an error.
pub fn accept(
    listener: TcpListener,
    limits: Limits,
    counters: Arc<Counters>,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(limits.open));
    let door = Door { listener, limits, places, counters, failing: false };
    futures_util::stream::unfold(door, async |mut door| {
        let connection = door.next().await;
        Some((Ok(connection), door))
    })
}

struct Door {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
    failing: bool,
}

impl Door {
    async fn next(&mut self) -> Connection {
        loop {
            let place = self.place().await;
            match self.listener.accept().await {
                Ok((stream, _)) => return self.enter(stream, place),
                Err(error) => self.breathe(&error).await,
            }
        }
    }

    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if self.places.available_permits() == 0 {
            tracing::warn!(open = self.limits.open, "no place for more connections; new ones wait until one closes");
        }
        // Only a closed semaphore fails, and nobody closes this one.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn enter(&mut self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> Connection {
        count(&self.counters.connections_accepted);
        self.failing = false;
        // Only an optimisation: without it replies are late, which the round trip shows.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let silence = Silence::new(self.limits);
        Connection { stream, silence, counters: Arc::clone(&self.counters), _place: place }
    }

    async fn breathe(&mut self, error: &io::Error) {
        count(&self.counters.accepts_failed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "cannot accept connections; if files are meant, raise their limit (ulimit -n). Tried again until it works");
        }
        sleep(BREATH).await;
    }
}

/// An accepted connection that closes itself when its peer is silent.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    silence: Silence,
    counters: Arc<Counters>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl Connection {
    /// The peer's address, for messages.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buf) {
            self.silence.heard();
            return Poll::Ready(read);
        }
        if self.silence.poll_too_long(context).is_pending() {
            return Poll::Pending;
        }
        count(&self.counters.connections_silent);
        tracing::info!(peer = ?self.peer(), "closed a connection whose peer is silent");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer is silent")))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// How long the peer has said nothing. The timer is moved only when it fires, not at each read.
#[derive(Debug)]
struct Silence {
    until: Instant,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limits: Limits) -> Self {
        let until = Instant::now() + limits.first_byte;
        Self { until, patience: limits.silence, timer: Box::pin(sleep_until(until)) }
    }

    fn heard(&mut self) {
        self.until = Instant::now() + self.patience;
    }

    fn poll_too_long(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= self.until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    const SHORT: Limits = Limits { open: 1, first_byte: Duration::from_millis(50), silence: Duration::from_millis(50) };

    async fn door(limits: Limits) -> (SocketAddr, Pin<Box<dyn Stream<Item = io::Result<Connection>>>>, Arc<Counters>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Arc::new(Counters::default());
        (address, Box::pin(accept(listener, limits, Arc::clone(&counters))), counters)
    }

    #[tokio::test]
    async fn a_silent_peer_is_closed_and_its_place_is_free_again() {
        let (address, mut door, counters) = door(SHORT).await;
        let mut peer = TcpStream::connect(address).await.unwrap();
        let mut connection = door.next().await.unwrap().unwrap();
        peer.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x', "the first byte came in time");
        assert_eq!(connection.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(counters.connections_silent.load(std::sync::atomic::Ordering::Relaxed), 1);
        drop(connection);
        let _next = TcpStream::connect(address).await.unwrap();
        assert!(door.next().await.is_some());
    }

    #[tokio::test]
    async fn no_more_connections_are_accepted_than_there_are_places() {
        let (address, mut door, _) = door(SHORT).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let held = door.next().await.unwrap().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(100), door.next()).await.is_err());
        drop(held);
        assert!(tokio::time::timeout(Duration::from_secs(10), door.next()).await.is_ok());
    }
}
