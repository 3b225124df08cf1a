//! The picture: which share of the blocks of each band was recorded, and which kinds of blocks are seen at all.

use std::fmt::{self, Write};

use super::spread::Spread;
use crate::xml::escaped;

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// Above all.
    pub title: String,
    /// Below it: how it was measured.
    pub note: String,
    /// Names of the bands.
    pub bands: Vec<String>,
    /// A bar of every band for each.
    pub series: Vec<Series>,
    /// The reasons, the one with most time first.
    pub reasons: Vec<PlottedReason>,
}

/// The bars of a way to observe.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// By band, which share of its blocks was recorded; none where that was not measured.
    pub measured: Vec<Option<Spread>>,
    /// By band, which share is expected.
    pub expected: Vec<Option<f64>>,
}

/// A line of the second panel.
#[derive(Clone, Debug, Default)]
pub struct PlottedReason {
    /// The reason.
    pub name: String,
    /// Its share of all blocked time.
    pub of_all: f64,
    /// Which share of its time the profile of the smallest rate reports.
    pub seen: f64,
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 104.0;
const PANEL_HEIGHT: f64 = 260.0;
const GROUP_GAP: f64 = 18.0;
const LINE_HEIGHT: f64 = 22.0;
const NAME_WIDTH: f64 = 190.0;
/// The lowest share on the logarithmic axis; a bar of less ends there.
const FLOOR: f64 = 1e-4;
const GRID: [(f64, &str); 5] = [(1.0, "100 %"), (0.1, "10 %"), (0.01, "1 %"), (0.001, "0.1 %"), (FLOOR, "0.01 %")];
const COLOURS: [&str; 6] = ["#33658a", "#55a3c2", "#e8a33d", "#d1495b", "#7a5195", "#8d99ae"];
/// The height of a bar from here on says enough.
const WRITTEN_BELOW: f64 = 0.3;
/// Of what we capture, last of the series.
const LAST_COLOUR: &str = "#4a9d5b";

/// The picture as an SVG document without scripts.
#[must_use]
pub fn bias_svg(plot: &Plot) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = plot.write(&mut out);
    out
}

impl Plot {
    fn write(&self, out: &mut String) -> fmt::Result {
        let second = TOP + PANEL_HEIGHT + 84.0;
        let height = second + LINE_HEIGHT * self.reasons.len() as f64 + 20.0;
        writeln!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
            escaped(&self.title)
        )?;
        text(out, (LEFT, 24.0), "start", " font-size=\"16\" font-weight=\"600\"", &self.title)?;
        text(out, (LEFT, 44.0), "start", " fill=\"#555\"", &self.note)?;
        self.write_legend(out)?;
        self.write_bands(out)?;
        text(
            out,
            (LEFT, second - 16.0),
            "start",
            " font-weight=\"600\"",
            "Blocked time by reason, and what of it the profile of the smallest rate reports (blue)",
        )?;
        self.write_reasons(out, second)?;
        writeln!(out, "</svg>")
    }

    fn write_legend(&self, out: &mut String) -> fmt::Result {
        let mut x = LEFT;
        for (number, series) in self.series.iter().enumerate() {
            let colour = self.colour(number);
            writeln!(out, "<rect x=\"{x:.1}\" y=\"58\" width=\"12\" height=\"12\" fill=\"{colour}\"/>")?;
            text(out, (x + 17.0, 68.0), "start", "", &series.name)?;
            x += 34.0 + 7.0 * series.name.chars().count() as f64;
        }
        writeln!(out, "<path d=\"M{x:.1} 64h14\" stroke=\"#111\" stroke-width=\"2\"/>")?;
        text(out, (x + 19.0, 68.0), "start", "", "expected of all by the profiler's rule; ? not measured")?;
        text(
            out,
            (LEFT, TOP - 14.0),
            "start",
            " font-weight=\"600\"",
            "Blocks recorded, of those that a block profile can see, by how long they blocked",
        )
    }

    fn write_bands(&self, out: &mut String) -> fmt::Result {
        for (share, label) in GRID {
            let y = y(share);
            writeln!(out, "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - 20.0)?;
            text(out, (LEFT - 6.0, y + 4.0), "end", "", label)?;
        }
        let group = (WIDTH - 20.0 - LEFT) / self.bands.len().max(1) as f64;
        let bar = (group - GROUP_GAP) / self.series.len().max(1) as f64;
        for (number, name) in self.bands.iter().enumerate() {
            let left = LEFT + group * number as f64 + GROUP_GAP / 2.0;
            for (place, series) in self.series.iter().enumerate() {
                let x = left + bar * place as f64;
                self.write_bar(out, (x, bar), place, (series, number))?;
            }
            text(out, (left + (group - GROUP_GAP) / 2.0, TOP + PANEL_HEIGHT + 18.0), "middle", "", name)?;
        }
        Ok(())
    }

    fn write_bar(
        &self,
        out: &mut String,
        (x, bar): (f64, f64),
        place: usize,
        (series, band): (&Series, usize),
    ) -> fmt::Result {
        let middle = x + bar / 2.0;
        match series.measured.get(band).copied().flatten() {
            Some(share) => {
                let (top, colour) = (y(share.median), self.colour(place));
                let height = (TOP + PANEL_HEIGHT - top).max(1.0);
                let tip = format!(
                    "{}: {} ({} to {})",
                    series.name,
                    percent(share.median),
                    percent(share.low),
                    percent(share.high)
                );
                writeln!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"><title>{}</title></rect>",
                    x + 1.0,
                    bar - 2.0,
                    escaped(&tip)
                )?;
                writeln!(out, "<path d=\"M{middle:.1} {:.1}V{:.1}\" stroke=\"#0006\"/>", y(share.low), y(share.high))?;
                if share.median < WRITTEN_BELOW {
                    let highest = series.expected.get(band).copied().flatten().unwrap_or(0.0).max(share.high);
                    let (x, y) = (middle + 3.0, y(highest) - 5.0);
                    let turned = format!(" font-size=\"9\" fill=\"#555\" transform=\"rotate(-90 {x:.1} {y:.1})\"");
                    text(out, (x, y), "start", &turned, &percent(share.median))?;
                }
            }
            None => text(out, (middle, TOP + PANEL_HEIGHT - 3.0), "middle", " font-size=\"10\" fill=\"#999\"", "?")?,
        }
        if let Some(expected) = series.expected.get(band).copied().flatten() {
            writeln!(out, "<path d=\"M{x:.1} {:.1}h{bar:.1}\" stroke=\"#111\" stroke-width=\"2\"/>", y(expected))?;
        }
        Ok(())
    }

    fn write_reasons(&self, out: &mut String, top: f64) -> fmt::Result {
        let (left, room) = (LEFT + NAME_WIDTH, WIDTH - LEFT - NAME_WIDTH - 190.0);
        for (number, reason) in self.reasons.iter().enumerate() {
            let y = top + LINE_HEIGHT * number as f64;
            let width = room * reason.of_all.clamp(0.0, 1.0);
            let seen = width * reason.seen.clamp(0.0, 1.0);
            text(out, (left - 8.0, y + 13.0), "end", "", &reason.name)?;
            writeln!(
                out,
                "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"16\" fill=\"#f0c9a0\"/>",
                width.max(1.0)
            )?;
            writeln!(
                out,
                "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{seen:.1}\" height=\"16\" fill=\"{}\"/>",
                COLOURS[0]
            )?;
            let words = format!("{} of all, {} of it reported", percent(reason.of_all), percent(reason.seen));
            text(out, (left + width + 8.0, y + 13.0), "start", " fill=\"#555\"", &words)?;
        }
        Ok(())
    }

    fn colour(&self, place: usize) -> &'static str {
        if place + 1 == self.series.len() { LAST_COLOUR } else { COLOURS[place % COLOURS.len()] }
    }
}

/// Where a share stands on the axis.
fn y(share: f64) -> f64 {
    let part = share.clamp(FLOOR, 1.0).log10() / FLOOR.log10();
    TOP + PANEL_HEIGHT * part
}

/// `100 %`, `3.1 %`, `0.05 %`.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 99.95 || percent == 0.0 {
        format!("{percent:.0} %")
    } else if percent >= 1.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.2} %")
    }
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, more: &str, words: &str) -> fmt::Result {
    writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{}</text>", escaped(words))
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn plot() -> Plot {
        let share = |median| Some(Spread { median, low: median / 2.0, high: median });
        let series = |name: &str, measured| Series { name: name.to_owned(), measured, expected: vec![Some(0.5), None] };
        Plot {
            title: "<bias> & co".to_owned(),
            note: "3 runs".to_owned(),
            bands: vec!["under 10 µs".to_owned(), "longer".to_owned()],
            series: vec![
                series("rate 1 ms", vec![share(0.01), None]),
                series("syncline", vec![share(1.0), share(1.0)]),
            ],
            reasons: vec![PlottedReason { name: "IO wait".to_owned(), of_all: 0.4, seen: 0.0 }],
        }
    }

    fn rects(svg: &str, fill: &str) -> Vec<f64> {
        let document = Document::parse(svg).unwrap();
        let rects = document.descendants().filter(|node| node.attribute("fill") == Some(fill));
        rects
            .filter(roxmltree::Node::has_children)
            .map(|node| node.attribute("height").unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn bars_are_as_high_as_their_shares_on_a_logarithmic_axis() {
        let svg = bias_svg(&plot());
        assert_eq!(rects(&svg, COLOURS[0]), [PANEL_HEIGHT / 2.0], "1 % is in the middle of 0.01 % and 100 %");
        assert_eq!(rects(&svg, LAST_COLOUR), [PANEL_HEIGHT; 2]);
        assert!(svg.contains("rate 1 ms: 1.0 % (0.50 % to 1.0 %)"), "{svg}");
        assert!(svg.contains("&lt;bias&gt; &amp; co") && svg.contains(">?</text>"), "{svg}");
        assert!(svg.contains("40.0 % of all, 0 % of it reported"), "{svg}");
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(Document::parse(&bias_svg(&Plot::default())).is_ok());
    }
}
