//! The batch: everything that an agent says at once.

use std::fmt;

use syncline_timebase::{BootId, Instant, Knot, Mono, NodeName, Offset, Probe, Reference, Wall};

use crate::{
    Account, ClockDisruption, Container, DroppedBatch, Flow, GoroutineStates, Kind, Loss, Messages, Observation,
    ProcessStates, Stack, TcpLoss, TcpSession, Waits,
};

/// Which node speaks, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The node.
    pub node: NodeName,
    /// Its region.
    pub region: String,
    /// The boot that MONO and RAW count from.
    pub boot: BootId,
    /// First sequence number of this run of the agent.
    pub run_first_seq: u64,
    /// Version of the agent.
    pub agent_version: String,
    /// Kernel release of the node.
    pub kernel: String,
}

/// Identity of a batch, and so the token that makes its insertion exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// The node.
    pub node: NodeName,
    /// The boot.
    pub boot: BootId,
    /// Sequence number of the batch itself in the boot; its events' numbers are [`Batch::first_seq`] and on.
    pub number: u64,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.node, self.boot, self.number)
    }
}

/// An observed process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id in the agent's PID namespace.
    pub pid: u32,
    /// Name of the service it belongs to.
    pub service: String,
    /// Path of its executable.
    pub executable: String,
    /// Go version of its binary, as `go1.27.3`.
    pub go_version: String,
    /// Build it runs.
    pub build_id: u64,
    /// Since when it runs that, MONO ns: its exec where that was seen, else its start, to a clock tick. With the pid it tells the
    /// processes of one boot apart. 0 where the agent does not tell.
    pub since_mono_ns: u64,
    /// Where it runs.
    pub container: Container,
}

/// Who claims something of a node's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimSource {
    /// The kernel: adjtimex(2).
    Kernel,
    /// chronyd: its tracking report.
    Chrony,
}

/// What somebody on the node claims of its wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockClaim {
    /// Who.
    pub source: ClaimSource,
    /// When.
    pub at: Instant<Mono>,
    /// UTC - WALL, and how far the truth may be from it, ns; none where it says that it knows nothing.
    pub utc_minus_wall_ns: Option<(i64, u64)>,
}

/// How a probe went, and so who stamped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbePath {
    /// Over a gRPC stream: in user space, above HTTP/2.
    Grpc,
    /// Over UDP: the kernels at both ends, as far as they did.
    Udp,
}

/// What one address of one build stands for: one row per frame, inlined ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The build.
    pub build_id: u64,
    /// Address as in [`Stack::pcs`].
    pub pc: u64,
    /// 0 for the innermost frame at this address, 1 for the function it was inlined into, ...
    pub depth: u8,
    /// Function, as Go names it.
    pub function: String,
    /// Source file.
    pub file: String,
    /// Line in it; 0 where unknown.
    pub line: u32,
}

/// Waits below the threshold, aggregated in the kernel since the last batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortWaits {
    /// Index into [`Batch::processes`].
    pub process: u32,
    /// What kind of waiting.
    pub kind: Kind,
    /// Index into [`Batch::reasons`].
    pub reason: u32,
    /// How many.
    pub count: u64,
    /// Their durations together, ns.
    pub total_ns: u64,
    /// Bucket i counts waits of [2^i, 2^(i+1)) ns.
    pub histogram: Vec<u64>,
    /// How many such sums this stands for, in thousandths.
    pub weight_milli: u32,
    /// Parts of waits of any length that lay in windows of observation: `total_ns` is of all, `count` of those that began in one, and the
    /// histogram is empty.
    pub is_parts: bool,
}

/// Everything that an agent says at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who speaks.
    pub origin: Origin,
    /// Number of this batch in the boot, growing by at least one from batch to batch and across agent restarts.
    pub number: u64,
    /// Sequence number of the first wait; the others follow without gaps.
    pub first_seq: u64,
    /// MONO when the batch was sealed.
    pub sealed_at: Instant<Mono>,
    /// The agent's own coarse idea of REF - MONO, used to choose the storage bucket and for nothing else: it is fixed
    /// in the batch, so a retry under a better clock model cannot move a row.
    pub coarse_reference: Offset<Mono, Reference>,
    /// WALL - MONO when the batch was sealed.
    pub wall_offset: Offset<Mono, Wall>,
    /// Wait reasons: Go's own names, names of system calls.
    pub reasons: Vec<String>,
    /// What file descriptors stand for: `tcp`, `file`, `pipe`, ...
    pub file_types: Vec<String>,
    /// Processes that the batch speaks of.
    pub processes: Vec<Process>,
    /// Finished waits.
    pub waits: Waits,
    /// Waits that go on, or that their process's end cut short: each lasts until the moment at which it was last looked at. They
    /// have no sequence numbers, and come again, and at last among the finished ones, with the same process, kind, goroutine, thread
    /// and start.
    pub open_waits: Waits,
    /// Short waits.
    pub short_waits: Vec<ShortWaits>,
    /// How the goroutines of processes spent their time since this was told last.
    pub process_states: Vec<ProcessStates>,
    /// How single goroutines did, each since it was first seen; they come again, and the newest holds.
    pub goroutine_states: Vec<GoroutineStates>,
    /// How processes were observed since this was told last: those whose observation has a budget.
    pub observations: Vec<Observation>,
    /// Stacks that the aggregator may not have seen yet.
    pub stacks: Vec<Stack>,
    /// Symbols that the aggregator may not have seen yet.
    pub symbols: Vec<Symbol>,
    /// What was lost since the last batch, but for what was in batches that were dropped.
    pub losses: Vec<Loss>,
    /// Clock readings since the last batch, in order of MONO.
    pub knots: Vec<Knot>,
    /// Finished probes since the last batch, in order of their return, all against one run of the reference.
    pub probes: Vec<Probe>,
    /// How each of them went.
    pub probe_paths: Vec<ProbePath>,
    /// Claims about the node's wall clock since the last batch.
    pub claims: Vec<ClockClaim>,
    /// Disruptions of the node's clocks that the agent noticed since the last batch, or that were in batches that were dropped.
    pub disruptions: Vec<ClockDisruption>,
    /// The run of the reference that the probes were made against, as the reference itself names it; 0 without probes.
    /// Probes against two runs are never put into one batch, and never into one clock model.
    pub reference_run: u64,
    /// Connections that messages and sessions speak of.
    pub flows: Vec<Flow>,
    /// Calls whose bytes both ends of a connection can name.
    pub messages: Messages,
    /// Connections that ended, or have been open for long.
    pub tcp_sessions: Vec<TcpSession>,
    /// What was lost of TCP since the last batch.
    pub tcp_losses: Vec<TcpLoss>,
    /// Where everything that this run has captured went; none from agents that do not tell.
    pub account: Option<Account>,
    /// Batches that will not come, since the last batch.
    pub dropped: Vec<DroppedBatch>,
}

impl Batch {
    /// A batch without anything in it, for whoever fills in some of it.
    pub fn empty(origin: Origin, number: u64) -> Self {
        Self {
            origin,
            number,
            first_seq: 0,
            sealed_at: Instant::from_ns(0),
            coarse_reference: Offset::from_ns(0),
            wall_offset: Offset::from_ns(0),
            reasons: Vec::new(),
            file_types: Vec::new(),
            processes: Vec::new(),
            waits: Waits::default(),
            open_waits: Waits::default(),
            short_waits: Vec::new(),
            process_states: Vec::new(),
            goroutine_states: Vec::new(),
            observations: Vec::new(),
            stacks: Vec::new(),
            symbols: Vec::new(),
            losses: Vec::new(),
            knots: Vec::new(),
            probes: Vec::new(),
            probe_paths: Vec::new(),
            claims: Vec::new(),
            disruptions: Vec::new(),
            reference_run: 0,
            flows: Vec::new(),
            messages: Messages::default(),
            tcp_sessions: Vec::new(),
            tcp_losses: Vec::new(),
            account: None,
            dropped: Vec::new(),
        }
    }

    /// Identity of the batch.
    pub fn id(&self) -> BatchId {
        BatchId { node: self.origin.node.clone(), boot: self.origin.boot, number: self.number }
    }

    /// Waits in its sums.
    pub fn summed_waits(&self) -> u64 {
        self.short_waits.iter().map(|short| short.count).fold(0, u64::saturating_add)
    }

    /// All waits that it says are lost: since the last batch, and those of the dropped batches that it tells of.
    pub fn all_losses(&self) -> impl Iterator<Item = Loss> + '_ {
        self.losses.iter().copied().chain(self.dropped.iter().flat_map(DroppedBatch::all_losses))
    }
}
