//! Whether this process may still write for its partitions.
//!
//! A process that was stopped (SIGSTOP) for longer than its group waits for it is no member any more, and does not know.
//! What it was about to write another one has written. So whoever writes looks first how long ago the thread that speaks with the group was
//! at work: when all threads stood still, that shows it before that thread has had its turn.
//!
//! A guest that was frozen with its clocks, or a machine that slept, cannot see that here. The broker tells it at the next heartbeat; what it
//! writes until then is kept from being there twice by its tokens alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Lease {
    /// The thread is silent for longer only where something is wrong: it waits for a commit, or all threads stood still.
    held_for: Duration,
    origin: Instant,
    renewed_ms: AtomicU64,
}

impl Lease {
    /// In a group that waits for so long for a silent member.
    pub(crate) fn new(session: Duration, now: Instant) -> Self {
        Self { held_for: session / 2, origin: now, renewed_ms: AtomicU64::new(0) }
    }

    /// The thread is at work. Where the lease was lost before that, what is under way is to be recalled first.
    pub(crate) fn renew(&self, now: Instant) {
        self.renewed_ms.store(self.ms(now), Ordering::Release);
    }

    /// Whether the thread was at work a short time ago.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        let silent_ms = self.ms(now).saturating_sub(self.renewed_ms.load(Ordering::Acquire));
        u128::from(silent_ms) < self.held_for.as_millis()
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stood_still_has_lost_it_until_the_thread_is_at_work_again() {
        let start = Instant::now();
        let lease = Lease::new(Duration::from_secs(10), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        lease.renew(at(1));
        assert!(lease.is_held(at(5)) && !lease.is_held(at(6)) && !lease.is_held(at(60)));
        lease.renew(at(60));
        assert!(lease.is_held(at(61)));
    }
}
