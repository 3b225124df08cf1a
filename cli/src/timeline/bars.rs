//! A lane drawn as bars: which glyph and which colour each column has.

use super::event::Event;
use super::lanes::Lane;
use super::scale::TimeScale;
use crate::colour::{Colour, Palette};
use crate::table::{columns_of, printable};
use crate::units;

/// One column of a lane.
#[derive(Clone, Copy)]
struct Cell {
    glyph: char,
    /// The colour of the wait that covers most of it.
    colour: Option<Colour>,
    /// Whether the glyph is text on the bar instead of the bar.
    text: bool,
}

const EMPTY: Cell = Cell { glyph: ' ', colour: None, text: false };

/// The colour of a wait reason: what holds a goroutine up is red, what it waits for from elsewhere is not.
pub(crate) fn colour_of(reason: &str) -> Colour {
    let is = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if is(&["mutex", "Mutex", "semacquire", "sync.", "RWMutex"]) {
        Colour::Red
    } else if is(&["IO wait"]) {
        Colour::Green
    } else if is(&["chan"]) {
        Colour::Cyan
    } else if is(&["select"]) {
        Colour::Blue
    } else if is(&["GC", "sweep", "scavenge"]) {
        Colour::Magenta
    } else if is(&["sleep"]) {
        Colour::Grey
    } else {
        Colour::Yellow
    }
}

/// The bars of a lane, exactly as wide as the scale.
pub(crate) fn bars(lane: &Lane<'_>, scale: &TimeScale, ascii: bool, palette: Palette) -> String {
    let mut cells: Vec<Cell> = (0..scale.columns()).map(|column| cell(lane, scale, column, ascii)).collect();
    for event in &lane.events {
        label(event, scale, &mut cells);
    }
    paint(&cells, palette)
}

/// How much of one column the lane's waits cover, and where.
struct Cover {
    share: f64,
    touches_left: bool,
    touches_right: bool,
    middle: f64,
}

fn cell(lane: &Lane<'_>, scale: &TimeScale, column: usize, ascii: bool) -> Cell {
    let pieces: Vec<(f64, f64, &Event)> = lane
        .events
        .iter()
        .map(|event| (scale.position(event.start_ns), scale.position(event.end_ns), *event))
        .filter(|(start, end, _)| falls_into(*start, *end, column, scale.columns()))
        .map(|(start, end, event)| (within(start, column), within(end, column), event))
        .collect();
    let Some(main) = pieces.iter().max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0))) else { return EMPTY };
    let cover = Cover {
        share: pieces.iter().map(|(start, end, _)| end - start).sum::<f64>().min(1.0),
        touches_left: pieces.len() == 1 && main.0 <= 0.0,
        touches_right: pieces.len() == 1 && main.1 >= 1.0,
        middle: f64::midpoint(main.0, main.1),
    };
    let glyph = if ascii { ascii_glyph(&cover) } else { block_glyph(&cover) };
    Cell { glyph, colour: Some(colour_of(&main.2.reason)), text: false }
}

/// Whether a wait shows in a column; a wait too short to fill one still shows in that of its start.
fn falls_into(start: f64, end: f64, column: usize, columns: usize) -> bool {
    let (left, right) = (column as f64, (column + 1) as f64);
    let starts_here = (start as usize).min(columns - 1) == column;
    starts_here || (start < right && end > left)
}

fn within(position: f64, column: usize) -> f64 {
    (position - column as f64).clamp(0.0, 1.0)
}

fn block_glyph(cover: &Cover) -> char {
    const FROM_LEFT: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    if cover.share > 0.95 {
        '█'
    } else if cover.touches_left {
        FROM_LEFT[((cover.share * 8.0).round() as usize).clamp(1, 8) - 1]
    } else if cover.touches_right {
        if cover.share > 0.3 { '▐' } else { '▕' }
    } else if cover.share < 0.25 {
        if cover.middle < 0.5 { '▏' } else { '▕' }
    } else {
        ['░', '▒', '▓'][((cover.share * 3.0) as usize).min(2)]
    }
}

fn ascii_glyph(cover: &Cover) -> char {
    match cover.share {
        share if share > 0.75 => '#',
        share if share > 0.25 => '=',
        _ if cover.touches_left || cover.touches_right => '-',
        _ => '|',
    }
}

/// Writes reason and length onto a bar that is long enough for them.
fn label(event: &Event, scale: &TimeScale, cells: &mut [Cell]) {
    let text = format!(" {} {} ", printable(&event.reason), units::span(event.duration_ns));
    let first = scale.position(event.start_ns).ceil() as usize;
    let end = scale.position(event.end_ns).floor() as usize;
    let free = end.saturating_sub(first);
    let length = columns_of(&text);
    // At least one column of bar stays on either side, so that it is still seen as a bar.
    if free < length + 2 {
        return;
    }
    let at = first + (free - length) / 2;
    for (cell, glyph) in cells.iter_mut().skip(at).zip(text.chars()) {
        *cell = Cell { glyph, colour: Some(colour_of(&event.reason)), text: true };
    }
}

/// The cells as text, with one sequence for each run of the same look.
fn paint(cells: &[Cell], palette: Palette) -> String {
    let same = |a: &Cell, b: &Cell| a.colour == b.colour && a.text == b.text;
    let run = |run: &[Cell]| {
        let text: String = run.iter().map(|cell| cell.glyph).collect();
        match run.first() {
            Some(Cell { colour: Some(colour), text: true, .. }) => palette.paint_ground(*colour, &text),
            Some(Cell { colour: Some(colour), .. }) => palette.paint(*colour, &text),
            _ => text,
        }
    };
    cells.chunk_by(same).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::super::event::sample;
    use super::super::lanes::lanes;
    use super::*;

    fn draw(waits: &[(i64, u64, &str)], ascii: bool, colour: bool) -> String {
        let events: Vec<Event> =
            waits.iter().map(|(start, length, reason)| sample("eu", 1, *start, *length, reason)).collect();
        let scale = TimeScale::new(0, 40_000, 40);
        bars(&lanes(&events, 1).drawn[0], &scale, ascii, Palette { enabled: colour })
    }

    #[test]
    fn bars_begin_and_end_inside_columns() {
        assert_eq!(draw(&[(1_500, 3_000, "select")], false, false).trim_end(), " ▐██▌");
        assert_eq!(draw(&[(1_500, 3_000, "select")], true, false).trim_end(), " =##=");
        assert_eq!(draw(&[(3_100, 20, "select"), (5_800, 20, "select")], false, false).trim_end(), "   ▏ ▕");
    }

    #[test]
    fn waits_too_short_for_a_column_are_seen_and_many_fill_it() {
        assert_eq!(draw(&[(7_000, 0, "select")], true, false).trim_end(), "       -");
        assert_eq!(draw(&[(39_999, 0, "select")], false, false), format!("{}▕", " ".repeat(39)));
        assert_eq!(draw(&[(100, 200, "select"), (400, 200, "select")], false, false).trim_end(), "▒");
    }

    #[test]
    fn a_wait_across_both_edges_is_cut_and_long_bars_say_why_and_how_long() {
        let drawn = draw(&[(-5_000, 90_000, "sync.Mutex.Lock")], false, false);
        assert_eq!(drawn, "███████ sync.Mutex.Lock 90.0 µs ████████");
    }

    #[test]
    fn colours_follow_the_reason() {
        assert_eq!(draw(&[(0, 2_000, "chan receive")], true, true).trim_end(), "\x1b[36m##\x1b[0m");
        assert_eq!(colour_of("sync.RWMutex.RLock"), Colour::Red);
        assert_eq!(colour_of("GC assist wait"), Colour::Magenta);
    }
}
