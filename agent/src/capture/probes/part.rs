//! What of a binary is probed together, and for which kinds.

use crate::kinds::{CaptureKind, Kinds};

/// Probes that come and go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::capture) enum Part {
    /// What goroutines do beside waiting.
    States,
    /// Where a thread begins to run a goroutine, which also ends waits.
    Threads,
    /// Goroutines that park and are made ready.
    Parks,
    /// Calls of C.
    Cgo,
}

impl Part {
    /// In the order of attaching: nothing must begin that nobody would see ending.
    pub(super) const ALL: [Self; 4] = [Self::States, Self::Threads, Self::Parks, Self::Cgo];

    /// The kind that it is for first of all.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::States => "states",
            Self::Threads => "threads",
            Self::Parks => "park",
            Self::Cgo => "cgo",
        }
    }

    /// What is not captured without it.
    pub(in crate::capture) fn what(self) -> &'static str {
        match self {
            Self::States => "the states of goroutines",
            Self::Threads => "the ends of goroutines' waits",
            Self::Parks => "goroutines that park",
            Self::Cgo => "calls of C",
        }
    }

    pub(super) fn is_needed_for(self, kinds: Kinds) -> bool {
        let parks = kinds.has(CaptureKind::Park) || kinds.has(CaptureKind::States);
        match self {
            Self::States => kinds.has(CaptureKind::States),
            Self::Threads => parks || kinds.bind_threads(),
            Self::Parks => parks,
            Self::Cgo => kinds.has(CaptureKind::Cgo),
        }
    }
}
