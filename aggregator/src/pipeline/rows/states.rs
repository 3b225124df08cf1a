//! Rows of how goroutines spent their time: of processes' goroutines together, and of single ones.

use std::collections::BTreeMap;

use syncline_clock::NodeClock;
use syncline_event::{Batch, BlockedTime, GoroutineFate, GoroutineState, StateTimes};
use syncline_store::rows::{self, GoroutineStateRows, ProcessStateRows};
use syncline_timebase::{Instant, Mono, Span};
use syncline_timeline::place;

use super::{Whose, bounds, bucket, mono_ns, offsets, reason_text, texts};

/// What a reason is called that stands for several.
const SEVERAL: &str = "other";

/// The intervals of processes, placed by `clock` on `run` of the reference.
pub(crate) fn process_states(batch: &Batch, clock: &NodeClock, run: u64) -> ProcessStateRows {
    let (states, rows) = (&batch.process_states, batch.process_states.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let process = |index: u32| batch.processes.get(index as usize);
    let start = place(states.iter().map(|states| states.from), clock).moments;
    let end = place(states.iter().map(|states| later(states.from, states.duration_ns)), clock).moments;
    let times = Times::of(batch, states.iter().map(|states| &states.times));
    ProcessStateRows {
        bucket: states.iter().map(|states| bucket::of_event(batch, states.from)).collect(),
        region,
        service: texts(states.iter().map(|states| process(states.process).map_or("", |process| &process.service))),
        node,
        boot,
        pid: states.iter().map(|states| process(states.process).map_or(0, |process| process.pid)).collect(),
        mono_ns: states.iter().map(|states| mono_ns(states.from)).collect(),
        dur_ns: states.iter().map(|states| states.duration_ns).collect(),
        running_ns: times.running_ns,
        runnable_ns: times.runnable_ns,
        syscall_ns: times.syscall_ns,
        cgo_ns: times.cgo_ns,
        blocked_ns: times.blocked_ns,
        blocked_by: times.blocked_by,
        blocked_times: times.blocked_times,
        goroutines: states.iter().map(|states| states.goroutines).collect(),
        started: states.iter().map(|states| states.started).collect(),
        ended: states.iter().map(|states| states.ended).collect(),
        runs: states.iter().map(|states| states.runs).collect(),
        handoffs: states.iter().map(|states| states.handoffs).collect(),
        ref_run: vec![run; rows],
        al_off: offsets(batch, &start),
        al_end_off: offsets(batch, &end),
        err_ns: bounds(&start.bound),
        err_end_ns: bounds(&end.bound),
    }
}

/// Single goroutines, likewise. Each is of the minute as of when it is told of: it outlives those before it.
pub(crate) fn goroutine_states(batch: &Batch, clock: &NodeClock, run: u64) -> GoroutineStateRows {
    let (states, rows) = (&batch.goroutine_states, batch.goroutine_states.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let process = |index: u32| batch.processes.get(index as usize);
    let ends: Vec<Instant<Mono>> = states.iter().map(|states| later(states.first, states.duration_ns)).collect();
    let start = place(states.iter().map(|states| states.first), clock).moments;
    let end = place(ends.iter().copied(), clock).moments;
    let times = Times::of(batch, states.iter().map(|states| &states.times));
    GoroutineStateRows {
        bucket: ends.iter().map(|end| bucket::of_event(batch, *end)).collect(),
        region,
        service: texts(states.iter().map(|states| process(states.process).map_or("", |process| &process.service))),
        node,
        boot,
        pid: states.iter().map(|states| process(states.process).map_or(0, |process| process.pid)).collect(),
        goid: states.iter().map(|states| states.goid).collect(),
        mono_ns: states.iter().map(|states| mono_ns(states.first)).collect(),
        wall_off: states.iter().map(|states| states.wall_offset.ns()).collect(),
        dur_ns: states.iter().map(|states| states.duration_ns).collect(),
        start_seen: states.iter().map(|states| u8::from(states.start_seen)).collect(),
        fate: states.iter().map(|states| fate(states.fate)).collect(),
        state: states.iter().map(|states| state(states.state)).collect(),
        reason: texts(states.iter().map(|states| states.reason.map_or("", |index| reason_text(batch, index)))),
        state_ns: states.iter().map(|states| states.state_ns).collect(),
        running_ns: times.running_ns,
        runnable_ns: times.runnable_ns,
        syscall_ns: times.syscall_ns,
        cgo_ns: times.cgo_ns,
        blocked_ns: times.blocked_ns,
        blocked_by: times.blocked_by,
        blocked_times: times.blocked_times,
        runs: states.iter().map(|states| states.runs).collect(),
        handoffs: states.iter().map(|states| states.handoffs).collect(),
        ref_run: vec![run; rows],
        al_off: offsets(batch, &start),
        al_end_off: offsets(batch, &end),
        err_ns: bounds(&start.bound),
        err_end_ns: bounds(&end.bound),
    }
}

/// The columns of the states, alike in both tables.
#[derive(Default)]
struct Times {
    running_ns: Vec<u64>,
    runnable_ns: Vec<u64>,
    syscall_ns: Vec<u64>,
    cgo_ns: Vec<u64>,
    blocked_ns: Vec<u64>,
    blocked_by: Vec<Vec<(String, u64)>>,
    blocked_times: Vec<Vec<(String, u64)>>,
}

impl Times {
    fn of<'a>(batch: &Batch, times: impl Iterator<Item = &'a StateTimes>) -> Self {
        let mut columns = Self::default();
        for times in times {
            columns.running_ns.push(times.running_ns);
            columns.runnable_ns.push(times.runnable_ns);
            columns.syscall_ns.push(times.syscall_ns);
            columns.cgo_ns.push(times.cgo_ns);
            let blocked_by = by_reason(batch, &times.blocked, |blocked| blocked.total_ns);
            columns.blocked_ns.push(blocked_by.iter().fold(0, |sum, (_, ns)| sum.saturating_add(*ns)));
            columns.blocked_by.push(blocked_by);
            columns.blocked_times.push(by_reason(batch, &times.blocked, |blocked| blocked.count));
        }
        columns
    }
}

/// Each reason once, whatever the batch has: a map of ClickHouse would take a key twice and show one of them.
fn by_reason(batch: &Batch, blocked: &[BlockedTime], of: impl Fn(&BlockedTime) -> u64) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for blocked in blocked {
        let reason = blocked.reason.map_or(SEVERAL, |index| reason_text(batch, index));
        let sum = sums.entry(reason).or_default();
        *sum = sum.saturating_add(of(blocked));
    }
    sums.into_iter().map(|(reason, sum)| (reason.to_owned(), sum)).collect()
}

fn later(from: Instant<Mono>, ns: u64) -> Instant<Mono> {
    from + Span::from_ns(i64::try_from(ns).unwrap_or(i64::MAX))
}

fn fate(fate: GoroutineFate) -> rows::GoroutineFate {
    match fate {
        GoroutineFate::Alive => rows::GoroutineFate::Alive,
        GoroutineFate::Finished => rows::GoroutineFate::Finished,
        GoroutineFate::ProcessEnded => rows::GoroutineFate::ProcessEnded,
    }
}

fn state(state: GoroutineState) -> rows::GoroutineState {
    match state {
        GoroutineState::Running => rows::GoroutineState::Running,
        GoroutineState::Runnable => rows::GoroutineState::Runnable,
        GoroutineState::Syscall => rows::GoroutineState::Syscall,
        GoroutineState::Cgo => rows::GoroutineState::Cgo,
        GoroutineState::Blocked => rows::GoroutineState::Blocked,
    }
}

#[cfg(test)]
mod tests {
    use syncline_clock::Tolerance;
    use syncline_event::{GoroutineStates, ProcessStates};
    use syncline_store::rows::UNBOUNDED_NS;
    use syncline_timebase::Offset;

    use super::*;
    use crate::pipeline::samples::{self, OFFSET, SECOND};

    fn batch() -> Batch {
        let mut batch = samples::batch("n", 400);
        let blocked = |reason, count, total_ns| BlockedTime { reason, count, total_ns };
        let times = StateTimes {
            running_ns: 100,
            runnable_ns: 20,
            syscall_ns: 30,
            cgo_ns: 40,
            blocked: vec![blocked(Some(1), 3, 1_000), blocked(None, 1, 7), blocked(Some(1), 1, 5)],
        };
        let sealed = batch.sealed_at.ns();
        batch.process_states = vec![ProcessStates {
            process: 0,
            from: Instant::from_ns(sealed - SECOND),
            duration_ns: SECOND.unsigned_abs(),
            times: times.clone(),
            goroutines: 9,
            started: 2,
            ended: 1,
            runs: 50,
            handoffs: 4,
        }];
        let lived_ns = 300 * SECOND.unsigned_abs();
        let times = StateTimes { running_ns: lived_ns - 1_102, ..times };
        batch.goroutine_states = vec![GoroutineStates {
            process: 0,
            goid: 18,
            first: Instant::from_ns(sealed - 300 * SECOND),
            wall_offset: Offset::from_ns(OFFSET),
            duration_ns: lived_ns,
            start_seen: true,
            fate: GoroutineFate::Finished,
            state: GoroutineState::Blocked,
            reason: Some(0),
            state_ns: 5,
            times,
            runs: 8,
            handoffs: 3,
        }];
        batch.check().unwrap();
        batch
    }

    fn reasons(of: &[(&str, u64)]) -> Vec<(String, u64)> {
        of.iter().map(|(reason, number)| ((*reason).to_owned(), *number)).collect()
    }

    #[test]
    fn each_reason_is_once_in_a_row_and_the_blocked_time_is_their_sum() {
        let rows = process_states(&batch(), &NodeClock::new(Tolerance::default()), 7);
        assert_eq!((rows.running_ns[0], rows.runnable_ns[0], rows.syscall_ns[0], rows.cgo_ns[0]), (100, 20, 30, 40));
        assert_eq!(rows.blocked_ns[0], 1_012);
        assert_eq!(rows.blocked_by[0], reasons(&[("other", 7), ("select", 1_005)]));
        assert_eq!(rows.blocked_times[0], reasons(&[("other", 1), ("select", 4)]));
        assert_eq!((rows.goroutines[0], rows.started[0], rows.ended[0]), (9, 2, 1));
        assert_eq!((rows.runs[0], rows.handoffs[0], rows.pid[0], rows.dur_ns[0]), (50, 4, 42, SECOND.unsigned_abs()));
        // Nothing is known of the clock: it lies by the coarse offset, without a bound.
        assert_eq!((rows.al_off[0], rows.err_ns[0], rows.ref_run[0]), (batch().coarse_reference.ns(), UNBOUNDED_NS, 7));
        assert_eq!(rows.into_block().unwrap().rows(), 1);
    }

    #[test]
    fn a_goroutine_is_of_the_minute_as_of_when_it_is_told_and_keeps_its_identity() {
        let batch = batch();
        let rows = goroutine_states(&batch, &NodeClock::new(Tolerance::default()), 7);
        assert_eq!(rows.bucket[0], bucket::of_batch(&batch));
        let first = batch.goroutine_states[0].first;
        assert_eq!(rows.bucket[0], bucket::of_event(&batch, first) + 300);
        assert_eq!((rows.pid[0], rows.goid[0], rows.mono_ns[0]), (42, 18, mono_ns(first)));
        assert_eq!((rows.fate[0], rows.state[0]), (rows::GoroutineFate::Finished, rows::GoroutineState::Blocked));
        assert!(format!("{:?}", rows.reason).contains("chan receive"));
        let sum = rows.running_ns[0] + rows.runnable_ns[0] + rows.syscall_ns[0] + rows.cgo_ns[0] + rows.blocked_ns[0];
        assert_eq!((sum, rows.start_seen[0], rows.state_ns[0]), (rows.dur_ns[0], 1, 5));
        assert_eq!((rows.runs[0], rows.handoffs[0], rows.wall_off[0]), (8, 3, OFFSET));
        assert_eq!(rows.into_block().unwrap().rows(), 1);
    }
}
