//! The records of the ring, decoded from their bytes with every length checked.

use std::mem::offset_of;

use crate::MAX_STACK;
use crate::layout::{
    Exec, RECORD_EXEC, RECORD_WAIT, WAIT_BY_NETPOLL, WAIT_HEADER_BYTES, WAIT_READY_SEEN, WAIT_STACK_TRUNCATED,
    WAIT_STACK_UNREADABLE, Wait,
};
use crate::tcp::{
    RECORD_TCP_MESSAGE, RECORD_TCP_SESSION, TcpMessageRecord, TcpSessionRecord, decode_message, decode_session,
};

/// One record of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A goroutine's finished wait.
    Wait(WaitRecord),
    /// A process replaced its program.
    Exec {
        /// Its process id.
        tgid: u32,
        /// When, CLOCK_MONOTONIC ns: after everything the former program did, before everything the new one does.
        mono_ns: u64,
    },
    /// A TCP connection of an observed process has ended.
    TcpSession(TcpSessionRecord),
    /// A call that sent or received bytes with a mark among them.
    TcpMessage(TcpMessageRecord),
}

/// A goroutine's finished wait as the kernel saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRecord {
    /// Process id.
    pub tgid: u32,
    /// Thread that ran the goroutine when it parked.
    pub tid: u32,
    /// Goroutine id.
    pub goid: u64,
    /// When it parked, CLOCK_MONOTONIC ns.
    pub park_mono_ns: u64,
    /// When it parked, CLOCK_REALTIME ns.
    pub park_wall_ns: u64,
    /// When it was made ready, CLOCK_MONOTONIC ns, if that was seen.
    pub ready_mono_ns: Option<u64>,
    /// When it was scheduled to run again, CLOCK_MONOTONIC ns.
    pub run_mono_ns: u64,
    /// The goroutine that made it ready, if a goroutine did.
    pub waker_goid: Option<u64>,
    /// Made ready by the network poller.
    pub by_netpoll: bool,
    /// The stack is deeper than the configured depth.
    pub stack_truncated: bool,
    /// A frame could not be read; the stack ends there.
    pub stack_unreadable: bool,
    /// Index of the binary (the probe's attach cookie).
    pub binary: u32,
    /// Wait reason, by the numbers of the binary's own Go version.
    pub reason: u8,
    /// Return addresses in the process, leaf first.
    pub stack: Vec<u64>,
}

/// A record that is not what the kernel side writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the record needs.
    TooShort {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        got: usize,
    },
    /// No such kind of record.
    UnknownKind(u32),
    /// More frames than a record can hold.
    StackTooDeep(u32),
    /// Bytes go one way or the other.
    UnknownDirection(u32),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort { needed, got } => write!(f, "kernel record of {got} bytes, {needed} needed"),
            Self::UnknownKind(kind) => write!(f, "kernel record of unknown kind {kind}"),
            Self::StackTooDeep(n) => write!(f, "kernel record with {n} frames, at most {MAX_STACK} are possible"),
            Self::UnknownDirection(number) => write!(f, "kernel record of a message in direction {number}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Decodes one record of the ring. Bytes beyond the record (the ring pads) are ignored.
///
/// # Errors
/// If the bytes are too few for what they say they are, or say something unknown.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    match read_u32(bytes, offset_of!(Wait, kind))? {
        RECORD_WAIT => decode_wait(bytes).map(Record::Wait),
        RECORD_EXEC => Ok(Record::Exec {
            tgid: read_u32(bytes, offset_of!(Exec, tgid))?,
            mono_ns: read_u64(bytes, offset_of!(Exec, mono_ns))?,
        }),
        RECORD_TCP_SESSION => decode_session(bytes).map(Record::TcpSession),
        RECORD_TCP_MESSAGE => decode_message(bytes).map(Record::TcpMessage),
        unknown => Err(DecodeError::UnknownKind(unknown)),
    }
}

fn decode_wait(bytes: &[u8]) -> Result<WaitRecord, DecodeError> {
    let flags = read::<1>(bytes, offset_of!(Wait, flags))?[0];
    let waker_goid = read_u64(bytes, offset_of!(Wait, waker_goid))?;
    let ready_mono_ns = read_u64(bytes, offset_of!(Wait, ready_mono_ns))?;
    Ok(WaitRecord {
        tgid: read_u32(bytes, offset_of!(Wait, tgid))?,
        tid: read_u32(bytes, offset_of!(Wait, tid))?,
        goid: read_u64(bytes, offset_of!(Wait, goid))?,
        park_mono_ns: read_u64(bytes, offset_of!(Wait, park_mono_ns))?,
        park_wall_ns: read_u64(bytes, offset_of!(Wait, park_wall_ns))?,
        ready_mono_ns: (flags & WAIT_READY_SEEN != 0).then_some(ready_mono_ns),
        run_mono_ns: read_u64(bytes, offset_of!(Wait, run_mono_ns))?,
        waker_goid: (waker_goid != 0).then_some(waker_goid),
        by_netpoll: flags & WAIT_BY_NETPOLL != 0,
        stack_truncated: flags & WAIT_STACK_TRUNCATED != 0,
        stack_unreadable: flags & WAIT_STACK_UNREADABLE != 0,
        binary: read_u32(bytes, offset_of!(Wait, binary))?,
        reason: read::<1>(bytes, offset_of!(Wait, reason))?[0],
        stack: decode_stack(bytes)?,
    })
}

fn decode_stack(bytes: &[u8]) -> Result<Vec<u64>, DecodeError> {
    let announced = read_u32(bytes, offset_of!(Wait, stack_len))?;
    let frames = usize::try_from(announced).unwrap_or(usize::MAX);
    if frames > MAX_STACK {
        return Err(DecodeError::StackTooDeep(announced));
    }
    (0..frames).map(|i| read_u64(bytes, WAIT_HEADER_BYTES + 8 * i)).collect()
}

pub(crate) fn read<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], DecodeError> {
    let rest = bytes.get(offset..).and_then(<[u8]>::first_chunk::<N>);
    rest.copied().ok_or(DecodeError::TooShort { needed: offset + N, got: bytes.len() })
}

pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> Result<u32, DecodeError> {
    read(bytes, offset).map(u32::from_ne_bytes)
}

pub(crate) fn read_u64(bytes: &[u8], offset: usize) -> Result<u64, DecodeError> {
    read(bytes, offset).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
        bytes[offset..offset + value.len()].copy_from_slice(value);
    }

    fn wait_bytes(frames: u32) -> Vec<u8> {
        let mut bytes = vec![0; WAIT_HEADER_BYTES + 8 * frames as usize];
        put(&mut bytes, offset_of!(Wait, kind), &RECORD_WAIT.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, stack_len), &frames.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, tgid), &7_u32.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, goid), &42_u64.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, reason), &[14, WAIT_READY_SEEN]);
        put(&mut bytes, offset_of!(Wait, ready_mono_ns), &5_u64.to_ne_bytes());
        for i in 0..frames {
            put(&mut bytes, WAIT_HEADER_BYTES + 8 * i as usize, &u64::from(1000 + i).to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_wait_keeps_its_fields_and_stack() {
        let Ok(Record::Wait(wait)) = decode(&wait_bytes(3)) else { panic!("not a wait") };
        assert_eq!((wait.tgid, wait.goid, wait.reason), (7, 42, 14));
        assert_eq!(wait.ready_mono_ns, Some(5));
        assert_eq!(wait.waker_goid, None);
        assert_eq!(wait.stack, [1000, 1001, 1002]);
    }

    #[test]
    fn padding_after_the_record_is_ignored() {
        let mut bytes = wait_bytes(1);
        bytes.extend([0xff; 7]);
        assert_eq!(decode(&bytes), decode(&wait_bytes(1)));
    }

    #[test]
    fn every_truncation_is_an_error_and_none_panics() {
        let bytes = wait_bytes(2);
        for len in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..len]), Err(DecodeError::TooShort { .. })), "length {len}");
        }
    }

    #[test]
    fn an_impossible_depth_is_refused() {
        let mut bytes = wait_bytes(0);
        put(&mut bytes, offset_of!(Wait, stack_len), &128_u32.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::StackTooDeep(128)));
    }

    #[test]
    fn an_exec_notice_is_decoded() {
        let mut bytes = [0; 16];
        put(&mut bytes, 0, &RECORD_EXEC.to_ne_bytes());
        put(&mut bytes, 4, &99_u32.to_ne_bytes());
        put(&mut bytes, 8, &5_u64.to_ne_bytes());
        assert_eq!(decode(&bytes), Ok(Record::Exec { tgid: 99, mono_ns: 5 }));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        assert_eq!(decode(&[9, 0, 0, 0]), Err(DecodeError::UnknownKind(u32::from_ne_bytes([9, 0, 0, 0]))));
    }
}
