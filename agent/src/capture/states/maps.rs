//! The kernel side's maps of goroutines' states, and what it counts.

use aya::maps::{Array, HashMap as KernelMap, MapData, MapError, PerCpuArray, PerCpuHashMap};
use syncline_bpf::layout::Key;
use syncline_bpf::map;
use syncline_bpf::states::{Config, Goroutine, Short, StateCounter};

use crate::capture::kernel::TakeMap;

/// What is not in the times, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounters {
    /// Changes of state of goroutines that were not followed: there was no room for another.
    pub not_followed: u64,
    /// Goroutines that ended, and whose time since they were last told of is lost.
    pub lost_ends: u64,
    /// Goroutines whose end was not seen.
    pub replaced: u64,
    /// Changes of state that were missed: the goroutine was unreadable.
    pub missed_changes: u64,
}

/// Maps of the object that are of states.
pub(in crate::capture) struct StateMaps {
    pub(super) config: Array<MapData, [u8; size_of::<Config>()]>,
    pub(super) goroutines: KernelMap<MapData, [u8; size_of::<Key>()], [u8; size_of::<Goroutine>()]>,
    pub(super) short_lives: PerCpuHashMap<MapData, u32, [u8; size_of::<Short>()]>,
    counters: PerCpuArray<MapData, u64>,
}

impl StateMaps {
    pub(in crate::capture) fn take(take: &mut TakeMap<'_>) -> Result<Self, MapError> {
        Ok(Self {
            config: take(map::STATE_CONFIG)?.try_into()?,
            goroutines: take(map::GOROUTINES)?.try_into()?,
            short_lives: take(map::SHORT_LIVES)?.try_into()?,
            counters: take(map::STATE_COUNTERS)?.try_into()?,
        })
    }

    /// `missed`: ends that the ledger has found to be lost.
    pub(super) fn counters(&self, missed: u64) -> StateCounters {
        let at =
            |counter: StateCounter| self.counters.get(&(counter as u32), 0).map_or(0, |per_cpu| per_cpu.iter().sum());
        StateCounters {
            not_followed: at(StateCounter::MapFull),
            // What has no record is missed by the ledger as well, unless it was never read.
            lost_ends: at(StateCounter::RingFull).max(missed) + at(StateCounter::SumsFull),
            replaced: at(StateCounter::Replaced),
            missed_changes: at(StateCounter::Fault),
        }
    }
}
