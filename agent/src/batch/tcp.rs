//! TCP messages and sessions as they enter, and as they wait for their batch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use syncline_event::{
    Batch, Direction, Flow, Messages, Opener, Process, SendLatency, SessionEnd, StackId, TcpLoss, TcpLossCause,
    TcpSession, limits,
};
use syncline_timebase::{Instant, Mono, Offset, Wall};

use super::Batcher;
use super::index::Indices;
use super::seal::Holding;
use super::wait::{ProcessKey, Symbolizer, process_key};

/// A call that sent or received bytes with a mark among them, its stamp already on the node's clocks.
#[derive(Clone, Debug)]
pub struct SeenMessage {
    /// Its process.
    pub process: Arc<Process>,
    /// Its connection.
    pub flow: Flow,
    /// Which way.
    pub direction: Direction,
    /// Thread.
    pub tid: u32,
    /// Goroutine; 0 = not known.
    pub goid: u64,
    /// When: see [`Direction`].
    pub at: Instant<Mono>,
    /// The kernel's wall clock then, where the kernel tells it.
    pub wall: Option<Instant<Wall>>,
    /// The first mark.
    pub mark: u32,
    /// How many.
    pub marks: u32,
}

/// A connection that ended, or has been open for long, its stamps already on the node's clocks.
#[derive(Clone)]
pub struct SeenSession {
    /// Its process.
    pub process: Arc<Process>,
    /// Names the addresses of its stack.
    pub symbolizer: Arc<dyn Symbolizer>,
    /// Its ends.
    pub flow: Flow,
    /// Thread that opened it, or was seen with it first.
    pub tid: u32,
    /// Goroutine of the same; 0 = not known.
    pub goid: u64,
    /// Link-time return addresses of its connect(), innermost first.
    pub stack: Vec<u64>,
    /// A number of the socket.
    pub socket: u64,
    /// Who opened it.
    pub opener: Opener,
    /// When it was first seen.
    pub first: Instant<Mono>,
    /// The kernel's wall clock then, where the kernel tells it.
    pub wall: Option<Instant<Wall>>,
    /// End of the handshake, where it was seen.
    pub established: Option<Instant<Mono>>,
    /// As of when the numbers are.
    pub updated: Instant<Mono>,
    /// Payload sent.
    pub bytes_sent: u64,
    /// Payload received.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmits: u32,
    /// Smoothed round trip, us.
    pub srtt_us: u32,
    /// Least round trip, us.
    pub min_rtt_us: Option<u32>,
    /// How it ended.
    pub end: Option<SessionEnd>,
    /// Its send latency, where that is measured.
    pub sends: Option<SendLatency>,
}

impl fmt::Debug for SeenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, flow, first, updated, .. } = self;
        write!(f, "pid {}: {} - {} from {first:?} to {updated:?}", process.pid, flow.local, flow.remote)
    }
}

impl Batcher {
    /// Takes a message of a connection whose marks are 2^`mark_shift` apart. One that contradicts itself is counted as garbled.
    pub fn push_message(&mut self, message: SeenMessage, mark_shift: u8) {
        let nearest = self.wall_offset();
        self.tcp.push_message(message, mark_shift, nearest);
    }

    /// Takes a session. One that contradicts itself is counted as garbled.
    pub fn push_session(&mut self, session: SeenSession) {
        if self.tcp.admit(&session) {
            let stack = self.dictionary.note_stack(session.process.build_id, &session.symbolizer, &session.stack);
            self.tcp.push_session(session, stack, self.wall_offset());
        }
    }

    /// Counts sessions and messages lost before they came here.
    pub fn lose_tcp(&mut self, cause: TcpLossCause, count: u64) {
        self.tcp.lose(cause, count);
    }

    /// What this run has seen of TCP so far.
    pub fn tcp_totals(&self) -> &TcpTotals {
        self.tcp.totals()
    }
}

impl SeenSession {
    fn is_sound(&self) -> bool {
        self.first.ns() >= 0 && self.first <= self.updated
    }
}

/// What waits for a batch.
#[derive(Debug, Default)]
pub(super) struct PendingTcp {
    mark_shift: u8,
    messages: Vec<(SeenMessage, Offset<Mono, Wall>)>,
    sessions: Vec<(SeenSession, StackId, Offset<Mono, Wall>)>,
    losses: BTreeMap<TcpLossCause, u64>,
    totals: TcpTotals,
}

/// What a run has seen of TCP so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpTotals {
    /// Messages taken.
    pub messages: u64,
    /// Sessions taken; one that is told of while open counts each time.
    pub sessions: u64,
    /// Everything lost, by cause, kernel side included.
    pub losses: BTreeMap<TcpLossCause, u64>,
}

/// The columns of a batch.
pub(super) struct TcpColumns {
    pub(super) messages: Messages,
    pub(super) sessions: Vec<TcpSession>,
    pub(super) losses: Vec<TcpLoss>,
}

impl PendingTcp {
    /// `nearest` is WALL - MONO by the newest knot, for kernels that tell no wall time.
    pub(super) fn push_message(&mut self, message: SeenMessage, mark_shift: u8, nearest: Offset<Mono, Wall>) {
        self.totals.messages += 1;
        let marks = message.marks.min(u32::try_from(limits::MARKS).unwrap_or(u32::MAX));
        if message.at.ns() < 0 || marks == 0 || message.mark.trailing_zeros() < u32::from(mark_shift) {
            return self.lose(TcpLossCause::Garbled, 1);
        }
        if self.messages.len() >= limits::MESSAGES {
            return self.lose(TcpLossCause::BatchFull, 1);
        }
        self.mark_shift = mark_shift;
        let wall = message.wall.map_or(nearest, |wall| message.at.offset_to(wall));
        self.messages.push((SeenMessage { marks, ..message }, wall));
    }

    /// Whether there is room for the session; it is counted if not.
    pub(super) fn admit(&mut self, session: &SeenSession) -> bool {
        self.totals.sessions += 1;
        let cause = match () {
            () if !session.is_sound() => TcpLossCause::Garbled,
            () if self.sessions.len() >= limits::TCP_SESSIONS => TcpLossCause::BatchFull,
            () => return true,
        };
        self.lose(cause, 1);
        false
    }

    pub(super) fn push_session(&mut self, session: SeenSession, stack: StackId, nearest: Offset<Mono, Wall>) {
        let wall = session.wall.map_or(nearest, |wall| session.first.offset_to(wall));
        self.sessions.push((session, stack, wall));
    }

    pub(super) fn lose(&mut self, cause: TcpLossCause, count: u64) {
        if count > 0 {
            add(&mut self.losses, cause, count);
            add(&mut self.totals.losses, cause, count);
        }
    }

    /// A whole batch is lost, and what it said of losses is still to be told.
    pub(super) fn lose_batch(&mut self, cause: TcpLossCause, batch: &Batch) {
        self.lose(cause, (batch.messages.len() + batch.tcp_sessions.len()) as u64);
        for loss in &batch.tcp_losses {
            // They are in the totals already.
            add(&mut self.losses, loss.cause, loss.count);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.sessions.is_empty() && self.losses.is_empty()
    }

    /// Whether there is something to be aligned.
    pub(super) fn has_stamps(&self) -> bool {
        !self.messages.is_empty() || !self.sessions.is_empty()
    }

    pub(super) fn totals(&self) -> &TcpTotals {
        &self.totals
    }

    pub(super) fn take(
        &mut self,
        holding: Holding,
        processes: &mut Indices<ProcessKey, Arc<Process>>,
        flows: &mut Indices<Flow, Flow>,
    ) -> TcpColumns {
        let messages = holding.take(&mut self.messages, |(message, _)| message.at);
        let sessions = holding.take(&mut self.sessions, |(session, _, _)| session.updated);
        let mut process = |process: &Arc<Process>| processes.index(process_key(process), || Arc::clone(process));
        let mut flow = |flow: Flow| flows.index(flow, || flow);
        let sessions = sessions
            .iter()
            .map(|(session, stack, wall)| row(session, *stack, *wall, process(&session.process), flow(session.flow)));
        let sessions = sessions.collect();
        let columns = Messages {
            mark_shift: if messages.is_empty() { 0 } else { self.mark_shift },
            direction: messages.iter().map(|(message, _)| message.direction).collect(),
            process: messages.iter().map(|(message, _)| process(&message.process)).collect(),
            flow: messages.iter().map(|(message, _)| flow(message.flow)).collect(),
            tid: messages.iter().map(|(message, _)| message.tid).collect(),
            goid: messages.iter().map(|(message, _)| message.goid).collect(),
            at: messages.iter().map(|(message, _)| message.at).collect(),
            wall_offset: messages.iter().map(|(_, wall)| *wall).collect(),
            mark: messages.iter().map(|(message, _)| message.mark).collect(),
            marks: messages.iter().map(|(message, _)| message.marks).collect(),
        };
        let losses = std::mem::take(&mut self.losses).into_iter().map(|(cause, count)| TcpLoss { cause, count });
        TcpColumns { messages: columns, sessions, losses: losses.collect() }
    }
}

fn add(losses: &mut BTreeMap<TcpLossCause, u64>, cause: TcpLossCause, count: u64) {
    let total = losses.entry(cause).or_default();
    *total = total.saturating_add(count);
}

fn row(session: &SeenSession, stack: StackId, wall: Offset<Mono, Wall>, process: u32, flow: u32) -> TcpSession {
    let handshake = session.established.filter(|at| session.opener == Opener::Local && *at >= session.first);
    TcpSession {
        process,
        flow,
        tid: session.tid,
        goid: session.goid,
        stack,
        socket: session.socket,
        opener: session.opener,
        first: session.first,
        wall_offset: wall,
        handshake_ns: handshake.map(|at| (at - session.first).ns().unsigned_abs()),
        updated: session.updated,
        bytes_sent: session.bytes_sent,
        bytes_received: session.bytes_received,
        retransmits: session.retransmits,
        srtt_us: session.srtt_us,
        min_rtt_us: session.min_rtt_us,
        end: session.end,
        sends: session.sends.clone(),
    }
}
