//! States of the past, for answers between and before them.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw};

use super::bounds::{Bounds, Theta};
use super::carried::MEMORY;
use super::live::NewState;
use super::state::{Known, State};
use crate::Tolerance;
use crate::thinning::may_span;

/// Later states that are carried back to an instant: where many follow, they are thinned, and reach far.
const LATER: usize = 32;
/// What the store may outgrow its capacity by before it is thinned.
const OUTGROWN: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    state: State,
    /// For the first of an epoch: the disruption before it happened after this.
    broken_from: Option<Instant<Raw>>,
}

/// The states of one boot, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    entries: Vec<Entry>,
    capacity: usize,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), capacity }
    }

    /// One of as many states that has none.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.capacity)
    }

    /// The states of `epoch`, each with the one before.
    pub(super) fn of_epoch(&self, epoch: u32) -> impl Iterator<Item = (Option<&State>, &State)> {
        let first = self.entries.partition_point(|entry| entry.state.epoch < epoch);
        let states = self.entries.get(first..).unwrap_or(&[]).iter().map(|entry| &entry.state);
        std::iter::once(None).chain(states.clone().map(Some)).zip(states)
    }

    /// Whether its first state is not after `raw`.
    pub(super) fn begins_until(&self, raw: Instant<Raw>) -> bool {
        self.entries.first().is_some_and(|first| first.state.at <= raw)
    }

    pub(super) fn push(&mut self, state: NewState) {
        match state {
            NewState::None => return,
            NewState::Next(state) => self.entries.push(Entry { state, broken_from: None }),
            NewState::First(state, broken_from) => {
                self.forget_from(broken_from);
                self.entries.push(Entry { state, broken_from: Some(broken_from) });
            }
        }
        self.thin();
    }

    /// Theta at `raw`, not after the last state; `None` where nothing is known. A disruption may have happened since
    /// `suspect_from`: what was said after it says nothing of before.
    pub(super) fn at(
        &self,
        raw: Instant<Raw>,
        suspect_from: Option<Instant<Raw>>,
        tolerance: &Tolerance,
    ) -> Option<Known> {
        let entries = suspect_from.map_or(self.entries.as_slice(), |from| self.until(from));
        let after = entries.partition_point(|entry| entry.state.at < raw);
        let before = after.checked_sub(1).and_then(|before| entries.get(before)).map(|entry| &entry.state);
        let Some((entry, later)) = entries.get(after..)?.split_first() else {
            return before.map(|before| before.reach(raw, tolerance));
        };
        let state = State { bounds: in_hindsight(&entry.state, later), ..entry.state };
        match before {
            _ if state.at == raw => Some(Known::exactly(state.bounds, state.rates, state.epoch)),
            Some(before) if before.epoch == state.epoch => Some(within(before, &state, raw)),
            Some(before) => Some(match entry.broken_from {
                Some(from) if raw <= from => before.reach(raw, tolerance),
                _ => before.reach(raw, tolerance).or(state.reach(raw, tolerance)),
            }),
            // Before it lie disruptions that are forgotten.
            None if state.epoch > 0 => None,
            None => Some(state.reach(raw, tolerance)),
        }
    }

    /// An exchange begun at or before a disruption may have met it, and what it said of before is not to be believed.
    fn forget_from(&mut self, broken_from: Instant<Raw>) {
        self.entries.truncate(self.until(broken_from).len());
    }

    /// Without those of the last epoch that are after `broken_from`, but for its first.
    fn until(&self, broken_from: Instant<Raw>) -> &[Entry] {
        let mut kept = self.entries.as_slice();
        while let [earlier @ .., before, last] = kept
            && last.state.at > broken_from
            && before.state.epoch == last.state.epoch
        {
            kept = &kept[..earlier.len() + 1];
        }
        kept
    }

    fn thin(&mut self) {
        let Some(newest) = self.entries.last().map(|entry| entry.state.at) else { return };
        if self.entries.len() <= self.capacity.saturating_add(OUTGROWN) {
            return;
        }
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        let mut entries = std::mem::take(&mut self.entries).into_iter().peekable();
        while let Some(entry) = entries.next() {
            match (kept.last(), entries.peek_mut()) {
                // States on either side of a disruption stay: what is not known between them must not grow.
                (Some(start), Some(end))
                    if start.state.epoch == end.state.epoch
                        && may_span(end.state.at - start.state.at, newest - end.state.at) =>
                {
                    end.state.rates = end.state.rates.union(entry.state.rates);
                }
                _ => kept.push(entry),
            }
        }
        let surplus = kept.len().saturating_sub(self.capacity * 3 / 4);
        self.entries = kept.split_off(if kept.len() > self.capacity { surplus } else { 0 });
    }
}

/// The bounds of a state with what later ones of its epoch say.
fn in_hindsight(state: &State, later: &[Entry]) -> Bounds {
    let same = later.iter().take(LATER).take_while(|entry| entry.state.epoch == state.epoch).count();
    let later = later.get(..same).unwrap_or(&[]);
    let (Some(next), Some(newest)) = (later.first(), later.last()) else { return state.bounds };
    let back = |bounds: Bounds, state: &State, later: &State| {
        let earlier = bounds.earlier(later.rates, later.at - state.at);
        let bounds = state.bounds.with(earlier, Theta::meet_or_join);
        // Budgeted bounds have a short memory, both ways.
        Bounds { budgeted: state.bounds.budgeted, ..bounds }.nested()
    };
    let of_next = later.windows(2).rev().fold(newest.state.bounds, |bounds, pair| match pair {
        [state, later] => back(bounds, &state.state, &later.state),
        _ => bounds,
    });
    back(of_next, state, &next.state)
}

fn within(before: &State, after: &State, raw: Instant<Raw>) -> Known {
    let rates = after.rates;
    let (earlier, later) = (before.bounds.later(rates, raw - before.at), after.bounds.earlier(rates, after.at - raw));
    let bounds = earlier.with(later, Theta::meet_or_join);
    // Where history is thinned a route beyond the budget may lie on either side of the instant.
    let is_thin = after.at - before.at > MEMORY + MEMORY;
    let budgeted = if is_thin { earlier.budgeted.join(later.budgeted) } else { bounds.budgeted };
    Known::exactly(Bounds { budgeted, ..bounds }.nested(), rates, after.epoch)
}
