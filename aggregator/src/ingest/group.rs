//! Which records of the spool go into the store together. Pure: records in, groups out.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// What one group may hold. A record that is beyond all of it by itself is a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Records.
    pub(crate) records: usize,
    /// Rows of all tables: an insert of more than [`syncline_store::MAX_BLOCK_ROWS`] would not be one block.
    pub(crate) rows: usize,
    /// Bytes of the batches without compression, which is what they take in memory, about.
    pub(crate) bytes: usize,
    /// Days of their events, each of which is a partition: ClickHouse takes 100 in one insert.
    pub(crate) days: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: 1_024, rows: 500_000, bytes: 64 << 20, days: 62 }
    }
}

/// What a batch brings with it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Rows, at most.
    pub(crate) rows: usize,
    /// Bytes without compression.
    pub(crate) bytes: usize,
    /// Days of its events and of itself, since 1970.
    pub(crate) days: RangeInclusive<u32>,
}

/// A group that is being gathered.
#[derive(Debug)]
pub(crate) struct Gathering {
    limits: Limits,
    records: usize,
    rows: usize,
    bytes: usize,
    days: BTreeSet<u32>,
}

impl Gathering {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, records: 0, rows: 0, bytes: 0, days: BTreeSet::new() }
    }

    /// Takes the next record, if it fits; the first one always does. One that does not begins the next group.
    pub(crate) fn take(&mut self, load: &Load) -> bool {
        let (rows, bytes) = (self.rows.saturating_add(load.rows), self.bytes.saturating_add(load.bytes));
        let is_beyond = self.records >= self.limits.records || rows > self.limits.rows || bytes > self.limits.bytes;
        if self.records > 0 && (is_beyond || self.days_with(&load.days) > self.limits.days) {
            return false;
        }
        (self.records, self.rows, self.bytes) = (self.records + 1, rows, bytes);
        self.days.extend(load.days.clone());
        true
    }

    /// Whether it may not take any more, whatever comes.
    pub(crate) fn is_full(&self) -> bool {
        self.records >= self.limits.records || self.rows >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    fn days_with(&self, days: &RangeInclusive<u32>) -> usize {
        let new = days.clone().filter(|day| !self.days.contains(day)).count();
        self.days.len() + new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { records: 4, rows: 100, bytes: 1_000, days: 3 };

    fn load(rows: usize, bytes: usize, days: RangeInclusive<u32>) -> Load {
        Load { rows, bytes, days }
    }

    /// How many records each group has.
    fn groups(loads: &[Load]) -> Vec<Vec<Load>> {
        let mut groups: Vec<Vec<Load>> = Vec::new();
        let mut gathering = Gathering::new(LIMITS);
        for load in loads {
            let is_taken = gathering.take(load);
            if !is_taken {
                gathering = Gathering::new(LIMITS);
                assert!(gathering.take(load), "the first one fits");
            }
            if !is_taken || groups.is_empty() {
                groups.push(Vec::new());
            }
            groups.last_mut().unwrap().push(load.clone());
        }
        groups
    }

    fn sizes(loads: &[Load]) -> Vec<usize> {
        groups(loads).iter().map(Vec::len).collect()
    }

    #[test]
    fn each_limit_ends_a_group() {
        assert_eq!(sizes(&vec![load(1, 1, 1..=1); 10]), [4, 4, 2]);
        assert_eq!(sizes(&vec![load(50, 1, 1..=1); 5]), [2, 2, 1]);
        assert_eq!(sizes(&vec![load(1, 400, 1..=1); 5]), [2, 2, 1]);
        let days = [load(1, 1, 1..=2), load(1, 1, 2..=3), load(1, 1, 3..=4), load(1, 1, 4..=4)];
        assert_eq!(sizes(&days), [2, 2]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_a_group_by_itself() {
        let large = [load(1, 1, 1..=1), load(500, 5_000, 1..=31), load(1, 1, 1..=1)];
        assert_eq!(sizes(&large), [1, 1, 1]);
        let mut gathering = Gathering::new(LIMITS);
        assert!(!gathering.is_full());
        gathering.take(&large[1]);
        assert!(gathering.is_full());
    }

    proptest! {
        #[test]
        fn groups_have_all_records_in_order_within_the_limits(loads in prop::collection::vec((0..150_usize, 0..1_500_usize, 0..6_u32, 0..4_u32), 0..60)) {
            let loads: Vec<_> = loads.into_iter().map(|(rows, bytes, day, more)| load(rows, bytes, day..=day + more)).collect();
            let groups = groups(&loads);
            let rows = |loads: &[Load]| loads.iter().map(|load| load.rows).collect::<Vec<_>>();
            prop_assert_eq!(rows(&groups.concat()), rows(&loads));
            for group in groups.iter().filter(|group| group.len() > 1) {
                let days: BTreeSet<u32> = group.iter().flat_map(|load| load.days.clone()).collect();
                prop_assert!(group.len() <= LIMITS.records && days.len() <= LIMITS.days);
                prop_assert!(rows(group).iter().sum::<usize>() <= LIMITS.rows);
                prop_assert!(group.iter().map(|load| load.bytes).sum::<usize>() <= LIMITS.bytes);
            }
        }
    }
}
