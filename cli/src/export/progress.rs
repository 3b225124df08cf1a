//! How far it is, for people who wait: one line on the terminal, which is gone afterwards.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::time;
use crate::units::bytes;
use crate::window::Window;

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

    /// So many waits and bytes, up to this time of the range.
    pub(super) fn tell(&mut self, waits: u64, size: u64, at_ns: i64, window: Window) {
        if !self.is_wanted || self.told.elapsed() < EVERY {
            return;
        }
        (self.told, self.is_shown) = (Instant::now(), true);
        let length = window.to_ns.saturating_sub(window.from_ns).max(1) as f64;
        let percent = (at_ns.saturating_sub(window.from_ns) as f64 / length).clamp(0.0, 1.0) * 100.0;
        let (at, size) = (time::time_of_day(at_ns, 3), bytes(size));
        // A terminal that went away is no reason to stop.
        let _ = write!(stderr(), "\r\x1b[K{percent:3.0} %  {waits} waits, {size}, up to {at}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
