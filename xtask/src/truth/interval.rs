//! Intervals in which goroutines did not run, as either side tells them.

/// What kind of interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Park,
    Syscall,
}

/// One interval; times by CLOCK_MONOTONIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) kind: Kind,
    pub(super) goid: u64,
    pub(super) start_ns: i64,
    /// When it could go on; none where that was not seen.
    pub(super) ready_ns: Option<i64>,
    /// When it went on.
    pub(super) run_ns: i64,
    pub(super) reason: String,
    /// The goroutine that ended it, if one did.
    pub(super) waker: Option<u64>,
    /// Handed over from one coroutine to another.
    pub(super) is_coroutine: bool,
    /// Where it began is known.
    pub(super) has_stack: bool,
    /// Of a system call: Go's scheduler was told of it.
    pub(super) is_announced: bool,
}

impl Interval {
    /// Until it could go on.
    pub(super) fn length_ns(&self) -> i64 {
        self.ready_ns.unwrap_or(self.run_ns) - self.start_ns
    }

    /// Until it went on.
    pub(super) fn whole_ns(&self) -> i64 {
        self.run_ns - self.start_ns
    }

    /// How long both last together; negative: by how much they miss one another.
    pub(super) fn overlap_ns(&self, other: &Self) -> i64 {
        self.run_ns.min(other.run_ns) - self.start_ns.max(other.start_ns)
    }
}
