//! The services on a port, from start to an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::select_all;
use syncline_claims::Chrony;
use syncline_exchange::MasterKey;
use syncline_stamping::StampedSocket;
use syncline_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;

use crate::alerts;
use crate::budget::Budget;
use crate::clock_service::{self, ClockService};
use crate::connections;
use crate::counters::Counters;
use crate::ingest::claims::Claims;
use crate::ingest::contest::CLAIMS_LAST;
use crate::ingest::grpc::CollectorService;
use crate::ingest::kafka::{self, Membership};
use crate::ingest::spooled::{Opened, SpoolConfig, Spooled, readmit_all};
use crate::ingest::writer::Writer;
use crate::links::{self, Links};
use crate::metrics::AggregatorMetrics;
use crate::naming;
use crate::pairs;
use crate::pipeline::{Pipeline, PipelineConfig};
use crate::reference::Reference;
use crate::region_clock::{self, RegionClockConfig};
use crate::regions;
use crate::settings;
use crate::stopping::{Stop, Stopping, stop};
use crate::udp_probes::{self, Grants};
use crate::utc::UtcClock;

/// Streams that one connection may have open. An agent uses two.
const STREAMS_PER_CONNECTION: u32 = 16;
/// Bytes that may be under way on one stream, and on one connection, before we have read them.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// An idle peer is pinged, and must answer. Shorter than [`connections::Limits::silence`].
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);
const HEADER_BYTES: u32 = 16 << 10;
/// How long requests under way may take once we stop.
const GRACE: Duration = Duration::from_secs(10);
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether the store is behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What an aggregator is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The region it serves.
    pub region: Arc<str>,
    /// The region's reference.
    pub reference: Reference,
    /// The ways to other regions: to the root, unless this is it, and to others.
    pub regions: Vec<RegionClockConfig>,
    /// The pipeline's limits and assumptions.
    pub pipeline: PipelineConfig,
    /// Where acknowledged batches are until they are stored.
    pub spool: SpoolConfig,
    /// How long it is waited for an aggregator that was about to store the same batches and says nothing any more: the same for all of them.
    pub claims_last: Duration,
    /// Bytes that batches may take in memory, all together.
    pub memory: usize,
    /// What peers may hold.
    pub connections: connections::Limits,
    /// What probing peers may ask.
    pub clock: clock_service::Limits,
    /// The chronyd that leads from the reference to UTC.
    pub chrony: Chrony,
    /// The Kafka topic that batches come by, beside those over gRPC.
    pub kafka: Option<kafka::Config>,
    /// How alerts are evaluated and who is told of them.
    pub alerts: settings::Alerts,
    /// What the keys of probes over UDP are made from; without it there are none.
    pub probe_key: Option<MasterKey>,
    /// Where it is kept what other references are to this one; without it that is lost with a restart.
    pub state_dir: Option<PathBuf>,
}

impl Config {
    /// The usual limits, at the root.
    pub fn new(region: &str, reference: Reference, spool: SpoolConfig) -> Self {
        Self {
            region: region.into(),
            reference,
            regions: Vec::new(),
            pipeline: PipelineConfig::default(),
            spool,
            claims_last: CLAIMS_LAST,
            memory: 1 << 30,
            connections: connections::Limits::default(),
            clock: clock_service::Limits::default(),
            chrony: Chrony::default(),
            kafka: None,
            alerts: settings::Alerts::default(),
            probe_key: None,
            state_dir: None,
        }
    }
}

/// A running aggregator. Dropping it tells it to stop, without waiting.
#[derive(Debug)]
pub struct Aggregator {
    address: SocketAddr,
    stop: Stop,
    stopping: Stopping,
    counters: Arc<Counters>,
    kafka: Option<Membership>,
    metrics: Arc<AggregatorMetrics>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    spooled: Arc<Spooled>,
    writer: Writer,
    /// What goes on about alerts.
    alerting: Vec<JoinHandle<()>>,
}

impl Aggregator {
    /// Starts to serve on `listener`, into `store`, whose schema is up to date.
    ///
    /// # Errors
    /// The system gives no thread or socket.
    pub fn start(config: Config, listener: TcpListener, store: Store) -> anyhow::Result<Self> {
        let (stop, stopping) = stop();
        let (address, counters) = (listener.local_addr()?, Arc::new(Counters::default()));
        let Config { region, reference, regions, .. } = config.clone();
        let is_root = !regions.iter().any(|other| other.is_root);
        let links = Arc::new(config.state_dir.as_deref().map_or_else(
            || Links::to(reference.run()),
            |dir| Links::recalled(reference.run(), dir, config.pipeline.tolerance),
        ));
        if let Some(dir) = config.state_dir.clone() {
            tokio::spawn(links::keep(Arc::clone(&links), dir, stopping.clone()));
        }
        for other in regions {
            let (region, shared) = (Arc::clone(&region), (Arc::clone(&counters), Arc::clone(&links)));
            region_clock::spawn(region, reference, other, store.clone(), shared, stopping.clone())
                .context("cannot start the thread that probes another region")?;
        }
        let grants = start_udp_probes(&config, address, &counters, &stopping)?;
        let utc = UtcClock::spawn(config.chrony, stopping.clone()).context("cannot start the thread of UTC claims")?;
        let tolerance = config.pipeline.tolerance.absolute;
        let own = regions::Own { region: Arc::clone(&region), reference, utc: utc.clone(), is_root, tolerance };
        tokio::spawn(regions::tell(own, store.clone(), stopping.clone()));
        tokio::spawn(naming::name(store.clone(), stopping.clone()));
        if is_root {
            tokio::spawn(pairs::check(reference, store.clone(), stopping.clone()));
        }
        let alerts::Running { gauges, deliveries, tasks: alerting } =
            alerts::spawn((&region, is_root), config.alerts.clone(), &store, &stopping);
        let of_region = Arc::clone(&region);
        let pipeline =
            Pipeline::new(region, (reference, links), utc, store.clone(), config.pipeline, Arc::clone(&counters));
        let pipeline = Arc::new(pipeline);
        let budget = Budget::new(config.memory);
        let Opened { spooled, reader, aside, progress } = Spooled::open(&config.spool, reference)?;
        let spooled = Arc::new(spooled);
        let claims = Claims::open(&config.spool.dir, store.clone(), &of_region, config.claims_last)?;
        let own = (Arc::clone(&aside), progress, claims);
        let writer = Writer::start(reader, Arc::clone(&pipeline), own, stopping.clone())?;
        let mut asides = vec![aside];
        let kafka = config.kafka.clone().map(|kafka| {
            let aside = kafka.open_aside().map(Arc::new);
            let aside = aside.with_context(|| format!("cannot use {}", kafka.aside.display()))?;
            asides.push(Arc::clone(&aside));
            kafka::join(kafka, Arc::clone(&pipeline), Arc::clone(&spooled), (budget.clone(), aside), stopping.clone())
                .context("cannot take part in Kafka")
        });
        let kafka = kafka.transpose()?;
        readmit_all(asides, Arc::clone(&spooled), Arc::clone(&pipeline))
            .context("cannot start the thread that takes what was kept for a later version")?;
        let metrics = Arc::new(AggregatorMetrics {
            region: of_region,
            pipeline: Arc::clone(&pipeline),
            spooled: Arc::clone(&spooled),
            alerts: gauges,
            deliveries,
        });
        let kafka_status = kafka.as_ref().map(Membership::status);
        tokio::spawn(report(Arc::clone(&pipeline), Arc::clone(&spooled), store, kafka_status, stopping.clone()));
        tokio::spawn(watch(Arc::clone(&spooled), stopping.clone()));
        let told_to_stop = stopping.clone();
        let (told_spool, ingest) = (Arc::clone(&spooled), (pipeline, spooled, budget));
        let serving = tokio::spawn(serve(config, listener, ingest, grants, Arc::clone(&counters), stopping));
        Ok(Self {
            address,
            stop,
            stopping: told_to_stop,
            counters,
            metrics,
            kafka,
            serving,
            spooled: told_spool,
            writer,
            alerting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it did so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How the way over Kafka stands, if there is one.
    pub fn kafka(&self) -> Option<Arc<kafka::Status>> {
        self.kafka.as_ref().map(Membership::status)
    }

    /// Lets Prometheus ask for metrics there.
    pub fn serve_metrics(&self, door: TcpListener) {
        let metrics = Arc::<AggregatorMetrics>::clone(&self.metrics);
        syncline_metrics::serve(door, metrics, self.stopping.clone().wanted());
    }

    /// Ends when serving, taking in, storing, or what goes on about alerts ends by itself, which they do only in failure.
    ///
    /// # Errors
    /// Why.
    pub async fn failed(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            served = &mut self.serving => served.context("the server's task ended")?.context("serving failed"),
            stored = self.writer.ended() => stored,
            () = self.spooled.ended() => anyhow::bail!("the thread that makes batches durable has panicked"),
            why = one_ended(&mut self.alerting) => Err(why.context("alerts are not evaluated, or not told, any more")),
        }
    }

    /// Takes no more connections and batches, finishes those under way and stores what is in the spool as far as the store takes it (for some
    /// seconds), and ends.
    ///
    /// # Errors
    /// Serving had failed before.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.now();
        match tokio::time::timeout(GRACE, &mut self.serving).await {
            Ok(ended) => ended.context("the server's task ended")?.context("serving failed")?,
            Err(_) => {
                tracing::warn!("requests under way did not end within {} s; they are cut off", GRACE.as_secs());
                self.serving.abort();
            }
        }
        if let Some(kafka) = &mut self.kafka
            && tokio::time::timeout(GRACE, kafka.ended()).await.is_err()
        {
            tracing::warn!(
                "the group of Kafka consumers was not left within {} s: it will notice by itself",
                GRACE.as_secs()
            );
        }
        match tokio::time::timeout(GRACE, self.writer.ended()).await {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!(
                "the store did not answer within {} s; what is in the spool is stored after the next start",
                GRACE.as_secs()
            ),
        }
        let alerting = async {
            for task in self.alerting.drain(..) {
                // It has panicked if not, which was told.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(GRACE, alerting).await.is_err() {
            tracing::warn!("who is told of alerts did not answer within {} s: it is told again", GRACE.as_secs());
        }
        self.spooled.say(false);
        tracing::info!(counters = %self.counters, "stopped");
        Ok(())
    }
}

/// Why one of these tasks has ended, which is among them no more; never where there are none.
async fn one_ended(tasks: &mut Vec<JoinHandle<()>>) -> anyhow::Error {
    if tasks.is_empty() {
        return std::future::pending().await;
    }
    let (ended, index, _) = select_all(tasks.iter_mut()).await;
    tasks.swap_remove(index);
    ended.err().map_or_else(|| anyhow::anyhow!("a task ended by itself"), anyhow::Error::from)
}

/// Answers probes over UDP at the port of `address`, or at any other that is free.
fn start_udp_probes(
    config: &Config,
    address: SocketAddr,
    counters: &Arc<Counters>,
    stopping: &Stopping,
) -> anyhow::Result<Option<Grants>> {
    let Some(master) = config.probe_key.clone() else { return Ok(None) };
    let socket = StampedSocket::bind(address).or_else(|error| {
        tracing::warn!(%address, %error, "the UDP port is taken: answering clock probes at another, which agents are told");
        StampedSocket::bind((address.ip(), 0).into())
    });
    let socket = socket.with_context(|| format!("no UDP socket at {address} for clock probes"))?;
    let grants = Grants::new(master.clone(), socket.local_addr()?.port());
    let server = udp_probes::Server::new(socket, config.reference, master, config.clock, Arc::clone(counters));
    udp_probes::spawn(server, stopping.clone()).context("cannot start the thread of clock probes")?;
    Ok(Some(grants))
}

fn serve(
    config: Config,
    listener: TcpListener,
    (pipeline, spooled, budget): (Arc<Pipeline>, Arc<Spooled>, Budget),
    grants: Option<Grants>,
    counters: Arc<Counters>,
    stopping: Stopping,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    let incoming = connections::accept(listener, config.connections, Arc::clone(&counters));
    let mapped = config.regions.iter().any(|other| other.is_root);
    let clock =
        ClockService::new(config.reference, config.region, mapped, config.clock, grants, counters, stopping.clone());
    let collector = CollectorService::new(pipeline, spooled, budget, stopping.clone());
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
        .http2_max_header_list_size(HEADER_BYTES)
        .add_service(clock.into_server())
        .add_service(collector.into_server())
        .serve_with_incoming_shutdown(incoming, stopping.wanted())
}

/// Tells what happened, what waits, and how the store and Kafka are, once a minute, and forgets nodes that are gone.
async fn report(
    pipeline: Arc<Pipeline>,
    spooled: Arc<Spooled>,
    store: Store,
    kafka: Option<Arc<kafka::Status>>,
    stopping: Stopping,
) {
    let ticking = async {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
        loop {
            ticks.tick().await;
            pipeline.forget_idle();
            let waiting = spooled.waiting();
            tracing::info!(nodes = pipeline.nodes(), %waiting, counters = %pipeline.counters(), "so far");
            if let Some(status) = &kafka {
                tracing::info!(%status, "Kafka");
            }
            match store.health().await {
                Ok(health) => {
                    tracing::info!(%health, "store");
                    health.concerns().iter().for_each(|concern| tracing::warn!("{concern}"));
                }
                Err(error) => tracing::warn!(%error, "how the store is cannot be asked"),
            }
        }
    };
    tokio::select! {
        () = ticking => (),
        () = stopping.wanted() => (),
    }
}

/// Says how much waits, and tells when the store begins and ceases to be behind.
async fn watch(spooled: Arc<Spooled>, stopping: Stopping) {
    let watching = async {
        let mut is_behind = false;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let waiting = spooled.waiting();
            let told = Arc::clone(&spooled);
            let _ = tokio::task::spawn_blocking(move || told.say(true)).await;
            let was_behind = std::mem::replace(&mut is_behind, waiting.is_behind());
            match (was_behind, is_behind) {
                (false, true) => {
                    tracing::warn!(%waiting, "the store is behind: acknowledged batches wait in the spool");
                }
                (true, false) => tracing::info!(%waiting, "the store has caught up"),
                _ => {}
            }
        }
    };
    tokio::select! {
        () = watching => (),
        () = stopping.wanted() => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_many_tasks_the_one_that_ended_is_told_and_is_gone() {
        let (_kept, lasting) = tokio::sync::oneshot::channel::<()>();
        let lasting = tokio::spawn(async move { drop(lasting.await) });
        #[allow(clippy::panic, reason = "what is tested")]
        let mut tasks = vec![lasting, tokio::spawn(async { panic!("of a test") })];
        let why = one_ended(&mut tasks).await;
        assert!(why.to_string().contains("panicked") && tasks.len() == 1, "{why}");
        let none = tokio::time::timeout(Duration::from_millis(1), one_ended(&mut tasks)).await;
        assert!(none.is_err(), "the other one goes on");
    }
}
