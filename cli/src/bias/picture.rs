//! The report as a picture.

use syncline_insight::bias::{Plot, PlottedReason, Series, Spread};

use super::measure::rate_name;
use super::report::{Report, blocks, expected, recorded};

/// Reasons that are drawn.
const DRAWN: usize = 8;

pub(super) fn plot(report: &Report<'_>) -> Plot {
    let bands = report.bands_met();
    let of_rate = |&rate: &u64| Series {
        name: rate_name(rate),
        measured: bands.iter().map(|&band| report.band_share(rate, band, recorded)).collect(),
        expected: bands
            .iter()
            .map(|&band| median(report.band_share(rate, band, |band| expected(band, blocks))))
            .collect(),
    };
    let ours = Series {
        name: "syncline".to_owned(),
        measured: bands.iter().map(|_| report.captured_share()).collect(),
        expected: Vec::new(),
    };
    let reason = |row: super::report::ReasonRow| PlottedReason {
        name: row.reason,
        of_all: row.of_all,
        seen: row.reported.first().copied().flatten().map_or(0.0, |share| share.median),
    };
    Plot {
        title: format!("What Go's block profile sees of {}", report.program.name()),
        note: format!(
            "{}; {} runs of each way, medians; each profile against what was captured in the same run",
            report.program.go, report.repetitions
        ),
        bands: bands.iter().map(|&band| report.bands.label(band)).collect(),
        series: report.rates_ns.iter().map(of_rate).chain([ours]).collect(),
        reasons: report.reasons().into_iter().take(DRAWN).map(reason).collect(),
    }
}

fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|spread| spread.median)
}
