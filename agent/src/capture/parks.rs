//! Clearing away the goroutines that were parked, or in C code, when their process, or its program, ended.

use std::collections::{HashMap, HashSet};

use aya::Pod;
use aya::maps::MapData;
use syncline_bpf::{ParkKey, in_c_mono_ns, park_mono_ns};

use super::kernel::{Maps, stable_keys};

/// Steps before giving up for now; twice the kernel's map.
const MAX_STEPS: usize = 2 << 20;

/// Removes the entries of these processes that are from before their end (pid to CLOCK_MONOTONIC ns), and tells how many:
/// the pid may be in use again. None if running processes changed the map too fast to go through it, so that it must be
/// tried again.
pub(super) fn forget(maps: &mut Maps, ended: &HashMap<u32, u64>) -> Option<u64> {
    Some(forget_in(&mut maps.parks, park_mono_ns, ended)? + forget_in(&mut maps.in_c, in_c_mono_ns, ended)?)
}

fn forget_in<V: Pod>(
    map: &mut aya::maps::HashMap<MapData, [u8; 16], V>,
    began_mono_ns: impl Fn(&V) -> u64,
    ended: &HashMap<u32, u64>,
) -> Option<u64> {
    let keys: HashSet<[u8; 16]> = stable_keys(map.keys(), MAX_STEPS)?.into_iter().collect();
    let is_of_ended = |map: &aya::maps::HashMap<MapData, [u8; 16], V>, key: &[u8; 16]| {
        let end = ended.get(&ParkKey::decode(key).tgid);
        end.is_some_and(|end| map.get(key, 0).is_ok_and(|value| began_mono_ns(&value) < *end))
    };
    let mut forgotten = 0;
    for key in keys {
        if is_of_ended(map, &key) && map.remove(&key).is_ok() {
            forgotten += 1;
        }
    }
    Some(forgotten)
}
