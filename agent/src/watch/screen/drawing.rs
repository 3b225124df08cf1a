//! The drawing of a view.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::view::View;
use crate::watch::Look;
use crate::watch::gather::Seen;
use crate::watch::lines::widths;
use crate::watch::table::{Column, detail_lines, footing_lines, heading_lines, table};
use syncline_insight::{Order, Site};

const KEYS: &str = "q quit  t/c/m by time/count/longest  ↑↓ enter stacks  / filter  g Go's own  p pause  r reset";
const DETAIL_KEYS: &str = "q quit  esc back  ↑↓ scroll  p pause";
/// Of a site's name at least so much is shown, however narrow the terminal is.
const SITE_AT_LEAST: u16 = 24;
const SITE_COLUMN: &str = "SITE";
const COLUMN_SPACING: u16 = 2;

pub(super) fn draw(frame: &mut Frame<'_>, view: &mut View, seen: &Seen) {
    let heading = heading_lines(seen, &view.look);
    let footing = footing_lines(seen, &view.look);
    let rows = |lines: &[String]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(u16::MAX));
    let layout = Layout::vertical([rows(&heading), Constraint::Min(3), rows(&footing), Constraint::Length(1)]);
    let [above, middle, below, bottom] = layout.areas(frame.area());
    frame.render_widget(paragraph(&heading).style(Style::new().add_modifier(Modifier::BOLD)), above);
    frame.render_widget(paragraph(&footing), below);
    frame.render_widget(Paragraph::new(status(view)).style(Style::new().add_modifier(Modifier::DIM)), bottom);
    let sites = view.sites(seen);
    let row = view.row(&sites);
    match (view.detail, row.and_then(|row| sites.get(row))) {
        (Some(_), Some(site)) => draw_detail(frame, view, seen, site, middle),
        _ => draw_table(frame, seen, &view.look, &sites, row, middle),
    }
}

fn draw_table(frame: &mut Frame<'_>, seen: &Seen, look: &Look, sites: &[&Site], row: Option<usize>, area: Rect) {
    let (columns, cells) = table(seen, look, sites);
    let headings: Vec<String> = columns.iter().map(|column| column.name.to_owned()).collect();
    let widths = fitting(&columns, &widths(&headings, &cells), area.width);
    let line = |texts: &[String]| {
        Row::new(
            columns.iter().zip(texts).take(widths.len()).map(|(column, text)| cell(*column, text)).collect::<Vec<_>>(),
        )
    };
    let heading = line(&headings).style(Style::new().add_modifier(Modifier::REVERSED));
    let table = Table::new(cells.iter().map(|cells| line(cells)), widths.iter().copied())
        .header(heading)
        .column_spacing(COLUMN_SPACING)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut TableState::default().with_selected(row));
}

fn draw_detail(frame: &mut Frame<'_>, view: &mut View, seen: &Seen, site: &Site, area: Rect) {
    let lines = detail_lines(seen, site);
    // Not further than to where the last line is seen.
    let last = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(area.height);
    let from = view.detail.unwrap_or(0).min(last);
    view.detail = Some(from);
    frame.render_widget(paragraph(&lines).scroll((from, 0)), area);
}

/// The widths of the columns that have room: what is missing is taken from the sites, which are the widest, and then the last
/// columns are left out.
fn fitting(columns: &[Column], widths: &[usize], room: u16) -> Vec<u16> {
    let site = columns.iter().position(|column| column.name == SITE_COLUMN).unwrap_or(0);
    let mut widths: Vec<u16> = widths.iter().map(|width| u16::try_from(*width).unwrap_or(u16::MAX)).collect();
    let Some(of_site) = widths.get(site).copied() else { return widths };
    widths[site] = of_site.min(SITE_AT_LEAST);
    while widths.len() > site + 1 && taken(&widths) > room.into() {
        widths.pop();
    }
    let free = usize::from(room).saturating_sub(taken(&widths));
    widths[site] = of_site.min(widths[site].saturating_add(u16::try_from(free).unwrap_or(u16::MAX)));
    widths
}

/// Columns of the terminal that these columns of the table take.
fn taken(widths: &[u16]) -> usize {
    widths.iter().map(|width| usize::from(*width)).sum::<usize>()
        + usize::from(COLUMN_SPACING) * widths.len().saturating_sub(1)
}

fn cell(column: Column, text: &str) -> Cell<'static> {
    let alignment = if column.is_number { Alignment::Right } else { Alignment::Left };
    Cell::from(Text::from(text.to_owned()).alignment(alignment))
}

fn paragraph(lines: &[String]) -> Paragraph<'static> {
    Paragraph::new(lines.iter().map(|line| Line::from(line.clone())).collect::<Vec<_>>())
}

fn status(view: &View) -> String {
    let order = match view.look.order {
        Order::Time => "by time",
        Order::Count => "by count",
        Order::Max => "by the longest",
    };
    let still = if view.is_still { "PAUSED, " } else { "" };
    match (view.is_typing, view.filter.as_str()) {
        (true, filter) => format!("filter: {filter}_   enter keeps it, esc has none"),
        (false, "") => format!("{still}{order}   {}", keys(view)),
        (false, filter) => format!("{still}{order}, only \"{filter}\"   {}", keys(view)),
    }
}

fn keys(view: &View) -> &'static str {
    if view.detail.is_some() { DETAIL_KEYS } else { KEYS }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::*;
    use crate::watch::sample::{look, seen};

    /// The lines of a terminal of this size, without blanks at their ends.
    fn drawn(view: &mut View, columns: u16, rows: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, view, &seen())).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |row: u16| (0..columns).map(|column| buffer[(column, row)].symbol()).collect::<String>();
        (0..rows).map(|row| line(row).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_wide_terminal_has_everything() {
        let lines = drawn(&mut View::new(look()), 140, 12);
        assert_eq!(
            lines[3..5],
            [
                "   TIME   SHARE  COUNT  SITE                       REASON           RUNNABLE      P50      P99      MAX  WOKEN BY",
                "60.0 ms  60.0 %      3  main.transfer main.go:15   sync.Mutex.Lock   3.00 ms  20.1 ms  30.0 ms  30.0 ms  g1 100.0 %",
            ]
        );
        assert_eq!(lines[10], "lost: 2 (ring_buffer_full=2)");
        assert!(lines[11].starts_with("by time   q quit"), "{}", lines[11]);
    }

    #[test]
    fn a_narrow_terminal_has_the_first_columns_and_a_tiny_one_does_no_harm() {
        let lines = drawn(&mut View::new(look()), 60, 12);
        assert_eq!(lines[4], "60.0 ms  60.0 %      3  main.transfer main.go:15");
        for (columns, rows) in [(1, 1), (3, 2), (20, 5)] {
            drawn(&mut View::new(look()), columns, rows);
        }
    }

    #[test]
    fn stacks_scroll_no_further_than_to_their_end() {
        let mut view = View::new(look());
        view.press(KeyEvent::from(KeyCode::Enter), &seen());
        view.detail = Some(9_999);
        let lines = drawn(&mut view, 100, 12);
        assert_eq!(lines[8], "    main.main /src/bank/main.go:15");
        assert_eq!(view.detail, Some(4));
    }
}
