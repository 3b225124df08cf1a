//! One run of the agent: starts the stations, watches over them, and ends them in order.
//!
//! | thread | what it does | on its way |
//! |---|---|---|
//! | `capture` | empties the kernel's ring | waits for room in the batcher's channel; then the ring fills, and the kernel counts |
//! | `knots` | reads the clocks at 10 Hz, and the hypervisor's marker | drops a knot when the channel is full; keeps a disruption |
//! | `clock-probes` | four-stamp exchanges | drops a probe when the channel is full |
//! | `claims` | asks the kernel and chrony what they claim of the clock | drops a claim when the channel is full |
//! | `batcher` | seals, encodes, queues | the queue drops its oldest batch when full, and counts |
//! | `spool-write`, `spool-read` | keep unacknowledged batches on the disk, read them back, free them | batches stay in memory, as long as there is room |
//! | main | uplink, signals, the control socket | |

mod asked;
mod batching;
mod capturing;
mod error;
mod gaps;
mod hints;
mod looking;
mod metrics;
mod obeying;
mod stations;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use syncline_claims::Chrony;
use syncline_exchange::Pacing;
use syncline_kafka::Settings;
use syncline_timebase::NodeName;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::batch::{Sealing, TcpTotals, Totals};
use crate::capture::CaptureConfig;
use crate::choice::SettingsFile;
use crate::clock::Clocks;
use crate::control::Server;
use crate::queue::{Fate, Queue};
use crate::spooling::SpoolConfig;
use crate::symbols::{SymbolCache, SymbolCounts};
use crate::uplink::Ranking;

use batching::Outcome;
pub use error::RunError;
use gaps::Gaps;
pub use metrics::families as metric_families;
use stations::{ProbeState, Stations};

/// How long the end may take: what is not acknowledged by then stays behind, in the spool if there is one.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// This node's name.
    pub node: NodeName,
    /// Its region.
    pub region: String,
    /// Where batches and probes go: to one of them.
    pub aggregators: Ranking,
    /// Where batches go instead of there.
    pub kafka: Option<Settings>,
    /// What to capture.
    pub capture: CaptureConfig,
    /// The file of settings that `capture` has the content of.
    pub file: Option<SettingsFile>,
    /// Where the agent is spoken to while it runs.
    pub control: Option<PathBuf>,
    /// Service of all observed processes, whatever they say themselves.
    pub service: Option<String>,
    /// Where the node's files are, those of container runtimes among them.
    pub host_root: PathBuf,
    /// When to probe.
    pub pacing: Pacing,
    /// Where symbols are kept that were looked up.
    pub symbols: Option<SymbolsConfig>,
    /// Whether waits are held until a probe was made behind them.
    pub sealing: Sealing,
    /// The chronyd whose claims are asked for.
    pub chrony: Chrony,
    /// Over UDP where that gets through.
    pub udp_probes: bool,
    /// Most bytes of unacknowledged batches in memory.
    pub queue_bytes: usize,
    /// Where they are kept for a later run; only in memory if nowhere.
    pub spool: Option<SpoolConfig>,
    /// A file for every batch, as it is sent.
    pub record: Option<PathBuf>,
    /// Give up if the aggregator does not answer within this time of the start.
    pub require_aggregator: Option<Duration>,
    /// Where Prometheus may ask for metrics.
    pub metrics: Option<SocketAddr>,
    /// The node's clocks.
    pub clocks: Clocks,
}

/// Where symbols are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolsConfig {
    /// The directory; it is made if it is not there.
    pub path: PathBuf,
    /// Most bytes of files in it.
    pub most_bytes: u64,
}

impl SymbolsConfig {
    /// The cache there. Without one symbols are looked up again after each start, which is no reason not to capture.
    fn open(&self) -> Option<Arc<SymbolCache>> {
        match SymbolCache::open(&self.path, self.most_bytes) {
            Ok(cache) => Some(Arc::new(cache)),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(
                    "no symbols are kept in {path}: {error}; name another directory with --symbol-cache, or none"
                );
                None
            }
        }
    }
}

/// What a run has done.
#[derive(Clone, Debug)]
pub struct Summary {
    totals: Totals,
    tcp: TcpTotals,
    gaps: Gaps,
    symbols: SymbolCounts,
    fate: Fate,
    /// Packets of clock probes that changed nothing.
    refused_packets: u64,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { totals, tcp, gaps, symbols, fate, refused_packets } = self;
        write!(
            f,
            "captured={} stored={} refused={} undelivered={} short={} batches={} lost={}",
            totals.waits,
            fate.stored_waits,
            fate.refused_waits,
            fate.waiting_waits,
            totals.short_waits,
            totals.batches,
            totals.losses.total()
        )?;
        if !totals.losses.is_empty() {
            write!(f, " ({})", totals.losses)?;
        }
        let earlier = [
            ("spooled", fate.shelved_waits),
            ("earlier_batches", fate.earlier_batches),
            ("earlier_lost", totals.earlier_lost),
        ];
        for (name, count) in earlier.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, " {name}={count}")?;
        }
        write!(f, " open={}", totals.open_waits)?;
        if totals.open_waits_untold > 0 {
            write!(f, " open_untold={}", totals.open_waits_untold)?;
        }
        if totals.states_untold > 0 {
            write!(f, " states_untold={}", totals.states_untold)?;
        }
        write!(f, " messages={} sessions={}", tcp.messages, tcp.sessions)?;
        if *refused_packets > 0 {
            write!(f, " refused_probe_packets={refused_packets}")?;
        }
        write!(f, "{gaps}{symbols}")
    }
}

/// Captures and ships until SIGTERM or SIGINT.
///
/// # Errors
/// When the agent cannot start, or cannot go on.
pub async fn run(config: RunConfig) -> Result<Summary, RunError> {
    let mut signals = Signals::listen()?;
    let (server, commands) = Server::new();
    let door = match config.metrics {
        Some(address) => Some(syncline_metrics::listen(address).await.map_err(RunError::Metrics)?),
        None => None,
    };
    let mut stations = Stations::start(&config, commands)?;
    if let Some(door) = door {
        syncline_metrics::serve(door, Arc::new(stations.metrics(&config)), stations.stopping());
    }
    let _asked = asked::listen(&config, &server)?;
    let outcome = tokio::select! {
        outcome = watch_over(&config, &mut stations) => outcome,
        () = signals.received() => Ok(()),
    };
    let patience = if matches!(
        outcome,
        Err(RunError::AggregatorSilent { .. } | RunError::WrongRegion { .. } | RunError::Kafka(_))
    ) {
        Duration::ZERO
    } else {
        FLUSH_WITHIN
    };
    let summary = finish(stations, &mut signals, patience).await;
    outcome.map(|()| summary)
}

/// Says `ready` when the agent is; returns when it cannot go on.
async fn watch_over(config: &RunConfig, stations: &mut Stations) -> Result<(), RunError> {
    until_ready(config, stations).await?;
    // Nobody may be reading any more, which is no reason to end.
    let _ = writeln!(std::io::stdout(), "ready");
    stations.capture_ended().await
}

async fn until_ready(config: &RunConfig, stations: &mut Stations) -> Result<(), RunError> {
    let (probes, connected) = (stations.probe_state(), stations.connected());
    let deadline = config.require_aggregator.unwrap_or(Duration::MAX);
    tokio::select! {
        answered = answered(config, probes.clone(), connected) => answered,
        () = tokio::time::sleep(deadline) => Err(wrong_region(config, &probes.borrow()).unwrap_or_else(|| {
            silent(config, stations, deadline)
        })),
        ended = stations.capture_ended() => ended,
    }
}

/// Who did not answer in time.
fn silent(config: &RunConfig, stations: &Stations, within: Duration) -> RunError {
    match stations.trouble() {
        Some(trouble) => RunError::Kafka(trouble),
        None => RunError::AggregatorSilent { aggregators: config.aggregators.to_string(), within },
    }
}

async fn answered(
    config: &RunConfig,
    mut probes: watch::Receiver<ProbeState>,
    mut connected: watch::Receiver<bool>,
) -> Result<(), RunError> {
    // Where there are others, the next one is used.
    let is_only = config.aggregators.len() == 1;
    let is_enough = |state: &ProbeState| match state {
        ProbeState::Unanswered => false,
        ProbeState::Answered => true,
        ProbeState::WrongRegion { .. } => is_only,
    };
    let state = probes.wait_for(is_enough).await;
    if let Some(error) = state.ok().and_then(|state| wrong_region(config, &state)) {
        return Err(error);
    }
    // The sender lives as long as the uplink; without it there is nothing to wait for.
    let _ = connected.wait_for(|connected| *connected).await;
    Ok(())
}

fn wrong_region(config: &RunConfig, state: &ProbeState) -> Option<RunError> {
    let ProbeState::WrongRegion { aggregator, theirs } = state else { return None };
    Some(RunError::WrongRegion { aggregator: aggregator.clone(), theirs: theirs.clone(), ours: config.region.clone() })
}

/// Ends the stations in the order of the data's way, and gives the aggregator some time for the rest.
async fn finish(stations: Stations, signals: &mut Signals, patience: Duration) -> Summary {
    let (queue, refused_packets) = (stations.queue(), stations.refused_packets());
    let (Outcome { totals, tcp, gaps, symbols }, spooling) = stations.stop().await;
    tokio::select! {
        _ = tokio::time::timeout(patience, queue.until(Queue::is_finished)) => {}
        () = signals.received() => {}
    }
    if let Some(spooling) = spooling {
        spooling.end().await;
    }
    Summary {
        totals,
        tcp,
        gaps,
        symbols,
        fate: queue.look(Queue::fate),
        refused_packets: refused_packets.total().total(),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(RunError::System);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
