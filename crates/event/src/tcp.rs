//! TCP connections of observed processes, and calls on them whose bytes both ends can name.

use std::net::SocketAddr;

use syncline_timebase::{Instant, Mono, Offset, Wall};

use crate::StackId;

/// The two ends of a connection, as one of its sockets sees them; or of another Internet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// This end. IPv4 also where the socket is an IPv6 one.
    pub local: SocketAddr,
    /// The other end; the unspecified address and port 0 where there is none.
    pub remote: SocketAddr,
    /// Inode number of the network namespace: two namespaces may have the same addresses.
    pub netns: u32,
}

/// Which way the bytes of a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Sent: stamped before any of the bytes can have left.
    Send,
    /// Received: stamped after all of them were copied to the caller.
    Receive,
}

/// Calls that sent or received bytes with a mark among them, one per index. A mark is a sequence number of the connection
/// that is a multiple of 2^[`mark_shift`](Self::mark_shift); so both ends choose the same bytes without talking of it. All
/// columns have the same length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Marks are this far apart: 2 to this, at most 31.
    pub mark_shift: u8,
    /// Which way.
    pub direction: Vec<Direction>,
    /// Index into [`crate::Batch::processes`].
    pub process: Vec<u32>,
    /// Index into [`crate::Batch::flows`].
    pub flow: Vec<u32>,
    /// Thread.
    pub tid: Vec<u32>,
    /// Goroutine; 0 where it is not known.
    pub goid: Vec<u64>,
    /// When: see [`Direction`].
    pub at: Vec<Instant<Mono>>,
    /// Kernel wall time minus MONO then.
    pub wall_offset: Vec<Offset<Mono, Wall>>,
    /// The first mark.
    pub mark: Vec<u32>,
    /// How many marks, each one spacing further, modulo 2^32.
    pub marks: Vec<u32>,
}

impl Messages {
    /// Number of messages.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// No messages.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Lengths of all columns, by name, for the check that they agree.
    pub(crate) fn lengths(&self) -> [(&'static str, usize); 9] {
        [
            ("messages.direction", self.direction.len()),
            ("messages.process", self.process.len()),
            ("messages.flow", self.flow.len()),
            ("messages.tid", self.tid.len()),
            ("messages.goid", self.goid.len()),
            ("messages.at", self.at.len()),
            ("messages.wall_offset", self.wall_offset.len()),
            ("messages.mark", self.mark.len()),
            ("messages.marks", self.marks.len()),
        ]
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Opener {
    /// It was there before the agent could see it.
    Unknown,
    /// This end, by connect().
    Local,
    /// The other end; a listener here took it.
    Remote,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The kernel's number of the TCP state that it was in before it was closed.
    pub last_state: u8,
    /// errno of the socket; 0 = none.
    pub error: u16,
}

/// A connection of an observed process, ended, or open for long. Its identity in the boot is `first` and `socket`; what is said of it
/// later replaces what was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSession {
    /// Index into [`crate::Batch::processes`].
    pub process: u32,
    /// Index into [`crate::Batch::flows`].
    pub flow: u32,
    /// Thread that opened it, or was seen with it first.
    pub tid: u32,
    /// Goroutine of the same; 0 where it is not known.
    pub goid: u64,
    /// Stack of its connect(), or [`StackId::NONE`].
    pub stack: StackId,
    /// A number of the socket.
    pub socket: u64,
    /// Who opened it. Where that is not known its start is not either.
    pub opener: Opener,
    /// When it was first seen: its start, unless the opener is unknown.
    pub first: Instant<Mono>,
    /// Kernel wall time minus MONO then.
    pub wall_offset: Offset<Mono, Wall>,
    /// From its start to the end of the handshake, where both were seen, ns of MONO.
    pub handshake_ns: Option<u64>,
    /// As of when all that follows is: its end, if it has ended.
    pub updated: Instant<Mono>,
    /// Payload sent that the peer has acknowledged; of a session whose start was not seen it may be one too many.
    pub bytes_sent: u64,
    /// Payload received in order.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmits: u32,
    /// Smoothed round trip, us; 0 = never measured.
    pub srtt_us: u32,
    /// Least round trip of the last minutes, us, where one was measured.
    pub min_rtt_us: Option<u32>,
    /// How it ended, if it has.
    pub end: Option<SessionEnd>,
    /// How long what it sent took to be acknowledged, where that was measured.
    pub sends: Option<SendLatency>,
}

/// Sends of one connection so far: each from the call that handed its bytes to the kernel to the acknowledgement of the last of
/// them by the peer's kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendLatency {
    /// Sends that were measured.
    pub count: u64,
    /// Their latencies together, ns.
    pub total_ns: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// Element i counts those of [2^i, 2^(i+1)) ns.
    pub histogram: Vec<u64>,
    /// Sends of which it could not be seen when they began, where they ended or when that was acknowledged.
    pub unmeasured: u64,
    /// Sends that the connection took with it, not acknowledged.
    pub unacknowledged: u64,
}

/// Why a connection or a message is missing, or lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TcpLossCause {
    /// The kernel's ring buffer had no room for a session.
    SessionRingFull,
    /// The kernel's map of open sessions was full.
    SessionMapFull,
    /// The kernel's map of accepted connections was full: the start of one is not known.
    StartMapFull,
    /// Accepted and closed without an observed process being seen with it: mostly others' connections.
    Unowned,
    /// The kernel's ring buffer had no room for a message.
    MessageRingFull,
    /// A message beyond the rate of its process.
    MessageRate,
    /// Marks (not calls) of which it is not certain which call moved them: several at once, or one that was not seen.
    MarkUncertain,
    /// A call that sent, of which it was not seen when it began.
    MessageUnstamped,
    /// Nobody knows any more whose session or message it was, or it contradicted itself.
    Garbled,
    /// A session or message of a batch that the agent's queue had no room for.
    QueueFull,
    /// A session or message of a batch that the aggregator refused for good.
    BatchRefused,
    /// A session or message for which the next batch had no room.
    BatchFull,
}

impl TcpLossCause {
    /// Every cause, in the order of their wire numbers.
    pub const ALL: [Self; 12] = [
        Self::SessionRingFull,
        Self::SessionMapFull,
        Self::StartMapFull,
        Self::Unowned,
        Self::MessageRingFull,
        Self::MessageRate,
        Self::MarkUncertain,
        Self::MessageUnstamped,
        Self::Garbled,
        Self::QueueFull,
        Self::BatchRefused,
        Self::BatchFull,
    ];

    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionRingFull => "session_ring_full",
            Self::SessionMapFull => "session_map_full",
            Self::StartMapFull => "start_map_full",
            Self::Unowned => "unowned",
            Self::MessageRingFull => "message_ring_full",
            Self::MessageRate => "message_rate",
            Self::MarkUncertain => "mark_uncertain",
            Self::MessageUnstamped => "message_unstamped",
            Self::Garbled => "garbled",
            Self::QueueFull => "queue_full",
            Self::BatchRefused => "batch_refused",
            Self::BatchFull => "batch_full",
        }
    }
}

/// How many were lost to one cause since the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLoss {
    /// Why.
    pub cause: TcpLossCause,
    /// How many.
    pub count: u64,
}
