//! The report as text.

use syncline_insight::bias::{Amount, Comparison, Spread};

use super::measure::{Way, rate_name};
use super::report::{
    Report, blocks, expected, expected_of_seeable, ns, ratio, recorded, reported, reported_of_seeable,
};
use crate::table::{Align, Table};
use crate::units::{bytes as bytes_of, span};

/// Reasons that are listed.
const LISTED: usize = 16;
const WIDEST: usize = 400;

/// All tables.
pub(super) fn text(report: &Report<'_>) -> String {
    let runs = if report.repetitions == 1 { "1 run".to_owned() } else { format!("{} runs", report.repetitions) };
    let mut lines = vec![
        format!(
            "Go's block profile of {} ({}): {runs} of each way, in turn",
            report.program.path.display(),
            report.program.go
        ),
        "A profile is compared with what was captured in the same run. Medians of the runs, lowest to highest in brackets.".to_owned(),
    ];
    if report.over_captured(|comparison| comparison.seeable.blocks).is_some_and(|seeable| seeable.high == 0.0) {
        lines.push(String::new());
        lines.push("The program had no blocks of the kinds that a block profile can see.".to_owned());
    } else {
        by_band(report, &mut lines);
    }
    by_reason(report, &mut lines);
    never_seen(report, &mut lines);
    costs(report, &mut lines);
    lines.join("\n") + "\n"
}

fn by_band(report: &Report<'_>, lines: &mut Vec<String>) {
    let syncline = |_| report.captured_share();
    section(lines, "BLOCKS RECORDED, of the kinds that a block profile can see, by how long they blocked; measured");
    lines.extend(band_table(report, &|rate, band| report.band_share(rate, band, recorded), None, Some(&syncline)));
    lines.push("? not measured: no stack has only blocks of this length. syncline: what was captured and not lost; it is what the profiles are held against".to_owned());
    section(lines, "The same as the profiler's rule has it: expected of all the blocks captured, not measured");
    let of_all = |of: fn(Amount) -> f64| move |rate| report.share(rate, |one| expected_of_seeable(one, of));
    let rule = |rate, band| report.band_share(rate, band, |band| expected(band, blocks));
    lines.extend(band_table(report, &rule, Some(&of_all(blocks)), None));
    section(lines, "BLOCKED TIME of the blocks recorded: expected by the rule, not measured");
    let rule = |rate, band| report.band_share(rate, band, |band| expected(band, ns));
    lines.extend(band_table(report, &rule, Some(&of_all(ns)), None));
    let of_all = |of: fn(Amount) -> f64| move |rate| report.share(rate, |one| reported_of_seeable(one, of));
    section(lines, "BLOCKS REPORTED: what the profile makes of those that it recorded, scaled up; measured");
    let measured = |rate, band| report.band_share(rate, band, |band| reported(band, blocks));
    lines.extend(band_table(report, &measured, Some(&of_all(blocks)), None));
    section(lines, "BLOCKED TIME REPORTED; measured");
    let measured = |rate, band| report.band_share(rate, band, |band| reported(band, ns));
    lines.extend(band_table(report, &measured, Some(&of_all(ns)), None));
    section(lines, "STACKS that blocked and are in the profile; measured");
    let mut table = table(report, &[("", Align::Left), ("STACKS", Align::Right)]);
    let mut row = vec!["all".to_owned(), number(report.over_captured(|one| one.stacks as f64))];
    row.extend(
        report
            .rates_ns
            .iter()
            .map(|&rate| share(report.share(rate, |one| ratio(one.stacks_reported as f64, one.stacks as f64)))),
    );
    table.push(&row);
    lines.extend(table.lines(WIDEST));
    let unmatched = |one: &Comparison| ratio(one.unmatched.blocks, one.reported.blocks);
    if let Some(most) =
        Spread::of(report.captured().filter_map(|one| unmatched(&one.comparison))).filter(|of| of.high > 0.0)
    {
        lines.push(format!("Blocks in profiles whose stack no captured block has: {}", share(Some(most))));
    }
}

type OfBand<'a> = &'a dyn Fn(u64, usize) -> Option<Spread>;
type OfRate<'a> = &'a dyn Fn(u64) -> Option<Spread>;

/// A row for each band, and one for all where there is such a value; the last column is ours.
fn band_table(report: &Report<'_>, cell: OfBand<'_>, all: Option<OfRate<'_>>, ours: Option<OfRate<'_>>) -> Vec<String> {
    // How much there was stands in the first table.
    let has_sums = ours.is_some();
    let mut columns = vec![("BLOCKED FOR", Align::Left)];
    columns.extend([("BLOCKS", Align::Right), ("TIME", Align::Right)].into_iter().filter(|_| has_sums));
    let names: Vec<String> = report.rates_ns.iter().map(|&rate| rate_name(rate)).collect();
    columns.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    columns.extend(ours.map(|_| ("syncline", Align::Right)));
    let mut table = Table::new(&columns);
    let mut push = |label: String, happened: &dyn Fn(&Comparison) -> Amount, shares: Vec<String>| {
        let mut row = vec![label];
        if has_sums {
            row.push(number(report.over_captured(|one| happened(one).blocks)));
            row.push(time(report.over_captured(|one| happened(one).ns)));
        }
        row.extend(shares);
        row.extend(ours.map(|ours| share(ours(0))));
        table.push(&row);
    };
    for band in report.bands_met() {
        let happened = |one: &Comparison| one.bands.get(band).map_or_else(Amount::default, |band| band.happened);
        let shares = report.rates_ns.iter().map(|&rate| share(cell(rate, band))).collect();
        push(report.bands.label(band), &happened, shares);
    }
    let shares = report.rates_ns.iter().map(|&rate| all.map_or_else(String::new, |all| share(all(rate)))).collect();
    push("all".to_owned(), &|one| one.seeable, shares);
    table.lines(WIDEST)
}

fn by_reason(report: &Report<'_>, lines: &mut Vec<String>) {
    section(lines, "ALL BLOCKS BY REASON, and which share of their time the profile reports; measured");
    let columns = [("REASON", Align::Left), ("BLOCKS", Align::Right), ("TIME", Align::Right), ("SHARE", Align::Right)];
    let mut table = table(report, &columns);
    let rows = report.reasons();
    for of in rows.iter().take(LISTED) {
        let mut row = vec![of.reason.clone(), number(of.blocks), time(of.ns), percent(of.of_all)];
        row.extend(of.reported.iter().map(|reported| share(*reported)));
        row.push(if of.can_be_seen { String::new() } else { "never, by the rule".to_owned() });
        table.push(&row);
    }
    let mut row = vec!["all".to_owned()];
    row.push(number(report.over_captured(|one| one.happened.blocks)));
    row.push(time(report.over_captured(|one| one.happened.ns)));
    row.push(percent(1.0));
    let of_all = |one: &Comparison| ratio(one.reported.ns, one.happened.ns);
    row.extend(report.rates_ns.iter().map(|&rate| share(report.share(rate, of_all))));
    table.push(&row);
    lines.extend(table.lines(WIDEST));
    if rows.len() > LISTED {
        lines.push(format!("and {} reasons more, which are in `all`", rows.len() - LISTED));
    }
}

fn never_seen(report: &Report<'_>, lines: &mut Vec<String>) {
    section(lines, "NOT IN THESE SUMS; no profile has it");
    lines.push(format!("ready, and waiting for a processor: {}", time(report.over_captured(|one| one.runnable_ns))));
    let unended = |of: fn(Amount) -> f64| report.over_captured(move |one| of(one.unended));
    lines.push(format!(
        "blocked for a second or longer when the program ended: {} goroutines, {}",
        number(unended(blocks)),
        time(unended(ns))
    ));
    let lost = Spread::of(report.captured().map(|one| one.lost as f64));
    lines.push(format!("lost by the capture: {} blocks of any kind", number(lost)));
    if lost.is_some_and(|lost| lost.high > 0.0) {
        lines.push("Shares are of what was captured; a larger --ring-bytes loses less.".to_owned());
    }
}

fn costs(report: &Report<'_>, lines: &mut Vec<String>) {
    section(lines, "WHAT EACH WAY COSTS THE PROGRAM; measured");
    let mut table = Table::new(&[
        ("WAY", Align::Left),
        ("WALL", Align::Right),
        ("CPU", Align::Right),
        ("BLOCKS REPORTED", Align::Right),
        ("TIME REPORTED", Align::Right),
        ("BLOCKS CAPTURED", Align::Right),
    ]);
    let mut ways = report.ways();
    ways.sort_by_key(|way| (way.is_captured, way.rate_ns));
    for way in ways {
        table.push(&cost(report, way));
    }
    lines.extend(table.lines(WIDEST));
    let bytes = Spread::of(report.captured().map(|one| one.events_bytes as f64));
    lines.push(format!("On disk while a run lasts, as its events: {}", ranged(bytes, |size| bytes_of(size as u64))));
}

fn cost(report: &Report<'_>, way: Way) -> Vec<String> {
    let over = |value: &dyn Fn(&super::measure::Run) -> Option<f64>| Spread::of(report.of(way).filter_map(value));
    let or_none = |text: String, spread: Option<Spread>| if spread.is_some() { text } else { String::new() };
    let reported = over(&|run| run.reported.map(|(blocks, _)| blocks as f64));
    let reported_ns = over(&|run| run.reported.map(|(_, ns)| ns as f64));
    let captured = over(&|run| run.captured.as_ref().map(|one| one.comparison.happened.blocks));
    vec![
        way.name(),
        time(over(&|run| Some(run.wall_ns as f64))),
        time(over(&|run| Some(run.cpu_ns as f64))),
        or_none(number(reported), reported),
        or_none(time(reported_ns), reported_ns),
        or_none(number(captured), captured),
    ]
}

/// A table with a column of each rate after these, and one for remarks.
fn table(report: &Report<'_>, first: &[(&str, Align)]) -> Table {
    let names: Vec<String> = report.rates_ns.iter().map(|&rate| rate_name(rate)).collect();
    let rates = names.iter().map(|name| (name.as_str(), Align::Right));
    Table::new(&first.iter().copied().chain(rates).chain([("", Align::Left)]).collect::<Vec<_>>())
}

fn section(lines: &mut Vec<String>, heading: &str) {
    lines.extend([String::new(), heading.to_owned()]);
}

fn share(spread: Option<Spread>) -> String {
    ranged(spread, percent)
}

fn number(spread: Option<Spread>) -> String {
    ranged(spread, |value| format!("{value:.0}"))
}

fn time(spread: Option<Spread>) -> String {
    ranged(spread, |ns| span(ns as u64))
}

/// `MEDIAN (LOW to HIGH)`; only one of them where they look the same.
fn ranged(spread: Option<Spread>, shown: impl Fn(f64) -> String) -> String {
    let Some(Spread { median, low, high }) = spread else { return "?".to_owned() };
    let [median, low, high] = [median, low, high].map(shown);
    if low == high { median } else { format!("{median} ({low} to {high})") }
}

/// Three digits at most: `100 %`, `99.7 %`, `0.52 %`.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = if percent >= 99.95 || percent == 0.0 {
        0
    } else if percent >= 9.995 {
        1
    } else {
        2
    };
    format!("{percent:.decimals$} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_short_where_there_is_nothing_more_to_say() {
        let spread = |median, low, high| Some(Spread { median, low, high });
        assert_eq!(share(spread(1.0, 0.99999, 1.0)), "100 %");
        assert_eq!(share(spread(0.5, 0.0, 1.234)), "50.0 % (0 % to 123 %)");
        assert_eq!(share(None), "?");
        assert_eq!(percent(0.0052), "0.52 %");
        assert_eq!(number(spread(3.0, 1.0, 5.0)), "3 (1 to 5)");
        assert_eq!(time(spread(1.5e6, 1.5e6, 1.5e6)), "1.50 ms");
    }
}
