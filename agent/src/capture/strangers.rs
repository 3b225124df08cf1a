//! Processes that nobody observes and that the kernel side keeps books of all the same: those that ended before they were looked at,
//! of a binary that has probes, and those that could not be observed. Nothing else would ever clear their entries away.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// They are looked for this often, and at most for 1 % of the time.
const EVERY: Duration = Duration::from_secs(10);
const PAUSE: u32 = 99;

/// Those that were met the last time. Whoever is met twice is no newcomer that is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    met: HashSet<u32>,
    next: Option<Instant>,
}

impl Strangers {
    /// Whether it is time to look for them.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// Those of these that were met before, too.
    pub(super) fn meet(&mut self, met: HashSet<u32>) -> Vec<u32> {
        let again = met.intersection(&self.met).copied().collect();
        self.met = met;
        again
    }

    /// They were looked for.
    pub(super) fn looked(&mut self, began: Instant) {
        self.next = Some(Instant::now() + EVERY.max(began.elapsed() * PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_met_twice_in_a_row_is_no_newcomer() {
        let mut strangers = Strangers::default();
        assert!(strangers.meet(HashSet::from([1, 2])).is_empty());
        assert_eq!(strangers.meet(HashSet::from([2, 3])), [2]);
        assert!(strangers.meet(HashSet::from([1])).is_empty());
    }

    #[test]
    fn they_are_looked_for_now_and_then() {
        let (mut strangers, began) = (Strangers::default(), Instant::now());
        assert!(strangers.is_due(began));
        strangers.looked(began);
        assert!(!strangers.is_due(began + EVERY / 2) && strangers.is_due(began + 2 * EVERY));
    }
}
