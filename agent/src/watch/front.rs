//! To whom the table is shown: a person at a terminal, or whatever reads from a pipe.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::gather::Gathering;
use super::lines::lines;
use super::screen::Screen;
use super::{Look, WatchConfig, WatchError};

/// What the reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    /// Begin anew.
    Reset,
    Quit,
}

pub(super) enum Front {
    Lines { look: Look, interval: Duration, next: Instant },
    Screen(Box<Screen>),
}

impl Front {
    pub(super) fn choose(config: &WatchConfig) -> Result<Self, WatchError> {
        let (look, interval) = (config.look, config.interval);
        if is_screen() {
            return Ok(Self::Screen(Box::new(Screen::open(look, interval).map_err(WatchError::Terminal)?)));
        }
        Ok(Self::Lines { look, interval, next: Instant::now() + interval })
    }

    /// Shows what there is when it is time to, and listens.
    pub(super) fn turn(&mut self, gathering: &Gathering) -> Result<Wish, WatchError> {
        match self {
            Self::Screen(screen) => screen.turn(gathering.seen()).map_err(WatchError::Terminal),
            Self::Lines { look, interval, next } => {
                if Instant::now() < *next {
                    return Ok(Wish::GoOn);
                }
                *next = Instant::now() + *interval;
                write_lines(&lines("--", gathering.seen(), look))
            }
        }
    }

    /// Puts the terminal in order.
    pub(super) fn close(self) -> Result<(), WatchError> {
        match self {
            Self::Screen(screen) => screen.close().map_err(WatchError::Terminal),
            Self::Lines { .. } => Ok(()),
        }
    }
}

/// Whether standard output and input are a terminal that can be drawn on.
fn is_screen() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb
}

/// The last table.
pub(super) fn tell_last(gathering: &Gathering, look: Look) -> Result<(), WatchError> {
    write_lines(&lines("==", gathering.seen(), &look)).map(drop)
}

/// Who has heard enough goes away, which is no error.
fn write_lines(lines: &[String]) -> Result<Wish, WatchError> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).chain(["\n"]).collect();
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Wish::GoOn),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Wish::Quit),
        Err(error) => Err(WatchError::Output(error)),
    }
}
