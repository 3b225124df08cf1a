//! What was known of a node, as a table over time. Pure.

use syncline_alerts::round::NodeSeen;
use syncline_alerts::text::quantity;
use syncline_alerts::{Interval, Round, Unit};

use super::evidence::signed;
use crate::table::{Align, Table};
use crate::time;

/// A line each so many rounds: a minute.
const EACH: usize = 4;
/// Drift is over so many rounds at most: ten minutes.
const DRIFT_ROUNDS: usize = 40;
const SECOND_NS: i64 = 1_000_000_000;

/// A line a minute: offset from the reference with its bound, drift, frequency, silence, and which claims there were.
pub(super) fn table(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let mut table = Table::new(&[
        ("TIME", Align::Left),
        ("OFFSET FROM REF", Align::Right),
        ("+-", Align::Right),
        ("DRIFT", Align::Right),
        ("FREQUENCY", Align::Right),
        ("SILENT", Align::Right),
        ("CLAIMS", Align::Left),
    ]);
    let last = seen.len().saturating_sub(1);
    for (number, (round, node)) in seen.iter().enumerate() {
        if number % EACH != EACH - 1 && number != last {
            continue;
        }
        let Some(node) = node else { continue };
        let since = number.saturating_sub(EACH - 1);
        let unknown = || "-".to_owned();
        table.push(&[
            time::time_of_day(round.at_ns, 0),
            node.skew_ns.map_or_else(unknown, |skew| signed(skew.middle())),
            node.skew_ns.map_or_else(unknown, |skew| quantity(skew.half_width(), Unit::Ns)),
            drift_ppb(seen, number).map_or_else(unknown, of_ppb),
            node.frequency_ppb.map_or_else(unknown, |ppb| of_ppb(Interval::exactly(ppb))),
            quantity(node.silent_ns / SECOND_NS.unsigned_abs() * SECOND_NS.unsigned_abs(), Unit::Ns),
            claims(&seen[since..=number]),
        ]);
    }
    table.lines(usize::MAX)
}

/// How fast the wall clock left the reference up to a round, by what was known of it in the same model ten minutes before, or less; ppb.
fn drift_ppb(seen: &[(&Round, Option<NodeSeen>)], number: usize) -> Option<Interval> {
    let at = |number: usize| {
        let (round, node) = seen.get(number)?;
        let node = node.as_ref()?;
        Some((round.at_ns, node.skew_ns?, (node.boot, node.run, node.epoch)))
    };
    let (now_ns, now, model) = at(number)?;
    let before = (number.saturating_sub(DRIFT_ROUNDS)..number).filter_map(at).find(|(_, _, of)| *of == model)?;
    let (before_ns, before, _) = before;
    let moved = now.minus(before);
    let over_ns = i128::from(now_ns.checked_sub(before_ns)?.max(1));
    let ppb = |moved: i64| i64::try_from(i128::from(moved) * i128::from(SECOND_NS) / over_ns).unwrap_or(i64::MAX);
    Some(Interval { low: ppb(moved.low), high: ppb(moved.high) })
}

fn of_ppb(ppb: Interval) -> String {
    let (middle, half) = (ppb.middle(), ppb.half_width());
    let sign = if middle < 0 { "-" } else { "+" };
    let bound = if half == 0 { String::new() } else { format!(" +-{}", quantity(half, Unit::Ppb)) };
    format!("{sign}{}{bound}", quantity(middle.unsigned_abs(), Unit::Ppb))
}

/// Who claimed something in these rounds, and whose word was false.
fn claims(seen: &[(&Round, Option<NodeSeen>)]) -> String {
    let mut all: Vec<(&str, bool)> = seen
        .iter()
        .filter_map(|(_, node)| node.as_ref())
        .flat_map(|node| &node.claims)
        .map(|claim| (claim.source.as_str(), claim.contradiction.is_some()))
        .collect();
    // The false ones of each first.
    all.sort_by_key(|(source, is_false)| (*source, !*is_false));
    all.dedup_by_key(|(source, _)| *source);
    let words =
        all.into_iter().map(|(source, is_false)| if is_false { format!("{source}: false") } else { source.to_owned() });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use syncline_alerts::round::{ClaimSeen, Contradiction};

    use super::*;

    const ROUND_NS: i64 = 15 * SECOND_NS;

    /// A node that gains 10 us a second, whose chrony is wrong in the last round.
    fn rounds() -> Vec<(Round, Option<NodeSeen>)> {
        let node = |number: i64| NodeSeen {
            skew_ns: Some(Interval::around(number * 150_000, 15_000)),
            frequency_ppb: Some(-12_300),
            silent_ns: 4_600_000_000,
            claims: vec![ClaimSeen {
                source: "chrony".to_owned(),
                contradiction: (number == 7).then(Contradiction::default),
            }],
            ..NodeSeen::default()
        };
        (0..8).map(|number| (Round { at_ns: number * ROUND_NS, ..Round::default() }, Some(node(number)))).collect()
    }

    fn told(rounds: &[(Round, Option<NodeSeen>)]) -> Vec<String> {
        let seen: Vec<_> = rounds.iter().map(|(round, node)| (round, node.clone())).collect();
        let squeezed = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        table(&seen).into_iter().map(squeezed).collect()
    }

    #[test]
    fn a_minute_is_a_line() {
        let mut rounds = rounds();
        assert_eq!(
            told(&rounds)[1..],
            [
                "00:00:45 +450 us 15.0 us +10.00 ppm +-0.67 ppm -12.3 ppm 4.00 s chrony",
                "00:01:45 +1.05 ms 15.0 us +10.00 ppm +-0.29 ppm -12.3 ppm 4.00 s chrony: false",
            ]
        );
        for (_, node) in &mut rounds[..7] {
            node.as_mut().unwrap().epoch = 1;
        }
        assert!(told(&rounds)[2].contains("15.0 us - -12.3 ppm"), "another model's offset is nothing to drift from");
        rounds.iter_mut().for_each(|(_, node)| *node = None);
        assert_eq!(told(&rounds).len(), 1, "what is not known has no line");
    }
}
