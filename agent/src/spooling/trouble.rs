//! What goes wrong for a while: told once when it begins, and once when it is over.

use syncline_spool::Error;

pub(super) struct Trouble {
    what: &'static str,
    over: &'static str,
    is_there: bool,
}

impl Trouble {
    /// None yet. `what` is said when there is some, before why; `over` when it has ended.
    pub(super) const fn new(what: &'static str, over: &'static str) -> Self {
        Self { what, over, is_there: false }
    }

    /// Whether there is some now.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// The latest attempt failed, for this reason, or it did not.
    pub(super) fn tell(&mut self, why: Option<&Error>) {
        match (why, self.is_there) {
            (Some(why), false) => tracing::warn!("{}: {why}; trying again each second", self.what),
            (None, true) => tracing::info!("{}", self.over),
            _ => {}
        }
        self.is_there = why.is_some();
    }
}
