//! Waits below the threshold, of which only sums by reason are known.

use std::collections::BTreeMap;

use syncline_insight::{span, waits};

use super::reason::in_words;
use crate::capture::ShortWait;

/// Sums of short waits by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShortSums(BTreeMap<String, Sum>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    total_ns: u64,
}

impl ShortSums {
    pub(super) fn add(&mut self, short: &ShortWait) {
        let sum = self.0.entry(in_words(short.kind, short.reason).into_owned()).or_default();
        sum.count = sum.count.saturating_add(short.count);
        sum.total_ns = sum.total_ns.saturating_add(short.total_ns);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.values().fold(0, |all, sum| all.saturating_add(sum.count))
    }

    /// `149 waits, 12.1 ms (chan receive 100, select 49)`, the most frequent reasons first; nothing if there were none.
    pub(super) fn text(&self) -> Option<String> {
        const NAMED: usize = 3;
        if self.0.is_empty() {
            return None;
        }
        let total_ns = self.0.values().fold(0_u64, |all, sum| all.saturating_add(sum.total_ns));
        let mut reasons: Vec<_> = self.0.iter().collect();
        reasons.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.count));
        let mut named: Vec<String> =
            reasons.iter().take(NAMED).map(|(reason, sum)| format!("{reason} {}", sum.count)).collect();
        if reasons.len() > NAMED {
            named.push("...".to_owned());
        }
        Some(format!("{}, {} ({})", waits(self.count()), span(total_ns), named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use syncline_event::Kind;

    use super::*;

    #[test]
    fn the_most_frequent_reasons_are_named() {
        let mut sums = ShortSums::default();
        assert_eq!(sums.text(), None);
        for (reason, count) in [("a", 1), ("b", 5), ("c", 3), ("d", 2), ("b", 1)] {
            let histogram = [0; syncline_bpf::HISTOGRAM_BUCKETS];
            let kind = Kind::Goroutine;
            sums.add(&ShortWait {
                tgid: 1,
                kind,
                reason,
                reason_number: 0,
                weight_milli: 1_000,
                is_parts: false,
                count,
                total_ns: 1_000 * count,
                histogram,
            });
        }
        assert_eq!(sums.text().unwrap(), "12 waits, 12.0 µs (b 6, c 3, d 2, ...)");
    }
}
