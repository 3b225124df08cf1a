//! What all runs say together. Shares are taken of each run by itself, and their median over the runs.

use syncline_insight::bias::{Amount, BandSeen, Bands, Comparison, Spread};

use super::measure::{Captured, Run, Way};
use super::program::Program;

/// All runs.
pub(super) struct Report<'a> {
    pub(super) program: &'a Program,
    /// In order.
    pub(super) rates_ns: Vec<u64>,
    pub(super) bands: Bands,
    pub(super) repetitions: u16,
    pub(super) runs: Vec<Run>,
}

/// A reason with what the profiles report of it.
pub(super) struct ReasonRow {
    pub(super) reason: String,
    pub(super) blocks: Option<Spread>,
    pub(super) ns: Option<Spread>,
    /// Its share of all blocked time.
    pub(super) of_all: f64,
    /// Whether the profiler's rule says that its blocks are seen.
    pub(super) can_be_seen: bool,
    /// By rate, which share of its time is reported.
    pub(super) reported: Vec<Option<Spread>>,
}

impl Report<'_> {
    /// Runs of a way.
    pub(super) fn of(&self, way: Way) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.way == way)
    }

    /// The ways, in the order in which they were run.
    pub(super) fn ways(&self) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for run in &self.runs {
            if !ways.contains(&run.way) {
                ways.push(run.way);
            }
        }
        ways
    }

    /// Comparisons of profiles of this rate.
    pub(super) fn compared(&self, rate_ns: u64) -> impl Iterator<Item = &Comparison> {
        let way = Way { rate_ns: Some(rate_ns), is_captured: true };
        self.of(way).filter_map(|run| run.captured.as_ref()).map(|captured| &captured.comparison)
    }

    /// Everything that was captured beside a profile.
    pub(super) fn captured(&self) -> impl Iterator<Item = &Captured> {
        self.runs.iter().filter(|run| run.way.rate_ns.is_some()).filter_map(|run| run.captured.as_ref())
    }

    /// A value of those, over the runs.
    pub(super) fn over_captured(&self, value: impl Fn(&Comparison) -> f64) -> Option<Spread> {
        Spread::of(self.captured().map(|captured| value(&captured.comparison)))
    }

    /// A share of a comparison, over the runs of a rate.
    pub(super) fn share(&self, rate_ns: u64, of: impl Fn(&Comparison) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.compared(rate_ns).filter_map(of))
    }

    /// The same of a band.
    pub(super) fn band_share(
        &self,
        rate_ns: u64,
        band: usize,
        of: impl Fn(&BandSeen) -> Option<f64>,
    ) -> Option<Spread> {
        self.share(rate_ns, |comparison| comparison.bands.get(band).and_then(&of))
    }

    /// The bands in which there are blocks that can be seen.
    pub(super) fn bands_met(&self) -> Vec<usize> {
        let has_blocks = |&band: &usize| {
            self.captured().any(|one| one.comparison.bands.get(band).is_some_and(|band| band.happened.blocks > 0.0))
        };
        (0..self.bands.count()).filter(has_blocks).collect()
    }

    /// Of all blocks, those that were captured, where any were lost.
    pub(super) fn captured_share(&self) -> Option<Spread> {
        Spread::of(self.captured().filter_map(|one| {
            let captured = one.comparison.happened.blocks;
            ratio(captured, captured + one.lost as f64)
        }))
    }

    /// Most time first.
    pub(super) fn reasons(&self) -> Vec<ReasonRow> {
        let mut names: Vec<&String> = self.captured().flat_map(|one| one.comparison.reasons.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let mut rows: Vec<ReasonRow> = names.into_iter().map(|name| self.reason(name)).collect();
        rows.sort_by(|one, other| other.of_all.total_cmp(&one.of_all));
        rows
    }

    fn reason(&self, name: &str) -> ReasonRow {
        let of = |comparison: &Comparison| comparison.reasons.get(name).copied().unwrap_or_default();
        let share = |comparison: &Comparison| ratio(of(comparison).reported.ns, of(comparison).happened.ns);
        let of_all = |one: &Captured| ratio(of(&one.comparison).happened.ns, one.comparison.happened.ns);
        ReasonRow {
            reason: name.to_owned(),
            blocks: self.over_captured(|comparison| of(comparison).happened.blocks),
            ns: self.over_captured(|comparison| of(comparison).happened.ns),
            of_all: Spread::of(self.captured().filter_map(of_all)).map_or(0.0, |spread| spread.median),
            can_be_seen: self.captured().any(|one| of(&one.comparison).seeable.blocks > 0.0),
            reported: self.rates_ns.iter().map(|&rate| self.share(rate, share)).collect(),
        }
    }
}

/// A part of a whole; none of nothing.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Of blocks of a band in stacks that measure it, those that were recorded.
pub(super) fn recorded(band: &BandSeen) -> Option<f64> {
    ratio(band.recorded_blocks, band.measurable.blocks)
}

/// By the rule, of all blocks of a band, or of their time.
pub(super) fn expected(band: &BandSeen, of: fn(Amount) -> f64) -> Option<f64> {
    ratio(of(band.expected), of(band.happened))
}

/// Of what the stacks that measure the band had, what the profile reports.
pub(super) fn reported(band: &BandSeen, of: fn(Amount) -> f64) -> Option<f64> {
    ratio(of(band.reported), of(band.measurable))
}

/// The same over all bands, by stacks of any band: of what can be seen.
pub(super) fn reported_of_seeable(comparison: &Comparison, of: fn(Amount) -> f64) -> Option<f64> {
    ratio(of(comparison.reported), of(comparison.seeable))
}

/// The rule's over all bands.
pub(super) fn expected_of_seeable(comparison: &Comparison, of: fn(Amount) -> f64) -> Option<f64> {
    ratio(comparison.bands.iter().map(|band| of(band.expected)).sum(), of(comparison.seeable))
}

/// Blocks of an amount.
pub(super) fn blocks(amount: Amount) -> f64 {
    amount.blocks
}

/// Time of an amount.
pub(super) fn ns(amount: Amount) -> f64 {
    amount.ns
}
