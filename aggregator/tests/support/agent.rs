//! A simulated agent: a node with a clock of its own, whose truth is known, and batches of waits from it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use syncline_event::{
    Batch, BlockedTime, Container, Direction, Flow, GoroutineFate, GoroutineState, GoroutineStates, Kind, Loss,
    LossCause, ONCE_MILLI, Origin, ProbePath, Process, ProcessStates, ShortWaits, Stack, StackId, StateTimes, Symbol,
    Target, TraceContext, WaitFlags, Waits,
};
use syncline_proto::v1::collector_client::CollectorClient;
use syncline_proto::v1::ingest_reply::Outcome;
use syncline_proto::v1::{IngestReply, IngestRequest};
use syncline_sim::{NodeSettings, SimulatedNode};
use syncline_timebase::{BootId, Instant, Offset, Probe, Span};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::DEADLINE;
use super::program::{self, Program};

const SECOND: i64 = 1_000_000_000;
const WAIT_NS: i64 = 2_000_000;

/// Where the events of a node really are: REF at park and at running again, ns, by sequence number.
pub(crate) type Truth = HashMap<u64, (i64, i64)>;

pub(crate) struct SimulatedAgent {
    node: SimulatedNode,
    name: String,
    region: String,
    /// Simulated reference time to today, so that nothing is too old to be kept.
    shift: Span,
    /// The reference that its probes speak of.
    run: u64,
    number: u64,
    seq: u64,
    /// The truth of all waits so far.
    pub(crate) truth: Truth,
}

fn mostly_blocked(duration_ns: u64) -> StateTimes {
    let blocked = BlockedTime { reason: Some(1), count: 1, total_ns: duration_ns - 1_000_000 };
    StateTimes { running_ns: 1_000_000, blocked: vec![blocked], ..StateTimes::default() }
}

impl SimulatedAgent {
    pub(crate) fn new(name: &str, region: &str, seed: u64, settings: NodeSettings) -> Self {
        let today = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64;
        let shift = Span::from_ns(today - SimulatedNode::reference(0).ns());
        let node = SimulatedNode::new(settings, seed);
        let (name, region, truth) = (name.into(), region.into(), Truth::new());
        Self { node, name, region, shift, run: 0xf00d, number: 0, seq: 1_000, truth }
    }

    /// From now on its probes speak of the reference of `run`, which is `by` ahead of the one before.
    pub(crate) fn change_reference(&mut self, run: u64, by: Span) {
        (self.run, self.shift) = (run, self.shift + by);
    }

    /// The batch of the next second without its probe, as where probes are lost.
    pub(crate) fn next_batch_without_probe(&mut self, waits: usize) -> Batch {
        let batch = self.next_batch(waits);
        Batch { probes: Vec::new(), probe_paths: Vec::new(), reference_run: 0, ..batch }
    }

    /// The batch of the next second, with `waits` waits, the last of them before the probe at its end.
    pub(crate) fn next_batch(&mut self, waits: usize) -> Batch {
        self.number += 1;
        let second = self.number as i64 * SECOND;
        let knots = (0..10).map(|i| self.knot(second + i * SECOND / 10)).collect();
        let (probe, sealed) = self.node.probe(second + SECOND * 95 / 100);
        let stack = Stack::new(7, vec![0x40_1000, 0x40_2000]);
        let sealed_at = self.node.mono(sealed);
        let batch = Batch {
            first_seq: self.seq,
            sealed_at,
            coarse_reference: Offset::from_ns((self.reference(sealed)).ns() - sealed_at.ns() + 3_000_000),
            wall_offset: sealed_at.offset_to(self.node.wall(sealed) + self.shift),
            reasons: vec!["chan receive".into(), "select".into()],
            file_types: vec!["tcp".into()],
            processes: vec![Process {
                pid: 42,
                service: "orders".into(),
                executable: "/srv/orders".into(),
                go_version: "go1.27.3".into(),
                build_id: 7,
                since_mono_ns: 1_000_000,
                container: Container {
                    runtime: "containerd".into(),
                    id: "3f".repeat(32),
                    name: "app".into(),
                    pod_name: "orders-0".into(),
                    pod_uid: "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0".into(),
                    namespace: "shop".into(),
                },
            }],
            waits: self.waits(second, waits, stack.id),
            short_waits: vec![ShortWaits {
                process: 0,
                kind: Kind::Goroutine,
                reason: 1,
                count: 3,
                total_ns: 300,
                histogram: vec![0, 3],
                weight_milli: ONCE_MILLI,
                is_parts: false,
            }],
            symbols: vec![Symbol {
                build_id: 7,
                pc: 0x40_1000,
                depth: 0,
                function: "main.take".into(),
                file: "main.go".into(),
                line: 12,
            }],
            stacks: vec![stack],
            losses: vec![Loss { cause: LossCause::RingBufferFull, count: 9 }],
            knots,
            probe_paths: probe.iter().map(|_| ProbePath::Udp).collect(),
            process_states: vec![self.process_states(second)],
            goroutine_states: vec![self.goroutine_states(second)],
            reference_run: if probe.is_some() { self.run } else { 0 },
            probes: probe.map(|probe| self.today(probe)).into_iter().collect(),
            ..Batch::empty(self.origin(), self.number)
        };
        self.seq += waits as u64;
        batch
    }

    /// Adds to the newest batch that one mark went over this flow, `after_ns` true ns after the begin of its second.
    pub(crate) fn tell_message(
        &mut self,
        batch: &mut Batch,
        flow: Flow,
        direction: Direction,
        mark: u32,
        after_ns: i64,
    ) {
        let at = self.number as i64 * SECOND + after_ns;
        let mono = self.node.mono(at);
        batch.flows.push(flow);
        let messages = &mut batch.messages;
        messages.mark_shift = 12;
        messages.direction.push(direction);
        messages.process.push(0);
        messages.flow.push(u32::try_from(batch.flows.len() - 1).unwrap());
        messages.tid.push(1);
        messages.goid.push(2);
        messages.at.push(mono);
        messages.wall_offset.push(mono.offset_to(self.node.wall(at) + self.shift));
        messages.mark.push(mark << 12);
        messages.marks.push(1);
    }

    /// Of the batch's second: a goroutine that ran for 1 ms and was blocked for the rest.
    fn process_states(&mut self, second: i64) -> ProcessStates {
        let (from, to) = (self.node.mono(second), self.node.mono(second + SECOND * 9 / 10));
        let duration_ns = (to - from).ns().unsigned_abs();
        let times = mostly_blocked(duration_ns);
        ProcessStates {
            process: 0,
            from,
            duration_ns,
            times,
            goroutines: 1,
            started: 0,
            ended: 0,
            runs: 1,
            handoffs: 2,
        }
    }

    /// The same goroutine since the first second.
    fn goroutine_states(&mut self, second: i64) -> GoroutineStates {
        let (first, now) = (self.node.mono(SECOND), self.node.mono(second + SECOND * 9 / 10));
        let duration_ns = (now - first).ns().unsigned_abs();
        GoroutineStates {
            process: 0,
            goid: 18,
            first,
            wall_offset: first.offset_to(self.node.wall(SECOND) + self.shift),
            duration_ns,
            start_seen: true,
            fate: GoroutineFate::Alive,
            state: GoroutineState::Blocked,
            reason: Some(1),
            state_ns: 5,
            times: mostly_blocked(duration_ns),
            runs: self.number,
            handoffs: 2,
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            node: self.name.parse().unwrap(),
            region: self.region.clone(),
            boot: BootId(0xb007),
            run_first_seq: 1_000,
            agent_version: "0.1.0".into(),
            kernel: "6.18".into(),
        }
    }

    /// WALL - REF at the last batch, ns.
    pub(crate) fn wall_minus_reference_ns(&mut self) -> i64 {
        let now = self.number as i64 * SECOND;
        (self.node.wall(now) + self.shift).ns() - self.reference(now).ns()
    }

    fn waits(&mut self, second: i64, rows: usize, stack: StackId) -> Waits {
        let starts: Vec<i64> = (0..rows).map(|row| second + row as i64 * (SECOND * 9 / 10) / rows as i64).collect();
        let mut waits = Waits::default();
        for (row, start) in starts.iter().enumerate() {
            let (from, to) = (self.node.mono(*start), self.node.mono(start + WAIT_NS));
            let truth = (self.reference(*start).ns(), self.reference(start + WAIT_NS).ns());
            self.truth.insert(self.seq + row as u64, truth);
            waits.start.push(from);
            waits.wall_offset.push(from.offset_to(self.node.wall(*start) + self.shift));
            waits.duration_ns.push((to - from).ns().unsigned_abs());
        }
        waits.kind = vec![Kind::Goroutine; rows];
        waits.reason = vec![0; rows];
        waits.process = vec![0; rows];
        waits.tid = vec![43; rows];
        waits.goid = (0..rows as u64).map(|row| 18 + row % 100).collect();
        waits.run_delay_ns = vec![10_000; rows];
        waits.stack = vec![stack; rows];
        waits.waker_goid = vec![1; rows];
        waits.flags = vec![WaitFlags::READY_SEEN; rows];
        waits.target = vec![Target::default(); rows];
        waits.waker_stack = vec![StackId::NONE; rows];
        waits.trace = vec![TraceContext::NONE; rows];
        waits.weight_milli = vec![ONCE_MILLI; rows];
        waits
    }

    fn knot(&mut self, true_ns: i64) -> syncline_timebase::Knot {
        let mut knot = self.node.knot(true_ns);
        knot.wall = knot.wall + self.shift;
        knot
    }

    fn today(&self, probe: Probe) -> Probe {
        Probe { received: probe.received + self.shift, replied: probe.replied + self.shift, ..probe }
    }

    fn reference(&self, true_ns: i64) -> Instant<syncline_timebase::Reference> {
        SimulatedNode::reference(true_ns) + self.shift
    }
}

/// A stream of batches to an aggregator.
pub(crate) struct Uplink {
    requests: mpsc::Sender<IngestRequest>,
    replies: Streaming<IngestReply>,
    /// Where the aggregator's engine is.
    dir: PathBuf,
}

impl Uplink {
    pub(crate) async fn to(program: &Program) -> Self {
        Self::to_if_there(program).await.expect("an aggregator that answers")
    }

    /// None if the aggregator does not answer any more.
    pub(crate) async fn to_if_there(program: &Program) -> Option<Self> {
        let mut client = CollectorClient::connect(program.url()).await.ok()?;
        let (requests, stream) = mpsc::channel(64);
        let replies = client.ingest(ReceiverStream::new(stream)).await.ok()?.into_inner();
        Some(Self { requests, replies, dir: program.dir().to_owned() })
    }

    pub(crate) async fn send(&self, batch: &Batch) {
        self.send_bytes(batch.number, syncline_proto::encode(batch).unwrap()).await;
    }

    /// As [`send`](Self::send), to an aggregator that may be gone.
    pub(crate) async fn send_if_there(&self, batch: &Batch) {
        let batch_zstd = syncline_proto::encode(batch).unwrap().into();
        let _ = self.requests.send(IngestRequest { number: batch.number, batch_zstd }).await;
    }

    /// The next batch that is acknowledged; none if there is no answer within so long, or the aggregator is gone.
    pub(crate) async fn answer_within(&mut self, time: Duration) -> Option<u64> {
        let reply = tokio::time::timeout(time, self.replies.message()).await.ok()?.ok()??;
        let (number, outcome) = outcome(reply);
        assert_eq!(outcome, Ok(()));
        Some(number)
    }

    pub(crate) async fn send_bytes(&self, number: u64, bytes: Vec<u8>) {
        self.requests.send(IngestRequest { number, batch_zstd: bytes.into() }).await.unwrap();
    }

    /// The next answer: the batch's number and, if it was refused, why.
    pub(crate) async fn answer(&mut self) -> (u64, Result<(), String>) {
        let reply = tokio::time::timeout(DEADLINE, self.replies.message()).await.expect("no answer in time");
        outcome(reply.unwrap().expect("the stream ended"))
    }

    /// Sends and waits until it is acknowledged.
    pub(crate) async fn deliver(&mut self, batch: &Batch) {
        self.send(batch).await;
        assert_eq!(self.answer().await, (batch.number, Ok(())));
    }

    /// Sends all of them, and then waits for their answers.
    pub(crate) async fn deliver_together(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.send(batch).await;
        }
        for _ in batches {
            assert_eq!(self.answer().await.1, Ok(()));
        }
    }

    /// Sends and waits until it is in the ledger.
    pub(crate) async fn store(&mut self, batch: &Batch) {
        self.deliver(batch).await;
        let store = program::store(&self.dir).await;
        let (node, number) = (&batch.origin.node, batch.number);
        let rows = format!("SELECT count() FROM ingest_ledger WHERE node = '{node}' AND batch = {number}");
        let is_stored = async || program::ask(&store, &rows).await == "1";
        super::eventually("an acknowledged batch is stored", is_stored).await;
    }

    /// What ends the stream.
    pub(crate) async fn end(&mut self) -> tonic::Status {
        loop {
            match tokio::time::timeout(DEADLINE, self.replies.message()).await.expect("no end in time") {
                Ok(Some(_)) => continue,
                Ok(None) => return tonic::Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}

fn outcome(reply: IngestReply) -> (u64, Result<(), String>) {
    match reply.outcome.expect("an answer says what became of the batch") {
        Outcome::Stored(_) => (reply.number, Ok(())),
        Outcome::Refused(refused) => (reply.number, Err(refused.why)),
    }
}
