//! From session to session.

use std::io;
use std::thread;
use std::time::{Duration, Instant as Stopwatch};

use syncline_exchange::Pacer;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use crate::backoff::Backoff;
use crate::failure::{SessionError, root_cause};
use crate::grpc::GrpcSession;
use crate::udp::{Ending, Grant, Offer, UdpSession, changed};
use crate::{HintReceiver, LocalClock, ProbeEvent, ProberConfig};

/// Where UDP does not get through it is tried again this often.
const UDP_AGAIN: Duration = Duration::from_secs(60);

/// Starts the thread that probes until `stop` says so. `sink` must not block.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn<C: LocalClock>(
    config: ProberConfig,
    clock: C,
    hints: HintReceiver,
    stop: watch::Receiver<bool>,
    sink: impl FnMut(ProbeEvent) + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pacer = Pacer::new(config.pacing);
    let endpoint = config.endpoint.borrow().clone();
    let disruptions = hints.borrow().disruptions;
    let prober = Prober {
        config,
        endpoint,
        clock,
        hints,
        sink,
        pacer,
        is_udp_blocked: false,
        unanswered_sessions: 0,
        disruptions,
    };
    thread::Builder::new().name("clock-probes".into()).spawn(move || runtime.block_on(until_stopped(prober, stop)))
}

async fn until_stopped<C: LocalClock, S: FnMut(ProbeEvent)>(prober: Prober<C, S>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = prober.run() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

struct Prober<C, S> {
    config: ProberConfig,
    /// Whom it asks now.
    endpoint: Endpoint,
    clock: C,
    hints: HintReceiver,
    sink: S,
    pacer: Pacer,
    is_udp_blocked: bool,
    /// Sessions over UDP that never brought an answer.
    unanswered_sessions: usize,
    /// Disruptions that it was told of: one that comes between two sessions is heeded in the next.
    disruptions: u64,
}

impl<C: LocalClock, S: FnMut(ProbeEvent)> Prober<C, S> {
    async fn run(mut self) {
        let mut endpoints = self.config.endpoint.clone();
        loop {
            self.turn_to(endpoints.borrow_and_update().clone());
            tokio::select! {
                () = self.sessions() => {}
                () = changed(&mut endpoints) => {}
            }
        }
    }

    /// Nothing that was learned of another one counts here.
    fn turn_to(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
        self.pacer = Pacer::new(self.config.pacing);
        (self.is_udp_blocked, self.unanswered_sessions) = (false, 0);
    }

    /// Session after session, for ever.
    async fn sessions(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let mut answers = 0;
            let error = self.probe(&mut answers).await.err();
            if answers > 0 {
                backoff.reset();
            }
            if let Some(error) = error {
                let unreachable = matches!(error, SessionError::Unreachable(_));
                (self.sink)(ProbeEvent::Failed { unreachable, why: error.to_string() });
                tokio::time::sleep(backoff.after_failure()).await;
            }
        }
    }

    /// Probes until a session ends; without an error where another is to follow at once.
    async fn probe(&mut self, answers: &mut u64) -> Result<(), SessionError> {
        let connecting = self.endpoint.connect().await;
        let channel = connecting.map_err(|error| SessionError::Unreachable(root_cause(&error)))?;
        let host = self.endpoint.uri().host().unwrap_or_default().to_owned();
        let offer = if self.config.udp {
            Grant::ask(channel.clone(), &host, &self.config.name, self.unanswered_sessions).await?
        } else {
            Offer::NoUdp
        };
        let grant = match offer {
            Offer::Session(grant) => grant,
            Offer::NoUdp => return self.over_grpc(channel, None, answers).await,
            Offer::Later(why) => {
                self.udp_is_blocked(&format!("are not to be had now ({why})"));
                return self.over_grpc(channel, Some(UDP_AGAIN), answers).await;
            }
        };
        match self.over_udp(grant, answers).await? {
            Ending::FellSilent => Err(SessionError::Silent),
            Ending::NeverAnswered => {
                self.unanswered_sessions += 1;
                self.udp_is_blocked("get no answer (a firewall?)");
                self.over_grpc(channel, Some(UDP_AGAIN), answers).await
            }
        }
    }

    /// Says so once.
    fn udp_is_blocked(&mut self, how: &str) {
        if !std::mem::replace(&mut self.is_udp_blocked, true) {
            tracing::warn!("clock probes over UDP {how}: probing over gRPC, whose stamps are coarser; trying again");
        }
    }

    async fn over_udp(&mut self, grant: Grant, answers: &mut u64) -> Result<Ending, SessionError> {
        let mut session = UdpSession::open(grant, self.clock)?;
        let (sink, is_udp_blocked) = (&mut self.sink, &mut self.is_udp_blocked);
        let mut tell = |event: ProbeEvent| {
            let is_answer = matches!(event, ProbeEvent::Answered(_));
            *answers += u64::from(is_answer);
            if is_answer && std::mem::take(is_udp_blocked) {
                tracing::info!("clock probes over UDP are answered again");
            }
            sink(event);
        };
        session.run(&mut self.pacer, (&mut self.hints, &mut self.disruptions), &mut tell).await
    }

    /// Probes over gRPC, for as long as `within` says.
    async fn over_grpc(
        &mut self,
        channel: Channel,
        within: Option<Duration>,
        answers: &mut u64,
    ) -> Result<(), SessionError> {
        let mut session = GrpcSession::open(channel, self.clock).await?;
        let begun = Stopwatch::now();
        while within.is_none_or(|within| begun.elapsed() < within) {
            self.pacer.sent();
            let answer = session.exchange().await?;
            *answers += 1;
            self.pacer.exchanged(&answer.probe);
            (self.sink)(ProbeEvent::Answered(answer));
            self.pause().await;
        }
        Ok(())
    }

    /// Waits until the next probe is due, which a hint may bring nearer.
    async fn pause(&mut self) {
        let from = self.clock.now();
        loop {
            let (now, hint) = (self.clock.now(), *self.hints.borrow_and_update());
            if std::mem::replace(&mut self.disruptions, hint.disruptions) != hint.disruptions {
                self.pacer.disrupted(now);
            }
            let left = (from + self.pacer.pause(now, hint.busy)) - now;
            if left.ns() <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_nanos(left.ns().unsigned_abs())) => {}
                () = changed(&mut self.hints) => {}
            }
        }
    }
}
