//! Waits summed up.

use crate::state::{State, StateTimes};

/// Waits that ended, and those that go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Number of waits that ended.
    pub count: u64,
    /// Number of those that go on.
    pub open: u64,
    /// Time of all of them by state.
    pub times: StateTimes,
}

impl Sum {
    /// Those that ended and those that go on.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.count.saturating_add(self.open)
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.open = self.open.saturating_add(other.open);
        self.times.add(&other.times);
    }

    pub(crate) fn add(&mut self, times: &StateTimes) {
        self.count = self.count.saturating_add(1);
        self.times.add(times);
    }

    /// One goes on, for so long until now.
    pub(crate) fn begin_open(&mut self, ns: u64) {
        self.open = self.open.saturating_add(1);
        self.times.add_to(State::Blocked, ns);
    }

    pub(crate) fn grow_open(&mut self, ns: u64) {
        self.times.add_to(State::Blocked, ns);
    }

    /// Takes back what was counted of one that went on.
    pub(crate) fn end_open(&mut self, ns: u64) {
        self.open = self.open.saturating_sub(1);
        self.times.take_from(State::Blocked, ns);
    }
}
