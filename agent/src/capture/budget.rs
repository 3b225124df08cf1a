//! So much time and no more for what somebody else can make take long.

use std::time::{Duration, Instant};

/// How many times as long things take where code is not optimized, as in tests.
pub(super) const SLOWNESS: u64 = if cfg!(debug_assertions) { 10 } else { 1 };

/// Time that may be spent in each period.
#[derive(Debug)]
pub(super) struct Budget {
    most: Duration,
    period: Duration,
    since: Option<Instant>,
    spent: Duration,
}

impl Budget {
    pub(super) fn new(most: Duration, period: Duration) -> Self {
        Self { most, period, since: None, spent: Duration::ZERO }
    }

    /// What is left of it now; none where nothing is.
    pub(super) fn left(&mut self, now: Instant) -> Option<Duration> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= self.period) {
            (self.since, self.spent) = (Some(now), Duration::ZERO);
        }
        Some(self.most.saturating_sub(self.spent)).filter(|left| !left.is_zero())
    }

    /// So much was spent.
    pub(super) fn spend(&mut self, time: Duration) {
        self.spent = self.spent.saturating_add(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_more_is_spent_in_a_period_than_may_be() {
        let second = Duration::from_secs(1);
        let (mut budget, begin) = (Budget::new(2 * second, 10 * second), Instant::now());
        assert_eq!(budget.left(begin), Some(2 * second));
        budget.spend(second / 2);
        assert_eq!(budget.left(begin + second), Some(3 * second / 2));
        budget.spend(5 * second);
        assert_eq!(budget.left(begin + 9 * second), None);
        assert_eq!(budget.left(begin + 10 * second), Some(2 * second));
    }
}
