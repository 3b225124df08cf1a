//! A finished wait as it enters, and as it waits for its batch.

use std::fmt;
use std::sync::Arc;

use syncline_event::{Flow, Kind, ONCE_MILLI, Process, StackId, Symbol, Target, TraceContext, WaitFlags, Waits};
use syncline_timebase::{Instant, Mono, Offset, Wall};

use super::index::Indices;

/// Names what lies at the addresses of a build.
pub trait Symbolizer: Send + Sync {
    /// The frames at return address `pc`, innermost first; empty where unknown.
    fn symbols(&self, pc: u64) -> Vec<Symbol>;
}

/// A finished wait, or one that goes on until `run`, its stamps already on the node's clocks.
#[derive(Clone)]
pub struct FinishedWait {
    /// Its process.
    pub process: Arc<Process>,
    /// Names the addresses of its stack.
    pub symbolizer: Arc<dyn Symbolizer>,
    /// What waited.
    pub kind: Kind,
    /// Wait reason by Go's own name; name of the system call.
    pub reason: &'static str,
    /// The thread that waited, or on which the goroutine parked.
    pub tid: u32,
    /// The goroutine; 0 = none, see `no_goroutine` and `unbound`.
    pub goid: u64,
    /// When it began.
    pub park: Instant<Mono>,
    /// The kernel's wall clock as it began, where the kernel tells it.
    pub park_wall: Option<Instant<Wall>>,
    /// When it was made ready, if that was seen.
    pub ready: Option<Instant<Mono>>,
    /// When it ended.
    pub run: Instant<Mono>,
    /// The goroutine that made it ready, if one did.
    pub waker_goid: Option<u64>,
    /// The network poller made it ready.
    pub by_netpoll: bool,
    /// The stack was deeper than the configured depth.
    pub stack_cut: bool,
    /// A frame could not be read; the stack ends there.
    pub stack_unreadable: bool,
    /// The thread ran no goroutine.
    pub no_goroutine: bool,
    /// Whether the thread ran a goroutine could not be found out.
    pub unbound: bool,
    /// Its process, or its program, ended in the middle of it.
    pub is_abandoned: bool,
    /// It was found going on at `park`, and is longer.
    pub began_before: bool,
    /// How many such waits it stands for, in thousandths.
    pub weight_milli: u32,
    /// The trace that it belongs to, by the goroutine's labels.
    pub trace: TraceContext,
    /// Link-time return addresses, innermost first.
    pub stack: Vec<u64>,
    /// Those of the goroutine that made it ready.
    pub waker_stack: Vec<u64>,
    /// What it was for.
    pub wanted: Wanted,
}

/// What a wait was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Address in the process; 0 where not known.
    pub address: u64,
    /// What the system call returned.
    pub result: i64,
    /// File descriptor.
    pub fd: Option<u32>,
    /// What that stood for.
    pub file_type: Option<&'static str>,
    /// Its connection.
    pub flow: Option<Flow>,
}

impl FinishedWait {
    /// A goroutine that waited from `park` to `run` for `reason`, of which nothing else is known.
    pub fn of_goroutine(
        process: Arc<Process>,
        symbolizer: Arc<dyn Symbolizer>,
        (park, run): (Instant<Mono>, Instant<Mono>),
        (goid, reason): (u64, &'static str),
        stack: Vec<u64>,
    ) -> Self {
        Self {
            process,
            symbolizer,
            kind: Kind::Goroutine,
            reason,
            tid: 1,
            goid,
            park,
            park_wall: None,
            ready: None,
            run,
            waker_goid: None,
            by_netpoll: false,
            stack_cut: false,
            stack_unreadable: false,
            no_goroutine: false,
            unbound: false,
            is_abandoned: false,
            began_before: false,
            weight_milli: ONCE_MILLI,
            trace: TraceContext::NONE,
            stack,
            waker_stack: Vec::new(),
            wanted: Wanted::default(),
        }
    }

    /// No later stamp before an earlier one, and all after boot.
    pub(super) fn is_sound(&self) -> bool {
        let ready = self.ready.unwrap_or(self.park);
        self.park.ns() >= 0 && self.park <= ready && ready <= self.run
    }
}

impl fmt::Debug for FinishedWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, reason, goid, park, run, .. } = self;
        write!(f, "pid {} goroutine {goid}: {reason} from {park:?} to {run:?}", process.pid)
    }
}

/// Tells processes apart inside one batch: a pid that was given away runs another build, or is another `Arc`.
pub(super) type ProcessKey = (u32, u64, usize);

pub(super) fn process_key(process: &Arc<Process>) -> ProcessKey {
    (process.pid, process.build_id, Arc::as_ptr(process).addr())
}

/// A sound wait whose stack is in the dictionary.
#[derive(Debug)]
pub(super) struct PendingWait {
    process: Arc<Process>,
    kind: Kind,
    reason: &'static str,
    tid: u32,
    goid: u64,
    start: Instant<Mono>,
    wall_offset: Offset<Mono, Wall>,
    duration_ns: u64,
    run_delay_ns: u64,
    stack: StackId,
    waker_goid: u64,
    flags: WaitFlags,
    weight_milli: u32,
    trace: TraceContext,
    end: Instant<Mono>,
    wanted: Wanted,
    waker_stack: StackId,
}

impl PendingWait {
    /// `stacks` are its own and its waker's; `nearest` is WALL - MONO by the newest knot, for kernels that tell no wall time.
    pub(super) fn new(wait: FinishedWait, stacks: [StackId; 2], nearest: Offset<Mono, Wall>) -> Self {
        let [stack, waker_stack] = stacks;
        Self {
            flags: flags(&wait),
            weight_milli: wait.weight_milli,
            kind: wait.kind,
            wanted: wait.wanted,
            waker_stack,
            reason: wait.reason,
            tid: wait.tid,
            goid: wait.goid,
            start: wait.park,
            wall_offset: wait.park_wall.map_or(nearest, |wall| wait.park.offset_to(wall)),
            duration_ns: (wait.run - wait.park).ns().unsigned_abs(),
            run_delay_ns: wait.ready.map_or(0, |ready| (wait.run - ready).ns().unsigned_abs()),
            stack,
            waker_goid: wait.waker_goid.unwrap_or_default(),
            trace: wait.trace,
            end: wait.run,
            process: wait.process,
        }
    }

    pub(super) fn end(&self) -> Instant<Mono> {
        self.end
    }
}

fn flags(wait: &FinishedWait) -> WaitFlags {
    let set = [
        (wait.ready.is_some(), WaitFlags::READY_SEEN),
        (wait.by_netpoll, WaitFlags::BY_NETPOLL),
        (wait.stack_cut, WaitFlags::STACK_CUT),
        (wait.stack_unreadable, WaitFlags::STACK_UNREADABLE),
        (wait.no_goroutine, WaitFlags::NO_GOROUTINE),
        (wait.unbound, WaitFlags::UNBOUND),
        (wait.is_abandoned, WaitFlags::ABANDONED),
        (wait.began_before, WaitFlags::BEGAN_BEFORE),
    ];
    set.iter().filter(|(is_set, _)| *is_set).fold(WaitFlags::default(), |flags, (_, flag)| flags.with(*flag))
}

/// The waits as columns, their processes, reasons, types of files and connections as indices.
pub(super) fn columns(
    waits: &[PendingWait],
    processes: &mut Indices<ProcessKey, Arc<Process>>,
    reasons: &mut Indices<&'static str, &'static str>,
    file_types: &mut Indices<&'static str, &'static str>,
    flows: &mut Indices<Flow, Flow>,
) -> Waits {
    let mut target = |wanted: &Wanted| Target {
        address: wanted.address,
        result: wanted.result,
        fd: wanted.fd,
        file_type: wanted.file_type.map_or(0, |name| file_types.index(name, || name).saturating_add(1)),
        flow: wanted.flow.map_or(0, |flow| flows.index(flow, || flow).saturating_add(1)),
    };
    Waits {
        target: waits.iter().map(|wait| target(&wait.wanted)).collect(),
        waker_stack: waits.iter().map(|wait| wait.waker_stack).collect(),
        kind: waits.iter().map(|wait| wait.kind).collect(),
        reason: waits.iter().map(|wait| reasons.index(wait.reason, || wait.reason)).collect(),
        process: waits
            .iter()
            .map(|wait| processes.index(process_key(&wait.process), || Arc::clone(&wait.process)))
            .collect(),
        tid: waits.iter().map(|wait| wait.tid).collect(),
        goid: waits.iter().map(|wait| wait.goid).collect(),
        start: waits.iter().map(|wait| wait.start).collect(),
        wall_offset: waits.iter().map(|wait| wait.wall_offset).collect(),
        duration_ns: waits.iter().map(|wait| wait.duration_ns).collect(),
        run_delay_ns: waits.iter().map(|wait| wait.run_delay_ns).collect(),
        stack: waits.iter().map(|wait| wait.stack).collect(),
        waker_goid: waits.iter().map(|wait| wait.waker_goid).collect(),
        flags: waits.iter().map(|wait| wait.flags).collect(),
        trace: waits.iter().map(|wait| wait.trace).collect(),
        weight_milli: waits.iter().map(|wait| wait.weight_milli).collect(),
    }
}
