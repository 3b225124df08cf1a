//! In which state a goroutine's time went.

/// What a goroutine does at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Parked, until something makes it ready.
    Blocked,
    /// Ready to run, and no processor takes it yet: the scheduler's part of a wait.
    Runnable,
    /// Running Go code.
    Running,
    /// In a system call.
    Syscall,
}

impl State {
    /// Every state, in the order of a table's columns.
    pub const ALL: [Self; 4] = [Self::Blocked, Self::Runnable, Self::Running, Self::Syscall];

    /// The name users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Syscall => "syscall",
        }
    }
}

/// Time by state, ns. A state that nobody measured has no time, which is something else than 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTimes([Option<u64>; State::ALL.len()]);

impl StateTimes {
    /// A wait of this length, and how much of it the goroutine was ready but not running. Where that is not known all of it
    /// counts as blocked.
    #[must_use]
    pub fn of_wait(duration_ns: u64, run_delay_ns: Option<u64>) -> Self {
        let runnable = run_delay_ns.map(|ns| ns.min(duration_ns));
        let mut times = Self::default();
        times.add_to(State::Blocked, duration_ns - runnable.unwrap_or(0));
        if let Some(ns) = runnable {
            times.add_to(State::Runnable, ns);
        }
        times
    }

    /// More time in a state, which counts as measured from now on.
    pub fn add_to(&mut self, state: State, ns: u64) {
        let time = &mut self.0[state as usize];
        *time = Some(time.unwrap_or(0).saturating_add(ns));
    }

    /// Takes back what was added to a state.
    pub(crate) fn take_from(&mut self, state: State, ns: u64) {
        let time = &mut self.0[state as usize];
        *time = time.map(|all| all.saturating_sub(ns));
    }

    /// More of everything that `other` has measured.
    pub fn add(&mut self, other: &Self) {
        other.measured().for_each(|(state, ns)| self.add_to(state, ns));
    }

    /// The time in a state, if it was measured.
    #[must_use]
    pub fn get(&self, state: State) -> Option<u64> {
        self.0[state as usize]
    }

    /// The states that were measured with their times, in the order of [`State::ALL`].
    pub fn measured(&self) -> impl Iterator<Item = (State, u64)> + '_ {
        State::ALL.into_iter().filter_map(|state| Some((state, self.get(state)?)))
    }

    /// The length of the wait: blocked and runnable together.
    #[must_use]
    pub fn waited_ns(&self) -> u64 {
        let of = |state| self.get(state).unwrap_or(0);
        of(State::Blocked).saturating_add(of(State::Runnable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_split_and_its_parts_add_up() {
        let times = StateTimes::of_wait(100, Some(30));
        assert_eq!((times.get(State::Blocked), times.get(State::Runnable)), (Some(70), Some(30)));
        assert_eq!(times.waited_ns(), 100);
        assert_eq!(
            StateTimes::of_wait(100, Some(300)).measured().collect::<Vec<_>>(),
            [(State::Blocked, 0), (State::Runnable, 100)]
        );
    }

    #[test]
    fn what_was_not_measured_is_not_zero() {
        let mut times = StateTimes::of_wait(100, None);
        assert_eq!(times.get(State::Runnable), None);
        times.add(&StateTimes::of_wait(10, Some(1)));
        assert_eq!(times.measured().collect::<Vec<_>>(), [(State::Blocked, 109), (State::Runnable, 1)]);
        assert_eq!(times.get(State::Syscall), None);
    }
}
