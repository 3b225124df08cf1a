//! The report as JSON. Fields are only ever added within a version; docs/bias.md has them all.

use serde::Serialize;
use syncline_insight::bias::{Amount, BandSeen, Comparison, ReasonSeen, Spread};

use super::measure::{Captured, Run};
use super::report::{Report, blocks, expected, ns, ratio, recorded, reported, reported_of_seeable};

const VERSION: u32 = 1;

#[derive(Serialize)]
pub(super) struct Document {
    version: u32,
    program: String,
    arguments: Vec<String>,
    go: String,
    repetitions: u16,
    rates: Vec<RateSummary>,
    runs: Vec<RunRow>,
}

/// Medians and ranges over the runs of a rate.
#[derive(Serialize)]
struct RateSummary {
    rate_ns: u64,
    reported_blocks_share: Option<Range>,
    reported_time_share: Option<Range>,
    reported_time_share_of_all: Option<Range>,
    bands: Vec<BandSummary>,
}

#[derive(Serialize)]
struct BandSummary {
    from_ns: u64,
    /// Null: without end.
    to_ns: Option<u64>,
    recorded_share: Option<Range>,
    /// Of the same stacks as that.
    expected_of_measurable: Option<Range>,
    expected_recorded_share: Option<Range>,
    expected_time_share: Option<Range>,
    reported_blocks_share: Option<Range>,
    reported_time_share: Option<Range>,
}

#[derive(Serialize)]
struct Range {
    median: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct RunRow {
    /// Null: without a profile.
    rate_ns: Option<u64>,
    captured: bool,
    wall_ns: u64,
    cpu_ns: u64,
    reported: Option<Sum>,
    capture: Option<Capture>,
}

#[derive(Serialize)]
struct Sum {
    blocks: f64,
    ns: f64,
}

#[derive(Serialize)]
struct Capture {
    happened: Sum,
    seeable: Sum,
    /// Null without a profile, as are all that follow from one.
    unmatched: Option<Sum>,
    unended: Sum,
    stacks: usize,
    stacks_reported: Option<usize>,
    runnable_ns: f64,
    lost: u64,
    parked_at_end: u64,
    events_bytes: u64,
    bands: Vec<Band>,
    reasons: Vec<Reason>,
}

#[derive(Serialize)]
struct Band {
    from_ns: u64,
    to_ns: Option<u64>,
    happened: Sum,
    expected: Sum,
    measurable: Sum,
    recorded_blocks: f64,
    expected_blocks: f64,
    reported: Sum,
}

#[derive(Serialize)]
struct Reason {
    reason: String,
    happened: Sum,
    seeable: Sum,
    reported: Option<Sum>,
}

pub(super) fn document(report: &Report<'_>) -> Document {
    Document {
        version: VERSION,
        program: report.program.path.display().to_string(),
        arguments: report.program.arguments.clone(),
        go: report.program.go.clone(),
        repetitions: report.repetitions,
        rates: report.rates_ns.iter().map(|&rate| RateSummary::of(report, rate)).collect(),
        runs: report.runs.iter().map(|run| RunRow::of(run, report)).collect(),
    }
}

impl RateSummary {
    fn of(report: &Report<'_>, rate_ns: u64) -> Self {
        let share = |of: &dyn Fn(&Comparison) -> Option<f64>| report.share(rate_ns, of).map(Range::of);
        Self {
            rate_ns,
            reported_blocks_share: share(&|one| reported_of_seeable(one, blocks)),
            reported_time_share: share(&|one| reported_of_seeable(one, ns)),
            reported_time_share_of_all: share(&|one| ratio(one.reported.ns, one.happened.ns)),
            bands: (0..report.bands.count()).map(|band| BandSummary::of(report, rate_ns, band)).collect(),
        }
    }
}

impl BandSummary {
    fn of(report: &Report<'_>, rate_ns: u64, band: usize) -> Self {
        let (from_ns, to_ns) = edges(report, band);
        let share = |of: &dyn Fn(&BandSeen) -> Option<f64>| report.band_share(rate_ns, band, of).map(Range::of);
        Self {
            from_ns,
            to_ns,
            recorded_share: share(&recorded),
            expected_of_measurable: share(&|band| ratio(band.expected_blocks, band.measurable.blocks)),
            expected_recorded_share: share(&|band| expected(band, blocks)),
            expected_time_share: share(&|band| expected(band, ns)),
            reported_blocks_share: share(&|band| reported(band, blocks)),
            reported_time_share: share(&|band| reported(band, ns)),
        }
    }
}

impl RunRow {
    fn of(run: &Run, report: &Report<'_>) -> Self {
        Self {
            rate_ns: run.way.rate_ns,
            captured: run.way.is_captured,
            wall_ns: run.wall_ns,
            cpu_ns: run.cpu_ns,
            reported: run.reported.map(|(blocks, ns)| Sum { blocks: blocks as f64, ns: ns as f64 }),
            capture: run.captured.as_ref().map(|captured| Capture::of(captured, run.way.rate_ns.is_some(), report)),
        }
    }
}

impl Capture {
    fn of(captured: &Captured, has_profile: bool, report: &Report<'_>) -> Self {
        let one = &captured.comparison;
        let bands = one.bands.iter().enumerate().map(|(number, band)| Band::of(band, edges(report, number)));
        Self {
            happened: one.happened.into(),
            seeable: one.seeable.into(),
            unmatched: has_profile.then(|| one.unmatched.into()),
            unended: one.unended.into(),
            stacks: one.stacks,
            stacks_reported: has_profile.then_some(one.stacks_reported),
            runnable_ns: one.runnable_ns,
            lost: captured.lost,
            parked_at_end: captured.parked,
            events_bytes: captured.events_bytes,
            bands: if has_profile { bands.collect() } else { Vec::new() },
            reasons: one.reasons.iter().map(|(reason, of)| Reason::of(reason, of, has_profile)).collect(),
        }
    }
}

impl Band {
    fn of(band: &BandSeen, (from_ns, to_ns): (u64, Option<u64>)) -> Self {
        Self {
            from_ns,
            to_ns,
            happened: band.happened.into(),
            expected: band.expected.into(),
            measurable: band.measurable.into(),
            recorded_blocks: band.recorded_blocks,
            expected_blocks: band.expected_blocks,
            reported: band.reported.into(),
        }
    }
}

impl Reason {
    fn of(reason: &str, of: &ReasonSeen, has_profile: bool) -> Self {
        let ReasonSeen { happened, seeable, reported } = *of;
        let reported = has_profile.then(|| reported.into());
        Self { reason: reason.to_owned(), happened: happened.into(), seeable: seeable.into(), reported }
    }
}

impl Range {
    fn of(Spread { median, low, high }: Spread) -> Self {
        Self { median, low, high }
    }
}

impl From<Amount> for Sum {
    fn from(Amount { blocks, ns }: Amount) -> Self {
        Self { blocks, ns }
    }
}

fn edges(report: &Report<'_>, band: usize) -> (u64, Option<u64>) {
    let range = report.bands.range_ns(band);
    (range.start, Some(range.end).filter(|&end| end != u64::MAX))
}
