//! When to probe.

use std::time::Duration;

/// A short burst after each connection, for a first good estimate, then one probe each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval: Duration,
}

const BURST: u64 = 8;
const BURST_INTERVAL: Duration = Duration::from_millis(100);

impl Schedule {
    /// One probe each `interval`, once the burst is over.
    pub fn every(interval: Duration) -> Self {
        Self { interval }
    }

    /// How long to wait after probe `number` (from 0) of a connection.
    pub(super) fn pause_after(self, number: u64) -> Duration {
        if number + 1 < BURST { BURST_INTERVAL.min(self.interval) } else { self.interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_interval() {
        let schedule = Schedule::every(Duration::from_secs(1));
        let pauses: Vec<u128> = (0..10).map(|number| schedule.pause_after(number).as_millis()).collect();
        assert_eq!(pauses, [100, 100, 100, 100, 100, 100, 100, 1_000, 1_000, 1_000]);
        assert_eq!(Schedule::every(Duration::from_millis(5)).pause_after(0), Duration::from_millis(5));
    }
}
