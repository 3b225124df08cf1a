//! How goroutines spent their time, by state: of a process all together, and of single ones.

use syncline_timebase::{Instant, Mono, Offset, Wall};

/// Time of goroutines by what they did; the parts sum up to the whole. Reasons are named by `R`: in a batch by indices into
/// [`crate::Batch::reasons`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTimes<R = u32> {
    /// On a thread and running, or on one that the kernel took off its CPU, ns.
    pub running_ns: u64,
    /// Ready to run and not running, ns.
    pub runnable_ns: u64,
    /// In a system call, ns.
    pub syscall_ns: u64,
    /// In C code, ns.
    pub cgo_ns: u64,
    /// Parked, by reason.
    pub blocked: Vec<BlockedTime<R>>,
}

impl<R> Default for StateTimes<R> {
    fn default() -> Self {
        Self { running_ns: 0, runnable_ns: 0, syscall_ns: 0, cgo_ns: 0, blocked: Vec::new() }
    }
}

impl<R> StateTimes<R> {
    /// All parts together, ns; at most the greatest number.
    pub fn sum_ns(&self) -> u64 {
        let parts = [self.running_ns, self.runnable_ns, self.syscall_ns, self.cgo_ns];
        let blocked = self.blocked.iter().map(|blocked| blocked.total_ns);
        parts.into_iter().chain(blocked).fold(0, u64::saturating_add)
    }

    /// The same times, with each reason named otherwise.
    pub fn map_reasons<S>(&self, mut name: impl FnMut(&R) -> S) -> StateTimes<S> {
        let Self { running_ns, runnable_ns, syscall_ns, cgo_ns, .. } = *self;
        let blocked = self.blocked.iter().map(|blocked| BlockedTime {
            reason: blocked.reason.as_ref().map(&mut name),
            count: blocked.count,
            total_ns: blocked.total_ns,
        });
        StateTimes { running_ns, runnable_ns, syscall_ns, cgo_ns, blocked: blocked.collect() }
    }
}

/// Time that goroutines were parked for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedTime<R = u32> {
    /// Why; none = several others.
    pub reason: Option<R>,
    /// How many times.
    pub count: u64,
    /// How long together, ns.
    pub total_ns: u64,
}

/// How the goroutines of a process spent their time, since this was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStates {
    /// Index into [`crate::Batch::processes`].
    pub process: u32,
    /// Since when.
    pub from: Instant<Mono>,
    /// For how long, ns of MONO.
    pub duration_ns: u64,
    /// Of all its goroutines: the sum is that of their lives within this time.
    pub times: StateTimes,
    /// Goroutines alive at the end.
    pub goroutines: u64,
    /// Goroutines that began.
    pub started: u64,
    /// Goroutines that ended.
    pub ended: u64,
    /// Times that one began to run.
    pub runs: u64,
    /// Returns from a system call or from C code whose P had been handed off meanwhile.
    pub handoffs: u64,
}

/// What became of a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GoroutineFate {
    /// Alive.
    Alive,
    /// Its function returned.
    Finished,
    /// Its process, or its program, ended.
    ProcessEnded,
}

impl GoroutineFate {
    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Finished => "finished",
            Self::ProcessEnded => "process_ended",
        }
    }
}

/// What a goroutine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GoroutineState {
    /// On a thread, and running.
    Running,
    /// Ready to run, and not running.
    Runnable,
    /// In a system call.
    Syscall,
    /// In C code.
    Cgo,
    /// Parked.
    Blocked,
}

impl GoroutineState {
    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Syscall => "syscall",
            Self::Cgo => "cgo",
            Self::Blocked => "blocked",
        }
    }
}

/// How one goroutine spent its time since it was first seen. Its identity in the process is `goid` and `first`; what is said of it later
/// replaces what was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoroutineStates {
    /// Index into [`crate::Batch::processes`].
    pub process: u32,
    /// The goroutine.
    pub goid: u64,
    /// When it was first seen.
    pub first: Instant<Mono>,
    /// Kernel wall time minus MONO then.
    pub wall_offset: Offset<Mono, Wall>,
    /// From `first` until it ended, or until as of when all this is, ns of MONO.
    pub duration_ns: u64,
    /// It began at `first`; else it was there before.
    pub start_seen: bool,
    /// What became of it.
    pub fate: GoroutineFate,
    /// What it does now, or did last.
    pub state: GoroutineState,
    /// Of [`GoroutineState::Blocked`] and no other: index into [`crate::Batch::reasons`].
    pub reason: Option<u32>,
    /// For how long it has done that, or had, ns; part of the duration.
    pub state_ns: u64,
    /// What it did in the duration; the sum is the duration.
    pub times: StateTimes,
    /// Times that it began to run.
    pub runs: u64,
    /// Returns from a system call or from C code whose P had been handed off meanwhile.
    pub handoffs: u64,
}
