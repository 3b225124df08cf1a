//! Goroutines that waited before their process was observed: no probe saw them begin. They are on the runtime's own list, and are put
//! into the kernel's maps once, when the probes are there, as waits that began before that moment.
//!
//! The process runs meanwhile. A goroutine that is put in after it ran is either replaced when it parks, or dropped by the probe on
//! `runtime.execute`, which knows it by where it goes on; and what comes out of a system call, by the call's number. Until then it is
//! known here: each is looked at once more when it is in the map, and one that waits as before then has done so all the time, since a
//! probe would have replaced the entry if it had begun anew.

mod bulk;
mod calls;
mod entries;
mod goroutine;
mod list;
mod reading;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::found::Found;
use super::kernel::Maps;
use super::process::ObservedProcess;
use crate::kinds::Kinds;
use crate::patience::{self, Patience};
use crate::proc_stat::start_time;
use syncline_bpf::states::State;

use calls::Call;
use entries::{Place, PutIn, place_of};
use goroutine::Goroutine;
use reading::{Again, AtAddress, Listing};

/// How long each of the two looks at a process may keep us waiting.
const LONGEST: Duration = Duration::from_millis(500);
/// Tidying is followed by this many times its own length without it.
const PAUSE: u32 = 99;

/// Those that were put into the maps.
#[derive(Debug, Default)]
pub(super) struct Before {
    patience: Patience,
    /// In a map since that moment (CLOCK_MONOTONIC ns), and did not wait any more when they came there.
    stale: HashMap<Place, u64>,
    /// How many of them are parked, as of the last tidying.
    stale_parked: usize,
    next_tidying: Option<Instant>,
    counted: FoundCounters,
}

/// What became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FoundCounters {
    /// Put into the map of parked goroutines.
    pub(super) found: u64,
    /// Of those, stale until their processes ended.
    pub(super) stale: u64,
    /// Not looked at, or for want of room not put in.
    pub(super) passed_over: u64,
    /// Processes whose list was not believed.
    pub(super) refused: u64,
}

/// What a look at a process found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Not looked at, or for want of room not put in.
    pub(super) passed_over: u64,
    pub(super) waiting: Vec<Waiting>,
}

/// A goroutine that waits since before it was followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Address of its `runtime.g`.
    pub(super) g: u64,
    pub(super) goid: u64,
    /// 0 = not known.
    pub(super) tid: u32,
    /// In a system call it is running: it is told apart when the call ends.
    pub(super) state: State,
    /// When it was put into its map, CLOCK_MONOTONIC and CLOCK_REALTIME ns.
    pub(super) since_ns: (u64, u64),
}

impl Before {
    /// Puts what waits now in a process into the maps; its probes must be there. It waits since `since` (CLOCK_MONOTONIC and CLOCK_REALTIME
    /// ns), from when on all that begin are seen; None: since now.
    pub(super) fn look_at(
        &mut self,
        process: &ObservedProcess,
        kinds: Kinds,
        since: Option<(u64, u64)>,
        maps: &mut Maps,
    ) -> Looked {
        let began = Instant::now();
        let subject = process.clone();
        let list = move |found: &patience::Found<Listing>| reading::list(&subject, found);
        let (listing, unfinished) = self.patience.wait_for(LONGEST, list);
        let (pid, unread) = (process.pid, listing.unread);
        let is_empty = unread == 0 && listing.parked.is_empty() && listing.calls.is_empty();
        let unread_at_all = unfinished.filter(|_| is_empty).map(|_| "its memory does not answer".to_owned());
        if let Some(why) = listing.no_list.map(|why| why.to_string()).or(unread_at_all) {
            if start_time(pid).is_ok_and(|now| now == process.start_time) {
                self.counted.refused += 1;
                tracing::warn!(pid, "goroutines that wait since before it was observed are not told of: {why}");
            }
            return Looked::default();
        }
        if unread > 0 {
            tracing::warn!(pid, unread, "not all of its goroutines could be looked at");
        }
        let put_in = entries::put_in(listing, process, kinds, since, maps);
        let passed_over = unread + put_in.no_room;
        let (parked, calls) = (put_in.parked.len(), put_in.calls.len());
        self.counted.found += parked as u64;
        self.counted.passed_over += passed_over;
        self.note_stale(process, &put_in);
        tracing::debug!(pid, parked, calls, passed_over, took = ?began.elapsed(), "its goroutines were looked at");
        Looked { passed_over, waiting: self.waiting(&put_in) }
    }

    /// Those that waited still when they were looked at again. Of one in C that is in a system call, too, the first is what counts.
    fn waiting(&self, put_in: &PutIn) -> Vec<Waiting> {
        let parked = put_in.parked.iter().filter(|(found, _)| !self.is_stale(found));
        let parked = parked.map(|(found, (g, at))| {
            let state = State::Blocked(at.reason);
            Waiting { g: *g, goid: at.goid, tid: 0, state, since_ns: found.began_ns() }
        });
        let in_call = |is_c: bool| {
            let such = move |(found, _): &&(Found, Call)| matches!(found, Found::Calling(..)) == is_c;
            let calls = put_in.calls.iter().filter(such).filter(|(found, _)| !self.is_stale(found));
            let state = if is_c { State::Cgo } else { State::Running };
            calls.map(move |(found, call)| {
                let Call { g, goid, tid, .. } = *call;
                Waiting { g, goid, tid, state, since_ns: found.began_ns() }
            })
        };
        parked.chain(in_call(true)).chain(in_call(false)).collect()
    }

    /// Looks again at those that were put in; one that cannot be looked at is taken for one that does not wait any more.
    fn note_stale(&mut self, process: &ObservedProcess, put_in: &PutIn) {
        let subject = process.clone();
        let parked: Vec<u64> = put_in.parked.iter().map(|(_, (g, _))| *g).collect();
        let calling: Vec<u64> = put_in.calls.iter().map(|(_, call)| call.g).collect();
        let look = move |again: &patience::Found<Again>| {
            // What is seen by then counts.
            let _ = reading::look_again(&subject, &parked, &calling, again);
        };
        let (again, _) = self.patience.wait_for(LONGEST, look);
        let mut parked = again.parked.into_iter();
        let mut calls = again.calls.into_iter();
        let stale_parked =
            put_in.parked.iter().filter(|(_, was)| !parked.next().is_some_and(|now| still_parked(&now, was)));
        let stale_calls = put_in
            .calls
            .iter()
            .filter(|(found, was)| !calls.next().flatten().is_some_and(|now| still_calls(found, &now, was)));
        self.stale.extend(stale_parked.map(|(found, _)| place_of(found)));
        self.stale.extend(stale_calls.map(|(found, _)| place_of(found)));
        self.count_stale();
    }

    /// Whether this did not wait any more when it was put into its map.
    pub(super) fn is_stale(&self, found: &Found) -> bool {
        let (place, began) = place_of(found);
        found.began_before() && self.stale.get(&place) == Some(&began)
    }

    /// How many of them are among the parked goroutines.
    pub(super) fn stale_now(&self) -> usize {
        self.stale_parked
    }

    /// Forgets those that a probe has replaced or dropped. Takes 1 % of the time at most: there may be many.
    pub(super) fn tidy(&mut self, maps: &Maps) {
        let began = Instant::now();
        if self.next_tidying.is_some_and(|next| began < next) {
            return;
        }
        self.stale.retain(|place, began| place.holds(*began, maps));
        self.count_stale();
        self.next_tidying = Some(Instant::now() + began.elapsed() * PAUSE);
    }

    fn count_stale(&mut self) {
        self.stale_parked = self.stale.keys().filter(|place| matches!(place, Place::Parked(_))).count();
    }

    /// Takes those out that were stale when they were cleared away.
    pub(super) fn without_stale(&mut self, cleared_away: Vec<(Found, u64)>) -> Vec<(Found, u64)> {
        let (stale, others): (Vec<_>, Vec<_>) = cleared_away.into_iter().partition(|(found, _)| self.is_stale(found));
        self.counted.stale += stale.iter().filter(|(found, _)| matches!(found, Found::Parked(..))).count() as u64;
        others
    }

    pub(super) fn counters(&self) -> FoundCounters {
        self.counted
    }
}

/// One that was made ready meanwhile has not run yet, and goes on there as well.
fn still_parked((g, now): &AtAddress, (was_g, was): &AtAddress) -> bool {
    let of = |goroutine: &Goroutine| (goroutine.goid, goroutine.pc);
    g == was_g && of(now) == of(was) && now.has_not_run()
}

fn still_calls(found: &Found, now: &Call, was: &Call) -> bool {
    let of = |call: &Call| (call.g, call.goid, call.m, call.tid);
    let is_so = if matches!(found, Found::Calling(..)) { now.in_c == was.in_c } else { now.in_kernel == was.in_kernel };
    of(now) == of(was) && is_so
}
