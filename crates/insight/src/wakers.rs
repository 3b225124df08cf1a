//! Who woke how often, in bounded memory.

use std::collections::HashMap;

use crate::wait::Waker;

/// Wakers told apart; a server has a goroutine for each request.
const MANY: usize = 256;

/// How often each waker woke. Of many, the rarer ones are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wakers {
    counts: HashMap<Waker, u64>,
    others: u64,
}

impl Wakers {
    /// Counts one.
    pub fn add(&mut self, waker: Waker) {
        if self.counts.len() >= MANY && !self.counts.contains_key(&waker) {
            self.put_rarer_half_together();
        }
        let count = self.counts.entry(waker).or_default();
        *count = count.saturating_add(1);
    }

    /// Who woke most often, and how often: at least so often where [`others`](Self::others) are not told apart.
    #[must_use]
    pub fn top(&self) -> Option<(Waker, u64)> {
        // Of equals always the same one, so that a table is calm.
        let most = self.counts.iter().max_by_key(|(waker, count)| (**count, std::cmp::Reverse(**waker)));
        most.map(|(waker, count)| (*waker, *count))
    }

    /// Wakers with their counts, the most frequent first.
    #[must_use]
    pub fn ranked(&self) -> Vec<(Waker, u64)> {
        let mut ranked: Vec<_> = self.counts.iter().map(|(waker, count)| (*waker, *count)).collect();
        ranked.sort_unstable_by_key(|(waker, count)| (std::cmp::Reverse(*count), *waker));
        ranked
    }

    /// Wakes whose wakers are not told apart.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    fn put_rarer_half_together(&mut self) {
        for (waker, count) in self.ranked().drain(MANY / 2..) {
            self.counts.remove(&waker);
            self.others = self.others.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(wakers.top(), Some((goroutine(0), 10_000)));
        let told_apart: u64 = wakers.ranked().iter().map(|(_, count)| count).sum();
        assert_eq!(told_apart + wakers.others(), 20_000);
        assert!(wakers.ranked().len() <= MANY);
    }

    #[test]
    fn of_equals_the_first_is_named() {
        let mut wakers = Wakers::default();
        assert_eq!(wakers.top(), None);
        [Waker::Timer, goroutine(9), goroutine(3)].into_iter().for_each(|waker| wakers.add(waker));
        assert_eq!(wakers.top(), Some((goroutine(3), 1)));
    }
}
