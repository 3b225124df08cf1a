//! Clearing away the goroutines that were parked, or in C code, when their process, or its program, ended.

use std::collections::{HashMap, HashSet};

use aya::Pod;
use aya::maps::MapData;
use syncline_bpf::{Calling, ParkKey, Parked};

use super::found::Found;
use super::kernel::{MAX_STEPS, Maps, stable_keys};

/// Removes the entries of these processes that are from before their end (pid to CLOCK_MONOTONIC ns), and tells which, each with
/// that end: the pid may be in use again. None if running processes changed the map too fast to go through it, so that it must
/// be tried again.
pub(super) fn forget(maps: &mut Maps, ended: &HashMap<u32, u64>) -> Option<Vec<(Found, u64)>> {
    let mut forgotten = forget_in(&mut maps.parks, |key, value| Found::Parked(key, Parked::decode(value)), ended)?;
    forgotten.extend(forget_in(&mut maps.in_c, |key, value| Found::Calling(key, Calling::decode(value)), ended)?);
    Some(forgotten)
}

/// Processes whose goroutines may have gone on unseen, and until when (CLOCK_MONOTONIC ns): what began later was seen.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// Those that are parked.
    pub(super) parked: HashMap<u32, u64>,
    /// Those that are in C code.
    pub(super) calling: HashMap<u32, u64>,
}

/// Removes their entries of before, and them from the sets; how many were parked. A map that running processes change too fast to be
/// gone through is left to the next call.
pub(super) fn forget_unseen(maps: &mut Maps, unseen: &mut Unseen) -> u64 {
    let Unseen { parked, calling } = unseen;
    let calls = |key, value: &_| Found::Calling(key, Calling::decode(value));
    if !calling.is_empty() && forget_in(&mut maps.in_c, calls, calling).is_some() {
        calling.clear();
    }
    let parks = |key, value: &_| Found::Parked(key, Parked::decode(value));
    let forgotten = if parked.is_empty() { None } else { forget_in(&mut maps.parks, parks, parked) };
    forgotten.map_or(0, |forgotten| {
        parked.clear();
        forgotten.len() as u64
    })
}

fn forget_in<V: Pod>(
    map: &mut aya::maps::HashMap<MapData, [u8; 16], V>,
    found: impl Fn([u8; 16], &V) -> Found,
    ended: &HashMap<u32, u64>,
) -> Option<Vec<(Found, u64)>> {
    let keys: HashSet<[u8; 16]> = stable_keys(map.keys(), MAX_STEPS)?.into_iter().collect();
    let of_ended = |map: &aya::maps::HashMap<MapData, [u8; 16], V>, key: &[u8; 16]| {
        let end_ns = *ended.get(&ParkKey::decode(key).tgid)?;
        let found = found(*key, &map.get(key, 0).ok()?);
        (found.mono_ns() < end_ns).then_some((found, end_ns))
    };
    let mut forgotten = Vec::new();
    for key in keys {
        if let Some(found) = of_ended(map, &key).filter(|_| map.remove(&key).is_ok()) {
            forgotten.push(found);
        }
    }
    Some(forgotten)
}
