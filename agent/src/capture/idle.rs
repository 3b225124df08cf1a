//! Threads of Go's scheduler that wait because there is nothing to do. Go keeps some of them: one that polls the network, one that watches
//! the others (sysmon), and those that have no work. What they wait for blocks nobody.

use super::binary::Binary;
use super::wait::RawWait;

/// Functions of the runtime in which a thread waits for work, in Go 1.21 to 1.27.
const IDLE: &[&str] = &[
    "runtime.findRunnable",
    "runtime.gcBgMarkWorker",
    "runtime.mPark",
    "runtime.notetsleepg",
    "runtime.stoplockedm",
    "runtime.stopm",
    "runtime.sysmon",
    "runtime.templateThread",
];

/// Whether a wait of a thread without a goroutine is one for work.
pub(super) fn is_idle(wait: &RawWait, binary: &Binary) -> bool {
    let names = |pc: &u64| binary.symbolize(*pc, true).into_iter().map(|frame| frame.function);
    wait.stack.iter().flat_map(names).any(|name| IDLE.contains(&&*name))
}
