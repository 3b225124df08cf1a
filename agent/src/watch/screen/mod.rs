//! The table on a terminal, and the keys that steer it.

mod drawing;
mod view;

use std::io;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::Look;
use super::front::Wish;
use super::gather::Seen;
use view::{Act, View};

pub(super) struct Screen {
    terminal: DefaultTerminal,
    view: View,
    interval: Duration,
    next: Instant,
    /// What is shown while the table stands still.
    still: Option<Box<Seen>>,
}

impl Screen {
    /// Takes the terminal; it is given back by [`close`](Self::close), by a panic, or when this is dropped.
    pub(super) fn open(look: Look, interval: Duration) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal, view: View::new(look), interval, next: Instant::now(), still: None })
    }

    /// Obeys the keys that were pressed and draws when something is due.
    pub(super) fn turn(&mut self, seen: &Seen) -> io::Result<Wish> {
        if is_hung_up() {
            return Ok(Wish::Quit);
        }
        let mut wish = Wish::GoOn;
        let mut is_due = Instant::now() >= self.next;
        while wish == Wish::GoOn && event::poll(Duration::ZERO)? {
            is_due = true;
            wish = self.obey(&event::read()?, seen);
        }
        if is_due && wish == Wish::GoOn {
            self.next = Instant::now() + self.interval;
            let (view, shown) = (&mut self.view, self.still.as_deref().unwrap_or(seen));
            self.terminal.draw(|frame| drawing::draw(frame, view, shown))?;
        }
        Ok(wish)
    }

    pub(super) fn close(self) -> io::Result<()> {
        let restored = ratatui::try_restore();
        if is_hung_up() { Ok(()) } else { restored }
    }

    fn obey(&mut self, event: &Event, seen: &Seen) -> Wish {
        let Event::Key(key) = event else { return Wish::GoOn };
        if key.kind == KeyEventKind::Release {
            return Wish::GoOn;
        }
        let shown = self.still.as_deref().unwrap_or(seen);
        match self.view.press(*key, shown) {
            Act::Nothing => Wish::GoOn,
            Act::Quit => Wish::Quit,
            Act::Reset => {
                self.still = None;
                self.next = Instant::now();
                Wish::Reset
            }
            Act::StandStill(still) => {
                self.still = still.then(|| Box::new(seen.clone()));
                Wish::GoOn
            }
        }
    }
}

/// Whether the terminal has gone. To be asked before keys are: whoever reads them takes the end of the input for none yet, and
/// would ask again for ever.
fn is_hung_up() -> bool {
    let input = io::stdin();
    let mut polled = [PollFd::new(&input, PollFlags::empty())];
    let asked = rustix::event::poll(&mut polled, Some(&Timespec::default()));
    asked.is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

impl Drop for Screen {
    /// Once more does no harm.
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
    }
}
