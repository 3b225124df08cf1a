//! How often a peer may do what costs us.

use syncline_timebase::{Instant, Reference as ReferenceScale};

/// So often, and so many at once after a pause.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// A second, in the long run.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// A token bucket on reference time, in whole nanoseconds of allowance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    per_second: u32,
    probe_ns: i64,
    full_ns: i64,
    left_ns: i64,
    at: Instant<ReferenceScale>,
}

impl Allowance {
    /// What it allows in the long run.
    pub(crate) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// A full one.
    pub(crate) fn new(rate: Rate, now: Instant<ReferenceScale>) -> Self {
        let probe_ns = 1_000_000_000 / i64::from(rate.per_second.max(1));
        let full_ns = probe_ns * i64::from(rate.burst.max(1));
        Self { per_second: rate.per_second, probe_ns, full_ns, left_ns: full_ns, at: now }
    }

    /// Whether nothing of it is spent at `now`: as a new one.
    pub(crate) fn is_whole(&self, now: Instant<ReferenceScale>) -> bool {
        self.left_ns.saturating_add((now - self.at).ns()) >= self.full_ns
    }

    /// Whether one more may be.
    pub(crate) fn take(&mut self, now: Instant<ReferenceScale>) -> bool {
        self.left_ns = self.left_ns.saturating_add((now - self.at).ns()).min(self.full_ns);
        self.at = now;
        let enough = self.left_ns >= self.probe_ns;
        if enough {
            self.left_ns -= self.probe_ns;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::Span;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate_holds() {
        let limits = Rate { per_second: 10, burst: 3 };
        let start = Instant::from_ns(1_000);
        let mut allowance = Allowance::new(limits, start);
        assert_eq!((0..5).filter(|_| allowance.take(start)).count(), 3);
        assert!(!allowance.take(start + Span::from_ms(99)));
        assert!(allowance.take(start + Span::from_ms(100)));
        assert!(!allowance.take(start + Span::from_ms(101)));
        assert!(!allowance.is_whole(start + Span::from_ms(399)) && allowance.is_whole(start + Span::from_ms(400)));
        let later = start + Span::from_s(3_600);
        assert_eq!((0..5).filter(|_| allowance.take(later)).count(), 3, "a pause earns one burst and no more");
    }
}
