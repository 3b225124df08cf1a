//! A goroutine's time by state at a moment, and how it grew since another.

use syncline_bpf::states::{BLOCKED_REASONS, GoroutineTimes, State};

/// What came to a goroutine's, or a process's, time by state. Signed: what was in which state last is known better afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Growth {
    /// Running, runnable, in system calls, in C code.
    pub(super) state_ns: [i64; 4],
    /// By reason, 0 for those that are not told apart: how often and how long.
    pub(super) blocked: Vec<(u8, i64, i64)>,
    pub(super) runs: i64,
    pub(super) handoffs: i64,
}

/// Whether the parts sum up to the whole: they were not being changed while they were read.
pub(super) fn is_whole(times: &GoroutineTimes) -> bool {
    times.first_mono_ns.checked_add(sum_ns(times)) == Some(times.since_mono_ns)
}

/// All the time in any state.
pub(super) fn sum_ns(times: &GoroutineTimes) -> u64 {
    times.state_ns.iter().chain(&times.blocked_ns).fold(0, |sum, ns| sum.saturating_add(*ns))
}

/// The times with that in the present state up to a moment, which is in a system call since `in_call_since` if there it runs;
/// `since_mono_ns` remains the begin of the state.
pub(super) fn until(mut times: GoroutineTimes, at_mono_ns: u64, in_call_since: Option<u64>) -> GoroutineTimes {
    let call = in_call_since.filter(|&call| times.state == State::Running && call >= times.since_mono_ns);
    if let Some(call) = call.filter(|&call| call <= at_mono_ns) {
        add(&mut times, call);
        times.state = State::Syscall;
        times.since_mono_ns = call;
    }
    add(&mut times, at_mono_ns);
    times
}

/// As `close_state` of c/states.h does it.
fn add(times: &mut GoroutineTimes, at_mono_ns: u64) {
    let ns = at_mono_ns.saturating_sub(times.since_mono_ns);
    let index = match times.state {
        State::Running => 0,
        State::Runnable => 1,
        State::Syscall => 2,
        State::Cgo => 3,
        State::Blocked(reason) => {
            let place = place(times, reason);
            times.blocked_ns[place] = times.blocked_ns[place].saturating_add(ns);
            times.blocked_count[place] += 1;
            return;
        }
    };
    times.state_ns[index] = times.state_ns[index].saturating_add(ns);
}

fn place(times: &mut GoroutineTimes, reason: u8) -> usize {
    let used = usize::from(times.reasons_used).min(BLOCKED_REASONS);
    match times.reasons[..used].iter().position(|known| *known == reason) {
        Some(place) => place,
        None if used < BLOCKED_REASONS => {
            times.reasons[used] = reason;
            times.reasons_used += 1;
            used
        }
        None => BLOCKED_REASONS,
    }
}

/// Of each reason its number (0 for those that are not told apart), how often, how long in ns.
pub(super) fn blocked(times: &GoroutineTimes) -> impl Iterator<Item = (u8, u64, u64)> {
    let reason = |place: usize| times.reasons.get(place).copied().unwrap_or(0);
    let all =
        (0..=BLOCKED_REASONS).map(move |place| (reason(place), times.blocked_count[place], times.blocked_ns[place]));
    all.filter(|(_, count, _)| *count > 0)
}

impl Growth {
    /// From an earlier reading of the same goroutine, if there was one.
    pub(super) fn of(now: &GoroutineTimes, before: Option<&GoroutineTimes>) -> Self {
        let mut growth = Self::default();
        growth.change_by(now, 1);
        if let Some(before) = before {
            growth.change_by(before, -1);
        }
        growth
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.state_ns.iter_mut().zip(other.state_ns) {
            *mine = mine.saturating_add(theirs);
        }
        other.blocked.iter().for_each(|&(reason, count, ns)| self.add_blocked(reason, count, ns));
        self.runs = self.runs.saturating_add(other.runs);
        self.handoffs = self.handoffs.saturating_add(other.handoffs);
    }

    pub(super) fn add_blocked(&mut self, reason: u8, count: i64, ns: i64) {
        match self.blocked.iter_mut().find(|(known, _, _)| *known == reason) {
            Some((_, known_count, known_ns)) => {
                *known_count = known_count.saturating_add(count);
                *known_ns = known_ns.saturating_add(ns);
            }
            None => self.blocked.push((reason, count, ns)),
        }
    }

    fn change_by(&mut self, times: &GoroutineTimes, sign: i64) {
        let signed = |number: u64| sign.saturating_mul(i64::try_from(number).unwrap_or(i64::MAX));
        let states = Self {
            state_ns: times.state_ns.map(signed),
            blocked: blocked(times).map(|(reason, count, ns)| (reason, signed(count), signed(ns))).collect(),
            runs: signed(times.runs),
            handoffs: signed(times.handoffs),
        };
        self.add(&states);
    }

    /// What can be told of it: the positive parts. The negative ones stay, to be made good by what comes.
    pub(super) fn take_told(&mut self) -> Self {
        let take = |part: &mut i64| std::mem::replace(part, (*part).min(0)).max(0);
        let told = Self {
            state_ns: self.state_ns.each_mut().map(take),
            blocked: self.blocked.iter_mut().map(|(reason, count, ns)| (*reason, take(count), take(ns))).collect(),
            runs: take(&mut self.runs),
            handoffs: take(&mut self.handoffs),
        };
        self.blocked.retain(|(_, count, ns)| *count != 0 || *ns != 0);
        told
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn goroutine(first_mono_ns: u64, state: State) -> GoroutineTimes {
        GoroutineTimes {
            goid: Some(7),
            first_mono_ns,
            first_wall_ns: 1,
            start_seen: true,
            since_mono_ns: first_mono_ns,
            state,
            state_ns: [0; 4],
            reasons: [0; BLOCKED_REASONS],
            reasons_used: 0,
            blocked_ns: [0; BLOCKED_REASONS + 1],
            blocked_count: [0; BLOCKED_REASONS + 1],
            runs: 0,
            handoffs: 0,
            tid: 1,
            epoch: 1,
        }
    }

    #[test]
    fn the_open_part_counts_to_the_present_state() {
        let times = until(goroutine(100, State::Blocked(14)), 250, None);
        assert_eq!(blocked(&times).collect::<Vec<_>>(), [(14, 1, 150)]);
        assert_eq!((sum_ns(&times), times.since_mono_ns), (150, 100));
    }

    #[test]
    fn a_running_goroutine_is_in_the_call_that_its_thread_is_in() {
        let times = until(goroutine(100, State::Running), 250, Some(160));
        assert_eq!((times.state_ns, times.state, times.since_mono_ns), ([60, 0, 90, 0], State::Syscall, 160));
        // A call that began before the goroutine ran is not its own, and one after the moment is not yet.
        for call in [99, 251] {
            assert_eq!(until(goroutine(100, State::Running), 250, Some(call)).state_ns, [150, 0, 0, 0]);
        }
        assert_eq!(until(goroutine(100, State::Runnable), 250, Some(160)).state_ns, [0, 150, 0, 0]);
    }

    #[test]
    fn reasons_beyond_those_told_apart_share_a_place() {
        let mut times = goroutine(0, State::Running);
        for reason in 1..=10_u8 {
            times.state = State::Blocked(reason);
            times.since_mono_ns = 0;
            times = until(times, 10, None);
        }
        let all: Vec<_> = blocked(&times).collect();
        assert_eq!(all.len(), BLOCKED_REASONS + 1);
        assert_eq!(all[BLOCKED_REASONS], (0, 4, 40));
    }

    #[test]
    fn what_grew_is_what_came_since() {
        let before = until(goroutine(100, State::Blocked(14)), 200, None);
        let now = until(goroutine(100, State::Blocked(14)), 260, None);
        assert_eq!(Growth::of(&now, Some(&before)).blocked, [(14, 0, 60)]);
        assert_eq!(Growth::of(&now, None).blocked, [(14, 1, 160)]);
    }

    #[test]
    fn a_negative_part_is_made_good_later() {
        let mut sum = Growth { state_ns: [-5, 7, 0, 0], blocked: vec![(3, 1, -2)], ..Growth::default() };
        let told = sum.take_told();
        assert_eq!((told.state_ns, told.blocked), ([0, 7, 0, 0], vec![(3, 1, 0)]));
        sum.add(&Growth { state_ns: [9, 0, 0, 0], blocked: vec![(3, 0, 5)], ..Growth::default() });
        let told = sum.take_told();
        assert_eq!((told.state_ns, told.blocked), ([4, 0, 0, 0], vec![(3, 0, 3)]));
        assert_eq!(sum.take_told().blocked, []);
    }

    #[test]
    fn a_reading_in_the_middle_of_a_change_is_found_out() {
        let mut times = goroutine(100, State::Running);
        assert!(is_whole(&times));
        times.since_mono_ns = 150;
        assert!(!is_whole(&times));
        times.state_ns[0] = 50;
        assert!(is_whole(&times));
    }
}
