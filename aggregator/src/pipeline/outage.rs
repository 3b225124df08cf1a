//! One line when the store stops taking rows and one when it takes them again, however many inserts wait meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An outage is over when an insert succeeds and none has failed for so long: longer than the longest pause between
/// two attempts, so that one missing table among others does not begin and end an outage with every batch.
const QUIET: Duration = Duration::from_secs(10);

/// Whether the store takes rows, as far as the last inserts could tell.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Down>>);

#[derive(Debug)]
struct Down {
    since: Instant,
    last: Instant,
    failures: u64,
}

impl Outage {
    /// An insert failed at `now` in a way that may pass.
    pub(crate) fn failed(&self, store: &str, error: &str, now: Instant) {
        let mut state = self.lock();
        if let Some(down) = state.as_mut() {
            down.failures += 1;
            down.last = now;
            tracing::debug!(store, error, failures = down.failures, "insert failed again");
            return;
        }
        *state = Some(Down { since: now, last: now, failures: 1 });
        tracing::warn!(
            store,
            error,
            "ClickHouse does not take rows. It is tried again, and what is acknowledged waits in the spool; mend it there"
        );
    }

    /// An insert succeeded at `now`.
    pub(crate) fn succeeded(&self, store: &str, now: Instant) {
        let over = self.lock().take_if(|down| now.saturating_duration_since(down.last) >= QUIET);
        if let Some(down) = over {
            let seconds = (down.last - down.since).as_secs_f64();
            tracing::info!(store, failures = down.failures, seconds, "ClickHouse takes rows again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Down>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_outage_are_counted_together_until_it_is_quiet() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        outage.failed("db", "connection refused", at(0));
        outage.succeeded("db", at(1));
        outage.failed("db", "connection refused", at(5));
        assert_eq!(outage.lock().as_ref().unwrap().failures, 2, "one success between failures ends nothing");
        outage.succeeded("db", at(15));
        assert!(outage.lock().is_none());
    }
}
