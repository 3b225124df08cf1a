//! Waits on the reference time line.

use syncline_clock::{Estimate, NodeClock, Status};
use syncline_event::Waits;
use syncline_timebase::{Bracket, ErrorBound, Instant, Mono, Offset, Reference};

/// Moments of events on the reference time line, a column each, all of one length.
///
/// The place is kept as an offset to MONO, the raw truth, so that a better estimate later only has to change it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// REF - MONO.
    pub offset: Vec<Offset<Mono, Reference>>,
    /// The truth is no further away than this.
    pub bound: Vec<ErrorBound>,
}

/// Waits with their begin and their end on the reference time line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aligned {
    /// As it parked.
    pub start: Moments,
    /// As it ran again.
    pub end: Moments,
    /// What carries the estimate at the end of the wait.
    pub status: Vec<Status>,
    /// Disruptions before the end of the wait.
    pub epoch: Vec<u32>,
}

/// Places every wait by `clock`, begin and end each with its own bound: over a long wait the two differ by the drift of
/// the oscillator.
pub fn align(waits: &Waits, clock: &NodeClock) -> Aligned {
    let mut aligned = Aligned::default();
    for row in 0..waits.len() {
        aligned.start.push(&clock.estimate(waits.start[row]));
        let end = clock.estimate(waits.end(row));
        aligned.end.push(&end);
        aligned.status.push(end.status);
        aligned.epoch.push(end.epoch);
    }
    aligned
}

/// Single moments of one node on the reference time line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placed {
    /// Where.
    pub moments: Moments,
    /// What carries the estimate.
    pub status: Vec<Status>,
    /// Disruptions before.
    pub epoch: Vec<u32>,
}

/// Places every moment by `clock`.
pub fn place(at: impl Iterator<Item = Instant<Mono>>, clock: &NodeClock) -> Placed {
    let mut placed = Placed::default();
    for at in at {
        let estimate = clock.estimate(at);
        placed.moments.push(&estimate);
        placed.status.push(estimate.status);
        placed.epoch.push(estimate.epoch);
    }
    placed
}

impl Moments {
    /// Where the event at `mono` in row `row` lies: an interval that holds the truth.
    pub fn bracket(&self, row: usize, mono: Instant<Mono>) -> Bracket<Reference> {
        Bracket::around(mono + self.offset[row], self.bound[row])
    }

    fn push(&mut self, estimate: &Estimate) {
        self.offset.push(estimate.offset);
        self.bound.push(estimate.hard);
    }
}
