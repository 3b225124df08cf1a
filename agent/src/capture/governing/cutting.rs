//! What goes on when a window ends is cut off there. Of each wait the part that lies in windows is what counts: so a wait that is longer than
//! a window counts as much as many short ones, and one that lasts over several counts in each.

use std::collections::{BTreeMap, HashSet};

use aya::Pod;
use aya::maps::{HashMap, MapData};
use syncline_bpf::{Calling, ParkKey, Parked};
use syncline_event::Kind;

use crate::capture::before::Before;
use crate::capture::found::Found;
use crate::capture::kernel::{MAX_STEPS, Maps, stable_keys};

/// Parts of waits: how many of those began in the window, and how long they were in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::capture) struct Parts {
    pub(in crate::capture) began: u64,
    pub(in crate::capture) total_ns: u64,
}

/// Of which process, kind, and reason by its number.
pub(in crate::capture) type PartsKey = (u32, Kind, u16);

/// What was cut off.
#[derive(Debug, Default)]
pub(super) struct CutOff {
    pub(super) parts: BTreeMap<PartsKey, Parts>,
    /// Goroutines that were parked.
    pub(super) parked: u64,
    /// Goroutines that were in C code.
    pub(super) calls: u64,
    /// Of all of these, those that began before the window.
    pub(super) before: u64,
    /// Of those that were parked, the ones that had not been after all.
    pub(super) stale: u64,
    /// Running processes changed a map too fast for it to be gone through.
    pub(super) is_incomplete: bool,
}

/// Takes what goes on in these processes out of the kernel's maps. Nothing of it changes there any more: their window is over.
pub(super) fn cut_off(
    pids: &HashSet<u32>,
    (from_ns, until_ns): (u64, u64),
    before: &Before,
    maps: &mut Maps,
) -> CutOff {
    let mut cut = CutOff::default();
    let parked = |key, value: &_| Found::Parked(key, Parked::decode(value));
    let calling = |key, value: &_| Found::Calling(key, Calling::decode(value));
    let all = [take_out(&mut maps.parks, parked, pids), take_out(&mut maps.in_c, calling, pids)];
    cut.is_incomplete = all.iter().any(Option::is_none);
    for found in all.into_iter().flatten().flatten() {
        cut.parked += u64::from(found.is_parked());
        if before.is_stale(&found) {
            cut.stale += u64::from(found.is_parked());
            continue;
        }
        let (kind, reason, began_in_it) = match &found {
            Found::Parked(_, parked) => (Kind::Goroutine, parked.reason.into(), !parked.is_part),
            Found::Calling(..) | Found::InCall(..) => (Kind::Cgo, 0, true),
        };
        let has_begun = began_in_it && !found.began_before();
        cut.calls += u64::from(!found.is_parked());
        cut.before += u64::from(!has_begun);
        let parts = cut.parts.entry((found.tgid(), kind, reason)).or_default();
        parts.began += u64::from(has_begun);
        parts.total_ns += until_ns.saturating_sub(found.mono_ns().max(from_ns));
    }
    cut
}

fn take_out<V: Pod>(
    map: &mut HashMap<MapData, [u8; 16], V>,
    found: impl Fn([u8; 16], &V) -> Found,
    pids: &HashSet<u32>,
) -> Option<Vec<Found>> {
    let keys = stable_keys(map.keys(), MAX_STEPS)?;
    let keys: HashSet<[u8; 16]> = keys.into_iter().filter(|key| pids.contains(&ParkKey::decode(key).tgid)).collect();
    let mut take = |key: [u8; 16]| {
        let value = map.get(&key, 0).ok()?;
        map.remove(&key).is_ok().then(|| found(key, &value))
    };
    Some(keys.into_iter().filter_map(&mut take).collect())
}
