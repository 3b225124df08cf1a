//! The threads of a run and what lies between them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use syncline_event::Origin;
use syncline_probe::ProberConfig;
use syncline_timebase::Knot;
use tokio::sync::{oneshot, watch};
use tonic::transport::Endpoint;

use super::batching::{Batching, Input, Outcome};
use super::capturing::Capturing;
use super::hints::HintSender;
use super::looking::Looking;
use super::metrics::{AgentMetrics, RefusedPackets, Tally};
use super::{RunConfig, RunError, SymbolsConfig};
use crate::asking::Asking;
use crate::batch::Batcher;
use crate::capture::{Capture, CaptureError};
use crate::clock::{Clocks, VmClock, ask_for_claims, sample_knots};
use crate::control::Command;
use crate::identity;
use crate::intake::Intake;
use crate::metadata::MetadataReader;
use crate::probe::{Heard, ProbeListener};
use crate::queue::{BatchId, Queue, SharedQueue};
use crate::recording::Recorder;
use crate::spooling::{SpoolConfig, Spooling};
use crate::station::station;
use crate::uplink::{KafkaUplink, Uplink};

/// Messages between capture and batcher: with 256 waits each, 16,384 waits.
const CHANNEL: usize = 64;

/// Whether the aggregator's clock answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProbeState {
    Unanswered,
    Answered,
    WrongRegion { aggregator: String, theirs: String },
}

/// All that runs.
pub(super) struct Stations {
    stop: watch::Sender<bool>,
    queue: Arc<SharedQueue>,
    tally: Arc<Tally>,
    refused_packets: Arc<RefusedPackets>,
    probe_state: watch::Receiver<ProbeState>,
    connected: watch::Receiver<bool>,
    trouble: watch::Receiver<Option<String>>,
    capture: oneshot::Receiver<Result<(), CaptureError>>,
    outcome: oneshot::Receiver<Outcome>,
    spooling: Option<Spooling>,
}

impl Stations {
    /// Starts everything; first what can fail, and capture, which touches other programs, last of that.
    pub(super) fn start(config: &RunConfig, commands: Receiver<Command>) -> Result<Self, RunError> {
        let clocks = config.clocks;
        let first_knot = clocks.knot();
        let origin = origin(config, first_knot)?;
        let recorder = config.record.as_deref().map(Recorder::create).transpose()?;
        let spool = config.spool.as_ref().map(SpoolConfig::open).transpose()?.flatten();
        let capture = Capture::start(config.capture.clone())?;
        let queue =
            spool.as_ref().map_or_else(|| Queue::new(config.queue_bytes), |spool| spool.queue(config.queue_bytes));
        let queue = Arc::new(SharedQueue::new(queue));
        let own_run = BatchId { boot: origin.boot, run_first_seq: origin.run_first_seq, number: origin.run_first_seq };
        let spooling = spool.map(|spool| spool.start(&queue, own_run)).transpose().map_err(RunError::System)?;
        let symbols = config.symbols.as_ref().and_then(SymbolsConfig::open);
        let (stop, stopped) = watch::channel(false);
        let (out, inputs) = sync_channel(CHANNEL);

        let batcher = Batcher::new(origin, first_knot, config.sealing);
        let (hints, asking) = (HintSender::default(), Arc::<Asking>::default());
        let batching = Batching::new(batcher, clocks, Arc::clone(&queue), recorder, hints.clone(), Arc::clone(&asking));
        let tally = Arc::<Tally>::default();
        let vm_clock = VmClock::find(clocks.mono());
        let batching = batching.caching(symbols.clone()).telling(Arc::clone(&tally)).awaiting_looks(vm_clock.is_some());
        let outcome = station("batcher", move || batching.run(&inputs)).map_err(RunError::System)?;
        let looking = Looking::new(clocks, vm_clock, out.clone(), hints.clone());
        start_knots(clocks, stopped.clone(), looking)?;
        start_claims(config, stopped.clone(), out.clone())?;
        let uplink = Uplink::new(config.aggregators.clone(), Arc::clone(&queue)).of_region(config.region.clone());
        let uplink = uplink.asking(asking);
        let uplink = if config.kafka.is_some() { uplink.without_batches() } else { uplink };
        let in_use = uplink.in_use();
        let refused_packets = Arc::<RefusedPackets>::default();
        let probes = ProbeSink { out: out.clone(), refused_packets: Arc::clone(&refused_packets) };
        let probe_state = start_probes(config, in_use, stopped.clone(), probes, &hints)?;
        let metadata = MetadataReader::new(config.host_root.clone());
        let intake = Intake::new(clocks, config.service.clone(), metadata).caching(symbols);
        let mark_shift = config.capture.tcp.mark_shift;
        let file = config.file.as_ref().map(|file| file.path.to_string_lossy().into_owned());
        let capturing = Capturing::new(capture, intake, out, mark_shift, (commands, file));
        let capture = station("capture", move || capturing.run(&stopped)).map_err(RunError::System)?;
        let (connected, trouble) = start_uplinks(config, uplink, &queue);
        Ok(Self { stop, queue, tally, refused_packets, probe_state, connected, trouble, capture, outcome, spooling })
    }

    pub(super) fn queue(&self) -> Arc<SharedQueue> {
        Arc::clone(&self.queue)
    }

    pub(super) fn refused_packets(&self) -> Arc<RefusedPackets> {
        Arc::clone(&self.refused_packets)
    }

    /// What is known of the run, for whoever watches it.
    pub(super) fn metrics(&self, config: &RunConfig) -> AgentMetrics {
        AgentMetrics {
            node: config.node.to_string(),
            region: config.region.clone(),
            tally: Arc::clone(&self.tally),
            queue: self.queue(),
            refused_packets: self.refused_packets(),
            connected: self.connected(),
        }
    }

    /// Ends when all are told to.
    pub(super) fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.stop.subscribe();
        // An error means that the sender is gone, which is an end as well.
        async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    }

    pub(super) fn probe_state(&self) -> watch::Receiver<ProbeState> {
        self.probe_state.clone()
    }

    pub(super) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// What keeps batches from going over Kafka, if they are to and something does.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Returns when the capture thread has ended by itself, which is always a failure.
    pub(super) async fn capture_ended(&mut self) -> Result<(), RunError> {
        match (&mut self.capture).await {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) | Err(_) => Err(RunError::CaptureEnded),
        }
    }

    /// Tells every thread to end, and waits for the last one: the batcher, which ends when all others have.
    /// The spool goes on meanwhile.
    pub(super) async fn stop(self) -> (Outcome, Option<Spooling>) {
        self.stop.send_replace(true);
        (self.outcome.await.unwrap_or_default(), self.spooling)
    }
}

fn origin(config: &RunConfig, first_knot: Knot) -> Result<Origin, RunError> {
    let start_ns = first_knot.mono.ns();
    Ok(Origin {
        node: config.node.clone(),
        region: config.region.clone(),
        boot: identity::boot_id()?,
        run_first_seq: u64::try_from(start_ns).map_err(|_| RunError::BeforeBoot(start_ns))?,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: identity::kernel_release(),
    })
}

/// Starts what carries batches, and what leads to the aggregator; whether the former is connected, and what keeps it from that.
fn start_uplinks(
    config: &RunConfig,
    uplink: Uplink,
    queue: &Arc<SharedQueue>,
) -> (watch::Receiver<bool>, watch::Receiver<Option<String>>) {
    let ways = match &config.kafka {
        Some(settings) => {
            let (region, node) = (config.region.clone(), config.node.to_string());
            let kafka = KafkaUplink::new(settings.clone(), region, node, Arc::clone(queue));
            let ways = (kafka.connected(), kafka.trouble());
            tokio::spawn(kafka.run());
            ways
        }
        None => (uplink.connected(), watch::channel(None).1),
    };
    tokio::spawn(uplink.run());
    ways
}

fn start_knots(clocks: Clocks, stop: watch::Receiver<bool>, mut looking: Looking) -> Result<(), RunError> {
    let sink = move |knot| looking.take(knot);
    station("knots", move || sample_knots(clocks, &stop, sink)).map(drop).map_err(RunError::System)
}

fn start_claims(config: &RunConfig, stop: watch::Receiver<bool>, out: SyncSender<Input>) -> Result<(), RunError> {
    let (clocks, chrony) = (config.clocks, config.chrony);
    // A claim that finds the channel full is left out: the next one comes soon.
    let sink = move |claim| drop(out.try_send(Input::Claim(claim)));
    station("claims", move || ask_for_claims(clocks, chrony, &stop, sink)).map(drop).map_err(RunError::System)
}

fn start_probes(
    config: &RunConfig,
    aggregator: watch::Receiver<Endpoint>,
    stop: watch::Receiver<bool>,
    probes: ProbeSink,
    hints: &HintSender,
) -> Result<watch::Receiver<ProbeState>, RunError> {
    let prober = ProberConfig {
        name: config.node.to_string(),
        endpoint: aggregator.clone(),
        pacing: config.pacing,
        udp: config.udp_probes,
    };
    let mut listener = ProbeListener::new(config.region.clone(), aggregator);
    let (state, states) = watch::channel(ProbeState::Unanswered);
    let sink = move |event| probes.take(listener.hear(event), &state);
    let spawned: io::Result<_> = syncline_probe::spawn(prober, config.clocks, hints.receiver(), stop, sink);
    spawned.map_err(RunError::System)?;
    Ok(states)
}

/// Where what the prober brings goes.
struct ProbeSink {
    out: SyncSender<Input>,
    refused_packets: Arc<RefusedPackets>,
}

impl ProbeSink {
    fn take(&self, heard: Heard, state: &watch::Sender<ProbeState>) {
        match heard {
            Heard::Nothing => {}
            Heard::Refused(refused) => self.refused_packets.add(&refused),
            Heard::WrongRegion { aggregator, theirs } => tell(state, ProbeState::WrongRegion { aggregator, theirs }),
            Heard::Usable(probe) => {
                // A probe that finds the channel full is left out: it would arrive too late to seal anything.
                drop(self.out.try_send(Input::Probe(probe)));
                tell(state, ProbeState::Answered);
            }
        }
    }
}

fn tell(state: &watch::Sender<ProbeState>, now: ProbeState) {
    state.send_if_modified(|state| {
        let changed = *state != now;
        if let ProbeState::WrongRegion { aggregator, theirs } = &now
            && changed
        {
            tracing::error!(
                aggregator,
                theirs,
                "the aggregator serves another region than this node's; its probes are not used"
            );
        }
        *state = now;
        changed
    });
}
