//! Goroutines that were parked before their process was observed: no probe saw them park. They are on the runtime's own list, and are
//! put into the kernel's map once, when the probes are there, as waits that began before that moment.
//!
//! The process runs meanwhile. One that is put in after it ran is either replaced when it parks, or dropped by the probe on
//! `runtime.execute`, which knows it by where it goes on. Until then it is known here: each is looked at once more when it is in the map,
//! and one that is parked then has been all the time, since a probe would have replaced the entry if it had parked anew.

mod bulk;
mod goroutine;
mod list;

use std::collections::HashMap;
use std::time::Duration;

use aya::maps::MapError;
use syncline_bpf::{ParkKey, Parked};

use super::kernel::Maps;
use super::open::Found;
use super::process::{ObservedProcess, mono_ns, wall_ns};
use crate::patience::{self, Patience};
use bulk::Bulk;
use goroutine::Goroutine;
use list::NoList;

/// How long each of the two looks at a process may keep us waiting.
const LONGEST: Duration = Duration::from_millis(500);
/// `BPF_NOEXIST`: what a probe has put there is right.
const ONLY_IF_NEW: u64 = 1;
const IN_THE_MAP: i32 = libc::EEXIST;
/// Where goroutines are parked: it is called by all that waits.
const PARKING: &str = "runtime.gopark";

type Key = [u8; 16];

/// Those that were put into the map.
#[derive(Debug, Default)]
pub(super) struct Before {
    patience: Patience,
    /// In the map, and did not wait any more when they came there.
    stale: HashMap<Key, Parked>,
    counted: FoundCounters,
}

/// What became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FoundCounters {
    /// Put into the map.
    pub(super) found: u64,
    /// Ended with their processes, stale.
    pub(super) stale: u64,
    /// Not looked at, or for want of room not put in.
    pub(super) passed_over: u64,
    /// Processes whose list was not believed.
    pub(super) refused: u64,
}

/// What was read of a process.
#[derive(Debug, Clone, Default)]
struct Listing {
    parked: Vec<(u64, Goroutine)>,
    listed: u64,
    looked_at: u64,
    no_list: Option<NoList>,
}

impl Before {
    /// Puts what is parked now in a process into the map; its probes must be there. Returns how many were passed over.
    pub(super) fn look_at(&mut self, process: &ObservedProcess, maps: &mut Maps) -> u64 {
        let listing = self.listing(process);
        if let Some(why) = listing.no_list {
            self.counted.refused += 1;
            tracing::warn!(
                pid = process.pid,
                "goroutines that wait since before it was observed are not told of: {why}"
            );
            return 0;
        }
        let unread = listing.listed.saturating_sub(listing.looked_at);
        if unread > 0 {
            tracing::warn!(pid = process.pid, unread, "not all of its goroutines could be looked at");
        }
        let (put_in, no_room) = put_in(&listing.parked, process.pid, maps);
        self.counted.found += put_in.len() as u64;
        self.counted.passed_over += unread + no_room;
        self.stale.extend(self.stale_of(process, put_in));
        unread + no_room
    }

    fn listing(&self, process: &ObservedProcess) -> Listing {
        let subject = process.clone();
        self.patience
            .wait_for(LONGEST, move |found: &patience::Found<Listing>| {
                if let Err(why) = list(&subject, found) {
                    found.lock().no_list = Some(why);
                }
            })
            .0
    }

    /// Of these, those that are not parked as they were found; one that could not be looked at again is taken for one of them.
    fn stale_of(&self, process: &ObservedProcess, put_in: Vec<(Key, Parked)>) -> Vec<(Key, Parked)> {
        let (pid, layout) = (process.pid, process.binary.layout());
        let addresses: Vec<u64> = put_in.iter().map(|(key, _)| ParkKey::decode(key).g).collect();
        let look = move |found: &patience::Found<Vec<(u64, Goroutine)>>| {
            let Some(memory) = Bulk::of(pid) else { return };
            // What is seen by then counts.
            let _ = list::each_chunk(&memory, &addresses, layout, |chunk| found.lock().extend(chunk));
        };
        let seen = self.patience.wait_for(LONGEST, look).0;
        let is_so = |(g, now): &(u64, Goroutine), (key, was): &(Key, Parked)| {
            ParkKey::decode(key).g == *g && still_waits(now, was)
        };
        let mut seen = seen.into_iter();
        put_in.into_iter().filter(|put| !seen.next().is_some_and(|now| is_so(&now, put))).collect()
    }

    /// Whether what the map has there did not wait any more when it was put in.
    pub(super) fn is_stale(&self, key: &Key, parked: &Parked) -> bool {
        self.stale.get(key).is_some_and(|stale| is_same(stale, parked))
    }

    /// Those of them that are in the map.
    pub(super) fn stale_now(&self, maps: &Maps) -> usize {
        self.stale.iter().filter(|entry| is_there(*entry, maps)).count()
    }

    /// Forgets those that a probe has replaced or dropped.
    pub(super) fn tidy(&mut self, maps: &Maps) {
        self.stale.retain(|key, parked| is_there((key, parked), maps));
    }

    /// Takes those out that were stale when they were cleared away.
    pub(super) fn without_stale(&mut self, cleared_away: Vec<(Found, u64)>) -> Vec<(Found, u64)> {
        let is_stale = |found: &Found| matches!(found, Found::Parked(key, parked) if self.is_stale(key, parked));
        let (stale, others): (Vec<_>, Vec<_>) = cleared_away.into_iter().partition(|(found, _)| is_stale(found));
        self.counted.stale += stale.len() as u64;
        others
    }

    pub(super) fn counters(&self) -> FoundCounters {
        self.counted
    }
}

fn list(process: &ObservedProcess, found: &patience::Found<Listing>) -> Result<(), NoList> {
    let slice = process.binary.all_goroutines().ok_or(NoList::NotFound)?;
    let memory = Bulk::of(process.pid).ok_or(NoList::Unreadable)?;
    let (addresses, left_out) = list::addresses(&memory, slice.wrapping_add(process.load_bias))?;
    found.lock().listed = addresses.len() as u64 + left_out;
    let mut parking = Parking { process, known: None };
    list::each_chunk(&memory, &addresses, process.binary.layout(), |chunk| {
        let mut found = found.lock();
        found.looked_at += chunk.len() as u64;
        found.parked.extend(chunk.into_iter().filter(|(_, goroutine)| parking.has(goroutine)));
    })
}

/// Tells who is parked in `runtime.gopark`, and not in what passes no probe, as an iterator that waits for its next use.
struct Parking<'a> {
    process: &'a ObservedProcess,
    /// Where all of them go on.
    known: Option<u64>,
}

impl Parking<'_> {
    fn has(&mut self, goroutine: &Goroutine) -> bool {
        goroutine.is_parked() && (self.known == Some(goroutine.pc) || self.learn(goroutine.pc))
    }

    fn learn(&mut self, pc: u64) -> bool {
        let frames = self.process.binary.symbolize(pc.wrapping_sub(self.process.load_bias), true);
        let is_there = frames.last().is_some_and(|frame| frame.function == PARKING);
        if is_there {
            self.known = Some(pc);
        }
        is_there
    }
}

/// Puts these in as they are by now; gives those that came in, and how many there was no room for.
fn put_in(parked: &[(u64, Goroutine)], pid: u32, maps: &mut Maps) -> (Vec<(Key, Parked)>, u64) {
    // After they were looked at: until now they waited.
    let (mono_ns, wall_ns) = (mono_ns(), wall_ns());
    let (mut put_in, mut no_room) = (Vec::new(), 0);
    for (g, goroutine) in parked {
        let key = ParkKey { tgid: pid, g: *g }.encode();
        let found = Parked {
            goid: goroutine.goid,
            mono_ns,
            wall_ns,
            ready_mono_ns: None,
            waker_goid: None,
            by_netpoll: false,
            address: None,
            tid: 0,
            reason: goroutine.reason,
            found_pc: Some(goroutine.pc),
        };
        match maps.parks.insert(key, found.encode_found(), ONLY_IF_NEW) {
            Ok(()) => put_in.push((key, found)),
            Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(IN_THE_MAP) => {}
            Err(_) => no_room += 1,
        }
    }
    (put_in, no_room)
}

/// One that was made ready meanwhile has not run yet, and goes on there as well.
fn still_waits(now: &Goroutine, was: &Parked) -> bool {
    now.goid == was.goid && Some(now.pc) == was.found_pc && now.has_not_run()
}

fn is_same(one: &Parked, other: &Parked) -> bool {
    let identity = |parked: &Parked| (parked.goid, parked.mono_ns, parked.found_pc);
    identity(one) == identity(other)
}

fn is_there((key, parked): (&Key, &Parked), maps: &Maps) -> bool {
    maps.parks.get(key, 0).is_ok_and(|now| is_same(&Parked::decode(&now), parked))
}
