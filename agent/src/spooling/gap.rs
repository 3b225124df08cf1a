//! Which batches those were that the spool has lost: between two batches of one run their numbers are known.

use syncline_spool::RecordNo;

use crate::queue::BatchId;

/// Records that are lost, one behind the other. It is told of them once a batch behind them is read.
#[derive(Debug, Default)]
pub(super) struct Gap {
    pub(super) first: Option<RecordNo>,
    pub(super) weight: u64,
    records: u64,
}

impl Gap {
    /// More of them.
    pub(super) fn add(&mut self, first: RecordNo, next: RecordNo, weight: u64) {
        self.first.get_or_insert(first);
        self.records = self.records.saturating_add(next.0.saturating_sub(first.0));
        self.weight = self.weight.saturating_add(weight);
    }

    /// Which batches they were, by those right before and behind them: exactly, where both are of one run and as many numbers are
    /// missing. Else of no known run.
    pub(super) fn ids(&self, before: Option<BatchId>, after: BatchId) -> Vec<BatchId> {
        let is_of_one_run = |before: &BatchId| (before.boot, before.run_first_seq) == (after.boot, after.run_first_seq);
        // A run begins with its first sequence number.
        let next = match before.filter(is_of_one_run) {
            Some(before) => before.number.saturating_add(1),
            None => after.run_first_seq,
        };
        let is_exact = after.number.checked_sub(next) == Some(self.records);
        let unknown = self.first.map_or(0, |first| first.0);
        let (run_first_seq, first) = if is_exact { (after.run_first_seq, next) } else { (0, unknown) };
        (0..self.records).map(|place| BatchId { boot: after.boot, run_first_seq, number: first + place }).collect()
    }
}

#[cfg(test)]
mod tests {
    use syncline_timebase::BootId;

    use super::*;

    fn id(run_first_seq: u64, number: u64) -> BatchId {
        BatchId { boot: BootId(1), run_first_seq, number }
    }

    fn numbers(before: Option<BatchId>, after: BatchId) -> Vec<(u64, u64)> {
        let mut gap = Gap::default();
        gap.add(RecordNo(5), RecordNo(6), 10);
        gap.add(RecordNo(6), RecordNo(8), 20);
        assert_eq!((gap.first, gap.weight), (Some(RecordNo(5)), 30));
        gap.ids(before, after).iter().map(|id| (id.run_first_seq, id.number)).collect()
    }

    #[test]
    fn between_two_batches_of_one_run_it_is_known_which_they_were() {
        assert_eq!(numbers(Some(id(100, 107)), id(100, 111)), [(100, 108), (100, 109), (100, 110)]);
        assert_eq!(numbers(Some(id(40, 47)), id(100, 103)), [(100, 100), (100, 101), (100, 102)], "the first of a run");
    }

    #[test]
    fn elsewhere_it_is_not() {
        let unknown = [(0, 5), (0, 6), (0, 7)];
        assert_eq!(numbers(Some(id(100, 107)), id(100, 110)), unknown, "too few numbers are missing");
        assert_eq!(numbers(Some(id(100, 107)), id(100, 112)), unknown, "and too many");
        assert_eq!(numbers(Some(id(40, 47)), id(100, 104)), unknown, "of one run, or of the other");
        assert_eq!(numbers(None, id(100, 104)), unknown);
    }
}
