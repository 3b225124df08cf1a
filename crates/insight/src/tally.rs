//! Which came how often, in bounded memory.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

/// How often each thing came. `MANY` are told apart; of more, the rarer ones are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<T: Eq + Hash, const MANY: usize> {
    counts: HashMap<T, u64>,
    others: u64,
}

impl<T: Eq + Hash, const MANY: usize> Default for Tally<T, MANY> {
    fn default() -> Self {
        Self { counts: HashMap::new(), others: 0 }
    }
}

impl<T: Clone + Ord + Hash, const MANY: usize> Tally<T, MANY> {
    /// Counts one.
    pub fn add(&mut self, one: T) {
        if self.counts.len() >= MANY && !self.counts.contains_key(&one) {
            self.put_rarer_half_together();
        }
        let count = self.counts.entry(one).or_default();
        *count = count.saturating_add(1);
    }

    /// Which came most often, and how often: at least so often where [`others`](Self::others) are not told apart.
    #[must_use]
    pub fn top(&self) -> Option<(&T, u64)> {
        // Of equals always the same one, so that a table is calm.
        let most = self.counts.iter().max_by_key(|(one, count)| (**count, Reverse(*one)));
        most.map(|(one, count)| (one, *count))
    }

    /// All with their counts, the most frequent first.
    #[must_use]
    pub fn ranked(&self) -> Vec<(T, u64)> {
        let mut ranked: Vec<_> = self.counts.iter().map(|(one, count)| (one.clone(), *count)).collect();
        ranked.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        ranked
    }

    /// Those that are not told apart.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    fn put_rarer_half_together(&mut self) {
        for (one, count) in self.ranked().drain(MANY / 2..) {
            self.counts.remove(&one);
            self.others = self.others.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Waker;

    const MANY: usize = 256;
    type Wakers = Tally<Waker, MANY>;

    fn goroutine(goid: u64) -> Waker {
        Waker::Goroutine { pid: 1, goid }
    }

    #[test]
    fn the_most_frequent_is_known_among_a_crowd_and_every_wake_is_counted() {
        let mut wakers = Wakers::default();
        for goid in 1..=10_000 {
            wakers.add(goroutine(goid));
            wakers.add(goroutine(0));
        }
        assert_eq!(wakers.top(), Some((&goroutine(0), 10_000)));
        let told_apart: u64 = wakers.ranked().iter().map(|(_, count)| count).sum();
        assert_eq!(told_apart + wakers.others(), 20_000);
        assert!(wakers.ranked().len() <= MANY);
    }

    #[test]
    fn of_equals_the_first_is_named() {
        let mut wakers = Wakers::default();
        assert_eq!(wakers.top(), None);
        [Waker::Timer, goroutine(9), goroutine(3)].into_iter().for_each(|waker| wakers.add(waker));
        assert_eq!(wakers.top(), Some((&goroutine(3), 1)));
    }
}
