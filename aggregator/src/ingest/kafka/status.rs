//! What people are shown of the way over Kafka.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How it stands.
#[derive(Debug, Default)]
pub struct Status {
    partitions: AtomicU64,
    lag: AtomicU64,
    under_way: AtomicU64,
}

impl Status {
    /// Partitions that are ours.
    pub fn partitions(&self) -> u64 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Records in them that the group has not committed, as of some seconds ago.
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    pub(super) fn set_partitions(&self, count: usize) {
        self.partitions.store(count as u64, Ordering::Relaxed);
        if count == 0 {
            self.set_lag(0);
        }
    }

    pub(super) fn set_lag(&self, records: u64) {
        self.lag.store(records, Ordering::Relaxed);
    }

    /// Records that were fetched and are not settled.
    pub(super) fn set_under_way(&self, count: usize) {
        self.under_way.store(count as u64, Ordering::Relaxed);
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way = self.under_way.load(Ordering::Relaxed);
        write!(f, "partitions={} lag={} under_way={under_way}", self.partitions(), self.lag())
    }
}
