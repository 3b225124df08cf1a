//! Sums of short waits since the last batch.

use std::collections::HashMap;
use std::sync::Arc;

use syncline_event::{Kind, ONCE_MILLI, Process, ShortWaits, limits};

use super::index::Indices;
use super::wait::{ProcessKey, process_key};

/// Waits below the threshold: how many, how long together, and how long each by powers of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortSum {
    /// How many.
    pub count: u64,
    /// Their durations together, ns.
    pub total_ns: u64,
    /// Bucket i counts waits of [2^i, 2^(i+1)) ns.
    pub histogram: Vec<u64>,
}

/// What sums are of: only those that agree in it are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShortWhat {
    /// What waited.
    pub kind: Kind,
    /// Wait reason by Go's own name; name of the system call.
    pub reason: &'static str,
    /// How many such sums it stands for, in thousandths.
    pub weight_milli: u32,
    /// Parts of waits that lay in windows of observation.
    pub is_parts: bool,
}

impl ShortWhat {
    /// Of a process that is observed all the time.
    pub fn new(kind: Kind, reason: &'static str) -> Self {
        Self { kind, reason, weight_milli: ONCE_MILLI, is_parts: false }
    }
}

/// Sums by process, kind and reason.
#[derive(Debug, Default)]
pub(super) struct ShortSums {
    sums: HashMap<Key, (Arc<Process>, ShortSum)>,
}

type Key = (ProcessKey, ShortWhat);

/// All the places of a batch are taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom {
    /// Waits that found no place.
    pub(super) count: u64,
}

impl ShortSums {
    pub(super) fn add(&mut self, process: Arc<Process>, what: ShortWhat, sum: &ShortSum) -> Result<(), NoRoom> {
        let key = (process_key(&process), what);
        if self.sums.len() >= limits::DICTIONARY && !self.sums.contains_key(&key) {
            return Err(NoRoom { count: sum.count });
        }
        self.sums.entry(key).or_insert_with(|| (process, ShortSum::default())).1.add(sum);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    pub(super) fn take(
        &mut self,
        processes: &mut Indices<ProcessKey, Arc<Process>>,
        reasons: &mut Indices<&'static str, &'static str>,
    ) -> Vec<ShortWaits> {
        let row = |((key, what), (process, sum)): (Key, (Arc<Process>, ShortSum))| ShortWaits {
            process: processes.index(key, || process),
            kind: what.kind,
            reason: reasons.index(what.reason, || what.reason),
            weight_milli: what.weight_milli,
            is_parts: what.is_parts,
            count: sum.count,
            total_ns: sum.total_ns,
            histogram: sum.histogram,
        };
        self.sums.drain().map(row).collect()
    }
}

impl ShortSum {
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        let len = self.histogram.len().max(other.histogram.len()).min(limits::HISTOGRAM_BUCKETS);
        self.histogram.resize(len, 0);
        for (mine, theirs) in self.histogram.iter_mut().zip(&other.histogram) {
            *mine = mine.saturating_add(*theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_up_bucket_by_bucket() {
        let mut sum = ShortSum { count: 1, total_ns: 5, histogram: vec![1] };
        sum.add(&ShortSum { count: 2, total_ns: 7, histogram: vec![0, 2] });
        assert_eq!(sum, ShortSum { count: 3, total_ns: 12, histogram: vec![1, 2] });
    }
}
