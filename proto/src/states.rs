//! How goroutines spent their time: checked types to messages and back.

use syncline_event::{BlockedTime, GoroutineFate, GoroutineState, GoroutineStates, ProcessStates, StateTimes};
use syncline_timebase::{Instant, Offset};

use crate::decode::field;
use crate::error::WireError;
use crate::v1;

impl From<&StateTimes> for v1::StateTimes {
    fn from(times: &StateTimes) -> Self {
        Self {
            running_ns: times.running_ns,
            runnable_ns: times.runnable_ns,
            syscall_ns: times.syscall_ns,
            cgo_ns: times.cgo_ns,
            blocked: times.blocked.iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::StateTimes> for StateTimes {
    fn from(message: v1::StateTimes) -> Self {
        Self {
            running_ns: message.running_ns,
            runnable_ns: message.runnable_ns,
            syscall_ns: message.syscall_ns,
            cgo_ns: message.cgo_ns,
            blocked: message.blocked.iter().map(Into::into).collect(),
        }
    }
}

impl From<&BlockedTime> for v1::BlockedTime {
    fn from(blocked: &BlockedTime) -> Self {
        Self { reason: one_more(blocked.reason), count: blocked.count, total_ns: blocked.total_ns }
    }
}

impl From<&v1::BlockedTime> for BlockedTime {
    fn from(message: &v1::BlockedTime) -> Self {
        Self { reason: message.reason.checked_sub(1), count: message.count, total_ns: message.total_ns }
    }
}

/// 1 + an index; 0 stands for none.
fn one_more(index: Option<u32>) -> u32 {
    index.map_or(0, |index| index.saturating_add(1))
}

impl From<&ProcessStates> for v1::ProcessStates {
    fn from(states: &ProcessStates) -> Self {
        Self {
            process: states.process,
            from_mono_ns: states.from.ns(),
            duration_ns: states.duration_ns,
            times: Some((&states.times).into()),
            goroutines: states.goroutines,
            started: states.started,
            ended: states.ended,
            runs: states.runs,
            handoffs: states.handoffs,
        }
    }
}

impl From<v1::ProcessStates> for ProcessStates {
    fn from(message: v1::ProcessStates) -> Self {
        Self {
            process: message.process,
            from: Instant::from_ns(message.from_mono_ns),
            duration_ns: message.duration_ns,
            times: message.times.unwrap_or_default().into(),
            goroutines: message.goroutines,
            started: message.started,
            ended: message.ended,
            runs: message.runs,
            handoffs: message.handoffs,
        }
    }
}

impl From<&GoroutineStates> for v1::GoroutineStates {
    fn from(states: &GoroutineStates) -> Self {
        Self {
            process: states.process,
            goid: states.goid,
            first_mono_ns: states.first.ns(),
            wall_offset_ns: states.wall_offset.ns(),
            duration_ns: states.duration_ns,
            start_seen: states.start_seen,
            fate: fate_number(states.fate),
            state: state_number(states.state),
            reason: one_more(states.reason),
            state_ns: states.state_ns,
            times: Some((&states.times).into()),
            runs: states.runs,
            handoffs: states.handoffs,
        }
    }
}

impl TryFrom<v1::GoroutineStates> for GoroutineStates {
    type Error = WireError;
    fn try_from(message: v1::GoroutineStates) -> Result<Self, WireError> {
        Ok(Self {
            process: message.process,
            goid: message.goid,
            first: Instant::from_ns(message.first_mono_ns),
            wall_offset: Offset::from_ns(message.wall_offset_ns),
            duration_ns: message.duration_ns,
            start_seen: message.start_seen,
            fate: fate(message.fate)?,
            state: state(message.state)?,
            reason: message.reason.checked_sub(1),
            state_ns: message.state_ns,
            times: message.times.unwrap_or_default().into(),
            runs: message.runs,
            handoffs: message.handoffs,
        })
    }
}

fn fate_number(fate: GoroutineFate) -> i32 {
    match fate {
        GoroutineFate::Alive => v1::GoroutineFate::Unspecified.into(),
        GoroutineFate::Finished => v1::GoroutineFate::Finished.into(),
        GoroutineFate::ProcessEnded => v1::GoroutineFate::ProcessEnded.into(),
    }
}

fn fate(number: i32) -> Result<GoroutineFate, WireError> {
    match v1::GoroutineFate::try_from(number) {
        Ok(v1::GoroutineFate::Unspecified) => Ok(GoroutineFate::Alive),
        Ok(v1::GoroutineFate::Finished) => Ok(GoroutineFate::Finished),
        Ok(v1::GoroutineFate::ProcessEnded) => Ok(GoroutineFate::ProcessEnded),
        Err(_) => Err(field("goroutine_states.fate", format!("{number} is unknown to this version"))),
    }
}

fn state_number(state: GoroutineState) -> i32 {
    match state {
        GoroutineState::Running => v1::GoroutineState::Running.into(),
        GoroutineState::Runnable => v1::GoroutineState::Runnable.into(),
        GoroutineState::Syscall => v1::GoroutineState::Syscall.into(),
        GoroutineState::Cgo => v1::GoroutineState::Cgo.into(),
        GoroutineState::Blocked => v1::GoroutineState::Blocked.into(),
    }
}

fn state(number: i32) -> Result<GoroutineState, WireError> {
    match v1::GoroutineState::try_from(number) {
        Ok(v1::GoroutineState::Running) => Ok(GoroutineState::Running),
        Ok(v1::GoroutineState::Runnable) => Ok(GoroutineState::Runnable),
        Ok(v1::GoroutineState::Syscall) => Ok(GoroutineState::Syscall),
        Ok(v1::GoroutineState::Cgo) => Ok(GoroutineState::Cgo),
        Ok(v1::GoroutineState::Blocked) => Ok(GoroutineState::Blocked),
        _ => Err(field("goroutine_states.state", format!("{number} is unknown to this version"))),
    }
}
