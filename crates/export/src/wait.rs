//! One wait on the fleet's clock, as the encoders take it.

use std::sync::Arc;

use syncline_insight::CallStack;

/// A moment on the fleet's one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// ns since 1970.
    pub ns: i64,
    /// Half width of the interval that holds the true time, ns; none where nothing is known of it.
    pub bound_ns: Option<u64>,
}

/// What waited, or woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// Region of the node.
    pub region: &'a str,
    /// The node.
    pub node: &'a str,
    /// First 8 bytes of its boot id.
    pub boot: u64,
    /// Service of the process.
    pub service: &'a str,
    /// Process id on the node.
    pub pid: u32,
    /// The goroutine; 0 for a thread that ran none.
    pub goid: u64,
    /// The thread; it tells apart those that ran no goroutine.
    pub tid: u32,
}

/// One wait.
#[derive(Clone, Debug)]
pub struct Wait<'a> {
    /// Of whom.
    pub who: Who<'a>,
    /// `goroutine`, `syscall`, `cgo` or `off_cpu`.
    pub kind: &'a str,
    /// Why, in the runtime's words.
    pub reason: &'a str,
    /// Its begin.
    pub start: Moment,
    /// Its end; none while it goes on.
    pub end: Option<Moment>,
    /// How much of it the goroutine was ready and did not run; none where that was not seen.
    pub run_delay_ns: Option<u64>,
    /// What ended it, where it is known.
    pub wake: Option<Wake<'a>>,
    /// Where it waited.
    pub stack: Option<Arc<CallStack>>,
    /// What else is known of it, by name.
    pub notes: Vec<(&'static str, Note<'a>)>,
}

/// What ended a wait.
#[derive(Clone, Debug)]
pub struct Wake<'a> {
    /// Who did. Goroutine 0: it is not known which one of the process.
    pub waker: Who<'a>,
    /// When what ended it was sent, of a message; none where the waker made the goroutine ready itself.
    pub sent: Option<Moment>,
    /// Where in its code the waker was.
    pub stack: Option<Arc<CallStack>>,
}

/// A value beside a wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note<'a> {
    /// A text; few different ones, such as names.
    Name(&'a str),
    /// A text that hardly comes twice, such as an id.
    Text(&'a str),
    /// A number; its unit is in the note's name.
    Count(u64),
    /// A number that may be negative.
    Number(i64),
}

impl Wait<'_> {
    /// Whether its place in time is not known: a bound of it is missing.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        self.start.bound_ns.is_none() || self.end.is_some_and(|end| end.bound_ns.is_none())
    }

    /// When the goroutine became ready; none where that was not seen, or it waits still.
    #[must_use]
    pub fn ready_ns(&self) -> Option<i64> {
        let (end, delay_ns) = (self.end?, self.run_delay_ns?);
        Some(end.ns.saturating_sub_unsigned(delay_ns).max(self.start.ns))
    }
}
