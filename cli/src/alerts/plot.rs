//! Intervals over time, drawn with characters. Pure.

use syncline_alerts::Interval;
use syncline_alerts::Unit;
use syncline_alerts::text::quantity;

/// Lines of a picture.
const LINES: usize = 15;

/// Draws what is known in each round, a column each: `|` where the value may be, `o` in the middle, and a line of `-` at either limit
/// that is within the picture. Rounds in which nothing is known are left out.
pub(super) fn draw(intervals: &[Option<Interval>], limit_ns: u64) -> Vec<String> {
    let known = || intervals.iter().flatten();
    let Some((low, high)) = known().map(|one| one.low).min().zip(known().map(|one| one.high).max()) else {
        return vec!["  nothing is known of it in this time".to_owned()];
    };
    // Zero is always in it.
    let (low, high) = (low.min(0), high.max(1));
    let step = high.abs_diff(low).div_ceil(LINES as u64 - 1).max(1);
    let line_of = |value: i64| usize::try_from(high.abs_diff(value.clamp(low, high)) / step).unwrap_or(LINES - 1);
    let limits = [i64::try_from(limit_ns).unwrap_or(i64::MAX), -i64::try_from(limit_ns).unwrap_or(i64::MAX)];
    let limits: Vec<usize> = limits.into_iter().filter(|limit| (low..=high).contains(limit)).map(line_of).collect();
    let cell = |line: usize, interval: &Option<Interval>| match interval {
        Some(one) if line_of(one.middle()) == line => 'o',
        Some(one) if (line_of(one.high)..=line_of(one.low)).contains(&line) => '|',
        _ if limits.contains(&line) => '-',
        _ if line == line_of(0) => '.',
        _ => ' ',
    };
    let row = |line: usize| {
        let value = high.saturating_sub_unsigned(step.saturating_mul(line as u64));
        let sign = if value < 0 { "-" } else { "+" };
        let label = format!("{sign}{}", quantity(value.unsigned_abs(), Unit::Ns));
        let cells: String = intervals.iter().map(|interval| cell(line, interval)).collect();
        format!("{label:>10} {}", cells.trim_end())
    };
    (0..LINES).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_beyond_the_limit_is_seen_with_its_bounds() {
        let at = |ms: i64| Some(Interval::around(ms * 1_000_000, 25_000_000));
        let lines = draw(&[at(0), at(0), None, at(140), at(140)], 50_000_000);
        assert_eq!(lines.len(), LINES);
        assert!(lines[0].ends_with("   ||") && lines[1].ends_with("   oo"), "{lines:#?}");
        let limit = lines.iter().find(|line| line.ends_with("-----")).unwrap();
        assert!(limit.trim_start().starts_with("+5"), "{limit}");
        assert!(lines.iter().any(|line| line.ends_with(" oo...") || line.ends_with(" oo")), "{lines:#?}");
    }

    #[test]
    fn what_is_not_known_or_extreme_is_drawn_without_panic() {
        assert_eq!(draw(&[None, None], 5).len(), 1);
        let all = Some(Interval { low: i64::MIN, high: i64::MAX });
        assert_eq!(draw(&[all, Some(Interval::exactly(0))], u64::MAX).len(), LINES);
    }
}
