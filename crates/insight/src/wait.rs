//! One wait, as it is counted.

use std::borrow::Cow;
use std::sync::Arc;

use syncline_event::Kind;

use crate::call::{CallStack, Frame};
use crate::state::StateTimes;

/// One wait of a goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which one.
    pub id: WaitId,
    /// Why it waited, in the runtime's words.
    pub reason: Cow<'static, str>,
    /// Where.
    pub stack: Arc<CallStack>,
    /// It is a part of another one that is counted, see [`is_in_c`](crate::is_in_c).
    pub is_inside: bool,
    /// How long, by state.
    pub times: StateTimes,
    /// It was found going on at what is its begin here: it began before, and is longer.
    pub began_before: bool,
    /// Who ended it.
    pub waker: Waker,
    /// Where in its code that goroutine did it, if known.
    pub waker_site: Option<Arc<Frame>>,
}

/// Tells a wait from all others of a machine, and is the same while it goes on and when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitId {
    /// Process id.
    pub pid: u32,
    /// What waits.
    pub kind: Kind,
    /// Its goroutine.
    pub goid: u64,
    /// Its thread.
    pub tid: u32,
    /// When it began, CLOCK_MONOTONIC ns.
    pub start_mono_ns: u64,
}

/// Who made a goroutine ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waker {
    /// Another goroutine, of the same process.
    Goroutine {
        /// The process.
        pid: u32,
        /// Its goroutine id.
        goid: u64,
    },
    /// The network poller.
    Poller,
    /// The runtime outside of any goroutine: a timer, mostly.
    Timer,
    /// Nobody needed to: a call returned.
    Return,
    /// It was not seen.
    Unseen,
}
