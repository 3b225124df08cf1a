//! An aggregator of the test's own, on a loopback port: it takes batches as the test tells it to, and answers probes.
#![allow(dead_code, reason = "every test file uses its part of it")]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use syncline_agent::clock::Clocks;
use syncline_agent::endpoint::Aggregator;
use syncline_proto::v1::clock_server::{Clock, ClockServer};
use syncline_proto::v1::collector_server::{Collector, CollectorServer};
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{
    IngestReply, IngestRequest, KnownReply, KnownRequest, OpenSessionReply, OpenSessionRequest, ProbeReply,
    ProbeRequest, Refused, Stored,
};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to do with a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Store,
    Refuse,
    KeepSilent,
    Cut,
}

/// Which stacks a store has, or what is said to who asks: as of an older version, `Unimplemented`.
type Stacks = Result<HashSet<u64>, Code>;

/// A batch as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) connection: usize,
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

type Policy = dyn Fn(usize, u64) -> Answer + Send + Sync;

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    connections: Arc<AtomicUsize>,
    policy: Arc<Policy>,
    /// The stacks that its store has.
    pub(crate) stacks: Arc<Mutex<Stacks>>,
    /// Stacks that were asked for.
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) reference: Arc<Reference>,
}

/// The fake's reference clock: the machine's MONO plus an offset.
pub(crate) struct Reference {
    pub(crate) offset_ns: AtomicI64,
    pub(crate) run: AtomicU64,
    pub(crate) region: Mutex<String>,
    /// It answers no probe while this holds.
    pub(crate) is_silent: AtomicBool,
}

impl Fake {
    /// Serves on a free port; `policy` gets the number of the connection (from 1) and of the batch.
    pub(crate) async fn start(policy: impl Fn(usize, u64) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, policy)
    }

    pub(crate) fn serve(listener: TcpListener, policy: impl Fn(usize, u64) -> Answer + Send + Sync + 'static) -> Self {
        let reference = Reference {
            offset_ns: AtomicI64::new(0),
            run: AtomicU64::new(1),
            region: Mutex::new("eu".to_owned()),
            is_silent: AtomicBool::new(false),
        };
        let fake = Self {
            address: listener.local_addr().unwrap(),
            arrivals: Arc::default(),
            connections: Arc::default(),
            policy: Arc::new(policy),
            stacks: Arc::new(Mutex::new(Err(Code::Unimplemented))),
            asked: Arc::default(),
            reference: Arc::new(reference),
        };
        let server = Server::builder()
            .tcp_nodelay(true)
            .add_service(CollectorServer::new(fake.clone()))
            .add_service(ClockServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        fake
    }

    pub(crate) fn aggregator(&self) -> Aggregator {
        self.url().parse().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }
}

/// A fake that can be stopped: it has a runtime of its own, which takes its sockets along.
pub(crate) struct Stoppable {
    pub(crate) fake: Fake,
    runtime: Option<Runtime>,
}

impl Stoppable {
    /// Serves at `address`, as soon as that is free.
    pub(crate) async fn start(
        address: SocketAddr,
        policy: impl Fn(usize, u64) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let serving = runtime.spawn(async move {
            loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => return Fake::serve(listener, policy),
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                    Err(error) => panic!("{address}: {error}"),
                }
            }
        });
        let fake = tokio::time::timeout(PATIENCE, serving).await.expect("the address is taken").unwrap();
        Self { fake, runtime: Some(runtime) }
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Collector for Fake {
    type IngestStream = Replies<IngestReply>;

    async fn ingest(&self, request: Request<Streaming<IngestRequest>>) -> Result<Response<Self::IngestStream>, Status> {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (replies, outgoing) = mpsc::channel(64);
        tokio::spawn(self.clone().converse(connection, request.into_inner(), replies));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn known(&self, request: Request<KnownRequest>) -> Result<Response<KnownReply>, Status> {
        let stacks = self.stacks.lock().unwrap();
        let stacks = stacks.as_ref().map_err(|code| Status::new(*code, "the test wants it"))?;
        let asked = request.into_inner().stack_ids;
        self.asked.fetch_add(asked.len(), Ordering::SeqCst);
        let known: Vec<bool> = asked.iter().map(|id| stacks.contains(id)).collect();
        Ok(Response::new(KnownReply::of(&known)))
    }
}

impl Fake {
    async fn converse(
        self,
        connection: usize,
        mut requests: Streaming<IngestRequest>,
        replies: mpsc::Sender<Result<IngestReply, Status>>,
    ) {
        while let Some(Ok(IngestRequest { number, batch_zstd })) = requests.next().await {
            self.arrivals.lock().unwrap().push(Arrival { connection, number, bytes: batch_zstd.to_vec() });
            let outcome = match (self.policy)(connection, number) {
                Answer::Store => Outcome::Stored(Stored {}),
                Answer::Refuse => Outcome::Refused(Refused { why: "the test\nwants it".to_owned() }),
                Answer::KeepSilent => continue,
                Answer::Cut => {
                    let _ = replies.send(Err(Status::unavailable("cut by the test"))).await;
                    return;
                }
            };
            let _ = replies.send(Ok(IngestReply { number, outcome: Some(outcome) })).await;
        }
    }
}

#[tonic::async_trait]
impl Clock for Fake {
    type ProbeStream = Replies<ProbeReply>;

    async fn probe(&self, request: Request<Streaming<ProbeRequest>>) -> Result<Response<Self::ProbeStream>, Status> {
        let reference = Arc::clone(&self.reference);
        let replies = request.into_inner().filter_map(move |request| {
            let received_reference_ns = reference.now_ns();
            let is_silent = reference.is_silent.load(Ordering::SeqCst);
            (!is_silent).then(|| {
                Ok(ProbeReply {
                    id: request?.id,
                    received_reference_ns,
                    replied_reference_ns: reference.now_ns(),
                    region: reference.region.lock().unwrap().clone(),
                    reference_run: reference.run.load(Ordering::SeqCst),
                    mapped: false,
                })
            })
        });
        Ok(Response::new(Box::pin(replies)))
    }

    /// It has no UDP, and says nothing of itself there.
    async fn open_session(&self, _: Request<OpenSessionRequest>) -> Result<Response<OpenSessionReply>, Status> {
        Ok(Response::new(OpenSessionReply::default()))
    }
}

impl Reference {
    fn now_ns(&self) -> i64 {
        Clocks::default().mono().ns() + self.offset_ns.load(Ordering::SeqCst)
    }
}

/// Waits until `condition` holds, and fails with `what` if it does not within 20 s.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
