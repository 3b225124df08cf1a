//! Curves on logarithmic axes, as SVG.

use std::fmt::{self, Write};
use std::ops::Range;

use crate::bench::svg::{write_begin, write_text};

/// Panels side by side that share their axes.
pub(super) struct Chart {
    pub(super) x_label: &'static str,
    pub(super) y_label: &'static str,
    pub(super) x: Range<f64>,
    /// From which power of ten to which.
    pub(super) decades: Range<i32>,
    /// Name and colour of each curve of every panel.
    pub(super) legend: Vec<(String, &'static str)>,
    pub(super) panels: Vec<Panel>,
}

/// Curves, and their title.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) curves: Vec<Vec<(f64, f64)>>,
}

const PANEL: (f64, f64) = (300.0, 260.0);
const GAP: f64 = 36.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 46.0;
/// Between two lines of the grid along x.
const X_STEP: f64 = 60.0;

impl Chart {
    /// The picture.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let width = LEFT + self.panels.len() as f64 * (PANEL.0 + GAP);
        let height = TOP + PANEL.1 + BOTTOM;
        write_begin(out, width, height)?;
        self.write_legend(out)?;
        let middle = TOP + PANEL.1 / 2.0;
        let turned = format!(" transform=\"rotate(-90 16 {middle:.0})\"");
        write_text(out, 16.0, middle, "middle", &turned, self.y_label)?;
        for (place, panel) in (0_u32..).zip(&self.panels) {
            let left = LEFT + f64::from(place) * (PANEL.0 + GAP);
            self.write_grid(out, left, place == 0)?;
            write_text(out, left + PANEL.0 / 2.0, TOP - 10.0, "middle", " font-weight=\"bold\"", &panel.title)?;
            for (curve, (_, colour)) in panel.curves.iter().zip(&self.legend) {
                self.write_curve(out, left, curve, colour)?;
            }
        }
        writeln!(out, "</svg>")
    }

    fn write_legend(&self, out: &mut String) -> fmt::Result {
        for (place, (name, colour)) in (0_u32..).zip(&self.legend) {
            let (left, y) = (LEFT + f64::from(place) * 200.0, 20.0);
            let right = left + 26.0;
            writeln!(out, "<path d=\"M{left:.0} {y}H{right:.0}\" stroke=\"{colour}\" stroke-width=\"2.5\"/>")?;
            write_text(out, right + 6.0, y + 4.0, "start", "", name)?;
        }
        Ok(())
    }

    fn write_grid(&self, out: &mut String, left: f64, is_first: bool) -> fmt::Result {
        let (right, bottom) = (left + PANEL.0, TOP + PANEL.1);
        for decade in self.decades.start..=self.decades.end {
            let y = self.y(10.0_f64.powi(decade));
            writeln!(out, "<path d=\"M{left:.0} {y:.1}H{right:.0}\" stroke=\"#dddddd\"/>")?;
            if is_first {
                write_text(out, left - 6.0, y + 4.0, "end", "", &length(decade))?;
            }
        }
        let mut x = (self.x.start / X_STEP).ceil() * X_STEP;
        while x <= self.x.end {
            let at = self.x(left, x);
            let colour = if x == 0.0 { "#888888" } else { "#dddddd" };
            writeln!(out, "<path d=\"M{at:.1} {TOP}V{bottom:.0}\" stroke=\"{colour}\"/>")?;
            write_text(out, at, bottom + 16.0, "middle", "", &format!("{x:.0}"))?;
            x += X_STEP;
        }
        write_text(out, f64::midpoint(left, right), bottom + 36.0, "middle", "", self.x_label)
    }

    fn write_curve(&self, out: &mut String, left: f64, curve: &[(f64, f64)], colour: &str) -> fmt::Result {
        write!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"")?;
        for (x, y) in curve {
            write!(out, "{:.1},{:.1} ", self.x(left, *x), self.y(*y))?;
        }
        writeln!(out, "\"/>")
    }

    fn x(&self, left: f64, x: f64) -> f64 {
        left + (x - self.x.start) / (self.x.end - self.x.start) * PANEL.0
    }

    /// What lies beyond the axis, or is no number, is drawn at its end.
    fn y(&self, y: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.start), f64::from(self.decades.end));
        let decade = y.log10().max(low).min(high);
        TOP + (high - decade) / (high - low) * PANEL.1
    }
}

/// A power of ten of microseconds, in words.
fn length(decade: i32) -> String {
    let (unit, above) = match decade {
        ..=-1 => ("ns", 3),
        0..=2 => ("us", 0),
        3..=5 => ("ms", -3),
        6.. => ("s", -6),
    };
    format!("{:.0} {unit}", 10.0_f64.powi(decade + above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::svg::unbalanced;

    fn chart() -> Chart {
        Chart {
            x_label: "s < & >",
            y_label: "error",
            x: -60.0..240.0,
            decades: -1..6,
            legend: vec![("ours".to_owned(), "#000000"), ("hull".to_owned(), "#ff0000")],
            panels: vec![
                Panel { title: "a".to_owned(), curves: vec![vec![(0.0, 1.0), (1.0, 0.0)], vec![(0.0, f64::NAN)]] },
                Panel { title: "b".to_owned(), curves: vec![Vec::new(), Vec::new()] },
            ],
        }
    }

    #[test]
    fn the_picture_is_well_formed_and_has_all_curves() {
        let text = chart().text();
        assert_eq!(unbalanced(&text), None);
        assert_eq!(text.matches("<polyline").count(), 4);
        assert!(!text.contains("NaN") && !text.contains("inf") && text.contains("s &lt; &amp; &gt;"));
    }

    #[test]
    fn ends_of_the_axes_are_ends_of_the_panel() {
        let chart = chart();
        assert_eq!((chart.x(LEFT, -60.0), chart.x(LEFT, 240.0)), (LEFT, LEFT + PANEL.0));
        assert_eq!((chart.y(1e6), chart.y(1e-1), chart.y(0.0)), (TOP, TOP + PANEL.1, TOP + PANEL.1));
        assert_eq!([-2, -1, 0, 2, 3, 6].map(length), ["10 ns", "100 ns", "1 us", "100 us", "1 ms", "1 s"]);
    }
}
