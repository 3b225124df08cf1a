//! The side of the agent.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::error::SocketError;
use super::protocol::{Ask, Outcome, SetText, answer_line, read_request};
use super::socket::{self, Place};
use crate::choice::{Change, Layer, ProcessId, Selector};
use crate::proc_stat::start_time;

/// Connections at a time; more are closed.
const MOST_CONNECTIONS: usize = 8;
/// Commands that wait for the capture thread.
const MOST_WAITING: usize = 8;
/// Bytes of a request.
const MOST_BYTES: u64 = 64 << 10;
/// For the request, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the capture thread, which may be taking up programs.
const OBEYED_WITHIN: Duration = Duration::from_secs(25);

/// What the capture thread is to do.
#[derive(Debug)]
pub enum Order {
    /// Tell what holds.
    Show,
    /// Forget what was set.
    Reset,
    /// Set this for these.
    Set(Selector, Change),
    /// Another content of the file of settings.
    File(Layer),
}

/// An order, and whom to tell what became of it.
#[derive(Debug)]
pub struct Command {
    /// What to do.
    pub order: Order,
    /// Nobody may be listening any more.
    pub answer: oneshot::Sender<Outcome>,
}

/// Gives orders to the capture thread.
#[derive(Clone, Debug)]
pub struct Server {
    orders: SyncSender<Command>,
}

impl Server {
    /// One whose orders come out of the receiver.
    #[must_use]
    pub fn new() -> (Self, Receiver<Command>) {
        let (orders, commands) = sync_channel(MOST_WAITING);
        (Self { orders }, commands)
    }

    /// Listens at this path until the task is dropped.
    ///
    /// # Errors
    /// If there can be no socket, because another agent has it, for example.
    pub fn listen(&self, path: &Path) -> Result<impl Future<Output = ()> + Send + use<>, SocketError> {
        let refused = |cause| SocketError::Refused { path: path.to_owned(), cause };
        let (listener, place) = socket::open(path)?;
        let listener = UnixListener::from_std(listener).map_err(refused)?;
        Ok(self.clone().accept(listener, place))
    }

    /// Has it done by the capture thread.
    pub async fn order(&self, order: Order) -> Outcome {
        let (answer, answered) = oneshot::channel();
        match self.orders.try_send(Command { order, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Outcome::Refused("it is busy with other requests: try again".to_owned());
            }
            Err(TrySendError::Disconnected(_)) => return Outcome::Refused("it is ending".to_owned()),
        }
        match timeout(OBEYED_WITHIN, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::Refused("it is ending".to_owned()),
            Err(_) => Outcome::Refused(
                "it is busy: it will do it when it can; `syncline-agent show` tells whether it has".to_owned(),
            ),
        }
    }

    async fn accept(self, listener: UnixListener, place: Place) {
        let _place = place;
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("the control socket fails: {error}; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            // Where all are taken, the connection is closed, and whoever asked may ask again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let server = self.clone();
            tokio::spawn(async move {
                let _place = place;
                server.serve(stream).await;
            });
        }
    }

    async fn serve(&self, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut line = Vec::new();
        let mut reader = BufReader::new(read.take(MOST_BYTES));
        let outcome = match timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await {
            Ok(Ok(0)) | Ok(Err(_)) => return,
            Ok(Ok(_)) if !line.ends_with(b"\n") => {
                Outcome::Refused(format!("a request is one line of at most {MOST_BYTES} bytes"))
            }
            Ok(Ok(_)) => self.answer(&line).await,
            Err(_) => Outcome::Refused("no request came".to_owned()),
        };
        if let Ok(answer) = answer_line(outcome) {
            // Who does not take the answer goes without.
            let _ = timeout(PATIENCE, write.write_all(answer.as_bytes())).await;
        }
    }

    async fn answer(&self, line: &[u8]) -> Outcome {
        match read_request(line).and_then(order) {
            Ok(order) => self.order(order).await,
            Err(why) => Outcome::Refused(why),
        }
    }
}

/// What a request means here; else what is wrong with it.
fn order(ask: Ask) -> Result<Order, String> {
    match ask {
        Ask::Show => Ok(Order::Show),
        Ask::Reset => Ok(Order::Reset),
        Ask::Set(set) => {
            let SetText { pid, rule } = *set;
            let change = rule.change().map_err(|e| e.to_string())?;
            if change.is_empty() {
                return Err("it says nothing: give observe, threshold, open_after, budget, without or with".to_owned());
            }
            let process = pid.map(process).transpose()?;
            Ok(Order::Set(Selector { process, ..rule.selector() }, change))
        }
    }
}

fn process(pid: u32) -> Result<ProcessId, String> {
    let start_time = start_time(pid).map_err(|e| format!("process {pid} cannot be named: {e}"))?;
    Ok(ProcessId { pid, start_time })
}
