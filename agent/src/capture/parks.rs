//! Clearing away the goroutines that were parked when their process ended.

use std::collections::HashSet;

use syncline_bpf::ParkKey;

use super::kernel::{Maps, stable_keys};

/// Steps before giving up for now; twice the kernel's map.
const MAX_STEPS: usize = 2 << 20;

/// Removes all entries of these processes and tells how many; None if running processes changed the map too fast to
/// go through it, so that it must be tried again.
pub(super) fn forget(maps: &mut Maps, ended: &HashSet<u32>) -> Option<u64> {
    let keys: HashSet<[u8; 16]> = stable_keys(maps.parks.keys(), MAX_STEPS)?.into_iter().collect();
    let of_ended = keys.iter().filter(|key| ended.contains(&ParkKey::decode(key).tgid));
    Some(of_ended.filter(|key| maps.parks.remove(key).is_ok()).map(|_| 1).sum())
}
