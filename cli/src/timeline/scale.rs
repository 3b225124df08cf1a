//! The scale of the picture: which column an instant falls into, and the axis above the lanes.

use crate::time::time_of_day;

/// A window of time on a number of columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeScale {
    from_ns: i64,
    length_ns: i128,
    columns: usize,
}

impl TimeScale {
    /// `from_ns..to_ns` on `columns` columns; both are at least one.
    pub(crate) fn new(from_ns: i64, to_ns: i64, columns: usize) -> Self {
        Self { from_ns, length_ns: (i128::from(to_ns) - i128::from(from_ns)).max(1), columns: columns.max(1) }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// How much time one column stands for.
    pub(crate) fn column_ns(&self) -> u64 {
        u64::try_from(self.length_ns / self.columns as i128).unwrap_or(u64::MAX).max(1)
    }

    /// Where an instant lies, in columns from the left edge; outside the window it is on the edge.
    pub(crate) fn position(&self, ns: i64) -> f64 {
        let since = i128::from(ns) - i128::from(self.from_ns);
        (since as f64 / self.length_ns as f64).clamp(0.0, 1.0) * self.columns as f64
    }

    /// The two lines of the axis: times, and a mark under the first digit of each.
    pub(crate) fn axis(&self, ascii: bool) -> [String; 2] {
        let (mark, line) = if ascii { ('+', '-') } else { ('┬', '─') };
        let step = self.step_ns();
        let decimals = decimals_of(step);
        let mut times = String::new();
        let mut marks = vec![line; self.columns];
        for tick in self.ticks(step) {
            let column = self.position(tick) as usize;
            let text = time_of_day(tick, decimals);
            if column < self.columns && column + text.len() <= self.columns && times.len() <= column {
                times.extend(std::iter::repeat_n(' ', column - times.len()));
                times.push_str(&text);
                marks[column] = mark;
            }
        }
        [times, marks.into_iter().collect()]
    }

    fn ticks(&self, step: i64) -> impl Iterator<Item = i64> + '_ {
        let first = self.from_ns.div_euclid(step).saturating_add(i64::from(self.from_ns.rem_euclid(step) != 0));
        let within = |tick: &i64| i128::from(*tick) <= i128::from(self.from_ns) + self.length_ns;
        (first..).map_while(move |n| n.checked_mul(step)).take_while(within).take(self.columns)
    }

    /// The smallest 1, 2 or 5 times a power of ten, or whole part of a day, at which the times do not touch.
    fn step_ns(&self) -> i64 {
        const LONGER: [i64; 9] = [15, 30, 60, 300, 900, 1_800, 3_600, 21_600, 86_400];
        let decades = (0..=10u32).flat_map(|power| [1, 2, 5].map(|n: i64| n * 10i64.pow(power)));
        let short = decades.take_while(|step| *step <= 10_000_000_000);
        let long = LONGER.iter().map(|seconds| seconds * 1_000_000_000);
        let fits = |step: &i64| {
            let columns = *step as f64 / self.length_ns as f64 * self.columns as f64;
            columns >= (time_of_day(0, decimals_of(*step)).len() + 3) as f64
        };
        short.chain(long).find(fits).unwrap_or_else(|| i64::try_from(self.length_ns).unwrap_or(i64::MAX))
    }
}

/// Decimals of a second that a step of the axis needs.
fn decimals_of(step_ns: i64) -> usize {
    match step_ns {
        step if step % 1_000_000_000 == 0 => 0,
        step if step % 1_000_000 == 0 => 3,
        step if step % 1_000 == 0 => 6,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T14:05:00Z
    const T0: i64 = 1_795_442_700_000_000_000;

    #[test]
    fn the_axis_has_round_times_that_do_not_touch() {
        let axis = TimeScale::new(T0, T0 + 10_000_000_000, 60).axis(false);
        assert_eq!(axis[0], "14:05:00    14:05:02    14:05:04    14:05:06    14:05:08");
        assert_eq!(axis[1], "┬───────────┬───────────┬───────────┬───────────┬───────────");
    }

    #[test]
    fn a_window_that_starts_between_ticks_begins_with_the_next() {
        let axis = TimeScale::new(T0 + 300_000, T0 + 5_300_000, 60).axis(true);
        assert_eq!(axis[0], "                    14:05:00.002            14:05:00.004");
        assert_eq!(axis[1], "--------------------+-----------------------+---------------");
    }

    #[test]
    fn any_window_has_an_axis_of_its_width() {
        for (from, to) in [(0, 1), (T0, T0 + 1), (i64::MIN, i64::MAX), (T0, T0 + 86_400_000_000_000 * 365), (5, 5)] {
            for columns in [1, 10, 200] {
                let [times, marks] = TimeScale::new(from, to, columns).axis(false);
                assert_eq!(marks.chars().count(), columns);
                assert!(times.len() <= columns);
            }
        }
    }

    #[test]
    fn instants_outside_lie_on_the_edge() {
        let scale = TimeScale::new(100, 200, 10);
        assert_eq!(scale.position(0), 0.0);
        assert_eq!(scale.position(150), 5.0);
        assert_eq!(scale.position(i64::MAX), 10.0);
    }
}
