//! What is printed, and whether the targets are met.

use super::observation::Observation;
use super::score::{Score, Scores, Share};
use crate::bench::table;

const RECALL: f64 = 0.999;
const PRECISION: f64 = 0.999;
const DURATION_ERROR_P99_US: f64 = 20.0;
const REASONS: f64 = 1.0;
const WAKERS: f64 = 0.999;

/// The tables of a version.
pub(super) fn print(go: &str, observation: &Observation, scores: &Scores) {
    println!("{go}\n");
    let mut rows: Vec<_> = scores.parks.iter().map(|(name, score)| row(name, score)).collect();
    rows.push(row("all parks", &scores.all_parks()));
    rows.push(row("system calls", &scores.syscalls));
    let headings = [
        "waits of",
        "tracer's",
        "of them ours",
        "ours",
        "of them the tracer's",
        "length off, median us",
        "99 % us",
        "reasons",
        "wakers",
    ];
    table::print(&headings, &rows);
    let (ours, theirs) = observation.cut;
    println!(
        "Left out, cut by the begin or end of the trace or of the capture: {ours} of ours, {theirs} of the tracer's."
    );
    scores.known.iter().for_each(|(cause, count)| println!("{count} {cause}."));
    let unmapped = scores.all_parks().unmapped;
    println!("{unmapped} reasons without a name of the tracer.\n");
    scores.wrong.iter().flatten().for_each(|example| eprintln!("    {example}"));
}

/// The last line of a version.
pub(super) fn last_line(go: &str, score: &Score) -> String {
    format!(
        "truth: go={} recall={:.5} precision={:.5} duration_error_p99_us={:.1} reasons={:.5} wakers={:.5}",
        go.trim_start_matches("go"),
        score.recall.share(),
        score.precision.share(),
        score.off_us(0.99),
        score.reasons.share(),
        score.wakers.share(),
    )
}

/// Whether all targets are met. A run without waits meets none.
pub(super) fn is_met(score: &Score) -> bool {
    score.recall.all > 0
        && score.recall.share() >= RECALL
        && score.precision.share() >= PRECISION
        && score.off_us(0.99) <= DURATION_ERROR_P99_US
        && score.reasons.share() >= REASONS
        && score.wakers.share() >= WAKERS
}

fn row(name: &str, score: &Score) -> Vec<String> {
    let of = |share: Share| if share.all == 0 { String::new() } else { format!("{} of {}", share.agree, share.all) };
    let us = |share| format!("{:.1}", score.off_us(share));
    vec![
        name.to_owned(),
        score.recall.all.to_string(),
        score.recall.agree.to_string(),
        score.precision.all.to_string(),
        score.precision.agree.to_string(),
        us(0.5),
        us(0.99),
        of(score.reasons),
        of(score.wakers),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_told() {
        let all = Share { agree: 1000, all: 1000 };
        let met = Score { recall: all, precision: all, off_ns: vec![20_000.0], reasons: all, unmapped: 0, wakers: all };
        assert!(is_met(&met) && !is_met(&Score::default()));
        let (one_of_a_thousand, two) = (Share { agree: 999, all: 1000 }, Share { agree: 998, all: 1000 });
        assert!(is_met(&Score { wakers: one_of_a_thousand, ..met.clone() }));
        assert!(!is_met(&Score { wakers: two, ..met.clone() }) && !is_met(&Score { recall: two, ..met.clone() }));
        assert!(!is_met(&Score { reasons: one_of_a_thousand, ..met.clone() }));
        assert!(!is_met(&Score { off_ns: vec![20_001.0], ..met.clone() }));
        let line = last_line("go1.27.3", &Score { wakers: one_of_a_thousand, ..met });
        assert_eq!(
            line,
            "truth: go=1.27.3 recall=1.00000 precision=1.00000 duration_error_p99_us=20.0 reasons=1.00000 wakers=0.99900"
        );
    }
}
