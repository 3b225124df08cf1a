//! The tables.

use super::super::table;
use super::condition::Condition;
use super::outcome::{Outcome, Reached, Runs};
use super::rivals::RIVALS;
use super::verdict::{at_least, at_most, percent, short, tail, us};

/// Shares of hard bounds that are to hold the truth: at once, and with a burst of probes after each disruption.
const AT_ONCE: f64 = 0.9997;
const AT_ONCE_WITH_BURST: f64 = 0.9999;
/// Share of budgeted bounds that are to hold the truth in each run.
const BUDGETED: f64 = 0.999;

/// Half of a hard bound's width may be so much more than half the least round trip, where nothing is disturbed.
const ALLOWANCE_US: f64 = 5.0;

/// All tables, in Markdown.
pub(super) fn text(outcomes: &[Outcome], runs: Runs) -> String {
    let last = runs.first + runs.seeds.saturating_sub(1) as u64;
    let dense = outcomes.iter().find(|outcome| outcome.rival_seeds < runs.seeds);
    let fewer = dense.map_or_else(String::new, |outcome| {
        format!(" At ten probes a second the others ran on the first {} seeds only.", outcome.rival_seeds)
    });
    [
        format!("Seeds {} to {last}.{fewer}\n\n", runs.first),
        "**Ours beside the others**: 99th / 99.9th percentile of the error around the asymmetry floor, us.\n\n".to_owned(),
        beside_rivals(outcomes),
        "**Error of ours against its targets**: 99th / 99.9th percentile, us. A burst is 8 probes 100 ms apart after \
         each disruption, and may never be worse than none.\n\n"
            .to_owned(),
        errors(outcomes),
        "**Bounds of ours**: share that holds the truth.\n\n".to_owned(),
        bounds(outcomes),
        "**In hindsight, and steps**: what the same model says once the run is over, and how it found disruptions of the \
         oscillator.\n\n"
            .to_owned(),
        hindsight(outcomes),
    ]
    .concat()
}

fn beside_rivals(outcomes: &[Outcome]) -> String {
    let names: Vec<String> = outcomes.iter().map(|outcome| outcome.condition.name()).collect();
    let headings: Vec<&str> = std::iter::once("estimator").chain(names.iter().map(String::as_str)).collect();
    let ours = outcomes.iter().map(|outcome| format!("**{}**", tail(&outcome.ours.errors)));
    let mut rows = vec![std::iter::once("**Syncline**".to_owned()).chain(ours).collect::<Vec<_>>()];
    for (place, rival) in RIVALS.iter().enumerate() {
        let cells = outcomes.iter().map(|outcome| outcome.rivals.get(place).map_or_else(|| "?".to_owned(), tail));
        rows.push(std::iter::once(rival.title()).chain(cells).collect());
    }
    table::text(&headings, &rows)
}

fn errors(outcomes: &[Outcome]) -> String {
    let headings = ["condition", "reached", "target", "", "with a burst", ""];
    let row = |outcome: &Outcome| {
        let target = outcome.condition.target();
        let verdict = target.map(|target| {
            let errors = &outcome.ours.errors;
            at_most(&[(errors.p99_ns / 1e3, target.p99_us), (errors.p999_ns / 1e3, target.p999_us)])
        });
        vec![
            outcome.condition.name(),
            tail(&outcome.ours.errors),
            target.map_or_else(String::new, |target| format!("{} / {}", short(target.p99_us), short(target.p999_us))),
            verdict.unwrap_or_default(),
            outcome.burst.as_ref().map_or_else(String::new, |burst| tail(&burst.errors)),
            outcome.burst.as_ref().map_or_else(String::new, |burst| beside_none(&outcome.ours, burst)),
        ]
    };
    table::text(&headings, &outcomes.iter().map(row).collect::<Vec<_>>())
}

/// A burst may not be worse than none.
fn beside_none(none: &Reached, burst: &Reached) -> String {
    let pairs = [(burst.errors.p99_ns, none.errors.p99_ns), (burst.errors.p999_ns, none.errors.p999_ns)];
    let worse = pairs.iter().filter(|(burst, none)| burst > none);
    let worse: Vec<String> = worse.map(|(burst, none)| format!("{} against {}", us(*burst), us(*none))).collect();
    if worse.is_empty() { "met".to_owned() } else { format!("missed: {}", worse.join(", ")) }
}

fn bounds(outcomes: &[Outcome]) -> String {
    let headings = [
        "condition",
        "hard, at once",
        "with a burst",
        "hard, without gaps",
        "half width, median, us",
        "over half the least round trip above the floor, median / 99 %, us",
        "budgeted, worst run",
        "tight",
    ];
    let row = |outcome: &Outcome| {
        let (condition, ours) = (outcome.condition, &outcome.ours);
        let burst = outcome.burst.as_ref();
        vec![
            condition.name(),
            at_least(ours.coverage, AT_ONCE),
            burst.map_or_else(String::new, |burst| at_least(burst.coverage, AT_ONCE_WITH_BURST)),
            held(ours),
            us(ours.half_widths.p50_ns),
            excess(condition, ours),
            ours.budgeted_worst.map_or_else(String::new, |worst| at_least(worst, BUDGETED)),
            ours.tight.filter(|_| !condition.asymmetric).map_or_else(String::new, percent),
        ]
    };
    table::text(&headings, &outcomes.iter().map(row).collect::<Vec<_>>())
}

/// In quiet the median is to be within the allowance.
fn excess(condition: Condition, ours: &Reached) -> String {
    let [median, most] = ours.excess_ns;
    let figures = format!("{} / {}", us(median), us(most));
    let verdict = at_most(&[(median / 1e3, ALLOWANCE_US)]);
    if condition.stress { figures } else { format!("{figures} ({verdict})") }
}

fn held(ours: &Reached) -> String {
    match ours.uncovered_held {
        0 => at_least(1.0, 1.0),
        uncovered => format!("{} (missed: {uncovered} events outside)", percent(ours.coverage_held)),
    }
}

fn hindsight(outcomes: &[Outcome]) -> String {
    let headings = [
        "condition",
        "error in hindsight, us",
        "target p99",
        "hard, in hindsight",
        "steps found / missed / false",
        "found after, median / 90 %, probes",
        "unanswered",
    ];
    let row = |outcome: &Outcome| {
        let (condition, ours) = (outcome.condition, &outcome.ours);
        let target_us = condition.target().and_then(|target| target.smoothed_p99_us);
        let verdict = |target_us| format!("{target_us}: {}", at_most(&[(ours.smoothed.p99_ns / 1e3, target_us)]));
        vec![
            condition.name(),
            tail(&ours.smoothed),
            target_us.map_or_else(String::new, verdict),
            at_least(ours.smoothed_coverage, 1.0),
            format!("{} / {} / {}", ours.steps.found(), ours.steps.missed, ours.steps.false_alarms),
            delays(condition, &ours.steps.delays_s),
            ours.unanswered.to_string(),
        ]
    };
    table::text(&headings, &outcomes.iter().map(row).collect::<Vec<_>>())
}

/// How many probes later steps were found.
fn delays(condition: Condition, delays_s: &[f64]) -> String {
    let mut probes: Vec<f64> = delays_s.iter().map(|delay_s| delay_s / condition.profile().probe_interval_s).collect();
    probes.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| probes.get((share * probes.len() as f64) as usize);
    at(0.5).zip(at(0.9)).map_or_else(String::new, |(median, late)| format!("{median:.1} / {late:.1}"))
}

#[cfg(test)]
mod tests {
    use syncline_sim::profile::Network;

    use super::*;

    #[test]
    fn delays_count_in_probes() {
        let condition = Condition { network: Network::Lan10, asymmetric: false, stress: true, burst: false };
        assert_eq!(delays(condition, &[0.3, 0.1, 0.2]), "2.0 / 3.0");
        assert_eq!(delays(condition, &[]), "");
    }
}
