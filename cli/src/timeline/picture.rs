//! The timeline as text: axis, lanes by region, the list of the longest waits, and what is not among them. A pure function of the events.

use std::collections::BTreeMap;

use syncline_insight::waits;

use super::bars::{bars, colour_of};
use super::event::Event;
use super::lanes::{Lane, Lanes, lanes};
use super::list::list;
use super::scale::TimeScale;
use crate::colour::{Colour, Palette};
use crate::table::{columns_of, cut, printable};
use crate::{time, units};

/// What was found.
pub(crate) struct View {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    /// The waits to show: all, or the longest.
    pub(crate) events: Vec<Event>,
    /// How many waits there are in the window.
    pub(crate) matched: u64,
    /// Of Go's own goroutines, which are not among them.
    pub(crate) own_waits: u64,
    pub(crate) own_waited_ns: u64,
    /// Goroutines that began to wait before the end of the window and still do.
    pub(crate) still: u64,
}

/// How it is shown.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Columns of the drawing.
    pub(crate) width: usize,
    /// Columns of the list; what is longer is cut.
    pub(crate) list_width: usize,
    pub(crate) ascii: bool,
    pub(crate) palette: Palette,
    /// Lanes drawn at most.
    pub(crate) lanes: usize,
    /// Lines of the list at most.
    pub(crate) rows: usize,
}

/// Draws the view.
pub(crate) fn picture(view: &View, look: Look) -> String {
    let lanes = lanes(&view.events, look.lanes);
    let label_width = label_width(&lanes, look.width);
    let columns = look.width.saturating_sub(label_width + 1).max(10);
    let scale = TimeScale::new(view.from_ns, view.to_ns, columns);
    let mut lines = vec![heading(view, &scale), String::new()];
    if view.events.is_empty() {
        lines.push("no waits in this window: widen it with --from and --to, or take filters away".to_owned());
        lines.extend(besides(view));
        return finish(&lines, look);
    }
    lines.extend(scale.axis(look.ascii).map(|line| format!("{:label_width$} {line}", "")));
    lines.extend(regions(&lanes, &scale, label_width, look));
    lines.extend(legend(&lanes, look.palette));
    lines.extend(left_out(view, &lanes));
    lines.push(String::new());
    lines.extend(list(&view.events, look));
    lines.extend(besides(view));
    finish(&lines, look)
}

fn finish(lines: &[String], look: Look) -> String {
    let text: String = lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect();
    spell(text, look.ascii)
}

/// The text in ASCII if that is wanted; only `±` changes its length.
pub(super) fn spell(text: String, ascii: bool) -> String {
    if !ascii {
        return text;
    }
    let text = text.replace('µ', "u").replace('±', "+-").replace('…', "~");
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn heading(view: &View, scale: &TimeScale) -> String {
    let length = u64::try_from(i128::from(view.to_ns) - i128::from(view.from_ns)).unwrap_or(0);
    format!(
        "{}  {} from here, one column = {}",
        time::date_and_time(view.from_ns),
        units::span(length),
        units::span(scale.column_ns())
    )
}

/// As wide as the longest label, but never more than a third of the picture.
fn label_width(lanes: &Lanes<'_>, width: usize) -> usize {
    let longest = lanes.drawn.iter().map(|lane| columns_of(&lane.label()) + 2).max();
    longest.unwrap_or(0).min(width / 3)
}

fn regions(lanes: &Lanes<'_>, scale: &TimeScale, label_width: usize, look: Look) -> Vec<String> {
    let of_region = lanes.drawn.chunk_by(|a, b| a.goroutine.region == b.goroutine.region);
    let mut lines = Vec::new();
    for region in of_region {
        lines.push(region_heading(region, look.palette));
        for lane in region {
            let label = cut(&format!("  {}", lane.label()), label_width);
            lines.push(format!("{label:label_width$} {}", bars(lane, scale, look.ascii, look.palette)));
        }
    }
    lines
}

/// The region's name and how far its times may be off at worst.
fn region_heading(region: &[Lane<'_>], palette: Palette) -> String {
    let events = || region.iter().flat_map(|lane| &lane.events);
    let worst = events().filter_map(|event| event.bound_ns).max();
    let unknown = events().filter(|event| event.bound_ns.is_none()).count();
    let name = region.first().map_or(String::new(), |lane| printable(lane.goroutine.region));
    let mut about = worst.map_or(String::new(), |ns| format!("times within {}", units::bound(Some(ns))));
    if unknown > 0 {
        about = format!("{about}{}{unknown} of unknown time error", if about.is_empty() { "" } else { ", " });
    }
    format!("{}  {}", palette.paint(Colour::Bold, &name), palette.paint(Colour::Grey, &about))
}

/// Which colour is which reason, where there are colours.
fn legend(lanes: &Lanes<'_>, palette: Palette) -> Vec<String> {
    if !palette.enabled {
        return Vec::new();
    }
    let events = lanes.drawn.iter().flat_map(|lane| &lane.events);
    let reasons: BTreeMap<&str, Colour> =
        events.map(|event| (event.reason.as_str(), colour_of(&event.reason))).collect();
    let entries: Vec<String> =
        reasons.iter().map(|(reason, colour)| palette.paint(*colour, &format!("█ {}", printable(reason)))).collect();
    vec![String::new(), entries.join("  ")]
}

/// What is there but not drawn: nothing is left out silently.
fn left_out(view: &View, lanes: &Lanes<'_>) -> Vec<String> {
    let shown = view.events.len() as u64;
    let mut lines = Vec::new();
    if view.matched > shown {
        lines.push(format!("the {shown} longest of {} waits; --limit shows more", view.matched));
    }
    if lanes.left_out_lanes > 0 {
        lines.push(format!(
            "{} more goroutines with {} shorter waits are not drawn; --lanes shows more",
            lanes.left_out_lanes, lanes.left_out_events
        ));
    }
    lines
}

/// What is not among the waits that were looked at.
fn besides(view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    if view.own_waits > 0 {
        let (waits, time) = (waits(view.own_waits), units::span(view.own_waited_ns));
        lines.push(format!("not shown: {waits} of Go's own goroutines, {time} (--runtime shows them)"));
    }
    if view.still > 0 {
        let (still, do_so) = match view.still {
            1 => ("1 goroutine that waits".to_owned(), "does"),
            many => (format!("{many} goroutines that wait"), "do"),
        };
        lines.push(format!("not shown: {still} since then or before, and still {do_so} (`syncline stuck` lists them)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::event::sample;
    use super::*;

    /// 2026-11-23T14:05:00Z
    const T0: i64 = 1_795_442_700_000_000_000;
    const MS: i64 = 1_000_000;

    fn view() -> View {
        let events = vec![
            sample("us-east", 7, T0 + 20 * MS, 30_000_000, "chan receive"),
            sample("eu-west", 18, T0 + 10 * MS, 60_000_000, "sync.Mutex.Lock"),
            sample("eu-west", 18, T0 + 85 * MS, 500_000, "select"),
            Event { bound_ns: None, stack: Vec::new(), ..sample("us-east", 9, T0 + 40 * MS, 25_000_000, "IO wait") },
        ];
        View { from_ns: T0, to_ns: T0 + 100 * MS, events, matched: 4, own_waits: 0, own_waited_ns: 0, still: 0 }
    }

    fn look(width: usize) -> Look {
        Look { width, list_width: width, ascii: false, palette: Palette { enabled: false }, lanes: 40, rows: 30 }
    }

    #[test]
    fn two_regions_are_drawn_on_one_axis() {
        let drawn = picture(&view(), look(100));
        let lines: Vec<&str> = drawn.lines().take(9).collect();
        assert_eq!(
            lines,
            [
                "2026-11-23 14:05:00.000000 UTC  100 ms from here, one column = 1.35 ms",
                "",
                "                          14:05:00.000                         14:05:00.050",
                "                          ┬────────────────────────────────────┬────────────────────────────────────",
                "eu-west  times within ±120 µs",
                "  eu-west-1 shop/4711 g18        ▐█████████ sync.Mutex.Lock 60.0 ms █████████▊          ▕▎",
                "us-east  times within ±120 µs, 1 of unknown time error",
                "  us-east-1 shop/4711 g7                ▕██████████████████████",
                "  us-east-1 shop/4711 g9                               ▐██████████████████▏",
            ]
        );
        assert!(drawn.lines().all(|line| columns_of(line) <= 100), "{drawn}");
    }

    #[test]
    fn what_is_not_shown_is_said() {
        let view = View { matched: 900, ..view() };
        let drawn = picture(&view, Look { lanes: 1, rows: 2, ..look(120) });
        assert!(drawn.contains("the 4 longest of 900 waits"), "{drawn}");
        assert!(drawn.contains("2 more goroutines with 2 shorter waits"), "{drawn}");
        assert!(drawn.contains("the 2 longest of these 4 waits"), "{drawn}");
    }

    #[test]
    fn ascii_is_ascii_and_narrow_is_narrow() {
        let drawn = picture(&view(), Look { ascii: true, ..look(60) });
        assert!(drawn.is_ascii(), "{drawn}");
        assert!(drawn.contains("##"), "{drawn}");
    }

    #[test]
    fn colours_come_with_a_legend() {
        let drawn = picture(&view(), Look { palette: Palette { enabled: true }, ..look(120) });
        assert!(drawn.contains("\x1b[31m█ sync.Mutex.Lock\x1b[0m"), "{drawn}");
    }

    #[test]
    fn an_empty_window_says_so() {
        let view = View { events: Vec::new(), matched: 0, ..view() };
        assert!(picture(&view, look(80)).contains("no waits in this window"));
    }

    #[test]
    fn own_goroutines_and_those_that_still_wait_are_counted() {
        let counted = |view: View| {
            let view = View { own_waits: 1, own_waited_ns: 5_000_000, still: 3, ..view };
            picture(&view, look(120)).lines().rev().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = [
            "not shown: 3 goroutines that wait since then or before, and still do (`syncline stuck` lists them)",
            "not shown: 1 wait of Go's own goroutines, 5.00 ms (--runtime shows them)",
        ];
        assert_eq!(counted(view()), expected);
        assert_eq!(counted(View { events: Vec::new(), ..view() }), expected);
        assert!(!picture(&view(), look(120)).contains("not shown"));
    }

    #[test]
    fn names_from_nodes_cannot_steer_the_terminal() {
        let mut view = view();
        view.events[0].region = "eu\x1b[2J".into();
        view.events[0].reason = "\x07bell".into();
        assert!(!picture(&view, look(120)).contains(['\x1b', '\x07']));
    }
}
