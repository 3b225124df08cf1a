//! Clock probes over UDP: the real asking side against the real answering one, over a network that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use support::eventually;
use support::udp_relay::{Treatment, UdpRelay};
use syncline_aggregator::allowance::Rate;
use syncline_aggregator::clock_service::{ClockService, Limits};
use syncline_aggregator::counters::Counters;
use syncline_aggregator::reference::Reference;
use syncline_aggregator::stopping::{Stop, stop};
use syncline_aggregator::udp_probes::{self, Grants, open_master_key};
use syncline_exchange::{Pacing, Refused};
use syncline_probe::{Answer, Hints, Path, ProbeEvent, ProberConfig, only};
use syncline_proto::v1::OpenSessionRequest;
use syncline_proto::v1::clock_client::ClockClient;
use syncline_stamping::StampedSocket;
use syncline_timebase::{Instant, Mono, Reference as ReferenceScale, Span};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};

/// A clock service of region us, without a store; its gRPC is at `grpc`, what it says of UDP is `udp_port`.
struct Answering {
    reference: Reference,
    counters: Arc<Counters>,
    grpc: SocketAddr,
    _stop: Stop,
    _dir: tempfile::TempDir,
}

impl Answering {
    /// Answers at 127.0.0.1; sessions are sent to the port of `relay` instead of its own, where there is one.
    async fn start(treatment: Option<Treatment>) -> (Self, Option<UdpRelay>) {
        Self::start_at("127.0.0.1:0", Limits::default(), treatment).await
    }

    async fn start_at(listen: &str, limits: Limits, treatment: Option<Treatment>) -> (Self, Option<UdpRelay>) {
        let (dir, (stop, stopping)) = (tempfile::tempdir().unwrap(), stop());
        let reference = Reference::open(dir.path(), "us").unwrap();
        let counters = Arc::new(Counters::default());
        let master = open_master_key(dir.path()).unwrap();
        let socket = StampedSocket::bind(listen.parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let relay = treatment.map(|treatment| UdpRelay::to(address, treatment));
        let port = relay.as_ref().map_or(address.port(), |relay| relay.address.port());
        let server = udp_probes::Server::new(socket, reference, master.clone(), limits, Arc::clone(&counters));
        udp_probes::spawn(server, stopping.clone()).unwrap();
        let grants = Some(Grants::new(master, port));
        let service =
            ClockService::new(reference, "us".into(), false, limits, grants, Arc::clone(&counters), stopping.clone());
        let listener = TcpListener::bind(listen).await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            Server::builder().tcp_nodelay(true).add_service(service.into_server()).serve_with_incoming(incoming),
        );
        (Self { reference, counters, grpc, _stop: stop, _dir: dir }, relay)
    }

    fn counted(&self, counter: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        counter(&self.counters).load(Ordering::Relaxed)
    }
}

/// A prober whose clock is another anchor on the same oscillator: what is between the two is known to the nanosecond.
struct Asking {
    own: Reference,
    events: Arc<Mutex<Vec<ProbeEvent>>>,
    stop: watch::Sender<bool>,
    hints: watch::Sender<Hints>,
    _dir: tempfile::TempDir,
}

impl Asking {
    fn start(whom: &Answering) -> Self {
        Self::every(Span::from_ms(25), whom)
    }

    fn every(interval: Span, whom: &Answering) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = Reference::open(dir.path(), "eu").unwrap();
        let config = ProberConfig {
            name: "test".to_owned(),
            endpoint: only(Endpoint::from_shared(format!("http://{}", whom.grpc)).unwrap()),
            pacing: Pacing::every(interval),
            udp: true,
        };
        let events = Arc::<Mutex<Vec<ProbeEvent>>>::default();
        let (hints, hint) = watch::channel(Hints { busy: true, disruptions: 0 });
        let (stop, stopped) = watch::channel(false);
        let sink = Arc::clone(&events);
        syncline_probe::spawn(config, own, hint, stopped, move |event| sink.lock().unwrap().push(event)).unwrap();
        Self { own, events, stop, hints, _dir: dir }
    }

    fn answers(&self) -> Vec<Answer> {
        let answered = |event: &ProbeEvent| match event {
            ProbeEvent::Answered(answer) => Some(answer.clone()),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(answered).collect()
    }

    async fn until_answered(&self, answers: usize) -> Vec<Answer> {
        eventually("probes are answered", async || self.answers().len() >= answers).await;
        self.answers()
    }

    /// Every answer is about an exchange that happened: nothing arrives before it was sent.
    fn all_are_causal(&self, whom: &Answering, answers: &[Answer]) {
        let offset = whom.reference.anchor_ns() - self.own.anchor_ns();
        let there = |own: Instant<Mono>| Instant::<ReferenceScale>::from_ns(own.ns() + offset);
        for Answer { probe, .. } in answers {
            assert!(there(probe.sent) <= probe.received, "received before it was sent: {probe:?}");
            assert!(probe.replied <= there(probe.returned), "replied after it returned: {probe:?}");
        }
    }
}

fn is_all_stamped(answer: &Answer) -> bool {
    matches!(answer.path, Path::Udp(stamped) if stamped.departure && stamped.reply && stamped.arrival)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernels_stamp_every_exchange_over_loopback() {
    let (answering, _) = Answering::start(None).await;
    let asking = Asking::start(&answering);
    let answers = asking.until_answered(100).await;
    asking.all_are_causal(&answering, &answers);
    let stamped = answers.iter().filter(|answer| is_all_stamped(answer)).count();
    assert!(stamped * 10 >= answers.len() * 9, "{stamped} of {}", answers.len());
    assert!(answers.iter().all(|answer| answer.peer.region == "us" && answer.peer.run == answering.reference.run()));
    // Between the kernels' stamps lies no wake-up of a thread.
    let mut trips: Vec<i64> = answers.iter().map(|answer| answer.probe.round_trip().ns()).collect();
    trips.sort_unstable();
    assert!(trips[trips.len() / 2] < 100_000, "median {} ns", trips[trips.len() / 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_are_repeated_reordered_or_changed_change_nothing_and_are_counted() {
    let (answering, relay) = Answering::start(Some(Treatment::Hostile)).await;
    let asking = Asking::start(&answering);
    let answers = asking.until_answered(100).await;
    asking.all_are_causal(&answering, &answers);
    let mut numbers: Vec<Instant<Mono>> = answers.iter().map(|answer| answer.probe.sent).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), answers.len(), "an exchange was told twice");
    let relay = relay.unwrap();
    assert!(answering.counted(|c| &c.udp_probes_replayed) >= relay.repeated_there() / 2);
    assert!(answering.counted(|c| &c.udp_probes_forged) >= relay.changed_there() / 2);
    assert!(answering.counted(|c| &c.udp_probes_malformed) > 0, "truncated ones");
    // What came to the asking side is told as it comes: here one thing, there another.
    let refused = |count: fn(&Refused) -> u64| -> u64 {
        let events = asking.events.lock().unwrap();
        let told = events
            .iter()
            .filter_map(|event| if let ProbeEvent::Refused(refused) = event { Some(refused) } else { None });
        told.map(count).sum()
    };
    eventually("all kinds are counted", async || {
        let kinds: [fn(&Refused) -> u64; 3] =
            [|refused| refused.forged, |refused| refused.malformed, |refused| refused.repeated + refused.stale];
        kinds.into_iter().all(|kind| refused(kind) > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disruption_between_two_sessions_is_followed_by_a_burst_in_the_next() {
    let (answering, relay) = Answering::start(Some(Treatment::Pass)).await;
    let asking = Asking::every(Span::from_ms(500), &answering);
    // The burst at the start is over.
    asking.until_answered(20).await;
    let relay = relay.unwrap();
    relay.set(Treatment::Swallow);
    let has_failed = || asking.events.lock().unwrap().iter().any(|event| matches!(event, ProbeEvent::Failed { .. }));
    eventually("the session ends", async || has_failed()).await;
    asking.hints.send_modify(|hints| hints.disruptions += 1);
    let before = asking.answers().len();
    relay.set(Treatment::Pass);
    let answers = asking.until_answered(before + 10).await;
    let took = answers[before + 9].probe.sent - answers[before].probe.sent;
    assert!(took < Span::from_ms(9 * 500 - 1_000), "{took:?} for ten of a burst");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_does_not_get_through_grpc_does() {
    let (answering, relay) = Answering::start(Some(Treatment::Swallow)).await;
    let asking = Asking::start(&answering);
    let answers = asking.until_answered(10).await;
    assert!(answers.iter().all(|answer| answer.path == Path::Grpc));
    asking.all_are_causal(&answering, &answers);
    assert!(relay.unwrap().swallowed() > 0);
    asking.stop.send_replace(true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_addresses_the_one_that_was_asked_answers() {
    let (mut answering, _) = Answering::start_at("0.0.0.0:0", Limits::default(), None).await;
    answering.grpc.set_ip("127.0.0.5".parse().unwrap());
    let answers = Asking::start(&answering).until_answered(20).await;
    assert!(answers.iter().all(|answer| matches!(answer.path, Path::Udp(_))), "{answers:?}");
    let stamped = answers.iter().filter(|answer| is_all_stamped(answer)).count();
    assert!(stamped * 2 >= answers.len(), "{stamped} of {}", answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_refused_to_who_asks_too_often_and_probes_go_on_over_grpc() {
    let limits = Limits { session_rate: Rate { per_second: 1, burst: 3 }, ..Limits::default() };
    let (answering, _) = Answering::start_at("127.0.0.1:0", limits, None).await;
    let mut client = ClockClient::connect(format!("http://{}", answering.grpc)).await.unwrap();
    let mut refused = None;
    // On a slow machine some more are earned meanwhile.
    for _ in 0..1_000 {
        match client.open_session(OpenSessionRequest { node: "greedy".to_owned() }).await {
            Ok(reply) => assert!(reply.get_ref().port != 0),
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    let refused = refused.expect("all of a thousand requests were granted");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("ask again"), "{refused}");
    assert!(answering.counted(|c| &c.udp_session_requests_refused) >= 1);
    // Nobody is left without a clock.
    let asking = Asking::start(&answering);
    let answers = asking.until_answered(3).await;
    let asker_was_refused = answering.counted(|c| &c.udp_session_requests_refused) >= 2;
    assert_eq!(answers[0].path == Path::Grpc, asker_was_refused);
}
