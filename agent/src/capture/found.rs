//! A wait that goes on, as one of the kernel's maps has it.

use syncline_bpf::open::m_and_tgid;
use syncline_bpf::{Calling, InCall, ParkKey, Parked};

use super::kernel::Maps;
use crate::kinds::CaptureKind;

/// One that goes on, as its map has it; the key is what to ask the map again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Parked([u8; 16], Parked),
    Calling([u8; 16], Calling),
    InCall(u32, InCall),
}

impl Found {
    pub(super) fn tgid(&self) -> u32 {
        match self {
            Self::Parked(key, _) | Self::Calling(key, _) => ParkKey::decode(key).tgid,
            Self::InCall(_, call) => call.tgid,
        }
    }

    pub(super) fn kind(&self) -> CaptureKind {
        match self {
            Self::Parked(..) => CaptureKind::Park,
            Self::Calling(..) => CaptureKind::Cgo,
            Self::InCall(..) => CaptureKind::Syscall,
        }
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self, Self::Parked(..))
    }

    pub(super) fn mono_ns(&self) -> u64 {
        self.began_ns().0
    }

    /// Its begin, CLOCK_MONOTONIC and CLOCK_REALTIME ns.
    pub(super) fn began_ns(&self) -> (u64, u64) {
        match self {
            Self::Parked(_, parked) => (parked.mono_ns, parked.wall_ns),
            Self::Calling(_, calling) => (calling.mono_ns, calling.wall_ns),
            Self::InCall(_, call) => (call.mono_ns, call.wall_ns),
        }
    }

    /// It was found going on at what is its begin here.
    pub(super) fn began_before(&self) -> bool {
        match self {
            Self::Parked(_, parked) => parked.found_pc.is_some(),
            Self::Calling(_, calling) => calling.began_before,
            Self::InCall(_, call) => call.began_before,
        }
    }

    /// Of a thread in a system call, its `runtime.m` where that is known.
    pub(super) fn m(&self, maps: &Maps) -> Option<u64> {
        let Self::InCall(tid, call) = self else { return None };
        let (m, tgid) = m_and_tgid(&maps.threads.get(tid, 0).ok()?);
        (tgid == call.tgid).then_some(m)
    }

    /// Whether it has gone on without a change while it was looked at.
    pub(super) fn goes_on(&self, maps: &Maps) -> bool {
        match self {
            Self::Parked(key, was) => maps.parks.get(key, 0).is_ok_and(|now| Parked::decode(&now) == *was),
            Self::Calling(key, was) => maps.in_c.get(key, 0).is_ok_and(|now| Calling::decode(&now) == *was),
            Self::InCall(tid, was) => maps.in_syscalls.get(tid, 0).is_ok_and(|now| InCall::decode(&now) == *was),
        }
    }
}
