//! The records and map values of the TCP sampler (`c/tcp_records.h`), mirrored and decoded.

use crate::bytes::{DecodeError, read_u32, read_u64};
use crate::record::{SocketEnds, decode_ends};
use std::mem::offset_of;

mod layout;
mod sends;

pub use layout::{
    Config, Ended, Message, SEND_BUCKETS, SENDS_AT_ONCE, Send, SendSum, Sends, Session, TCP_COUNTERS, TcpCounter,
    TcpSettings,
};
pub use sends::{SendLatency, sends_under_way};

/// First word of a session.
pub const RECORD_TCP_SESSION: u32 = 40;
/// First word of a message.
pub const RECORD_TCP_MESSAGE: u32 = 41;

const START_SEEN: u32 = 1 << 0;
const ACTIVE: u32 = 1 << 1;
const ESTABLISHED: u32 = 1 << 2;
const CLOSED: u32 = 1 << 3;
const SENDS_MEASURED: u32 = 1 << 5;
/// The kernel's value of a round trip that was never measured.
const NO_RTT_US: u32 = u32::MAX;

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpDirection {
    /// This end, by connect().
    Active,
    /// The other end; a listener took it.
    Passive,
    /// It was there before it could be seen.
    Unknown,
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpEnd {
    /// The kernel's number of the state that it was in before it was closed.
    pub last_state: u32,
    /// errno of the socket; 0 = none.
    pub error: i32,
}

/// A connection of an observed process, open or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSessionRecord {
    /// Process id of its owner.
    pub tgid: u32,
    /// Thread that opened it, or was seen with it first.
    pub tid: u32,
    /// Goroutine of the same, if known.
    pub goid: Option<u64>,
    /// The kernel's address of the socket: with `first_mono_ns` the identity of the session in this boot.
    pub socket: u64,
    /// When it was first seen, CLOCK_MONOTONIC ns.
    pub first_mono_ns: u64,
    /// connect(), or the end of the handshake of one that was accepted: CLOCK_MONOTONIC and CLOCK_REALTIME ns. None for one that
    /// was there before.
    pub start_ns: Option<(u64, u64)>,
    /// End of the handshake, CLOCK_MONOTONIC ns, if that was seen.
    pub established_mono_ns: Option<u64>,
    /// Whether it ever was established.
    pub established: bool,
    /// Who opened it.
    pub direction: TcpDirection,
    /// As of when the numbers are, CLOCK_MONOTONIC ns; of one that has ended, its end.
    pub updated_mono_ns: u64,
    /// Payload sent that the peer has acknowledged; of a session whose start was not seen it may be one too many.
    pub bytes_sent: u64,
    /// Payload received in order.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmits: u32,
    /// Smoothed round trip, us; 0 = never measured.
    pub srtt_us: u32,
    /// Least round trip lately, us, if one was measured.
    pub min_rtt_us: Option<u32>,
    /// Key of the stack of connect(), if it was taken.
    pub stack: Option<u32>,
    /// How it ended; None while it is open.
    pub end: Option<TcpEnd>,
    /// Its ends.
    pub ends: SocketEnds,
    /// Its send latency, if that is measured.
    pub sends: Option<SendLatency>,
}

/// Which way the bytes of a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageDirection {
    /// Sent.
    Send,
    /// Received.
    Receive,
}

/// A call that sent or received bytes with a mark among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpMessageRecord {
    /// Process id.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Goroutine, if known.
    pub goid: Option<u64>,
    /// Which way.
    pub direction: MessageDirection,
    /// Sent: before any of the bytes can have left. Received: after all were copied to the caller. CLOCK_MONOTONIC ns.
    pub mono_ns: u64,
    /// The same, CLOCK_REALTIME ns.
    pub wall_ns: u64,
    /// The first mark.
    pub mark: u32,
    /// How many, each one spacing further (modulo 2^32).
    pub marks: u32,
    /// Its connection.
    pub ends: SocketEnds,
}

/// A session that has ended, from the ring.
pub(crate) fn decode_ended_session(bytes: &[u8]) -> Result<TcpSessionRecord, DecodeError> {
    decode_session(bytes, bytes.get(offset_of!(Ended, sends)..))
}

/// Decodes a session of the map of open ones, and its value in that of [`Sends`], if it has one.
///
/// # Errors
/// If the bytes are too few.
pub fn decode_session(bytes: &[u8], sends: Option<&[u8]>) -> Result<TcpSessionRecord, DecodeError> {
    let u32_at = |offset| read_u32(bytes, offset);
    let u64_at = |offset| read_u64(bytes, offset);
    let flags = u32_at(offset_of!(Session, flags))?;
    let has = |flag| flags & flag != 0;
    let start = (u64_at(offset_of!(Session, start_mono_ns))?, u64_at(offset_of!(Session, start_wall_ns))?);
    let established_mono_ns = u64_at(offset_of!(Session, established_mono_ns))?;
    let min_rtt_us = u32_at(offset_of!(Session, min_rtt_us))?;
    let goid = u64_at(offset_of!(Session, goid))?;
    let not_begun = u64_at(offset_of!(Session, sends_unmeasured))?;
    let sends = sends.map(|bytes| SendLatency::decode(bytes, not_begun)).transpose()?;
    let end = TcpEnd {
        last_state: u32_at(offset_of!(Session, last_state))?,
        error: u32_at(offset_of!(Session, error))?.cast_signed(),
    };
    Ok(TcpSessionRecord {
        tgid: u32_at(offset_of!(Session, tgid))?,
        tid: u32_at(offset_of!(Session, tid))?,
        goid: (goid != 0).then_some(goid),
        socket: u64_at(offset_of!(Session, socket))?,
        first_mono_ns: u64_at(offset_of!(Session, first_mono_ns))?,
        start_ns: has(START_SEEN).then_some(start),
        established_mono_ns: (established_mono_ns != 0).then_some(established_mono_ns),
        established: has(ESTABLISHED),
        direction: match (has(START_SEEN), has(ACTIVE)) {
            (false, _) => TcpDirection::Unknown,
            (true, true) => TcpDirection::Active,
            (true, false) => TcpDirection::Passive,
        },
        updated_mono_ns: u64_at(offset_of!(Session, updated_mono_ns))?,
        bytes_sent: u64_at(offset_of!(Session, bytes_sent))?,
        bytes_received: u64_at(offset_of!(Session, bytes_received))?,
        retransmits: u32_at(offset_of!(Session, retransmits))?,
        srtt_us: u32_at(offset_of!(Session, srtt_us))?,
        min_rtt_us: (min_rtt_us != NO_RTT_US).then_some(min_rtt_us),
        stack: u32::try_from(u32_at(offset_of!(Session, stack))?.cast_signed()).ok(),
        end: has(CLOSED).then_some(end),
        ends: decode_ends(bytes, offset_of!(Session, ends))?,
        sends: sends
            .filter(|_| has(SENDS_MEASURED))
            .or_else(|| (not_begun > 0).then(|| SendLatency { unmeasured: not_begun, ..SendLatency::default() })),
    })
}

pub(crate) fn decode_message(bytes: &[u8]) -> Result<TcpMessageRecord, DecodeError> {
    let goid = read_u64(bytes, offset_of!(Message, goid))?;
    Ok(TcpMessageRecord {
        tgid: read_u32(bytes, offset_of!(Message, tgid))?,
        tid: read_u32(bytes, offset_of!(Message, tid))?,
        goid: (goid != 0).then_some(goid),
        direction: match read_u32(bytes, offset_of!(Message, direction))? {
            1 => MessageDirection::Send,
            2 => MessageDirection::Receive,
            unknown => return Err(DecodeError::UnknownDirection(unknown)),
        },
        mono_ns: read_u64(bytes, offset_of!(Message, mono_ns))?,
        wall_ns: read_u64(bytes, offset_of!(Message, wall_ns))?,
        mark: read_u32(bytes, offset_of!(Message, mark))?,
        marks: read_u32(bytes, offset_of!(Message, marks))?,
        ends: decode_ends(bytes, offset_of!(Message, ends))?,
    })
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::bytes::put;
    use crate::layout::Ends;
    use crate::{Record, decode};

    fn message() -> Vec<u8> {
        let mut bytes = vec![0; size_of::<Message>()];
        put(&mut bytes, offset_of!(Message, kind), RECORD_TCP_MESSAGE.to_ne_bytes());
        put(&mut bytes, offset_of!(Message, direction), 2_u32.to_ne_bytes());
        put(&mut bytes, offset_of!(Message, mark), 4096_u32.to_ne_bytes());
        let ends = offset_of!(Message, ends);
        put(&mut bytes, ends, "::ffff:10.1.2.3".parse::<Ipv6Addr>().unwrap().octets());
        put(&mut bytes, ends + offset_of!(Ends, remote_address), "fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        put(&mut bytes, ends + offset_of!(Ends, remote_port), 443_u16.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_ipv4_address_is_said_as_one_whatever_the_socket() {
        let Ok(Record::TcpMessage(message)) = decode(&message()) else { panic!("not a message") };
        assert_eq!(message.ends.local_address, "10.1.2.3".parse::<IpAddr>().unwrap());
        assert_eq!(message.ends.remote_address, "fd00::1".parse::<IpAddr>().unwrap());
        assert_eq!((message.direction, message.mark, message.ends.remote_port), (MessageDirection::Receive, 4096, 443));
    }

    #[test]
    fn every_truncation_is_an_error_and_so_is_a_third_direction() {
        let mut bytes = message();
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "length {len}");
        }
        put(&mut bytes, offset_of!(Message, direction), 3_u32.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::UnknownDirection(3)));
        let mut session = vec![0; size_of::<Ended>()];
        put(&mut session, 0, RECORD_TCP_SESSION.to_ne_bytes());
        assert!(decode(&session).is_ok());
        for len in 0..session.len() {
            assert!(decode(&session[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn what_was_not_seen_is_not_said() {
        let mut bytes = vec![0; size_of::<Session>()];
        put(&mut bytes, offset_of!(Session, min_rtt_us), NO_RTT_US.to_ne_bytes());
        put(&mut bytes, offset_of!(Session, stack), (-14_i32).to_ne_bytes());
        let session = decode_session(&bytes, None).unwrap();
        assert_eq!((session.start_ns, session.min_rtt_us, session.stack, session.end), (None, None, None, None));
        assert_eq!(session.direction, TcpDirection::Unknown);
        put(&mut bytes, offset_of!(Session, flags), (START_SEEN | CLOSED).to_ne_bytes());
        put(&mut bytes, offset_of!(Session, error), 104_i32.to_ne_bytes());
        let session = decode_session(&bytes, None).unwrap();
        assert_eq!(session.direction, TcpDirection::Passive);
        assert_eq!(session.end, Some(TcpEnd { last_state: 0, error: 104 }));
    }
    #[test]
    fn send_latency_is_told_where_it_was_measured_and_what_was_not_is_counted() {
        let mut bytes = vec![0; size_of::<Ended>()];
        let sum = offset_of!(Ended, sends);
        put(&mut bytes, sum + offset_of!(SendSum, count), 3_u64.to_ne_bytes());
        put(&mut bytes, sum + offset_of!(SendSum, unmeasured), 2_u64.to_ne_bytes());
        put(&mut bytes, sum + offset_of!(SendSum, histogram) + 8 * 20, 3_u64.to_ne_bytes());
        assert_eq!(decode_ended_session(&bytes).unwrap().sends, None);
        put(&mut bytes, offset_of!(Session, sends_unmeasured), 5_u64.to_ne_bytes());
        let sends = decode_ended_session(&bytes).unwrap().sends.unwrap();
        assert_eq!((sends.count, sends.unmeasured), (0, 5), "it was not measured, though there were sends");
        put(&mut bytes, offset_of!(Session, flags), SENDS_MEASURED.to_ne_bytes());
        let sends = decode_ended_session(&bytes).unwrap().sends.unwrap();
        assert_eq!((sends.count, sends.unmeasured, sends.unacknowledged), (3, 7, 0));
        assert_eq!((sends.histogram.len(), sends.histogram[20]), (21, 3));
    }
}
