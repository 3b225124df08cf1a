//! Clearing away the goroutines that were parked when their process, or its program, ended.

use std::collections::{HashMap, HashSet};

use syncline_bpf::{ParkKey, park_mono_ns};

use super::kernel::{Maps, stable_keys};

/// Steps before giving up for now; twice the kernel's map.
const MAX_STEPS: usize = 2 << 20;

/// Removes the entries of these processes that are from before their end (pid to CLOCK_MONOTONIC ns), and tells how many:
/// the pid may be in use again. None if running processes changed the map too fast to go through it, so that it must be
/// tried again.
pub(super) fn forget(maps: &mut Maps, ended: &HashMap<u32, u64>) -> Option<u64> {
    let keys: HashSet<[u8; 16]> = stable_keys(maps.parks.keys(), MAX_STEPS)?.into_iter().collect();
    let is_of_ended = |maps: &Maps, key: &[u8; 16]| {
        let end = ended.get(&ParkKey::decode(key).tgid);
        end.is_some_and(|end| maps.parks.get(key, 0).is_ok_and(|park| park_mono_ns(&park) < *end))
    };
    let mut forgotten = 0;
    for key in keys {
        if is_of_ended(maps, &key) && maps.parks.remove(&key).is_ok() {
            forgotten += 1;
        }
    }
    Some(forgotten)
}
