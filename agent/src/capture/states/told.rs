//! What is told of goroutines' time, and of that of their processes, in words.

use std::collections::BTreeMap;

use syncline_bpf::states::State;
use syncline_event::{GoroutineFate, GoroutineState};

use super::super::binary::Binary;
use super::super::wait::UNKNOWN_REASON;
use super::ledger::{Fate, Sum, Told};
use super::split::{Growth, blocked};

/// Time by state; reasons by Go's own names for them.
pub type StateTimes = syncline_event::StateTimes<&'static str>;
/// Time blocked for one reason.
pub type BlockedTime = syncline_event::BlockedTime<&'static str>;

/// How all goroutines of a process spent their time over a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTimes {
    /// Process id.
    pub tgid: u32,
    /// Begin of the while, CLOCK_MONOTONIC ns.
    pub from_mono_ns: u64,
    /// Its end.
    pub to_mono_ns: u64,
    /// Their time together.
    pub times: StateTimes,
    /// Goroutines that live at the end.
    pub goroutines: u64,
    /// Goroutines that began.
    pub started: u64,
    /// Goroutines that ended.
    pub ended: u64,
    /// How often one began to run.
    pub runs: u64,
    /// How often one came back from a call, and its processor had been handed off.
    pub handoffs: u64,
}

/// How one goroutine spent its time since it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoroutineSplit {
    /// Process id.
    pub tgid: u32,
    /// Goroutine id.
    pub goid: u64,
    /// When it was first seen, CLOCK_MONOTONIC ns.
    pub first_mono_ns: u64,
    /// The same, CLOCK_REALTIME ns.
    pub first_wall_ns: u64,
    /// It began then; else it was there before.
    pub start_seen: bool,
    /// As of when all this is, and when it ended if it did, CLOCK_MONOTONIC ns.
    pub at_mono_ns: u64,
    /// Its end.
    pub fate: GoroutineFate,
    /// What it is doing, or did last.
    pub state: GoroutineState,
    /// Why, if it is blocked.
    pub reason: Option<&'static str>,
    /// For how long, ns.
    pub in_state_ns: u64,
    /// Its time; the parts sum up to that from first_mono_ns to at_mono_ns.
    pub times: StateTimes,
    /// How often it began to run.
    pub runs: u64,
    /// How often it came back from a call, and its processor had been handed off.
    pub handoffs: u64,
}

/// What is to be told now.
#[derive(Debug, Default)]
pub struct StatesTaken {
    /// Of processes.
    pub processes: Vec<ProcessTimes>,
    /// Of single goroutines.
    pub goroutines: Vec<GoroutineSplit>,
    /// How many goroutines were to be told of as well; their time is in the sums of their processes.
    pub passed_over: u64,
}

pub(super) fn process_times(tgid: u32, sum: &Sum, at_mono_ns: u64, binary: Option<&Binary>) -> ProcessTimes {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let Growth { state_ns, blocked, runs, handoffs } = &sum.growth;
    let blocked = blocked.iter().map(|&(reason, count, ns)| (reason, number(count), number(ns)));
    ProcessTimes {
        tgid,
        from_mono_ns: sum.from_mono_ns.min(at_mono_ns),
        to_mono_ns: at_mono_ns,
        times: state_times(state_ns.map(number), blocked, binary),
        goroutines: sum.alive,
        started: sum.started,
        ended: sum.ended,
        runs: number(*runs),
        handoffs: number(*handoffs),
    }
}

/// None for a goroutine that never ran: it has no number yet.
pub(super) fn goroutine_split(told: &Told, binary: &Binary) -> Option<GoroutineSplit> {
    let Told { tgid, times, at_mono_ns, fate } = told;
    let (state, reason) = match times.state {
        State::Running => (GoroutineState::Running, None),
        State::Runnable => (GoroutineState::Runnable, None),
        State::Syscall => (GoroutineState::Syscall, None),
        State::Cgo => (GoroutineState::Cgo, None),
        State::Blocked(reason) => (GoroutineState::Blocked, Some(reason_text(binary, reason))),
    };
    Some(GoroutineSplit {
        tgid: *tgid,
        goid: times.goid?,
        first_mono_ns: times.first_mono_ns,
        first_wall_ns: times.first_wall_ns,
        start_seen: times.start_seen,
        at_mono_ns: *at_mono_ns,
        fate: match fate {
            Fate::Alive => GoroutineFate::Alive,
            Fate::Finished => GoroutineFate::Finished,
            Fate::ProcessEnded => GoroutineFate::ProcessEnded,
        },
        state,
        reason,
        in_state_ns: at_mono_ns.saturating_sub(times.since_mono_ns),
        times: state_times(times.state_ns, blocked(times), Some(binary)),
        runs: times.runs,
        handoffs: times.handoffs,
    })
}

fn state_times(
    state_ns: [u64; 4],
    blocked: impl Iterator<Item = (u8, u64, u64)>,
    binary: Option<&Binary>,
) -> StateTimes {
    let [running_ns, runnable_ns, syscall_ns, cgo_ns] = state_ns;
    // Two numbers may have one text.
    let mut by_reason: BTreeMap<Option<&'static str>, (u64, u64)> = BTreeMap::new();
    for (reason, count, ns) in blocked {
        let text = (reason != 0).then(|| binary.map_or(UNKNOWN_REASON, |binary| reason_text(binary, reason)));
        let sum = by_reason.entry(text).or_default();
        *sum = (sum.0.saturating_add(count), sum.1.saturating_add(ns));
    }
    let blocked = by_reason.into_iter().filter(|(_, (count, ns))| *count > 0 || *ns > 0);
    let blocked = blocked.map(|(reason, (count, total_ns))| BlockedTime { reason, count, total_ns }).collect();
    StateTimes { running_ns, runnable_ns, syscall_ns, cgo_ns, blocked }
}

fn reason_text(binary: &Binary, reason: u8) -> &'static str {
    binary.wait_reason(reason).unwrap_or(UNKNOWN_REASON)
}
