//! What capture did not see, or not in full, beside what was lost.

use std::fmt;

use crate::capture::{Counters, Coverage};

/// What capture did not see, or not in full, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    coverage: Coverage,
    /// Waits that were kept without a part of what belongs to them, by what that is.
    degraded: [(&'static str, u64); 8],
    /// Waits that were seen of processes that are left out, in the moment before or after that was said.
    left_out: u64,
}

impl Gaps {
    pub(super) fn new(coverage: Coverage, counters: &Counters) -> Self {
        let degraded = [
            ("stack_unreadable", counters.stack_unreadable),
            ("kernel_stack_lost", counters.kernel_stack_lost),
            ("library_unopened", counters.library_unopened),
            ("waker_unreadable", counters.waker_fault),
            ("ready_unreadable", counters.netpoll_fault),
            ("labels_unread", counters.labels_unread),
            ("labels_unreadable", counters.labels_fault),
            ("labels_malformed", counters.labels_malformed),
        ];
        let left_out = counters.left_out + counters.sums_left_out + counters.parks_left_out;
        Self { coverage, degraded, left_out }
    }

    /// Waits that were kept without a part of what belongs to them, by what that is.
    pub(super) fn degraded(&self) -> impl Iterator<Item = (&'static str, u64)> {
        // One that has seen nothing has no names either.
        self.degraded.into_iter().filter(|(part, _)| !part.is_empty())
    }
}

/// Each preceded by a blank, to follow a line; nothing where nothing is missing.
impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_sum(f, "skipped", self.coverage.skipped.iter().map(|(reason, count)| (*reason, *count)))?;
        write_sum(f, "without_goroutines", self.coverage.limited.iter().map(|(reason, count)| (*reason, *count)))?;
        write_sum(
            f,
            "hidden",
            (self.coverage.unreadable > 0).then_some(("not_permitted", self.coverage.unreadable as u64)),
        )?;
        write_sum(f, "degraded", self.degraded)?;
        if self.left_out == 0 { Ok(()) } else { write!(f, " left_out={}", self.left_out) }
    }
}

fn write_sum(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    parts: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let parts: Vec<_> = parts.into_iter().filter(|(_, count)| *count > 0).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let total = parts.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let texts: Vec<String> = parts.iter().map(|(reason, count)| format!("{reason}={count}")).collect();
    write!(f, " {name}={total} ({})", texts.join(" "))
}

/// Says what is not observed, again whenever it has become notably more.
#[derive(Debug, Default)]
pub(super) struct CoverageLog {
    told_skipped: u64,
    told_hidden: usize,
}

impl CoverageLog {
    pub(super) fn tell(&mut self, coverage: &Coverage) {
        if self.is_news(coverage) {
            let gaps = Gaps { coverage: coverage.clone(), ..Gaps::default() };
            tracing::info!("processes not observed:{gaps}");
        }
    }

    /// Each further skipped program is news; processes that may not be looked at come and go, so only twice as many are.
    fn is_news(&mut self, coverage: &Coverage) -> bool {
        let skipped = coverage.skipped.values().copied().fold(0, u64::saturating_add);
        let is_news = skipped > self.told_skipped || coverage.unreadable > self.told_hidden.saturating_mul(2);
        if is_news {
            self.told_hidden = self.told_hidden.max(coverage.unreadable);
        }
        self.told_skipped = skipped;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn coverage(skipped: u64, unreadable: usize) -> Coverage {
        Coverage {
            skipped: BTreeMap::from([("garbled", skipped), ("unsupported_version", 1)]),
            limited: BTreeMap::new(),
            unreadable,
        }
    }

    #[test]
    fn what_is_missing_is_told_by_reason_and_nothing_where_nothing_is() {
        assert_eq!(Gaps::default().to_string(), "");
        assert_eq!(Gaps::new(Coverage::default(), &Counters::default()).to_string(), "");
        let counters = Counters {
            stack_unreadable: 4,
            kernel_stack_lost: 2,
            library_unopened: 3,
            netpoll_fault: 1,
            ..Counters::default()
        };
        assert_eq!(
            Gaps::new(coverage(2, 5), &counters).to_string(),
            " skipped=3 (garbled=2 unsupported_version=1) hidden=5 (not_permitted=5) degraded=10 (stack_unreadable=4 \
             kernel_stack_lost=2 library_unopened=3 ready_unreadable=1)"
        );
    }

    #[test]
    fn a_change_is_told_once_and_a_flutter_is_not() {
        let mut log = CoverageLog::default();
        assert!(!log.is_news(&Coverage::default()));
        assert!(log.is_news(&coverage(2, 5)) && !log.is_news(&coverage(2, 5)));
        assert!(!log.is_news(&coverage(2, 7)) && !log.is_news(&coverage(2, 0)) && !log.is_news(&coverage(2, 10)));
        assert!(log.is_news(&coverage(2, 11)));
        assert!(log.is_news(&coverage(3, 11)));
    }
}
