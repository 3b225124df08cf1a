//! What was aimed at, what was found, and whether that is enough.

use crate::bench::statistics::Spread;
use crate::bench::table;

/// One line of the table.
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) target: Target,
    pub(super) found: Spread,
    pub(super) unit: &'static str,
}

/// In the finding's unit.
#[derive(Clone, Copy)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Only shown.
    None,
}

/// All of them, in Markdown.
pub(super) fn table(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = findings.iter().map(Finding::row).collect();
    table::text(&["", "target", "median (least to most) of the rounds", ""], &rows)
}

impl Finding {
    fn row(&self) -> Vec<String> {
        let target = match self.target {
            Target::AtLeast(least) => format!("at least {} {}", short(least), self.unit),
            Target::AtMost(most) => format!("at most {} {}", short(most), self.unit),
            Target::None => String::new(),
        };
        vec![self.what.clone(), target, format!("{} {}", shown(self.found), self.unit), self.verdict().to_owned()]
    }

    /// Met or missed only where all rounds say so.
    fn verdict(&self) -> &'static str {
        let Spread { median, min, max } = self.found;
        let (is_met, is_missed) = match self.target {
            Target::None => return "",
            _ if median.is_nan() => return "not measured",
            Target::AtLeast(least) => (min >= least, max < least),
            Target::AtMost(most) => (max <= most, min > most),
        };
        match (is_met, is_missed) {
            (true, _) => "met",
            (_, true) => "**missed**",
            _ => "cannot tell",
        }
    }
}

/// A spread only where it is one.
pub(super) fn shown(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    if min == max { short(median) } else { format!("{} ({} to {})", short(median), short(min), short(max)) }
}

fn short(number: f64) -> String {
    match number.abs() {
        _ if number.is_nan() => "?".to_owned(),
        ..10.0 if number.fract() != 0.0 => format!("{number:.2}"),
        ..1_000.0 if number.fract() != 0.0 => format!("{number:.1}"),
        _ => crate::bench::whole(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(target: Target, numbers: [f64; 2]) -> &'static str {
        Finding { what: String::new(), target, found: Spread::of(numbers), unit: "ms" }.verdict()
    }

    #[test]
    fn a_target_is_met_or_missed_where_all_rounds_say_so() {
        assert_eq!(verdict(Target::AtLeast(2.0), [2.0, 3.0]), "met");
        assert_eq!(verdict(Target::AtLeast(2.0), [1.0, 3.0]), "cannot tell");
        assert_eq!(verdict(Target::AtLeast(2.0), [1.0, 1.9]), "**missed**");
        assert_eq!(verdict(Target::AtMost(2.0), [1.0, 2.0]), "met");
        assert_eq!(verdict(Target::AtMost(2.0), [2.1, 3.0]), "**missed**");
        assert_eq!(verdict(Target::AtMost(2.0), [f64::NAN, f64::NAN]), "not measured");
        assert_eq!(verdict(Target::None, [1.0, 2.0]), "");
    }

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        let found = Spread::of([1_234_567.0, 3_000_000.0, 2_000_000.5]);
        let row = Finding { what: "rate".into(), target: Target::AtLeast(2.5e6), found, unit: "events/s" }.row();
        assert_eq!(
            row[1..],
            ["at least 2,500,000 events/s", "2,000,000 (1,234,567 to 3,000,000) events/s", "cannot tell"]
        );
        assert_eq!([short(0.516), short(21.26), short(5.0), short(f64::NAN)], ["0.52", "21.3", "5", "?"]);
    }
}
