//! The reference that nodes probe, and what may happen to it.

use syncline_timebase::{Instant, Reference};

/// Reference time at true time zero: some day in 2026.
pub(crate) const REFERENCE_AT_ZERO_NS: i64 = 1_790_000_000_000_000_000;

/// A reference: true time on an anchor, as long as nothing happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceClock {
    /// Reference time at true time zero, ns since 1970.
    pub anchor_ns: i64,
    /// How much faster than true time it runs, ppb.
    pub rate_ppb: i64,
    /// Its host is frozen, and its clock with it: (from, length), true ns, in order.
    pub pauses: Vec<(i64, i64)>,
    /// It jumps: (when in true ns, by how much in ns), in order.
    pub steps: Vec<(i64, i64)>,
}

impl Default for ReferenceClock {
    fn default() -> Self {
        Self { anchor_ns: REFERENCE_AT_ZERO_NS, rate_ppb: 0, pauses: Vec::new(), steps: Vec::new() }
    }
}

impl ReferenceClock {
    /// What it shows at true time `true_ns`; it stays at the edges of `i64`.
    pub fn at(&self, true_ns: i64) -> Instant<Reference> {
        let steps = self.steps.iter().filter(|(at, _)| *at <= true_ns);
        let stepped = steps.fold(0i64, |sum, (_, size)| sum.saturating_add(*size));
        let alive = alive_ns(&self.pauses, true_ns);
        let gained = i128::from(alive) * i128::from(self.rate_ppb) / 1_000_000_000;
        let gained = i64::try_from(gained).unwrap_or(0);
        Instant::from_ns(self.anchor_ns.saturating_add(alive).saturating_add(gained).saturating_add(stepped))
    }

    /// The first true time from `true_ns` on at which its host runs, ns.
    pub fn awake_ns(&self, true_ns: i64) -> i64 {
        awake_ns(&self.pauses, true_ns)
    }
}

/// True time less the pauses: what a host has lived through, ns.
pub(crate) fn alive_ns(pauses: &[(i64, i64)], true_ns: i64) -> i64 {
    let frozen = |(from, length): &(i64, i64)| (true_ns - from).clamp(0, *length);
    true_ns - pauses.iter().map(frozen).sum::<i64>()
}

/// The first true time from `true_ns` on that is in no pause, ns.
pub(crate) fn awake_ns(pauses: &[(i64, i64)], true_ns: i64) -> i64 {
    let thaws =
        |now: i64, (from, length): &(i64, i64)| if (*from..from + length).contains(&now) { from + length } else { now };
    pauses.iter().fold(true_ns, thaws)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_reference_falls_behind_and_a_step_moves_it() {
        let clock = ReferenceClock { pauses: vec![(100, 50)], steps: vec![(300, -7)], ..ReferenceClock::default() };
        let shown = |true_ns| clock.at(true_ns).ns() - clock.anchor_ns;
        assert_eq!([100, 120, 150, 200, 299, 300].map(shown), [100, 100, 100, 150, 249, 243]);
        assert_eq!([99, 100, 149, 150].map(|at| clock.awake_ns(at)), [99, 150, 150, 150]);
        let fast = ReferenceClock { rate_ppb: 20_000, ..clock };
        assert_eq!(fast.at(1_000_000_050).ns() - fast.anchor_ns, 1_000_000_000 - 7 + 20_000);
    }
}
