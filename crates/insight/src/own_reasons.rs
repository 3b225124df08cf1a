//! Reasons for which nobody but Go's own goroutines waits.

/// Of Go's `waitReason` (`runtime/runtime2.go`).
const OWN: [&str; 9] = [
    "GC worker (idle)",
    "GC worker (active)",
    "GC scavenge wait",
    "GC sweep wait",
    "force gc (idle)",
    "GOMAXPROCS updater (idle)",
    "finalizer wait",
    "cleanup wait",
    "trace reader (blocked)",
];

/// Whether only Go's own goroutines wait for this: it says nothing of the program.
#[must_use]
pub fn is_own_reason(reason: &str) -> bool {
    OWN.contains(&reason)
}
