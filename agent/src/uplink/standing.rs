//! Which aggregator is in use, after what failed and what worked.
//!
//! ```text
//! in use, works ── fails ──► failing ── for a while ──► the next one is in use, around
//!       ▲  ▲                    │
//!       │  └──── works ─────────┘
//!       └── one that is preferred has answered for a while
//! ```

use std::time::{Duration, Instant};

/// When to change to another aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switching {
    /// To the next one, when the one in use has failed for so long: a restart is ridden out, since each change costs a clock
    /// model.
    pub after_failing: Duration,
    /// Back to a preferred one, when that has answered for so long.
    pub after_answering: Duration,
    /// How often a preferred one is asked.
    pub ask_every: Duration,
}

impl Default for Switching {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { after_failing: seconds(3), after_answering: seconds(30), ask_every: seconds(5) }
    }
}

/// The rank of the aggregator in use, and how it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    count: usize,
    after_failing: Duration,
    rank: usize,
    failing_since: Option<Instant>,
}

impl Standing {
    /// The preferred one of `count`.
    pub(super) fn new(count: usize, switching: Switching) -> Self {
        Self { count, after_failing: switching.after_failing, rank: 0, failing_since: None }
    }

    /// The rank of the one in use.
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// It could not be reached, or broke off; whether another one is in use now.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let since = *self.failing_since.get_or_insert(now);
        let moves = self.count > 1 && now.saturating_duration_since(since) >= self.after_failing;
        if moves {
            (self.rank, self.failing_since) = ((self.rank + 1) % self.count, None);
        }
        moves
    }

    /// It took a batch. That it is connected says little: one that is stopping takes connections, too.
    pub(super) fn worked(&mut self) {
        self.failing_since = None;
    }

    /// A preferred one is in use from here on.
    pub(super) fn go_back(&mut self, rank: usize) {
        (self.rank, self.failing_since) = (rank, None);
    }
}

/// Since when each of those preferred to the one in use answers.
#[derive(Clone, Debug)]
pub(super) struct Answering {
    since: Vec<Option<Instant>>,
    long_enough: Duration,
}

impl Answering {
    /// None of `count` has answered yet.
    pub(super) fn new(count: usize, switching: Switching) -> Self {
        Self { since: vec![None; count], long_enough: switching.after_answering }
    }

    /// The one of `rank` was asked; whether it has answered, each time, for long enough.
    pub(super) fn asked(&mut self, rank: usize, answers: bool, now: Instant) -> bool {
        let Some(since) = self.since.get_mut(rank) else { return false };
        *since = answers.then(|| since.unwrap_or(now));
        since.is_some_and(|since| now.saturating_duration_since(since) >= self.long_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_next_one_is_used_after_a_while_of_failing_and_around() {
        let start = Instant::now();
        let mut standing = Standing::new(2, Switching::default());
        assert!(!standing.failed(start) && !standing.failed(start + seconds(2)));
        assert!(standing.failed(start + seconds(3)));
        assert_eq!(standing.rank(), 1);
        assert!(!standing.failed(start + seconds(4)), "it has its own time");
        assert!(standing.failed(start + seconds(7)));
        assert_eq!(standing.rank(), 0);
    }

    #[test]
    fn what_works_in_between_begins_the_time_anew() {
        let start = Instant::now();
        let mut standing = Standing::new(2, Switching::default());
        assert!(!standing.failed(start));
        standing.worked();
        assert!(!standing.failed(start + seconds(10)));
        assert!(standing.failed(start + seconds(13)));
        standing.go_back(0);
        assert_eq!(standing.rank(), 0);
        assert!(!standing.failed(start + seconds(14)));
    }

    #[test]
    fn the_only_one_stays() {
        let start = Instant::now();
        let mut standing = Standing::new(1, Switching::default());
        assert!((0..100).all(|second| !standing.failed(start + seconds(second))));
    }

    #[test]
    fn one_silence_begins_the_time_of_answering_anew() {
        let start = Instant::now();
        let mut answering = Answering::new(2, Switching::default());
        assert!(!answering.asked(0, true, start) && !answering.asked(1, true, start + seconds(20)));
        assert!(!answering.asked(0, false, start + seconds(25)));
        assert!(!answering.asked(0, true, start + seconds(30)));
        assert!(answering.asked(1, true, start + seconds(50)));
        assert!(!answering.asked(0, true, start + seconds(59)) && answering.asked(0, true, start + seconds(60)));
        assert!(!answering.asked(2, true, start + seconds(90)), "nobody's rank");
    }
}
