//! What a busy node sends: a batch a second, with the shapes of columns that real programs make.

use std::ops::RangeInclusive;

use anyhow::Result;
use syncline_event::{
    Batch, Kind, ONCE_MILLI, Origin, ProbePath, Process, ShortWaits, Stack, StackId, Symbol, Target, TraceContext,
    WaitFlags, Waits,
};
use syncline_sim::{NodeSettings, Random, SimulatedNode};
use syncline_timebase::{BootId, Instant, Knot, Mono, Offset, Probe, Span, Wall};

use crate::Args;

const SECOND_NS: i64 = 1_000_000_000;
/// Waits end before the probe that seals their batch.
const PROBE_AT_NS: i64 = SECOND_NS * 95 / 100;
const KNOTS: i64 = 10;
const THRESHOLD_NS: f64 = 1e6;
const MEAN_ABOVE_THRESHOLD_NS: f64 = 8e6;
const MEAN_RUN_DELAY_NS: f64 = 15e3;
/// How far the kernel's two clock reads of one park are apart.
const WALL_NOISE_NS: f64 = 30.0;
const GOROUTINES: f64 = 2_000.0;
const THREADS: f64 = 12.0;
const STACKS: usize = 200;
const STACK_FRAMES: (f64, f64) = (6.0, 24.0);
const TEXT_START: u64 = 0x40_1000;
const FUNCTIONS: f64 = 4_000.0;
const BUILD: u64 = 0x5ca1_ab1e;
const FIRST_SEQ: u64 = 1_000;
const REASONS: [&str; 6] = ["IO wait", "chan receive", "select", "sync.Mutex.Lock", "sleep", "sync.WaitGroup.Wait"];
const IO_WAIT: u32 = 0;
const SERVICES: [&str; 3] = ["checkout", "orders", "inventory"];

/// The batches of one node, in their order, made as they are asked for.
pub(crate) struct Traffic {
    source: Source,
    numbers: RangeInclusive<u32>,
}

/// A batch as it goes over the wire.
pub(crate) struct Encoded {
    pub(crate) number: u64,
    pub(crate) waits: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Traffic {
    pub(crate) fn of(node: u32, args: &Args) -> Self {
        Self { source: Source::new(node, args), numbers: 1..=args.batches }
    }

    /// The next batch, not yet encoded; none after the last.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        self.numbers.next().map(|number| self.source.batch(number.into()))
    }
}

impl Iterator for Traffic {
    type Item = Result<Encoded>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map(|batch| {
            let waits = batch.waits.len() as u64;
            Ok(Encoded { number: batch.number, waits, bytes: syncline_proto::encode(&batch)? })
        })
    }
}

struct Source {
    name: String,
    region: String,
    waits_per_batch: u32,
    node: SimulatedNode,
    random: Random,
    stacks: Vec<Stack>,
    /// From the simulation's reference time to today, because the store deletes what is too old.
    shift: Span,
}

impl Source {
    fn new(node: u32, args: &Args) -> Self {
        // What is sent at once has happened; what is sent each second happens as it is sent.
        let happened = if args.paced { 1 } else { i64::from(args.batches) };
        let begin = today_ns() - happened * SECOND_NS;
        Self {
            name: format!("flood-{node}"),
            region: args.region.clone(),
            waits_per_batch: args.waits,
            node: SimulatedNode::new(NodeSettings::default(), node.into()),
            random: Random::seeded(u64::from(node) ^ 0xf100d),
            // All nodes run the same builds, so they have the same stacks.
            stacks: stacks(&mut Random::seeded(1)),
            shift: Span::from_ns(begin - SimulatedNode::reference(0).ns()),
        }
    }

    fn batch(&mut self, number: u64) -> Batch {
        let begin = number.cast_signed() * SECOND_NS;
        let knots = (0..KNOTS).map(|i| self.knot(begin + i * SECOND_NS / KNOTS)).collect();
        let (probe, sealed) = self.node.probe(begin + PROBE_AT_NS);
        let sealed_at = self.node.mono(sealed);
        let reference = SimulatedNode::reference(sealed) + self.shift;
        // Dictionaries travel once in a connection.
        let first = number == 1;
        Batch {
            first_seq: FIRST_SEQ + (number - 1) * u64::from(self.waits_per_batch),
            sealed_at,
            coarse_reference: sealed_at.offset_to(reference),
            wall_offset: sealed_at.offset_to(self.node.wall(sealed) + self.shift),
            reasons: REASONS.map(String::from).to_vec(),
            processes: (1000..).zip(SERVICES).map(|(pid, service)| process(pid, service)).collect(),
            waits: self.waits(begin),
            short_waits: short_waits(),
            stacks: if first { self.stacks.clone() } else { Vec::new() },
            symbols: if first { symbols(&self.stacks) } else { Vec::new() },
            knots,
            probe_paths: probe.iter().map(|_| ProbePath::Udp).collect(),
            reference_run: if probe.is_some() { 1 } else { 0 },
            probes: probe.map(|probe| self.today(probe)).into_iter().collect(),
            ..Batch::empty(self.origin(), number)
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            // The name is made above of letters and digits.
            node: self.name.parse().unwrap_or_else(|_| unreachable!("a sound name")),
            region: self.region.clone(),
            boot: BootId(0xf100d),
            run_first_seq: FIRST_SEQ,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            kernel: "6.18".into(),
        }
    }

    /// Waits in the order of their ends, as the kernel sends them.
    fn waits(&mut self, begin: i64) -> Waits {
        let rows = self.waits_per_batch as usize;
        let mut ends: Vec<i64> = (0..rows).map(|_| (self.random.uniform() * PROBE_AT_NS as f64) as i64).collect();
        ends.sort_unstable();
        let mono = self.node.mono(begin);
        let wall = mono.offset_to(self.node.wall(begin) + self.shift);
        let mut waits = Waits::default();
        for end in ends {
            self.push_wait(&mut waits, mono + Span::from_ns(end), wall);
        }
        waits
    }

    fn push_wait(&mut self, waits: &mut Waits, end: Instant<Mono>, wall: Offset<Mono, Wall>) {
        let duration = THRESHOLD_NS + self.random.exponential(MEAN_ABOVE_THRESHOLD_NS);
        let reason = self.skewed(REASONS.len()) as u32;
        let woken_by_netpoll = reason == IO_WAIT;
        waits.kind.push(Kind::Goroutine);
        waits.reason.push(reason);
        waits.process.push(self.skewed(SERVICES.len()) as u32);
        waits.tid.push(1000 + (self.random.uniform() * THREADS) as u32);
        waits.goid.push(18 + (self.random.uniform() * GOROUTINES) as u64);
        waits.start.push(end - Span::from_ns(duration as i64));
        waits.wall_offset.push(Offset::from_ns(wall.ns() + self.random.normal(WALL_NOISE_NS) as i64));
        waits.duration_ns.push(duration as u64);
        waits.run_delay_ns.push(self.random.exponential(MEAN_RUN_DELAY_NS).min(duration) as u64);
        waits.stack.push(self.stack());
        waits.waker_goid.push(if woken_by_netpoll { 0 } else { 18 + (self.random.uniform() * GOROUTINES) as u64 });
        waits.target.push(Target::default());
        waits.waker_stack.push(StackId::NONE);
        waits.flags.push(if woken_by_netpoll {
            WaitFlags::READY_SEEN.with(WaitFlags::BY_NETPOLL)
        } else {
            WaitFlags::READY_SEEN
        });
        waits.trace.push(TraceContext::NONE);
        waits.weight_milli.push(ONCE_MILLI);
    }

    fn stack(&mut self) -> StackId {
        let place = self.skewed(self.stacks.len());
        self.stacks[place].id
    }

    /// One of `count` things, the first ones much more often: its logarithm is uniform, which is Zipf's law.
    fn skewed(&mut self, count: usize) -> usize {
        (((count + 1) as f64).powf(self.random.uniform()) as usize).clamp(1, count) - 1
    }

    fn knot(&mut self, true_ns: i64) -> Knot {
        let knot = self.node.knot(true_ns);
        Knot { wall: knot.wall + self.shift, ..knot }
    }

    fn today(&self, probe: Probe) -> Probe {
        Probe { received: probe.received + self.shift, replied: probe.replied + self.shift, ..probe }
    }
}

fn today_ns() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn stacks(random: &mut Random) -> Vec<Stack> {
    let stack = |_| {
        let frames = random.between(STACK_FRAMES.0, STACK_FRAMES.1) as usize;
        let pcs = (0..frames).map(|_| TEXT_START + (random.uniform() * FUNCTIONS) as u64 * 0x100).collect();
        Stack::new(BUILD, pcs)
    };
    (0..STACKS).map(stack).collect()
}

fn symbols(stacks: &[Stack]) -> Vec<Symbol> {
    let pcs: std::collections::BTreeSet<u64> = stacks.iter().flat_map(|stack| stack.pcs.iter().copied()).collect();
    let symbol = |pc: u64| Symbol {
        build_id: BUILD,
        pc,
        depth: 0,
        function: format!("example.com/shop/internal/handlers.(*Server).step{pc:x}"),
        file: format!("example.com/shop/internal/handlers/server_{}.go", pc % 97),
        line: (pc % 900) as u32,
    };
    pcs.into_iter().map(symbol).collect()
}

fn process(pid: u32, service: &str) -> Process {
    Process {
        pid,
        service: service.into(),
        executable: format!("/srv/{service}"),
        go_version: "go1.27.3".into(),
        build_id: BUILD,
        ..Process::default()
    }
}

/// What the kernel sums up below the threshold: a row for each process and reason.
fn short_waits() -> Vec<ShortWaits> {
    let histogram: Vec<u64> = (0..20).map(|bucket| if bucket < 10 { 0 } else { 3_000 >> (bucket - 10) }).collect();
    let row = |process, reason| ShortWaits {
        process,
        kind: Kind::Goroutine,
        reason,
        count: histogram.iter().sum(),
        total_ns: 40_000_000,
        histogram: histogram.clone(),
        weight_milli: ONCE_MILLI,
        is_parts: false,
    };
    let processes = 0..SERVICES.len() as u32;
    processes
        .flat_map(|process| (0..REASONS.len() as u32).map(move |reason| (process, reason)))
        .map(|(p, r)| row(p, r))
        .collect()
}
