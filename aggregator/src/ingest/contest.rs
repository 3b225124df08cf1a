//! Which of several aggregators that hold the same batch stores it. Pure: what the store tells in, what to do out.
//!
//! Each says that it is about to store a batch, its *claim*, before it asks who else has said so: of two, one at least sees the other. Who sees a
//! claim that is alive inserts nothing. One whose claim has not been renewed for long is gone, perhaps in the middle of its inserts; one that
//! withdrew may have begun, too. Of what these have left in the tables the tables tell.

use std::time::Duration;

/// How long a claim lasts that is not renewed, by the clock of whoever waits (`watch`).
pub(crate) const CLAIMS_LAST: Duration = Duration::from_secs(30);

/// What the store has on one batch, once it was claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    /// It is in the ledger: all of its rows are in the store.
    pub(crate) is_stored: bool,
    /// Others whose claims are alive.
    pub(crate) rivals: Vec<u128>,
    /// Somebody else has claimed it at any time.
    pub(crate) was_claimed: bool,
}

/// How a batch goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Not at all: it is in the store.
    Known,
    /// Nobody else has begun it.
    Clear,
    /// Somebody else may have stored a part: no table takes its rows again.
    Doubtful,
}

/// What to do about a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// Store it, each batch as told.
    Ours(Vec<Way>),
    /// Somebody else is about to store some of it, and waits for us: the claims stay.
    TheirsUntilTheyWithdraw,
    /// Somebody else is about to store some of it, or waits, and goes first: the claims are to be withdrawn.
    Theirs,
}

/// Whose turn it is, as `own` sees it. Of those that see each other the lowest goes first, so that they do not wait for each other for ever.
pub(crate) fn turn(own: u128, told: &[Told]) -> Turn {
    let rivals = || told.iter().filter(|told| !told.is_stored).flat_map(|told| &told.rivals);
    match rivals().min() {
        Some(lowest) if *lowest < own => Turn::Theirs,
        Some(_) => Turn::TheirsUntilTheyWithdraw,
        None => Turn::Ours(told.iter().map(way).collect()),
    }
}

fn way(told: &Told) -> Way {
    match told {
        Told { is_stored: true, .. } => Way::Known,
        Told { was_claimed: true, .. } => Way::Doubtful,
        Told { .. } => Way::Clear,
    }
}

#[cfg(test)]
#[path = "contest_tests.rs"]
mod tests;
