//! What the store has already: thousands of nodes run the same builds.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys of rows known to be in the store, in two generations: the older one is forgotten when the younger one has half of the lifetime
/// or of the room. Forgetting a key costs a row that the store merges away, or a look into the store; and a store that has lost
/// a row gets it again.
#[derive(Debug)]
pub(crate) struct Seen {
    keys: Mutex<Generations>,
    capacity: usize,
    lifetime: Duration,
}

#[derive(Debug)]
struct Generations {
    young: HashSet<u64>,
    old: HashSet<u64>,
    since: Instant,
}

impl Seen {
    /// At most `capacity` keys, each for `lifetime` at most.
    pub(crate) fn new(capacity: usize, lifetime: Duration) -> Self {
        let keys = Generations { young: HashSet::new(), old: HashSet::new(), since: Instant::now() };
        Self { keys: Mutex::new(keys), capacity, lifetime }
    }

    /// Those of `keys` that may be missing in the store at `now`, and their places.
    pub(crate) fn missing(&self, keys: impl Iterator<Item = u64>, now: Instant) -> Vec<(usize, u64)> {
        let seen = self.grown(0, now);
        keys.enumerate().filter(|(_, key)| !seen.contains(*key)).collect()
    }

    /// The rows of `keys` are in the store at `now`.
    pub(crate) fn stored(&self, keys: &[u64], now: Instant) {
        let mut seen = self.grown(keys.len(), now);
        let room = (self.capacity / 2).saturating_sub(seen.young.len());
        seen.young.extend(keys.iter().take(room));
    }

    /// The generations at `now`, with room for so many more.
    fn grown(&self, more: usize, now: Instant) -> MutexGuard<'_, Generations> {
        let mut seen = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        while now.saturating_duration_since(seen.since) >= self.lifetime / 2 {
            seen.since += self.lifetime / 2;
            seen.turn();
            if seen.young.is_empty() && seen.old.is_empty() {
                seen.since = now;
            }
        }
        if seen.young.len().saturating_add(more) > self.capacity / 2 {
            seen.turn();
        }
        seen
    }
}

impl Generations {
    fn contains(&self, key: u64) -> bool {
        self.young.contains(&key) || self.old.contains(&key)
    }

    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn places(seen: &Seen, keys: &[u64], now: Instant) -> Vec<usize> {
        seen.missing(keys.iter().copied(), now).into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn only_what_was_stored_is_left_out() {
        let (seen, now) = (Seen::new(10, HOUR), Instant::now());
        assert_eq!(seen.missing([7, 8].into_iter(), now), [(0, 7), (1, 8)]);
        seen.stored(&[7], now);
        assert_eq!(seen.missing([7, 8].into_iter(), now), [(1, 8)]);
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let (seen, now) = (Seen::new(6, HOUR), Instant::now());
        for key in 0..100 {
            seen.stored(&[key, key + 1, key + 2, key + 3, key + 4], now);
            let held = seen.grown(0, now);
            assert!(held.young.len() + held.old.len() <= 6);
        }
    }

    #[test]
    fn a_key_is_forgotten_after_its_lifetime_and_not_before_half_of_it() {
        let (seen, start) = (Seen::new(10, HOUR), Instant::now());
        seen.stored(&[7], start);
        assert!(places(&seen, &[7], start + HOUR / 2 - Duration::from_secs(1)).is_empty());
        seen.stored(&[8], start + HOUR * 3 / 4);
        assert_eq!(places(&seen, &[7, 8], start + HOUR), [0]);
        assert_eq!(places(&seen, &[7, 8], start + HOUR * 100), [0, 1]);
    }
}
