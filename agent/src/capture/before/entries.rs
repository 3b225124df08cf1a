//! What is put into the kernel's maps: as a probe would have, but for the begin and a mark that it began before that.

use aya::Pod;
use aya::maps::{HashMap, MapData, MapError};
use syncline_bpf::layout::SYSCALL_TRACED;
use syncline_bpf::open::encode_thread;
use syncline_bpf::{Calling, InCall, ParkKey, Parked, SYSCALLS};

use super::calls::Call;
use super::reading::{AtAddress, Listing};
use crate::capture::found::Found;
use crate::capture::kernel::Maps;
use crate::capture::process::{ObservedProcess, mono_ns, wall_ns};
use crate::capture::syscalls;
use crate::kinds::{CaptureKind, Kinds};

/// `BPF_NOEXIST`: what a probe has put there is right.
const ONLY_IF_NEW: u64 = 1;

/// Putting them in may keep us from the ring for so long.
const LONGEST_NS: u64 = 500_000_000;

/// What became of a listing.
#[derive(Debug, Default)]
pub(super) struct PutIn {
    pub(super) parked: Vec<(Found, AtAddress)>,
    pub(super) calls: Vec<(Found, Call)>,
    /// Those that there was no room, or no time, for.
    pub(super) no_room: u64,
}

/// Where it is, and since when: what a probe puts there begins later.
pub(super) fn place_of(found: &Found) -> (Place, u64) {
    let place = match found {
        Found::Parked(key, _) => Place::Parked(*key),
        Found::Calling(key, _) => Place::Calling(*key),
        Found::InCall(tid, _) => Place::InCall(*tid),
    };
    (place, found.mono_ns())
}

/// A map and a key of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Parked([u8; 16]),
    Calling([u8; 16]),
    InCall(u32),
}

impl Place {
    /// Whether what began at this moment is still there.
    pub(super) fn holds(&self, began_mono_ns: u64, maps: &Maps) -> bool {
        let began = match self {
            Self::Parked(key) => maps.parks.get(key, 0).map(|value| Parked::decode(&value).mono_ns),
            Self::Calling(key) => maps.in_c.get(key, 0).map(|value| Calling::decode(&value).mono_ns),
            Self::InCall(tid) => maps.in_syscalls.get(tid, 0).map(|value| InCall::decode(&value).mono_ns),
        };
        began.is_ok_and(|began| began == began_mono_ns)
    }
}

/// When these waits begin here, CLOCK_MONOTONIC and CLOCK_REALTIME ns.
type Began = (u64, u64);

pub(super) fn put_in(
    listing: Listing,
    process: &ObservedProcess,
    kinds: Kinds,
    since: Option<Began>,
    maps: &mut Maps,
) -> PutIn {
    // After they were looked at: until now they waited.
    let now = (mono_ns(), wall_ns());
    let began = since.unwrap_or(now);
    let mut put_in = PutIn::default();
    let parked = if kinds.has(CaptureKind::Park) { listing.parked } else { Vec::new() };
    for at in parked {
        if mono_ns().saturating_sub(now.0) > LONGEST_NS {
            put_in.no_room += 1;
            continue;
        }
        match put_parked(&at, process.pid, began, maps) {
            Ok(found) => put_in.parked.extend(found.map(|found| (found, at))),
            Err(NoRoom) => put_in.no_room += 1,
        }
    }
    let wanted = Wanted::of(&listing.calls, process, kinds);
    for call in listing.calls {
        // What its thread is bound by; it is so as long as the thread lives.
        let _ = is_new(&mut maps.threads, call.tid, encode_thread(call.m, process.pid));
        let in_c = wanted.in_c(&call).map(|depth| put_in_c(&call, depth, process.pid, began, maps));
        let in_kernel = wanted.in_kernel(&call).map(|nr| put_in_kernel(&call, nr, process.pid, began, maps));
        for put in [in_c, in_kernel].into_iter().flatten() {
            match put {
                Ok(found) => put_in.calls.extend(found.map(|found| (found, call.clone()))),
                Err(NoRoom) => put_in.no_room += 1,
            }
        }
    }
    put_in
}

/// Which calls are waits: those whose end a probe sees.
struct Wanted {
    in_c: bool,
    in_kernel: [u8; SYSCALLS],
}

impl Wanted {
    fn of(calls: &[Call], process: &ObservedProcess, kinds: Kinds) -> Self {
        let has_probes = || process.binary.probe_sites().is_ok_and(|sites| sites.cgo.is_some());
        let in_c = kinds.has(CaptureKind::Cgo) && calls.iter().any(|call| call.in_c.is_some()) && has_probes();
        Self { in_c, in_kernel: syscalls::flags(kinds.has(CaptureKind::Syscall), false) }
    }

    /// Its depth.
    fn in_c(&self, call: &Call) -> Option<u32> {
        call.in_c.filter(|_| self.in_c)
    }

    /// Its number.
    fn in_kernel(&self, call: &Call) -> Option<u32> {
        let nr = call.in_kernel.as_ref()?.nr;
        self.in_kernel.get(nr as usize).is_some_and(|flags| flags & SYSCALL_TRACED != 0).then_some(nr)
    }
}

fn put_parked((g, goroutine): &AtAddress, tgid: u32, began: Began, maps: &mut Maps) -> Result<Option<Found>, NoRoom> {
    let key = ParkKey { tgid, g: *g }.encode(0);
    let parked = Parked {
        goid: goroutine.goid,
        mono_ns: began.0,
        wall_ns: began.1,
        ready_mono_ns: None,
        waker_goid: None,
        by_netpoll: false,
        address: None,
        tid: 0,
        reason: goroutine.reason,
        found_pc: Some(goroutine.pc),
        is_part: false,
    };
    let is_new = is_new(&mut maps.parks, key, parked.encode_found())?;
    Ok(is_new.then_some(Found::Parked(key, parked)))
}

fn put_in_c(
    call: &Call,
    depth: u32,
    tgid: u32,
    (mono_ns, wall_ns): Began,
    maps: &mut Maps,
) -> Result<Option<Found>, NoRoom> {
    let key = ParkKey { tgid, g: call.g }.encode(depth);
    let calling = Calling { goid: call.goid, mono_ns, wall_ns, tid: call.tid, began_before: true };
    let is_new = is_new(&mut maps.in_c, key, calling.encode())?;
    Ok(is_new.then_some(Found::Calling(key, calling)))
}

fn put_in_kernel(
    call: &Call,
    nr: u32,
    tgid: u32,
    (mono_ns, wall_ns): Began,
    maps: &mut Maps,
) -> Result<Option<Found>, NoRoom> {
    let in_call = InCall { tgid, nr, mono_ns, wall_ns, is_wait: true, began_before: true };
    let is_new = is_new(&mut maps.in_syscalls, call.tid, in_call.encode())?;
    Ok(is_new.then_some(Found::InCall(call.tid, in_call)))
}

/// The kernel refused for another cause than that something is there already.
struct NoRoom;

/// Puts it there unless something is.
fn is_new<K: Pod, V: Pod>(map: &mut HashMap<MapData, K, V>, key: K, value: V) -> Result<bool, NoRoom> {
    match map.insert(key, value, ONLY_IF_NEW) {
        Ok(()) => Ok(true),
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(_) => Err(NoRoom),
    }
}
