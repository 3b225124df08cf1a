//! Where everything that a run of the agent captured has gone.

use syncline_timebase::BootId;

use crate::Loss;

/// Sums since the run of the agent began, as of when a batch was sealed, and with that batch in them.
///
/// `captured` is counted in the kernel, where waits are seen and before it is known what becomes of them. What is not left out and not waiting must be
/// in batches, as events, in sums or as losses: whoever has the batches can tell whether it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Waits that the kernel saw: of goroutines as they begin, of threads as they end.
    pub captured: u64,
    /// Not kept, as is wanted: threads without work of Go's scheduler, processes that are left out, waits that began before their window of
    /// observation.
    pub left_out: u64,
    /// Going on, or on their way from the kernel into a batch.
    pub waiting: i64,
    /// In the last batch of a run: how many were going on when nothing was on its way any more, counted one by one; `waiting` must be the same.
    pub open: Option<u64>,
}

/// A sealed batch that will never be stored, with all that it would have told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedBatch {
    /// The boot in which it was made: an agent also tells of those that its earlier runs left behind.
    pub boot: BootId,
    /// Its number.
    pub number: u64,
    /// First sequence number of the run of the agent that made it; 0 where that cannot be known, nor the number.
    pub run_first_seq: u64,
    /// Why.
    pub cause: crate::LossCause,
    /// Finished waits in it.
    pub events: u64,
    /// Waits in its sums.
    pub summed: u64,
    /// What it told of losses.
    pub losses: Vec<Loss>,
}

impl DroppedBatch {
    /// What was in it, and what it told of losses.
    pub fn all_losses(&self) -> impl Iterator<Item = Loss> + '_ {
        let own = Loss { cause: self.cause, count: self.events.saturating_add(self.summed) };
        self.losses.iter().copied().chain([own])
    }
}
