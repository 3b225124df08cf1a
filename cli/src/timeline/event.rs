//! One wait as the timeline shows it.

use serde::{Deserialize, Serialize};
use syncline_insight::is_plumbing;

/// A goroutine that waited, on the fleet's one clock.
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
    pub(crate) goid: u64,
    /// Why it waited, in the runtime's words.
    pub(crate) reason: String,
    /// How much of the wait it was ready but not running.
    pub(crate) run_delay_ns: Option<u64>,
    /// Key of its stack in the store; 0 when none was taken.
    pub(crate) stack_id: u64,
    /// Its stack, the innermost frame first: `function file:line`, or an address.
    #[serde(default)]
    pub(crate) stack: Vec<String>,
}

impl Event {
    /// The innermost function that is not the language's own way of waiting; if there is none, the innermost of all.
    pub(crate) fn frame(&self) -> Option<&str> {
        let own = self.stack.iter().find(|frame| !is_plumbing(frame));
        own.or(self.stack.first()).map(|frame| function_of(frame))
    }
}

/// A frame without its file and line.
fn function_of(frame: &str) -> &str {
    frame.rsplit_once(' ').map_or(frame, |(function, _)| function)
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
        goid,
        reason: reason.into(),
        run_delay_ns: Some(1_000),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_the_first_that_is_not_plumbing() {
        let mut event = sample("eu", 1, 0, 1, "chan receive");
        assert_eq!(event.frame(), Some("main.(*Cart).Add"));
        event.stack = vec!["runtime.gopark".into(), "runtime.bgsweep".into()];
        assert_eq!(event.frame(), Some("runtime.gopark"));
        event.stack.clear();
        assert_eq!(event.frame(), None);
    }
}
