//! What only one side has by design, and why. What is named here is counted by its cause; everything else that one side lacks is an error.

use std::fmt;

use super::interval::{Interval, Kind};

/// Where the tracer's system calls are made whose numbers our tracepoints pass by.
const NOT_LOOKED_AT: [&str; 1] = ["syscall.Close"];

/// Reasons whose goroutines are made ready past `ready`: in whole lists (`gcWakeAllAssists`, `gcWakeAllStrongFromWeak`, `wakeScavenger`, which
/// sleeps, too), or by the scheduler itself that looks for work (`traceReader`, `findRunnableGCWorker`).
const READY_UNSEEN: [&str; 6] = [
    "GC assist wait",
    "GC scavenge wait",
    "GC weak to strong wait",
    "GC worker (idle)",
    "trace reader (blocked)",
    "wait for GC cycle",
];

/// A known cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Of the tracer: the runtime stops a goroutine at a safe point, `preemptPark`; it waits for nothing, and does not pass `gopark`.
    Preempted,
    /// Of the tracer: coroutines hand over to one another without the scheduler, and so without `gopark`, `ready` and `execute`.
    Coroutine,
    /// Of ours: a thread waits in a system call while it runs no goroutine.
    NoGoroutine,
    /// Of ours: the runtime makes a call without telling its scheduler, from whose hooks the tracer has its system calls.
    Unannounced,
    /// Of the tracer: calls that we do not look at, as they do not wait for anybody else.
    NotLookedAt,
    /// Of the wakers: the runtime made a list of goroutines ready, `injectglist`, or the scheduler took the goroutine up itself.
    ReadyUnseen,
}

impl Cause {
    /// Why we do not know who ended a park: only of what the runtime is known to make ready in this way.
    pub(super) fn of_unknown_waker(ours: &Interval, in_runtime: bool) -> Option<Self> {
        let is_listed = READY_UNSEEN.contains(&ours.reason.as_str()) || in_runtime && ours.reason == "sleep";
        (ours.ready_ns.is_none() && is_listed).then_some(Self::ReadyUnseen)
    }

    /// Why we lack what the tracer has.
    pub(super) fn of_lacking(theirs: &Interval) -> Option<Self> {
        match theirs.kind {
            Kind::Park if theirs.is_coroutine => Some(Self::Coroutine),
            Kind::Park if is_preemption(theirs) => Some(Self::Preempted),
            Kind::Syscall if NOT_LOOKED_AT.contains(&theirs.reason.as_str()) => Some(Self::NotLookedAt),
            Kind::Park | Kind::Syscall => None,
        }
    }

    /// Why the tracer lacks what we have.
    pub(super) fn of_having(ours: &Interval) -> Option<Self> {
        match ours.kind {
            Kind::Syscall if ours.goid == 0 => Some(Self::NoGoroutine),
            Kind::Syscall if !ours.is_announced => Some(Self::Unannounced),
            Kind::Park | Kind::Syscall => None,
        }
    }
}

/// Up to Go 1.21 it has the event of a park without a reason. A stack is with all others of those but with the collector's idle workers', which the
/// scheduler wakes; this one is ended by the goroutine that wanted the stop.
fn is_preemption(theirs: &Interval) -> bool {
    match theirs.reason.as_str() {
        "preempted" | "wait for debug call" => true,
        "" => !theirs.has_stack && theirs.waker.is_some(),
        _ => false,
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preempted => "only the tracer's: stopped at a safe point by the runtime, waiting for nothing",
            Self::Coroutine => "only the tracer's: a coroutine that hands over without the scheduler",
            Self::NoGoroutine => "only ours: system calls of threads that run no goroutine",
            Self::Unannounced => "only ours: system calls of which the runtime does not tell its scheduler",
            Self::NotLookedAt => "only the tracer's: system calls that wait for nobody else (close)",
            Self::ReadyUnseen => "waker not known to us: made ready past `ready`, in a list or by the scheduler",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_explained() {
        let of = |kind, goid, reason: &str| Interval {
            kind,
            goid,
            start_ns: 0,
            ready_ns: None,
            run_ns: 1,
            reason: reason.to_owned(),
            waker: None,
            is_coroutine: false,
            has_stack: true,
            is_announced: reason != "syscall futex",
        };
        assert_eq!(Cause::of_lacking(&of(Kind::Park, 7, "preempted")), Some(Cause::Preempted));
        assert_eq!(Cause::of_lacking(&of(Kind::Park, 7, "sync")), None);
        let stopped = Interval { has_stack: false, waker: Some(3), ..of(Kind::Park, 7, "") };
        assert_eq!(Cause::of_lacking(&stopped), Some(Cause::Preempted));
        assert_eq!(Cause::of_lacking(&Interval { waker: None, ..stopped }), None, "an idle worker of the collector");
        assert_eq!(Cause::of_lacking(&of(Kind::Park, 7, "")), None);
        assert_eq!(Cause::of_having(&of(Kind::Syscall, 0, "syscall futex")), Some(Cause::NoGoroutine));
        assert_eq!(Cause::of_having(&of(Kind::Syscall, 7, "syscall futex")), Some(Cause::Unannounced));
        assert_eq!(Cause::of_having(&of(Kind::Syscall, 7, "syscall read")), None);
        assert_eq!(Cause::of_having(&of(Kind::Park, 7, "sleep")), None);
        assert_eq!(Cause::of_unknown_waker(&of(Kind::Park, 7, "sleep"), true), Some(Cause::ReadyUnseen));
        assert_eq!(Cause::of_unknown_waker(&of(Kind::Park, 7, "sleep"), false), None);
    }
}
