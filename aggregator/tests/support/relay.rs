//! A TCP relay in front of ClickHouse that fails on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// What the relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything.
    Pass,
    /// Closes every connection.
    Cut,
    /// Passes nothing, and closes nothing. A connection that was used meanwhile stays so.
    Stall,
    /// Passes everything, answers only after [`LATE`].
    Late,
    /// Passes requests, and closes the connection instead of passing the first byte of the answer.
    LoseAnswers,
    /// Passes questions and their answers, and claims on batches, and closes the connection instead of passing on any other insert.
    LoseInserts,
    /// As that, but for inserts into one table alone.
    LoseInsertsInto(&'static str),
}

/// How much later answers come by [`Mode::Late`].
const LATE: Duration = Duration::from_millis(1_600);

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    lost_inserts: Arc<AtomicU64>,
}

impl Relay {
    pub(crate) async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let (modes, lost_inserts) = (Arc::clone(&mode), Arc::<AtomicU64>::default());
        let lost = Arc::clone(&lost_inserts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, target.clone(), modes.subscribe(), Arc::clone(&lost)));
            }
        });
        Self { address, mode, lost_inserts }
    }

    /// Inserts that were not passed on.
    pub(crate) fn lost_inserts(&self) -> u64 {
        self.lost_inserts.load(Ordering::Relaxed)
    }

    /// In front of the engine that a program runs in `dir`, and the URL that leads to it by way of the relay.
    pub(crate) async fn to_engine_in(dir: &std::path::Path) -> (Self, String) {
        let url = super::program::engine_url(dir);
        let (user, target) = url.strip_prefix("http://").unwrap().rsplit_once('@').unwrap();
        let relay = Self::to(target.trim_end_matches('/').to_owned()).await;
        let url = format!("http://{user}@{}", relay.address);
        (relay, url)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn relay(mut client: TcpStream, target: String, mut mode: watch::Receiver<Mode>, lost_inserts: Arc<AtomicU64>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let (asks, answers) = (mode.clone(), mode.clone());
    let is_answered = |_: &[u8]| *answers.borrow() != Mode::LoseAnswers;
    let passes = |bytes: &[u8]| {
        let is_lost = match *asks.borrow() {
            Mode::LoseInserts => inserts_into(bytes).is_some_and(|table| table != "batch_claims"),
            Mode::LoseInsertsInto(table) => inserts_into(bytes) == Some(table),
            _ => false,
        };
        lost_inserts.fetch_add(u64::from(is_lost), Ordering::Relaxed);
        !is_lost
    };
    tokio::select! {
        () = pump(from_client, to_server, (asks.clone(), None), passes) => (),
        () = pump(from_server, to_client, (answers.clone(), Some(LATE)), is_answered) => (),
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => (),
    }
}
/// Passes bytes on until one side ends, `passes` says no, or for ever once something came while the relay stalls. Those that may come `late` are held for
/// so long while it says so.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (mut mode, late): (watch::Receiver<Mode>, Option<Duration>),
    passes: impl Fn(&[u8]) -> bool,
) {
    let mut bytes = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        let now = *mode.borrow();
        match (now, late) {
            (Mode::Stall, _) => std::future::pending().await,
            (Mode::Late, Some(late)) => drop(timeout(late, mode.wait_for(|mode| *mode != Mode::Late)).await),
            _ => {}
        }
        if !passes(&bytes[..n]) || to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

/// The table of a request that begins here, whose query, which is in its address, is an insert.
fn inserts_into(bytes: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(bytes.split(|byte| *byte == b'\r').next()?).ok()?;
    let (_, query) = line.strip_prefix("POST ")?.split_once("query=INSERT+INTO+%60")?;
    query.split_once("%60").map(|(table, _)| table)
}
