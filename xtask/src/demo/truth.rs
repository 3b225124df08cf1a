//! Stored times beside the true ones.
//!
//! Syncline saw only stamps that an injected clock had moved. Here, and nowhere in Syncline, the injection is undone:
//! stamp -> this machine's MONO -> its RAW -> the root's reference, which is RAW plus a constant.

use anyhow::{Context, Result};
use serde::Deserialize;
use syncline_sim::InjectedClock;
use syncline_timebase::{Bracket, ErrorBound, Instant, Reference};

use super::knots::Knots;
use super::plan::REGIONS;

/// A stored wait, with its times on the fleet's clock.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) region: String,
    pub(crate) goid: u64,
    pub(crate) reason: String,
    /// Park and end of the wait on the node's (injected) MONO.
    pub(crate) mono_ns: i64,
    pub(crate) mono_end_ns: i64,
    /// The same on the fleet's clock, as published.
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// Half widths of the published hard bound; none when there is no bound.
    pub(crate) start_err_ns: Option<i64>,
    pub(crate) end_err_ns: Option<i64>,
}

/// A moment as published, and as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) published_ns: i64,
    pub(crate) bound_ns: Option<i64>,
    pub(crate) true_ns: i64,
    /// The true moment on this machine's CLOCK_MONOTONIC.
    pub(crate) true_mono_ns: i64,
}

impl Judged {
    pub(crate) fn error_ns(&self) -> i64 {
        self.published_ns.saturating_sub(self.true_ns).saturating_abs()
    }

    /// A moment without a bound is not inside of it.
    pub(crate) fn is_inside(&self) -> bool {
        self.bound_ns.is_some() && self.bracket().contains(Instant::from_ns(self.true_ns))
    }

    /// What is published: the moment is somewhere in here.
    pub(crate) fn bracket(&self) -> Bracket<Reference> {
        let bound =
            self.bound_ns.and_then(|ns| u64::try_from(ns).ok()).map_or(ErrorBound::UNBOUNDED, ErrorBound::from_ns);
        Bracket::around(Instant::from_ns(self.published_ns), bound)
    }
}

/// A stored wait with its truth.
#[derive(Clone, Debug)]
pub(crate) struct JudgedRow {
    /// Index of the region.
    pub(crate) region: usize,
    pub(crate) goid: u64,
    pub(crate) reason: String,
    pub(crate) start: Judged,
    pub(crate) end: Judged,
}

/// What is needed to undo the injection.
#[derive(Clone)]
pub(crate) struct Truth {
    /// In the order of the regions.
    pub(crate) clocks: Vec<InjectedClock>,
    pub(crate) knots: Knots,
    /// REF - RAW of the root region.
    pub(crate) root_anchor_ns: i64,
}

impl Truth {
    /// # Errors
    /// When a row is of no region of the demo.
    pub(crate) fn judge(&self, rows: Vec<Row>) -> Result<Vec<JudgedRow>> {
        rows.into_iter().map(|row| self.judge_row(row)).collect()
    }

    fn judge_row(&self, row: Row) -> Result<JudgedRow> {
        let region = REGIONS.iter().position(|region| region.name == row.region);
        let region = region.with_context(|| format!("the store has a row of a region {:?}", row.region))?;
        Ok(JudgedRow {
            region,
            goid: row.goid,
            start: self.judge_moment(region, row.mono_ns, row.start_ns, row.start_err_ns)?,
            end: self.judge_moment(region, row.mono_end_ns, row.end_ns, row.end_err_ns)?,
            reason: row.reason,
        })
    }

    fn judge_moment(&self, region: usize, mono_ns: i64, published_ns: i64, bound_ns: Option<i64>) -> Result<Judged> {
        let clock = self.clocks.get(region).context("a region without a clock")?;
        let true_mono_ns = clock.true_mono(mono_ns);
        let true_ns = self.fleet_ns(true_mono_ns).context("the machine's clocks were not sampled")?;
        Ok(Judged { published_ns, bound_ns, true_ns, true_mono_ns })
    }

    /// WALL - the fleet's clock for a node, at a moment of the fleet's clock, as it was injected.
    pub(crate) fn skew_ns(&self, region: usize, fleet_ns: i64) -> Option<i64> {
        let raw = fleet_ns.checked_sub(self.root_anchor_ns)?;
        let mono = self.knots.mono_at_raw(raw)?;
        self.clocks.get(region)?.wall(mono, self.knots.wall_at(mono)?).checked_sub(fleet_ns)
    }

    /// The fleet's clock at a moment of this machine's MONO.
    pub(crate) fn fleet_ns(&self, mono_ns: i64) -> Option<i64> {
        self.knots.raw_at(mono_ns)?.checked_add(self.root_anchor_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::knots::Knot;

    const ANCHOR: i64 = 1_000_000;

    fn truth() -> Truth {
        let clock =
            InjectedClock { origin_shift_ns: 500, offset_ns: 70, drift_ppb: 50_000, ..InjectedClock::default() };
        let knot = |mono: i64| Knot { mono, raw: mono + 10, wall: mono + ANCHOR + 10 };
        Truth { clocks: vec![clock; 3], knots: Knots::of(vec![knot(0), knot(1_000_000_000)]), root_anchor_ns: ANCHOR }
    }

    fn row(true_mono: i64, error: i64, bound: Option<i64>) -> Row {
        let truth = truth();
        let time = true_mono + 10 + ANCHOR;
        Row {
            region: "eu".into(),
            goid: 1,
            reason: "sleep".into(),
            mono_ns: truth.clocks[1].mono(true_mono),
            mono_end_ns: truth.clocks[1].mono(true_mono + 100),
            start_ns: time + error,
            end_ns: time + 100,
            start_err_ns: bound,
            end_err_ns: bound,
        }
    }

    #[test]
    fn the_injection_is_undone() {
        let judged = truth().judge(vec![row(400_000_000, -30, Some(30))]).unwrap();
        let JudgedRow { region, start, end, .. } = &judged[0];
        assert_eq!(*region, 1);
        assert_eq!((start.true_mono_ns, start.error_ns(), start.is_inside()), (400_000_000, 30, true));
        assert_eq!((end.error_ns(), end.is_inside()), (0, true));
    }

    #[test]
    fn outside_the_bound_or_without_one_is_not_inside() {
        let judged = truth().judge(vec![row(5_000, 31, Some(30)), row(5_000, 0, None)]).unwrap();
        assert!(!judged[0].start.is_inside() && !judged[1].start.is_inside());
    }

    #[test]
    fn the_injected_skew_grows_with_the_drift() {
        let at = |mono: i64| truth().skew_ns(2, mono + 10 + ANCHOR).unwrap();
        assert_eq!(at(0), 70);
        assert_eq!(at(400_000_000), 70 + 20_000);
    }

    #[test]
    fn a_row_of_an_unknown_region_is_an_error() {
        let stranger = Row { region: "mars".into(), ..row(5_000, 0, None) };
        assert!(truth().judge(vec![stranger]).unwrap_err().to_string().contains("mars"));
    }
}
