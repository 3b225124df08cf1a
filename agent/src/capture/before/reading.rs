//! What is read of a process: who is parked in it, and who is in a call.

use super::bulk::Bulk;
use super::calls::{Call, Threads};
use super::goroutine::Goroutine;
use super::list::{self, NoList};
use crate::capture::process::ObservedProcess;
use crate::patience;

/// Where goroutines are parked: it is called by all that waits.
const PARKING: &str = "runtime.gopark";

/// A goroutine at its address.
pub(super) type AtAddress = (u64, Goroutine);

/// Found in the list of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    pub(super) parked: Vec<AtAddress>,
    pub(super) calls: Vec<Call>,
    pub(super) no_list: Option<NoList>,
    /// Those not looked at.
    pub(super) unread: u64,
}

pub(super) fn list(process: &ObservedProcess, found: &patience::Found<Listing>) {
    if let Err(why) = list_all(process, found) {
        found.lock().no_list = Some(why);
    }
}

fn list_all(process: &ObservedProcess, found: &patience::Found<Listing>) -> Result<(), NoList> {
    // Goroutines that are not observed are not looked for.
    let Some(layout) = process.binary.layout() else { return Ok(()) };
    let slice = process.binary.all_goroutines().ok_or(NoList::NotFound)?;
    let memory = Bulk::of(process.pid).ok_or(NoList::Unreadable)?;
    let (addresses, left_out) = list::addresses(&memory, slice.wrapping_add(process.load_bias))?;
    found.lock().unread = addresses.len() as u64 + left_out;
    let mut parking = Parking { process, known: None };
    let mut calling = Vec::new();
    list::each_chunk(&memory, &addresses, layout, |chunk| {
        let (in_calls, others): (Vec<_>, Vec<_>) =
            chunk.into_iter().partition(|(_, goroutine)| goroutine.calling_thread().is_some());
        let mut found = found.lock();
        found.unread = found.unread.saturating_sub(others.len() as u64);
        found.parked.extend(others.into_iter().filter(|(_, goroutine)| parking.has(goroutine)));
        calling.extend(in_calls);
    })?;
    if calling.is_empty() {
        return Ok(());
    }
    let threads = Threads::of(process, &memory);
    for (g, goroutine) in &calling {
        let call = threads.call_of(*g, goroutine);
        let mut found = found.lock();
        found.unread = found.unread.saturating_sub(1);
        found.calls.extend(call);
    }
    Ok(())
}

/// What became of some of them a moment later, each in its place, as far as was looked.
#[derive(Debug, Clone, Default)]
pub(super) struct Again {
    pub(super) parked: Vec<AtAddress>,
    pub(super) calls: Vec<Option<Call>>,
}

pub(super) fn look_again(
    process: &ObservedProcess,
    parked: &[u64],
    calling: &[u64],
    again: &patience::Found<Again>,
) -> Result<(), NoList> {
    let Some(layout) = process.binary.layout() else { return Ok(()) };
    let memory = Bulk::of(process.pid).ok_or(NoList::Unreadable)?;
    list::each_chunk(&memory, parked, layout, |chunk| again.lock().parked.extend(chunk))?;
    if calling.is_empty() {
        return Ok(());
    }
    let threads = Threads::of(process, &memory);
    list::each_chunk(&memory, calling, layout, |chunk| {
        let calls: Vec<_> = chunk.iter().map(|(g, goroutine)| threads.call_of(*g, goroutine)).collect();
        again.lock().calls.extend(calls);
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
