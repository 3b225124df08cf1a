//! TCP: messages, sessions, and what was lost of them.

use super::{BoundClass, ClockStatus, MessageDirection, SessionOpener, enum8, rows};
use crate::{Arrays, Column, LowCardinality};

rows! {
    /// Calls that sent or received marked bytes.
    MessageRows => "messages" {
        /// Start of the minute, s since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service of the process.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id.
        pid: Vec<u32> => Column::U32,
        /// Thread.
        tid: Vec<u32> => Column::U32,
        /// Goroutine; 0 = not known.
        goid: Vec<u64> => Column::U64,
        /// Which way.
        direction: Vec<MessageDirection> => enum8,
        /// Address of this end.
        local_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Its port.
        local_port: Vec<u16> => Column::U16,
        /// Address of the other end.
        peer_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Its port.
        peer_port: Vec<u16> => Column::U16,
        /// Network namespace.
        netns: Vec<u32> => Column::U32,
        /// First mark.
        mark: Vec<u32> => Column::U32,
        /// How many.
        marks: Vec<u32> => Column::U32,
        /// Their spacing is 2 to this.
        mark_shift: Vec<u8> => Column::U8,
        /// When; mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// wall - mono, ns.
        wall_off: Vec<i64> => Column::I64,
        /// Run of the reference.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono, ns.
        al_off: Vec<i64> => Column::I64,
        /// Half width of the bound, ns.
        err_ns: Vec<u64> => Column::U64,
        /// What it assumes.
        bound_class: Vec<BoundClass> => enum8,
        /// Status of the clock estimate.
        clock_status: Vec<ClockStatus> => enum8,
        /// Disruptions before.
        epoch: Vec<u32> => Column::U32,
        /// Revision of the clock model.
        model_rev: Vec<u32> => Column::U32,
    }
}

rows! {
    /// TCP connections of observed processes.
    TcpSessionRows => "tcp_sessions" {
        /// Start of the minute, s since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Service of the process.
        service: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the boot id.
        boot: Vec<u64> => Column::U64,
        /// Process id.
        pid: Vec<u32> => Column::U32,
        /// Thread.
        tid: Vec<u32> => Column::U32,
        /// Goroutine; 0 = not known.
        goid: Vec<u64> => Column::U64,
        /// Stack of connect(); 0 = none.
        stack_id: Vec<u64> => Column::U64,
        /// Number of the socket.
        socket: Vec<u64> => Column::U64,
        /// Who opened it.
        opener: Vec<SessionOpener> => enum8,
        /// Address of this end.
        local_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Its port.
        local_port: Vec<u16> => Column::U16,
        /// Address of the other end.
        peer_address: Vec<[u8; 16]> => Column::Ipv6,
        /// Its port.
        peer_port: Vec<u16> => Column::U16,
        /// Network namespace.
        netns: Vec<u32> => Column::U32,
        /// Start, or when first seen; mono, ns.
        mono_ns: Vec<u64> => Column::U64,
        /// wall - mono then, ns.
        wall_off: Vec<i64> => Column::I64,
        /// connect() to the end of the handshake, ns; 0 = not seen.
        handshake_ns: Vec<u64> => Column::U64,
        /// To its end, or to when the numbers were taken, ns.
        dur_ns: Vec<u64> => Column::U64,
        /// 1 = it has ended.
        ended: Vec<u8> => Column::U8,
        /// TCP state before it was closed.
        last_state: LowCardinality => Column::LowCardinality,
        /// errno; 0 = none.
        error: Vec<u16> => Column::U16,
        /// Payload acknowledged by the peer.
        bytes_sent: Vec<u64> => Column::U64,
        /// Payload received.
        bytes_received: Vec<u64> => Column::U64,
        /// Segments sent again.
        retransmits: Vec<u32> => Column::U32,
        /// Smoothed round trip, us.
        srtt_us: Vec<u32> => Column::U32,
        /// Least round trip, us; `u32::MAX` = never measured.
        min_rtt_us: Vec<u32> => Column::U32,
        /// Run of the reference.
        ref_run: Vec<u64> => Column::U64,
        /// REF - mono at the start, ns.
        al_off: Vec<i64> => Column::I64,
        /// REF - mono at the end, ns.
        al_end_off: Vec<i64> => Column::I64,
        /// Half width of the bound at the start, ns.
        err_ns: Vec<u64> => Column::U64,
        /// Half width of the bound at the end, ns.
        err_end_ns: Vec<u64> => Column::U64,
        /// 1 = send latency was measured.
        sends_watched: Vec<u8> => Column::U8,
        /// Sends that were measured.
        sends: Vec<u64> => Column::U64,
        /// Sum of their latencies.
        send_total_ns: Vec<u64> => Column::U64,
        /// The longest.
        send_max_ns: Vec<u64> => Column::U64,
        /// Element k (from 0) counts the sends of [2^k, 2^(k+1)) ns.
        send_hist: Arrays => Column::ArrayU64,
        /// Sends that could not be measured.
        sends_unmeasured: Vec<u64> => Column::U64,
        /// Sends that were not acknowledged when the connection ended.
        sends_unacknowledged: Vec<u64> => Column::U64,
    }
}

rows! {
    /// TCP sessions and messages that were not stored.
    TcpLossRows => "tcp_losses" {
        /// Start of the minute, s since 1970.
        bucket: Vec<u32> => Column::DateTime,
        /// Region of the node.
        region: LowCardinality => Column::LowCardinality,
        /// Name of the node.
        node: LowCardinality => Column::LowCardinality,
        /// First 8 bytes of the boot id.
        boot: Vec<u64> => Column::U64,
        /// First event number of the agent's run.
        run_seq: Vec<u64> => Column::U64,
        /// Why.
        cause: LowCardinality => Column::LowCardinality,
        /// How many.
        count: Vec<u64> => Column::U64,
        /// Number of the batch that told.
        batch: Vec<u64> => Column::U64,
    }
}
