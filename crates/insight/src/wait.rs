//! One finished wait, as it is counted.

use std::borrow::Cow;
use std::sync::Arc;

use crate::call::CallStack;
use crate::state::StateTimes;

/// One finished wait of a goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Process id.
    pub pid: u32,
    /// Why it waited, in the runtime's words.
    pub reason: Cow<'static, str>,
    /// Where.
    pub stack: Arc<CallStack>,
    /// How long, by state.
    pub times: StateTimes,
    /// Who ended it.
    pub waker: Waker,
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
    /// It was not seen.
    Unseen,
}
