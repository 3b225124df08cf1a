//! How far it is, for people who wait: one line on the terminal, which is gone afterwards.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(500);

pub(super) struct Progress {
    told: Instant,
    is_wanted: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { told: Instant::now(), is_wanted: stderr().is_terminal(), is_shown: false }
    }

    /// Shows this in place of what was shown before, where it is time to.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.is_wanted && self.told.elapsed() >= EVERY {
            (self.told, self.is_shown) = (Instant::now(), true);
            // A terminal that went away is no reason to stop.
            let _ = write!(stderr(), "\r\x1b[K{}", text());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
