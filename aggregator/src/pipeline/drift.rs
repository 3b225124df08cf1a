//! How fast a node's wall clock leaves the region's reference: by where it was minutes ago. Pure.

use std::collections::VecDeque;

const SECOND_NS: i64 = 1_000_000_000;
/// A point is kept each so often.
const EACH_NS: i64 = 30 * SECOND_NS;
/// It is measured over so long, as alerts do: in less a daemon's corrections look like drift.
const OVER_NS: i64 = 600 * SECOND_NS;
/// Over less nothing is said.
const LEAST_NS: i64 = 300 * SECOND_NS;

/// Where a wall clock was, of one model and since it was set.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// When (MONO), and WALL - REF; ns, oldest first.
    points: VecDeque<(i64, i64)>,
}

impl Drift {
    /// Whether it is time for another point.
    pub(crate) fn is_due(&self, at_ns: i64) -> bool {
        self.points.back().is_none_or(|(before, _)| at_ns.saturating_sub(*before) >= EACH_NS)
    }

    pub(crate) fn note(&mut self, at_ns: i64, skew_ns: i64) {
        self.points.push_back((at_ns, skew_ns));
        // One is kept that is as old as the time it is measured over, or older.
        while self.points.get(1).is_some_and(|(second, _)| at_ns.saturating_sub(*second) >= OVER_NS) {
            self.points.pop_front();
        }
    }

    /// It was set, or is measured against something else.
    pub(crate) fn forget(&mut self) {
        self.points.clear();
    }

    /// By where it is now; none where it was not known long enough.
    pub(crate) fn ratio(&self, at_ns: i64, skew_ns: i64) -> Option<f64> {
        let (then_ns, before_ns) = *self.points.front()?;
        let over_ns = at_ns.checked_sub(then_ns).filter(|over_ns| *over_ns >= LEAST_NS)?;
        Some(skew_ns.saturating_sub(before_ns) as f64 / over_ns as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_how_far_the_clock_came_in_ten_minutes() {
        let mut drift = Drift::default();
        // 10 ppm, from a day on.
        let at = |s: i64| (86_400 + s) * SECOND_NS;
        let skew = |s: i64| 5_000_000 + s * 10_000;
        assert_eq!(drift.ratio(at(0), skew(0)), None);
        for s in 0..2_000 {
            if drift.is_due(at(s)) {
                drift.note(at(s), skew(s));
            }
            let told = drift.ratio(at(s), skew(s));
            assert_eq!(told.is_some(), s >= 300, "{s}");
            assert!(told.is_none_or(|ratio| (ratio - 10e-6).abs() < 1e-12), "{s}: {told:?}");
            assert!(drift.points.len() <= 22, "{}", drift.points.len());
        }
        // What was longer ago than ten minutes says nothing: it stands still from now on.
        for s in 2_000..2_700 {
            if drift.is_due(at(s)) {
                drift.note(at(s), skew(2_000));
            }
        }
        assert_eq!(drift.ratio(at(2_700), skew(2_000)), Some(0.0));
        drift.forget();
        assert_eq!(drift.ratio(at(2_701), skew(0)), None);
    }
}
