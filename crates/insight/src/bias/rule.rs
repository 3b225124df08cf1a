//! What Go's block profiler does, as its source says: `runtime/mprof.go` and the callers of `blockevent` in `chan.go`, `select.go`,
//! `sema.go`, the same in Go 1.21 to 1.27.
//!
//! - A block is timed from just before it parks until somebody makes it ready: the time until it runs again is not in it.
//! - `SetBlockProfileRate(r)`: a block of d >= r is recorded, a shorter one with probability d / r (`blocksampled`). So rate 1 records all.
//! - A recorded block shorter than r is reported as r / d blocks of r in all (`saveblockevent`), so that sums are right on average.
//! - Recorded are waits for channels, `select`, and what uses semaphores of `sync` and `internal/poll`: nothing else calls `blockevent`.

use crate::call::Frame;

/// Wait reasons (`runtime/runtime2.go`) whose waits call `blockevent`. A semaphore that the runtime itself takes does not.
const SEEN: [&str; 8] = [
    "chan receive",
    "chan send",
    "select",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
];
const SEMAPHORE: &str = "semacquire";
/// The semaphores of the runtime itself; those of `sync` and `internal/poll` have functions of their own, down to `semacquire1`.
const RUNTIMES_OWN: &str = "runtime.semacquire";

/// What reasons end in where the goroutine is in a bubble of testing/synctest, since Go 1.25 and before.
const IN_A_BUBBLE: [&str; 2] = [" (durable)", " (synctest)"];

/// Whether Go's block profile can see such a wait at all.
#[must_use]
pub fn can_be_seen(reason: &str, frames: &[Frame]) -> bool {
    if reason == SEMAPHORE {
        return !frames.iter().any(|frame| frame.function == RUNTIMES_OWN);
    }
    let outside = IN_A_BUBBLE.iter().find_map(|end| reason.strip_suffix(end)).unwrap_or(reason);
    SEEN.contains(&outside)
}

/// The probability that a block of this length is recorded at this rate.
#[must_use]
pub fn recorded_share(blocked_ns: u64, rate_ns: u64) -> f64 {
    if blocked_ns >= rate_ns { 1.0 } else { blocked_ns.max(1) as f64 / rate_ns as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_recorded_for_certain_from_the_rate_on() {
        assert_eq!([0, 1, 1_000_000].map(|ns| recorded_share(ns, 1)), [1.0; 3]);
        assert_eq!([10_000, 9_999_999, 10_000_000].map(|ns| recorded_share(ns, 1_000_000)), [0.01, 1.0, 1.0]);
    }

    #[test]
    fn semaphores_of_the_runtime_itself_are_not_seen() {
        let frame = |function: &str| Frame { function: function.to_owned(), file: String::new(), line: 0 };
        let own = ["runtime.gopark", "runtime.semacquire1", "runtime.semacquire", "runtime.stopTheWorld"].map(frame);
        let group = ["runtime.gopark", "runtime.semacquire1", "sync.runtime_Semacquire"].map(frame);
        assert_eq!([can_be_seen(SEMAPHORE, &own), can_be_seen(SEMAPHORE, &group)], [false, true]);
        assert_eq!(
            ["IO wait", "sleep", "select", "select (durable)", "syscall read"].map(|reason| can_be_seen(reason, &[])),
            [false, false, true, true, false]
        );
    }
}
