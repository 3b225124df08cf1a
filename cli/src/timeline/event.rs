//! One wait as the timeline shows it.

use serde::{Deserialize, Serialize};

use crate::ending::Ending;
use crate::target::Target;
use crate::waits::{function_of, site};

/// A goroutine or a thread that waited, on the fleet's one clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When it parked, nanoseconds since the Unix epoch.
    pub(crate) start_ns: i64,
    /// When it ran again, likewise.
    pub(crate) end_ns: i64,
    /// How long it waited by its node's own clock.
    pub(crate) duration_ns: u64,
    /// Half of the width of the interval that holds the true start; none where the node's clock is not known.
    pub(crate) bound_ns: Option<u64>,
    pub(crate) region: String,
    pub(crate) node: String,
    pub(crate) service: String,
    pub(crate) pid: u32,
    /// The thread that waited, or that the goroutine parked on.
    pub(crate) tid: u32,
    /// 0 for a thread that ran no goroutine.
    pub(crate) goid: u64,
    /// `goroutine`, `syscall`, `cgo` or `off_cpu`.
    pub(crate) kind: String,
    /// Why it waited, in the runtime's words.
    pub(crate) reason: String,
    /// How much of the wait it was ready but not running.
    pub(crate) run_delay_ns: Option<u64>,
    #[serde(flatten)]
    pub(crate) target: Target,
    #[serde(flatten)]
    pub(crate) ending: Ending,
    /// Key of its stack in the store; 0 when none was taken.
    pub(crate) stack_id: u64,
    /// Its stack, the innermost frame first: `function file:line`, or an address.
    #[serde(default)]
    pub(crate) stack: Vec<String>,
}

impl Event {
    /// The function that blocks.
    pub(crate) fn frame(&self) -> Option<&str> {
        site(&self.stack).map(function_of)
    }

    /// Who waited, in its process: `g18`, or a thread that ran no goroutine.
    pub(crate) fn who(&self) -> String {
        if self.goid == 0 { format!("thread {}", self.tid) } else { format!("g{}", self.goid) }
    }
}

#[cfg(test)]
pub(crate) fn sample(region: &str, goid: u64, start_ns: i64, duration_ns: u64, reason: &str) -> Event {
    Event {
        start_ns,
        end_ns: start_ns.saturating_add_unsigned(duration_ns),
        duration_ns,
        bound_ns: Some(120_000),
        region: region.into(),
        node: format!("{region}-1"),
        service: "shop".into(),
        pid: 4711,
        tid: 4712,
        goid,
        kind: "goroutine".into(),
        reason: reason.into(),
        run_delay_ns: Some(1_000),
        target: Target::default(),
        ending: Ending::default(),
        stack_id: 1,
        stack: [
            "runtime.gopark /go/proc.go:1",
            "sync.(*Mutex).lockSlow /go/mutex.go:2",
            "main.(*Cart).Add /shop/cart.go:3",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}
