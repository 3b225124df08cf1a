//! Waits that have not ended: values of the maps that hold them until they do.

use std::mem::{offset_of, size_of};

use crate::bytes::{put, read, read_u32, read_u64};
use crate::layout::{InC, InSyscall, Park, Thread, WAIT_BY_NETPOLL, WAIT_READY_SEEN};

/// A goroutine that is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// The goroutine.
    pub goid: u64,
    /// When it parked, CLOCK_MONOTONIC ns.
    pub mono_ns: u64,
    /// When it parked, CLOCK_REALTIME ns.
    pub wall_ns: u64,
    /// When it was made ready, CLOCK_MONOTONIC ns, if it was: then it waits for a thread only.
    pub ready_mono_ns: Option<u64>,
    /// The goroutine that made it ready.
    pub waker_goid: Option<u64>,
    /// The network poller made it ready.
    pub by_netpoll: bool,
    /// What it parked on.
    pub address: Option<u64>,
    /// The thread that it parked on.
    pub tid: u32,
    /// Why, by the number of the binary's Go version.
    pub reason: u8,
    /// Of one that was found parked at `mono_ns`, and began before that: where in the process it goes on.
    pub found_pc: Option<u64>,
    /// It was made ready in the window that began at `mono_ns`, and parked before that.
    pub is_part: bool,
}

impl Parked {
    /// That of the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<Park>()]) -> Self {
        let at = |offset| read_u64(bytes, offset).unwrap_or_default();
        let byte = |offset| read(bytes, offset).map(u8::from_ne_bytes).unwrap_or_default();
        let some = |value: u64| (value != 0).then_some(value);
        let flags = byte(offset_of!(Park, flags));
        Self {
            goid: at(offset_of!(Park, goid)),
            mono_ns: at(offset_of!(Park, park_mono_ns)),
            wall_ns: at(offset_of!(Park, park_wall_ns)),
            ready_mono_ns: (flags & WAIT_READY_SEEN != 0).then(|| at(offset_of!(Park, ready_mono_ns))),
            waker_goid: some(at(offset_of!(Park, waker_goid))),
            by_netpoll: flags & WAIT_BY_NETPOLL != 0,
            address: some(at(offset_of!(Park, address))),
            tid: read_u32(bytes, offset_of!(Park, tid)).unwrap_or_default(),
            reason: byte(offset_of!(Park, reason)),
            found_pc: some(at(offset_of!(Park, found_pc))),
            is_part: read(bytes, offset_of!(Park, is_part)).map(u16::from_ne_bytes).is_ok_and(|part| part != 0),
        }
    }

    /// The map's bytes of one that is not ready yet, as far as is known; its descriptor is not either.
    #[must_use]
    pub fn encode_found(&self) -> [u8; size_of::<Park>()] {
        let mut bytes = [0; size_of::<Park>()];
        put(&mut bytes, offset_of!(Park, goid), self.goid.to_ne_bytes());
        put(&mut bytes, offset_of!(Park, park_mono_ns), self.mono_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(Park, park_wall_ns), self.wall_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(Park, address), self.address.unwrap_or_default().to_ne_bytes());
        put(&mut bytes, offset_of!(Park, tid), self.tid.to_ne_bytes());
        put(&mut bytes, offset_of!(Park, reason), [self.reason]);
        put(&mut bytes, offset_of!(Park, fd), (-1_i32).to_ne_bytes());
        put(&mut bytes, offset_of!(Park, found_pc), self.found_pc.unwrap_or_default().to_ne_bytes());
        bytes
    }
}

/// A goroutine in C code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calling {
    /// The goroutine.
    pub goid: u64,
    /// When it went there, CLOCK_MONOTONIC ns.
    pub mono_ns: u64,
    /// When it went there, CLOCK_REALTIME ns.
    pub wall_ns: u64,
    /// The thread that it is on.
    pub tid: u32,
    /// It was found there at `mono_ns`, and went there before that.
    pub began_before: bool,
}

impl Calling {
    /// That of the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<InC>()]) -> Self {
        let at = |offset| read_u64(bytes, offset).unwrap_or_default();
        Self {
            goid: at(offset_of!(InC, goid)),
            mono_ns: at(offset_of!(InC, mono_ns)),
            wall_ns: at(offset_of!(InC, wall_ns)),
            tid: read_u32(bytes, offset_of!(InC, tid)).unwrap_or_default(),
            began_before: read_u32(bytes, offset_of!(InC, found)).is_ok_and(|found| found != 0),
        }
    }

    /// The map's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; size_of::<InC>()] {
        let mut bytes = [0; size_of::<InC>()];
        put(&mut bytes, offset_of!(InC, mono_ns), self.mono_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(InC, wall_ns), self.wall_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(InC, goid), self.goid.to_ne_bytes());
        put(&mut bytes, offset_of!(InC, tid), self.tid.to_ne_bytes());
        put(&mut bytes, offset_of!(InC, found), u32::from(self.began_before).to_ne_bytes());
        bytes
    }
}

/// A thread in a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InCall {
    /// Its process.
    pub tgid: u32,
    /// The call's number.
    pub nr: u32,
    /// When it began, CLOCK_MONOTONIC ns.
    pub mono_ns: u64,
    /// When it began, CLOCK_REALTIME ns.
    pub wall_ns: u64,
    /// It is a wait that is captured, not only looked at for what it sends.
    pub is_wait: bool,
    /// It was found going on at `mono_ns`, and began before that.
    pub began_before: bool,
}

impl InCall {
    /// That of the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<InSyscall>()]) -> Self {
        let at = |offset| read_u64(bytes, offset).unwrap_or_default();
        let word = |offset| read_u32(bytes, offset).unwrap_or_default();
        Self {
            tgid: word(offset_of!(InSyscall, tgid)),
            nr: word(offset_of!(InSyscall, nr)),
            mono_ns: at(offset_of!(InSyscall, mono_ns)),
            wall_ns: at(offset_of!(InSyscall, wall_ns)),
            is_wait: read(bytes, offset_of!(InSyscall, is_wait)).is_ok_and(|is_wait| u16::from_ne_bytes(is_wait) != 0),
            began_before: word(offset_of!(InSyscall, found)) != 0,
        }
    }

    /// The map's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; size_of::<InSyscall>()] {
        let mut bytes = [0; size_of::<InSyscall>()];
        put(&mut bytes, offset_of!(InSyscall, tgid), self.tgid.to_ne_bytes());
        put(&mut bytes, offset_of!(InSyscall, nr), self.nr.to_ne_bytes());
        put(&mut bytes, offset_of!(InSyscall, mono_ns), self.mono_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(InSyscall, wall_ns), self.wall_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(InSyscall, is_wait), u16::from(self.is_wait).to_ne_bytes());
        put(&mut bytes, offset_of!(InSyscall, found), u32::from(self.began_before).to_ne_bytes());
        bytes
    }
}

/// Address of a thread's `runtime.m` and its process, of the map's bytes.
#[must_use]
pub fn m_and_tgid(bytes: &[u8; size_of::<Thread>()]) -> (u64, u32) {
    let m = read_u64(bytes, offset_of!(Thread, m)).unwrap_or_default();
    (m, read_u32(bytes, offset_of!(Thread, tgid)).unwrap_or_default())
}

/// The map's bytes of a thread's `runtime.m`.
#[must_use]
pub fn encode_thread(m: u64, tgid: u32) -> [u8; size_of::<Thread>()] {
    let mut bytes = [0; size_of::<Thread>()];
    put(&mut bytes, offset_of!(Thread, m), m.to_ne_bytes());
    put(&mut bytes, offset_of!(Thread, tgid), tgid.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_threads_are_read_as_they_are_written() {
        let call = InCall { tgid: 7, nr: 202, mono_ns: 100, wall_ns: 1_000, is_wait: true, began_before: true };
        let calling = Calling { goid: 7, mono_ns: 100, wall_ns: 1_000, tid: 42, began_before: true };
        for began_before in [true, false] {
            let (call, calling) = (InCall { began_before, ..call }, Calling { began_before, ..calling });
            assert_eq!((InCall::decode(&call.encode()), Calling::decode(&calling.encode())), (call, calling));
        }
        assert_eq!(m_and_tgid(&encode_thread(0xc000, 7)), (0xc000, 7));
    }

    #[test]
    fn a_parked_goroutine_is_read_from_the_fields_of_the_c_struct() {
        let mut bytes = [0; size_of::<Park>()];
        put(&mut bytes, 0, 7_u64.to_ne_bytes());
        put(&mut bytes, 8, 100_u64.to_ne_bytes());
        put(&mut bytes, 16, 1_000_u64.to_ne_bytes());
        put(&mut bytes, 24, 150_u64.to_ne_bytes());
        put(&mut bytes, 48, 42_u32.to_ne_bytes());
        put(&mut bytes, 52, [13_u8]);
        let parked = Parked {
            goid: 7,
            mono_ns: 100,
            wall_ns: 1_000,
            ready_mono_ns: None,
            waker_goid: None,
            by_netpoll: false,
            address: None,
            tid: 42,
            reason: 13,
            found_pc: None,
            is_part: false,
        };
        assert_eq!(Parked::decode(&bytes), parked);
        let found = Parked { address: Some(9), found_pc: Some(0x40_1000), ..parked };
        assert_eq!(Parked::decode(&found.encode_found()), found);
        put(&mut bytes, 53, [WAIT_READY_SEEN | WAIT_BY_NETPOLL]);
        assert_eq!(Parked::decode(&bytes), Parked { ready_mono_ns: Some(150), by_netpoll: true, ..parked });
    }
}
