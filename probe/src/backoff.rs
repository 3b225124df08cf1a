//! Waiting times between attempts that fail.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles from 0.2 s to 10 s, each time shortened by up to half at random, so that a fleet does not return as one.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// How long to wait before the next attempt.
    pub fn after_failure(&mut self) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(LONGEST);
        full / 2 + (full / 2).mul_f64(random_share())
    }

    /// Something worked: start again from the shortest time.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Evenly spread in [0, 1). The standard library seeds each `RandomState` anew, which is all the randomness needed here.
fn random_share() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest_and_keeps_at_least_half() {
        let mut backoff = Backoff::default();
        let mut full = FIRST;
        for _ in 0..20 {
            let wait = backoff.after_failure();
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.after_failure() <= FIRST);
    }
}
