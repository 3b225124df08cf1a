//! The records of the ring, decoded from their bytes with every length checked.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv6Addr};

use crate::bytes::{DecodeError, read, read_u16, read_u32, read_u64};
use crate::layout::{
    Ends, File, OfProcess, RECORD_EXEC, RECORD_EXIT, RECORD_WAIT, WAIT_BY_NETPOLL, WAIT_CGO, WAIT_GOROUTINE,
    WAIT_HEADER_BYTES, WAIT_OF_SCHEDULER, WAIT_OFF_CPU, WAIT_READY_SEEN, WAIT_STACK_TRUNCATED, WAIT_STACK_UNREADABLE,
    WAIT_SYSCALL, WAIT_TOP_OF_STACK, WAIT_UNBOUND, Wait,
};
use crate::states::{EndedGoroutine, RECORD_GOROUTINE, decode_ended};
use crate::tcp::{
    RECORD_TCP_MESSAGE, RECORD_TCP_SESSION, TcpMessageRecord, TcpSessionRecord, decode_ended_session, decode_message,
};
use crate::{MAX_STACK, MAX_WAKER_STACK};

/// What waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitKind {
    /// A goroutine that the Go scheduler had parked.
    Goroutine,
    /// A thread in a system call.
    Syscall,
    /// A thread that the kernel took off its CPU outside of those.
    OffCpu,
    /// A goroutine in C code.
    Cgo,
}

impl WaitKind {
    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            WAIT_GOROUTINE => Some(Self::Goroutine),
            WAIT_SYSCALL => Some(Self::Syscall),
            WAIT_OFF_CPU => Some(Self::OffCpu),
            WAIT_CGO => Some(Self::Cgo),
            _ => None,
        }
    }
}

/// The two ends of a connection, as its socket sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketEnds {
    /// Address of this end; IPv4 also where the socket is an IPv6 one.
    pub local_address: IpAddr,
    /// Port of this end.
    pub local_port: u16,
    /// Address of the other end.
    pub remote_address: IpAddr,
    /// Port of the other end.
    pub remote_port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
}

/// What a file descriptor stood for, from the kernel's own inode and socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    /// Magic number of its file system (linux/magic.h).
    pub magic: u32,
    /// Mode of its inode.
    pub mode: u16,
    /// Address family of a socket, else 0.
    pub family: u16,
    /// Protocol of a socket.
    pub protocol: u16,
    /// The two ends of an Internet socket.
    pub ends: Option<SocketEnds>,
    /// Name of an anonymous inode, as `[eventpoll]`, ended by a zero.
    pub name: [u8; 16],
}

/// One record of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A goroutine's finished wait.
    Wait(Box<WaitRecord>),
    /// A process replaced its program.
    Exec {
        /// Its process id.
        tgid: u32,
        /// When, CLOCK_MONOTONIC ns: after everything the former program did, before everything the new one does.
        mono_ns: u64,
    },
    /// A process has ended: it was one that the kernel side knew.
    Exit {
        /// Its process id.
        tgid: u32,
        /// When, CLOCK_MONOTONIC ns: after everything its threads did but for what the kernel clears away, as sockets.
        mono_ns: u64,
    },
    /// A goroutine has ended: its time by state.
    Goroutine(Box<EndedGoroutine>),
    /// A TCP connection of an observed process has ended.
    TcpSession(TcpSessionRecord),
    /// A call that sent or received bytes with a mark among them.
    TcpMessage(TcpMessageRecord),
}

/// A finished wait as the kernel saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRecord {
    /// What waited.
    pub kind: WaitKind,
    /// Process id.
    pub tgid: u32,
    /// The thread that waited, or that ran the goroutine when it parked.
    pub tid: u32,
    /// Goroutine id; 0 where the thread ran none, or that could not be found out.
    pub goid: u64,
    /// When it began, CLOCK_MONOTONIC ns.
    pub park_mono_ns: u64,
    /// When it began, CLOCK_REALTIME ns.
    pub park_wall_ns: u64,
    /// When it could have gone on, CLOCK_MONOTONIC ns, if that was seen.
    pub ready_mono_ns: Option<u64>,
    /// When it ended: running again, or back from the call; CLOCK_MONOTONIC ns.
    pub run_mono_ns: u64,
    /// The goroutine that made it ready, if a goroutine did.
    pub waker_goid: Option<u64>,
    /// Made ready by the network poller.
    pub by_netpoll: bool,
    /// The stack is deeper than the configured depth.
    pub stack_truncated: bool,
    /// A frame could not be read; the stack ends there.
    pub stack_unreadable: bool,
    /// `stack[1]` is the word on top of the stack: a return address only if the function of `stack[0]` has no frame.
    pub has_top_of_stack: bool,
    /// The thread ran no goroutine.
    pub of_scheduler: bool,
    /// Whether the thread ran a goroutine could not be found out.
    pub is_unbound: bool,
    /// It began before `park_mono_ns`, at which it was found going on.
    pub began_before: bool,
    /// Index of the binary (the probe's attach cookie).
    pub binary: u32,
    /// Of a goroutine: its wait reason, by the numbers of the binary's own Go version; of a system call: its number.
    pub reason: u16,
    /// What it waited on: a channel's lock, a semaphore's, a futex; None where not known.
    pub address: Option<u64>,
    /// What the system call returned; 0 for other kinds.
    pub result: i64,
    /// The file descriptor it waited for, where known.
    pub fd: Option<u32>,
    /// What that stood for; None where not known.
    pub file: Option<FileInfo>,
    /// Trace id of its labels, a number of 32 hexadecimal digits; 0 without.
    pub trace_id: u128,
    /// Span id of its labels; 0 without.
    pub span_id: u64,
    /// Return addresses in the process, leaf first.
    pub stack: Vec<u64>,
    /// Those of the goroutine that made it ready; empty where not known.
    pub waker_stack: Vec<u64>,
    /// Of a thread: return addresses in the kernel, where it left its CPU, leaf first; empty where they are not taken.
    pub kernel_stack: Vec<u64>,
}

/// Decodes one record of the ring. Bytes beyond the record (the ring pads) are ignored.
///
/// # Errors
/// If the bytes are too few for what they say they are, or say something unknown.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    match read_u32(bytes, offset_of!(Wait, kind))? {
        RECORD_WAIT => decode_wait(bytes).map(|wait| Record::Wait(Box::new(wait))),
        RECORD_EXEC => Ok(Record::Exec {
            tgid: read_u32(bytes, offset_of!(OfProcess, tgid))?,
            mono_ns: read_u64(bytes, offset_of!(OfProcess, mono_ns))?,
        }),
        RECORD_EXIT => Ok(Record::Exit {
            tgid: read_u32(bytes, offset_of!(OfProcess, tgid))?,
            mono_ns: read_u64(bytes, offset_of!(OfProcess, mono_ns))?,
        }),
        RECORD_GOROUTINE => decode_ended(bytes).map(|ended| Record::Goroutine(Box::new(ended))),
        RECORD_TCP_SESSION => decode_ended_session(bytes).map(Record::TcpSession),
        RECORD_TCP_MESSAGE => decode_message(bytes).map(Record::TcpMessage),
        unknown => Err(DecodeError::UnknownKind(unknown)),
    }
}

fn decode_wait(bytes: &[u8]) -> Result<WaitRecord, DecodeError> {
    let flags = read::<1>(bytes, offset_of!(Wait, flags))?[0];
    let what = read::<1>(bytes, offset_of!(Wait, what))?[0];
    let waker_goid = read_u64(bytes, offset_of!(Wait, waker_goid))?;
    let ready_mono_ns = read_u64(bytes, offset_of!(Wait, ready_mono_ns))?;
    let address = read_u64(bytes, offset_of!(Wait, address))?;
    let frames = frames(bytes, offset_of!(Wait, stack_len), MAX_STACK)?;
    let further = self::frames(bytes, offset_of!(Wait, further_len), MAX_WAKER_STACK)?;
    let kind = WaitKind::of(what).ok_or(DecodeError::UnknownWait(what))?;
    let of_waker = if kind == WaitKind::Goroutine { further } else { 0 };
    Ok(WaitRecord {
        kind,
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
        has_top_of_stack: flags & WAIT_TOP_OF_STACK != 0,
        of_scheduler: flags & WAIT_OF_SCHEDULER != 0,
        is_unbound: flags & WAIT_UNBOUND != 0,
        began_before: read_u32(bytes, offset_of!(Wait, began_before))? != 0,
        binary: read_u32(bytes, offset_of!(Wait, binary))?,
        reason: read_u16(bytes, offset_of!(Wait, reason))?,
        address: (address != 0).then_some(address),
        result: read::<8>(bytes, offset_of!(Wait, result)).map(i64::from_ne_bytes)?,
        fd: u32::try_from(read::<4>(bytes, offset_of!(Wait, fd)).map(i32::from_ne_bytes)?).ok(),
        file: decode_file(bytes)?,
        trace_id: decode_trace_id(bytes)?,
        span_id: read_u64(bytes, offset_of!(Wait, span_id))?,
        stack: decode_stack(bytes, 0, frames)?,
        waker_stack: decode_stack(bytes, frames, of_waker)?,
        kernel_stack: decode_stack(bytes, frames, further - of_waker)?,
    })
}

fn decode_file(bytes: &[u8]) -> Result<Option<FileInfo>, DecodeError> {
    const AT: usize = offset_of!(Wait, file);
    let ends = decode_ends(bytes, AT + offset_of!(File, ends))?;
    let file = FileInfo {
        magic: read_u32(bytes, AT + offset_of!(File, magic))?,
        mode: read_u16(bytes, AT + offset_of!(File, mode))?,
        family: read_u16(bytes, AT + offset_of!(File, family))?,
        protocol: read_u16(bytes, AT + offset_of!(File, protocol))?,
        // Every network namespace has a number.
        ends: (ends.netns != 0).then_some(ends),
        name: read(bytes, AT + offset_of!(File, name))?,
    };
    // Every inode of a file system has a magic number there; anonymous ones may have no mode.
    Ok((file.mode != 0 || file.magic != 0).then_some(file))
}

pub(crate) fn decode_ends(bytes: &[u8], at: usize) -> Result<SocketEnds, DecodeError> {
    let address = |offset| read::<16>(bytes, at + offset).map(|octets| Ipv6Addr::from(octets).to_canonical());
    let port = |offset| read::<2>(bytes, at + offset).map(u16::from_ne_bytes);
    Ok(SocketEnds {
        local_address: address(offset_of!(Ends, local_address))?,
        local_port: port(offset_of!(Ends, local_port))?,
        remote_address: address(offset_of!(Ends, remote_address))?,
        remote_port: port(offset_of!(Ends, remote_port))?,
        netns: read_u32(bytes, at + offset_of!(Ends, netns))?,
    })
}

fn decode_trace_id(bytes: &[u8]) -> Result<u128, DecodeError> {
    let high = read_u64(bytes, offset_of!(Wait, trace_id_high))?;
    let low = read_u64(bytes, offset_of!(Wait, trace_id_low))?;
    Ok(u128::from(high) << 64 | u128::from(low))
}

fn frames(bytes: &[u8], offset: usize, limit: usize) -> Result<usize, DecodeError> {
    let announced = read_u32(bytes, offset)?;
    let frames = usize::try_from(announced).unwrap_or(usize::MAX);
    if frames > limit { Err(DecodeError::StackTooDeep(announced)) } else { Ok(frames) }
}

fn decode_stack(bytes: &[u8], from: usize, frames: usize) -> Result<Vec<u64>, DecodeError> {
    (from..from + frames).map(|i| read_u64(bytes, WAIT_HEADER_BYTES + 8 * i)).collect()
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
        put(&mut bytes, offset_of!(Wait, reason), &14_u16.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, flags), &[WAIT_READY_SEEN, WAIT_SYSCALL]);
        put(&mut bytes, offset_of!(Wait, fd), &(-1_i32).to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, ready_mono_ns), &5_u64.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, trace_id_high), &6_u64.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, trace_id_low), &7_u64.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, span_id), &8_u64.to_ne_bytes());
        for i in 0..frames {
            put(&mut bytes, WAIT_HEADER_BYTES + 8 * i as usize, &u64::from(1000 + i).to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_wait_keeps_its_fields_and_stack() {
        let Ok(Record::Wait(wait)) = decode(&wait_bytes(3)) else { panic!("not a wait") };
        assert_eq!((wait.kind, wait.tgid, wait.goid, wait.reason), (WaitKind::Syscall, 7, 42, 14));
        assert_eq!((wait.fd, wait.file, wait.address), (None, None, None));
        assert_eq!(wait.ready_mono_ns, Some(5));
        assert_eq!(wait.waker_goid, None);
        assert_eq!((wait.trace_id, wait.span_id), ((6 << 64) + 7, 8));
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
    fn the_wakers_frames_follow_or_the_kernels() {
        let mut bytes = wait_bytes(3);
        put(&mut bytes, offset_of!(Wait, stack_len), &1_u32.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, further_len), &2_u32.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, what), &[WAIT_GOROUTINE]);
        let Ok(Record::Wait(wait)) = decode(&bytes) else { panic!("not a wait") };
        assert_eq!((wait.stack, wait.waker_stack, wait.kernel_stack), (vec![1000], vec![1001, 1002], vec![]));
        put(&mut bytes, offset_of!(Wait, what), &[WAIT_OFF_CPU]);
        let Ok(Record::Wait(wait)) = decode(&bytes) else { panic!("not a wait") };
        assert_eq!((wait.stack, wait.waker_stack, wait.kernel_stack), (vec![1000], vec![], vec![1001, 1002]));
        put(&mut bytes, offset_of!(Wait, further_len), &33_u32.to_ne_bytes());
        assert_eq!(decode(&bytes), Err(DecodeError::StackTooDeep(33)));
    }

    #[test]
    fn a_descriptor_and_what_it_stood_for_are_kept() {
        let mut bytes = wait_bytes(0);
        put(&mut bytes, offset_of!(Wait, fd), &9_i32.to_ne_bytes());
        put(&mut bytes, offset_of!(Wait, file) + offset_of!(File, mode), &0o140_777_u16.to_ne_bytes());
        let ends = offset_of!(Wait, file) + offset_of!(File, ends);
        put(&mut bytes, ends + offset_of!(Ends, remote_port), &443_u16.to_ne_bytes());
        let Ok(Record::Wait(wait)) = decode(&bytes) else { panic!("not a wait") };
        assert_eq!(wait.fd, Some(9));
        let file = wait.file.unwrap();
        assert_eq!((file.mode, file.ends), (0o140_777, None), "a socket without a network is none of the Internet");
        put(&mut bytes, ends + offset_of!(Ends, netns), &1_u32.to_ne_bytes());
        let Ok(Record::Wait(wait)) = decode(&bytes) else { panic!("not a wait") };
        assert_eq!(wait.file.unwrap().ends.unwrap().remote_port, 443);
    }

    #[test]
    fn an_unknown_kind_of_wait_is_refused() {
        let mut bytes = wait_bytes(0);
        put(&mut bytes, offset_of!(Wait, what), &[9]);
        assert_eq!(decode(&bytes), Err(DecodeError::UnknownWait(9)));
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
