//! How goroutines and their processes spent their time, as it enters and waits for its batch.

use std::sync::Arc;

use syncline_event::{GoroutineState, GoroutineStates, Process, ProcessStates, limits};
use syncline_timebase::{Instant, Mono, Offset, Wall};

use super::Batcher;
use super::index::Indices;
use super::seal::Holding;
use super::wait::{ProcessKey, process_key};
use crate::capture;

/// How the goroutines of a process spent their time over a while, its stamps already on the node's clocks.
#[derive(Clone, Debug)]
pub struct SeenProcessTimes {
    /// The process.
    pub process: Arc<Process>,
    /// Begin of the while.
    pub from: Instant<Mono>,
    /// Its end.
    pub to: Instant<Mono>,
    /// What was captured; its own stamps are not used.
    pub times: capture::ProcessTimes,
}

/// How a goroutine spent its time since it was first seen, its stamps already on the node's clocks.
#[derive(Clone, Debug)]
pub struct SeenGoroutine {
    /// Its process.
    pub process: Arc<Process>,
    /// When it was first seen.
    pub first: Instant<Mono>,
    /// The kernel's wall clock then, where the kernel tells it.
    pub wall: Option<Instant<Wall>>,
    /// As of when this is.
    pub at: Instant<Mono>,
    /// What was captured; its own stamps are not used.
    pub split: capture::GoroutineSplit,
}

/// What waits for a batch.
#[derive(Debug, Default)]
pub(super) struct PendingStates {
    processes: Vec<SeenProcessTimes>,
    goroutines: Vec<(SeenGoroutine, Offset<Mono, Wall>)>,
}

/// The rows of a batch.
pub(super) struct StateRows {
    pub(super) processes: Vec<ProcessStates>,
    pub(super) goroutines: Vec<GoroutineStates>,
}

impl Batcher {
    /// Takes how a process spent a while. Beyond what a batch can hold it is left out and counted.
    pub fn push_process_times(&mut self, times: SeenProcessTimes) {
        if times.from.ns() < 0 || times.to < times.from || self.states.processes.len() >= limits::PROCESS_STATES {
            return self.pass_over_states(1);
        }
        self.totals.process_times += 1;
        self.states.processes.push(times);
    }

    /// Takes how a goroutine spent its time so far. Beyond what a batch can hold it is left out and counted.
    pub fn push_goroutine(&mut self, goroutine: SeenGoroutine) {
        if !goroutine.is_sound() || self.states.goroutines.len() >= limits::GOROUTINE_STATES {
            return self.pass_over_states(1);
        }
        self.totals.goroutines += 1;
        let wall = goroutine.wall.map_or(self.wall_offset(), |wall| goroutine.first.offset_to(wall));
        self.states.goroutines.push((goroutine, wall));
    }

    /// Counts processes' and goroutines' times that were to be told and are not.
    pub fn pass_over_states(&mut self, count: u64) {
        self.totals.states_untold = self.totals.states_untold.saturating_add(count);
    }
}

impl SeenGoroutine {
    /// Whoever reads the batch refuses the whole of it otherwise.
    fn is_sound(&self) -> bool {
        let duration_ns = (self.at - self.first).ns().unsigned_abs();
        let sum_ns = self.split.times.sum_ns();
        let is_whole = sum_ns.abs_diff(duration_ns) <= limits::states_tolerance_ns(duration_ns);
        self.first.ns() >= 0 && self.first <= self.at && is_whole
    }
}

impl PendingStates {
    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.goroutines.is_empty()
    }

    /// Those that may go now; the others stay.
    pub(super) fn take(
        &mut self,
        holding: Holding,
        processes: &mut Indices<ProcessKey, Arc<Process>>,
        reasons: &mut Indices<&'static str, &'static str>,
    ) -> StateRows {
        let of_processes = holding.take(&mut self.processes, |times| times.to);
        let of_goroutines = holding.take(&mut self.goroutines, |(goroutine, _)| goroutine.at);
        let mut process = |process: &Arc<Process>| processes.index(process_key(process), || Arc::clone(process));
        let rows = of_processes.iter().map(|seen| process_row(process(&seen.process), seen, reasons)).collect();
        let goroutines = of_goroutines.iter().map(|(seen, wall)| {
            let process = process(&seen.process);
            goroutine_row(process, seen, *wall, reasons)
        });
        StateRows { processes: rows, goroutines: goroutines.collect() }
    }
}

fn process_row(
    process: u32,
    seen: &SeenProcessTimes,
    reasons: &mut Indices<&'static str, &'static str>,
) -> ProcessStates {
    let capture::ProcessTimes { times, goroutines, started, ended, runs, handoffs, .. } = &seen.times;
    ProcessStates {
        process,
        from: seen.from,
        duration_ns: (seen.to - seen.from).ns().unsigned_abs(),
        times: times.map_reasons(|&text| reasons.index(text, || text)),
        goroutines: *goroutines,
        started: *started,
        ended: *ended,
        runs: *runs,
        handoffs: *handoffs,
    }
}

fn goroutine_row(
    process: u32,
    seen: &SeenGoroutine,
    wall_offset: Offset<Mono, Wall>,
    reasons: &mut Indices<&'static str, &'static str>,
) -> GoroutineStates {
    let split = &seen.split;
    let duration_ns = (seen.at - seen.first).ns().unsigned_abs();
    GoroutineStates {
        process,
        goid: split.goid,
        first: seen.first,
        wall_offset,
        duration_ns,
        start_seen: split.start_seen,
        fate: split.fate,
        state: split.state,
        reason: split
            .reason
            .filter(|_| split.state == GoroutineState::Blocked)
            .map(|text| reasons.index(text, || text)),
        state_ns: split.in_state_ns.min(duration_ns),
        times: split.times.map_reasons(|&text| reasons.index(text, || text)),
        runs: split.runs,
        handoffs: split.handoffs,
    }
}
