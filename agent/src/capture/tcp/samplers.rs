//! The programs on tracepoints that TCP is captured with.

use syncline_bpf::program;

use crate::kinds::{CaptureKind, Kinds};

/// All kinds that are of TCP.
pub(super) const OF_TCP: Kinds = Kinds::of(&[CaptureKind::Tcp, CaptureKind::TcpMessages, CaptureKind::SendLatency]);

/// A program on a tracepoint.
pub(super) struct Sampler {
    pub(super) program: &'static str,
    pub(super) tracepoint: &'static str,
    /// It is there while somebody wants this.
    pub(super) used_for: CaptureKind,
    /// What is not captured without it.
    pub(super) what: &'static str,
    pub(super) kinds: Kinds,
}

/// Only who sees sessions can tell of anything else, and only who sees what is sent, how long that takes. Whose an accepted session is
/// shows when it is used.
pub(super) const SAMPLERS: [Sampler; 4] = [
    Sampler {
        program: program::TCP_STATE,
        tracepoint: "inet_sock_set_state",
        used_for: CaptureKind::Tcp,
        what: "TCP sessions, messages and send latency",
        kinds: OF_TCP,
    },
    Sampler {
        program: program::TCP_SENT,
        tracepoint: "sock_send_length",
        used_for: CaptureKind::Tcp,
        what: "messages sent over TCP, and send latency",
        kinds: Kinds::of(&[CaptureKind::SendLatency]),
    },
    Sampler {
        program: program::TCP_RECEIVED,
        tracepoint: "sock_recv_length",
        used_for: CaptureKind::Tcp,
        what: "messages received over TCP",
        kinds: Kinds::NONE,
    },
    Sampler {
        program: program::TCP_SEGMENT,
        tracepoint: "tcp_probe",
        used_for: CaptureKind::SendLatency,
        what: "TCP send latency",
        kinds: Kinds::of(&[CaptureKind::SendLatency]),
    },
];
