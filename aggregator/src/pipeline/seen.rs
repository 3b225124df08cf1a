//! Which stacks and symbols the store has already: thousands of nodes run the same builds.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys of rows known to be in the store. Forgetting one costs a row that the store merges away, so when the set is
/// full it is emptied.
#[derive(Debug)]
pub(crate) struct Seen {
    keys: Mutex<HashSet<u64>>,
    capacity: usize,
}

impl Seen {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { keys: Mutex::default(), capacity }
    }

    /// Those of `keys` that may be missing in the store, and their places.
    pub(crate) fn missing(&self, keys: impl Iterator<Item = u64>) -> Vec<(usize, u64)> {
        let seen = self.lock();
        keys.enumerate().filter(|(_, key)| !seen.contains(key)).collect()
    }

    /// The rows of `keys` are in the store.
    pub(crate) fn stored(&self, keys: &[u64]) {
        let mut seen = self.lock();
        if seen.len().saturating_add(keys.len()) > self.capacity {
            seen.clear();
        }
        seen.extend(keys.iter().take(self.capacity));
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_stored_is_left_out() {
        let seen = Seen::new(10);
        assert_eq!(seen.missing([7, 8].into_iter()), [(0, 7), (1, 8)]);
        seen.stored(&[7]);
        assert_eq!(seen.missing([7, 8].into_iter()), [(1, 8)]);
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let seen = Seen::new(3);
        for key in 0..100 {
            seen.stored(&[key, key + 1, key + 2, key + 3, key + 4]);
            assert!(seen.lock().len() <= 3);
        }
    }
}
