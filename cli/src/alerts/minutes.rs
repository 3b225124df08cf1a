//! What the nodes of a region, or of the fleet, had, as a table over time. Pure.

use syncline_alerts::round::NodeSeen;
use syncline_alerts::text::quantity;
use syncline_alerts::{Interval, Round, Unit};

use super::about::About;
use crate::table::{Align, Table};
use crate::time;

/// A line each so many rounds: a minute.
const EACH: usize = 4;
const SECOND_NS: u64 = 1_000_000_000;

/// A line a minute: of how many something was known, and what the one in the middle and the one furthest off had.
pub(super) fn table(rounds: &[Round], about: &About) -> Vec<String> {
    let mut table = Table::new(&[
        ("TIME", Align::Left),
        ("KNOWN", Align::Right),
        ("+- (MOST)", Align::Right),
        ("HALF ROUND TRIP (MOST)", Align::Right),
        ("FREQUENCY (MOST)", Align::Right),
        ("SILENT (MOST)", Align::Right),
        ("CLAIMS FALSE", Align::Right),
    ]);
    for minute in rounds.chunks(EACH) {
        let Some(round) = minute.last() else { continue };
        let of = |round: &'_ Round| round.nodes.iter().filter(|seen| about.is_of(seen)).cloned().collect::<Vec<_>>();
        let (nodes, all) = (of(round), minute.iter().flat_map(of).collect::<Vec<_>>());
        let ns = |value: &dyn Fn(&NodeSeen) -> Option<u64>| middle_and_most(&nodes, value, Unit::Ns);
        let known = nodes.iter().filter(|seen| seen.skew_ns.is_some()).count();
        table.push(&[
            time::time_of_day(round.at_ns, 0),
            format!("{known} of {}", nodes.len()),
            ns(&|seen| seen.skew_ns.map(Interval::half_width)),
            ns(&|seen| seen.round_trip_ns.map(|round_trip| round_trip / 2)),
            middle_and_most(&nodes, &|seen| seen.frequency_ppb.map(i64::unsigned_abs), Unit::Ppb),
            ns(&|seen| Some(seen.silent_ns / SECOND_NS * SECOND_NS)),
            claims(&all),
        ]);
    }
    let mut lines = table.lines(usize::MAX);
    lines.push(String::new());
    lines
}

fn middle_and_most(nodes: &[NodeSeen], value: &dyn Fn(&NodeSeen) -> Option<u64>, unit: Unit) -> String {
    let mut all: Vec<u64> = nodes.iter().filter_map(value).collect();
    all.sort_unstable();
    match (all.get(all.len() / 2), all.last()) {
        (Some(middle), Some(most)) => format!("{} ({})", quantity(*middle, unit), quantity(*most, unit)),
        _ => "-".to_owned(),
    }
}

fn claims(nodes: &[NodeSeen]) -> String {
    let all = || nodes.iter().flat_map(|seen| &seen.claims);
    let count = all().filter(|claim| claim.contradiction.is_some()).count();
    format!("{count} of {}", all().count())
}

#[cfg(test)]
mod tests {
    use syncline_alerts::round::{ClaimSeen, Contradiction};

    use super::*;

    #[test]
    fn a_minute_is_a_line_with_the_middle_and_the_most() {
        let node = |number: u64| NodeSeen {
            region: if number == 9 { "us".into() } else { "eu".into() },
            node: format!("n{number}"),
            skew_ns: (number != 2).then_some(Interval::around(0, 1_000 * (number + 1))),
            frequency_ppb: Some(-1_000 * number.cast_signed()),
            silent_ns: number * SECOND_NS + 5,
            claims: vec![ClaimSeen {
                source: "chrony".into(),
                contradiction: (number == 1).then(Contradiction::default),
            }],
            ..NodeSeen::default()
        };
        let round = |number: i64| Round {
            at_ns: 15 * number * SECOND_NS.cast_signed(),
            nodes: [0, 1, 2, 9].map(node).to_vec(),
            ..Round::default()
        };
        let rounds: Vec<Round> = (0..5).map(round).collect();
        let squeezed = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = table(&rounds, &About::Region("eu".into())).into_iter().map(squeezed).collect();
        assert_eq!(
            lines[1..],
            [
                "00:00:45 2 of 3 2.00 us (2.00 us) - 1.00 ppm (2.00 ppm) 1.00 s (2.00 s) 4 of 12",
                "00:01:00 2 of 3 2.00 us (2.00 us) - 1.00 ppm (2.00 ppm) 1.00 s (2.00 s) 1 of 3",
                "",
            ]
        );
        assert!(table(&rounds, &About::Fleet)[1].contains("3 of 4"));
    }
}
