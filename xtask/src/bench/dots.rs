//! Medians with their ranges as dots on lines, in panels that share their rows and their axis, as SVG.

use std::fmt::{self, Write};
use std::ops::Range;

use super::statistics::Spread;
use super::svg::{write_begin, write_text};

/// A picture.
pub(super) struct Dots {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    /// Name and colour of each row of every panel.
    pub(super) rows: Vec<(&'static str, &'static str)>,
    pub(super) panels: Vec<Panel>,
}

/// What all panels have along x.
pub(super) enum Scale {
    /// Logarithmic, from which power of ten to which.
    Decades(Range<i32>),
    /// From nothing to a bit more than all.
    Share,
}

/// A mark for each row; one that is no number is not drawn.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) marks: Vec<Spread>,
}

const WIDTH: f64 = 190.0;
const GAP: f64 = 24.0;
const LEFT: f64 = 130.0;
const TOP: f64 = 34.0;
const ROW: f64 = 18.0;
/// A panel's title above it, and its axis below.
const ABOVE: f64 = 24.0;
const BELOW: f64 = 30.0;
const IN_A_LINE: usize = 4;
/// The most that [`Scale::Share`] shows.
const MOST_SHARE: f64 = 1.1;

impl Dots {
    /// The picture.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let columns = self.panels.len().clamp(1, IN_A_LINE);
        let lines = self.panels.len().div_ceil(IN_A_LINE);
        let width = LEFT + columns as f64 * (WIDTH + GAP);
        write_begin(out, width, TOP + lines as f64 * self.line_height())?;
        write_text(out, 12.0, 22.0, "start", " font-weight=\"bold\"", self.title)?;
        for (place, panel) in self.panels.iter().enumerate() {
            let left = LEFT + (place % IN_A_LINE) as f64 * (WIDTH + GAP);
            let top = TOP + (place / IN_A_LINE) as f64 * self.line_height() + ABOVE;
            self.write_panel(out, panel, (left, top), place % IN_A_LINE == 0)?;
        }
        writeln!(out, "</svg>")
    }

    fn line_height(&self) -> f64 {
        ABOVE + self.rows.len() as f64 * ROW + BELOW
    }

    fn write_panel(&self, out: &mut String, panel: &Panel, (left, top): (f64, f64), is_first: bool) -> fmt::Result {
        let bottom = top + self.rows.len() as f64 * ROW;
        write_text(out, left + WIDTH / 2.0, top - 8.0, "middle", "", panel.title)?;
        for (value, label) in self.scale.ticks() {
            let x = left + self.scale.place(value) * WIDTH;
            let colour = if value == 1.0 { "#888888" } else { "#dddddd" };
            writeln!(out, "<path d=\"M{x:.1} {top:.0}V{bottom:.0}\" stroke=\"{colour}\"/>")?;
            write_text(out, x, bottom + 15.0, "middle", " font-size=\"10\"", &label)?;
        }
        for (row, ((name, colour), mark)) in self.rows.iter().zip(&panel.marks).enumerate() {
            let y = top + (row as f64 + 0.5) * ROW;
            if is_first {
                write_text(out, left - 10.0, y + 4.0, "end", "", name)?;
            }
            self.write_mark(out, (left, y), *mark, colour)?;
        }
        Ok(())
    }

    fn write_mark(&self, out: &mut String, (left, y): (f64, f64), mark: Spread, colour: &str) -> fmt::Result {
        if mark.median.is_nan() {
            return Ok(());
        }
        let [low, middle, high] = [mark.min, mark.median, mark.max].map(|value| left + self.scale.place(value) * WIDTH);
        writeln!(out, "<path d=\"M{low:.1} {y:.1}H{high:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>")?;
        writeln!(out, "<circle cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>")
    }
}

impl Scale {
    /// From 0 at the begin of the axis to 1 at its end; what lies beyond is there.
    fn place(&self, value: f64) -> f64 {
        let share = match self {
            Self::Decades(decades) => {
                let (low, high) = (f64::from(decades.start), f64::from(decades.end));
                (value.max(f64::MIN_POSITIVE).log10() - low) / (high - low)
            }
            Self::Share => value / MOST_SHARE,
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        match self {
            Self::Decades(decades) => {
                (decades.start..=decades.end).map(|decade| (10.0_f64.powi(decade), shown(decade))).collect()
            }
            Self::Share => [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, format!("{:.0} %", share * 100.0))).into(),
        }
    }
}

fn shown(decade: i32) -> String {
    match decade {
        ..=-1 => format!("{}", 10.0_f64.powi(decade)),
        0..=2 => format!("{:.0}", 10.0_f64.powi(decade)),
        3..=5 => format!("{:.0}k", 10.0_f64.powi(decade - 3)),
        _ => format!("{:.0}M", 10.0_f64.powi(decade - 6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(min: f64, median: f64, max: f64) -> Spread {
        Spread { median, min, max }
    }

    #[test]
    fn what_is_beyond_the_axis_is_at_its_end() {
        let log = Scale::Decades(-1..3);
        assert_eq!([0.0, -5.0, 0.1, 10.0, 1_000.0, 1e9].map(|value| log.place(value)), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!([0.55, 2.0].map(|value| Scale::Share.place(value)), [0.5, 1.0]);
        assert_eq!([-1, 0, 2, 3, 5, 6].map(shown), ["0.1", "1", "100", "1k", "100k", "1M"]);
    }

    #[test]
    fn each_row_has_its_dot_in_each_panel_unless_it_was_not_measured() {
        let not_measured = spread(f64::NAN, f64::NAN, f64::NAN);
        let panel = |title| Panel { title, marks: vec![spread(0.5, 0.6, 0.7), not_measured] };
        let rows = vec![("a < b", "#000000"), ("c", "#ff0000")];
        let dots = Dots { title: "t", scale: Scale::Share, rows, panels: ["1", "2", "3", "4", "5"].map(panel).into() };
        let text = dots.text();
        assert_eq!(crate::bench::svg::unbalanced(&text), None);
        assert_eq!((text.matches("<circle").count(), text.matches(">a &lt; b<").count()), (5, 2));
    }
}
