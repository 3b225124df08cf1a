//! What the person at the terminal has chosen to see. Knows no terminal.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use syncline_insight::{Frame, Order, Site};

use crate::watch::Look;
use crate::watch::gather::Seen;
use crate::watch::table::listed;

/// Rows that page up and page down go.
const PAGE: usize = 10;

/// What the person wants of the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Quit,
    Reset,
    /// Whether the table is to stand still.
    StandStill(bool),
}

/// What is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) look: Look,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    pub(super) is_still: bool,
    /// The site that the cursor is on: it keeps it when the order changes.
    selected: Option<(Frame, String)>,
    /// The selected site's stacks are shown, from this line on.
    pub(super) detail: Option<u16>,
}

impl View {
    pub(super) fn new(look: Look) -> Self {
        Self { look, filter: String::new(), is_typing: false, is_still: false, selected: None, detail: None }
    }

    /// The sites to show.
    pub(super) fn sites<'a>(&self, seen: &'a Seen) -> Vec<&'a Site> {
        let mut sites = listed(seen, &self.look, &self.filter);
        sites.truncate(self.look.top);
        sites
    }

    /// The row that the cursor is on.
    pub(super) fn row(&self, sites: &[&Site]) -> Option<usize> {
        let (frame, reason) = self.selected.as_ref()?;
        sites.iter().position(|site| site.frame == *frame && site.reason == *reason)
    }

    /// Obeys a key.
    pub(super) fn press(&mut self, key: KeyEvent, seen: &Seen) -> Act {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Act::Quit } else { Act::Nothing };
        }
        match (self.is_typing, self.detail) {
            (true, _) => self.type_filter(key.code),
            (false, Some(line)) if self.scroll(key.code, line) => {}
            (false, _) => return self.command(key.code, seen),
        }
        Act::Nothing
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
    }

    /// Whether the key meant the stacks.
    fn scroll(&mut self, code: KeyCode, line: u16) -> bool {
        let page = u16::try_from(PAGE).unwrap_or(1);
        self.detail = match code {
            KeyCode::Up | KeyCode::Char('k') => Some(line.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => Some(line.saturating_add(1)),
            KeyCode::PageUp => Some(line.saturating_sub(page)),
            KeyCode::PageDown => Some(line.saturating_add(page)),
            KeyCode::Home => Some(0),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Left => None,
            _ => return false,
        };
        true
    }

    fn command(&mut self, code: KeyCode, seen: &Seen) -> Act {
        match code {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Char('r') => {
                self.is_still = false;
                return Act::Reset;
            }
            KeyCode::Char('p' | ' ') => {
                self.is_still = !self.is_still;
                return Act::StandStill(self.is_still);
            }
            KeyCode::Char('t') => self.look.order = Order::Time,
            KeyCode::Char('c') => self.look.order = Order::Count,
            KeyCode::Char('m') => self.look.order = Order::Max,
            KeyCode::Char('g') => self.look.runtime = !self.look.runtime,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Up | KeyCode::Char('k') => self.go(seen, |row, _| row.map_or(0, |row| row.saturating_sub(1))),
            KeyCode::Down | KeyCode::Char('j') => self.go(seen, |row, _| row.map_or(0, |row| row + 1)),
            KeyCode::PageUp => self.go(seen, |row, _| row.map_or(0, |row| row.saturating_sub(PAGE))),
            KeyCode::PageDown => self.go(seen, |row, _| row.map_or(0, |row| row + PAGE)),
            KeyCode::Home => self.go(seen, |_, _| 0),
            KeyCode::End => self.go(seen, |_, last| last),
            KeyCode::Enter | KeyCode::Right => {
                self.go(seen, |row, _| row.unwrap_or(0));
                self.detail = self.selected.is_some().then_some(0);
            }
            _ => {}
        }
        Act::Nothing
    }

    /// Moves the cursor from its row, if it is on one, to another; both are given the last row.
    fn go(&mut self, seen: &Seen, to: impl Fn(Option<usize>, usize) -> usize) {
        let sites = self.sites(seen);
        let last = sites.len().saturating_sub(1);
        let target = sites.get(to(self.row(&sites), last).min(last));
        self.selected = target.map(|site| (site.frame.clone(), site.reason.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::sample::{look, seen};

    fn press(view: &mut View, seen: &Seen, codes: &[KeyCode]) -> Act {
        codes.iter().map(|code| view.press(KeyEvent::from(*code), seen)).last().unwrap()
    }

    fn selected(view: &View, seen: &Seen) -> Option<String> {
        let sites = view.sites(seen);
        view.row(&sites).map(|row| sites[row].frame.function.clone())
    }

    #[test]
    fn the_cursor_keeps_its_site_when_the_order_changes_and_stays_on_the_table() {
        let (seen, mut view) = (seen(), View::new(look()));
        assert_eq!(selected(&view, &seen), None);
        press(&mut view, &seen, &[KeyCode::Down]);
        assert_eq!(selected(&view, &seen).as_deref(), Some("main.transfer"));
        press(&mut view, &seen, &[KeyCode::Char('m')]);
        assert_eq!(view.row(&view.sites(&seen)), Some(1), "the sleep was longer");
        press(&mut view, &seen, &[KeyCode::PageDown, KeyCode::Down, KeyCode::End]);
        assert_eq!(selected(&view, &seen).as_deref(), Some("main.transfer"));
        press(&mut view, &seen, &[KeyCode::Home, KeyCode::Up, KeyCode::Char('g')]);
        assert_eq!(view.row(&view.sites(&seen)), Some(1), "the collector's site comes first");
    }

    #[test]
    fn keys_are_text_while_a_filter_is_typed() {
        let (seen, mut view) = (seen(), View::new(look()));
        press(&mut view, &seen, &[KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace, KeyCode::Char('T')]);
        press(&mut view, &seen, &[KeyCode::Char('r'), KeyCode::Enter]);
        assert_eq!((view.filter.as_str(), view.is_typing), ("Tr", false));
        assert_eq!(view.sites(&seen).len(), 1);
        press(&mut view, &seen, &[KeyCode::Esc]);
        assert_eq!(view.sites(&seen).len(), 2);
        assert_eq!(view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), &seen), Act::Quit);
    }

    #[test]
    fn stacks_open_scroll_and_close() {
        let (seen, mut view) = (seen(), View::new(look()));
        press(&mut view, &seen, &[KeyCode::Enter, KeyCode::Down, KeyCode::PageDown, KeyCode::Up]);
        assert_eq!((view.detail, selected(&view, &seen).as_deref()), (Some(10), Some("main.transfer")));
        press(&mut view, &seen, &[KeyCode::Esc]);
        assert_eq!(view.detail, None);
        let nothing = Seen::default();
        press(&mut view, &nothing, &[KeyCode::Enter]);
        assert_eq!(view.detail, None, "there is no site");
    }

    #[test]
    fn standing_still_and_beginning_anew_are_asked_of_the_watch() {
        let (seen, mut view) = (seen(), View::new(look()));
        let p = [KeyCode::Char('p')];
        assert_eq!(press(&mut view, &seen, &p), Act::StandStill(true));
        assert_eq!(press(&mut view, &seen, &p), Act::StandStill(false));
        press(&mut view, &seen, &p);
        assert_eq!((press(&mut view, &seen, &[KeyCode::Char('r')]), view.is_still), (Act::Reset, false));
        assert_eq!(press(&mut view, &seen, &[KeyCode::Char('q')]), Act::Quit);
    }
}
