//! Finished probes that wait for a knot.
//!
//! A probe is placed on RAW far better between two knots than beyond the last one, and what it was taken for is kept for
//! good. So it waits for a knot at or after its end, and batches and samples given one by one lead to the same.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Mono, Probe, Span};

use crate::mono_raw::MonoToRaw;

/// So many wait at most.
const CAPACITY: usize = 32;
/// A probe so much later than the newest knot is of another time, until knots come that say otherwise. The knots too may
/// come so much later than it before it is given up.
pub(crate) const FAR: Span = Span::from_s(60);

/// The probes that wait, earliest end first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Waiting {
    held: Vec<Held>,
}

/// A probe that waits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) probe: Probe,
    /// Which of the probes it is that are being given; `None` where it was given earlier.
    pub(crate) place: Option<usize>,
    /// The newest knot when it came, or the first one since.
    since: Option<Instant<Mono>>,
}

/// Why a probe waits no longer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// No knot will place it better.
    Settled(Held),
    /// It is far ahead of all knots, and they have gone on without reaching it or others want its place.
    Beyond(Held),
}

impl Waiting {
    /// Lets `probe` wait; `false` where the same one does already.
    pub(crate) fn admit(&mut self, probe: Probe, place: usize) -> bool {
        let after = self.held.partition_point(|held| held.probe.returned <= probe.returned);
        let same_end = self.held.get(..after).unwrap_or_default().iter().rev();
        let known = same_end.take_while(|held| held.probe.returned == probe.returned).any(|held| held.probe == probe);
        if !known {
            self.held.insert(after, Held { probe, place: Some(place), since: None });
        }
        !known
    }

    /// The next that need not wait longer.
    pub(crate) fn due(&mut self, map: &MonoToRaw) -> Option<Due> {
        let newest = map.span().map(|(_, newest)| newest);
        for held in &mut self.held {
            // Knots that went back, because those ahead of them were none, begin its time anew.
            held.since = held.since.min(newest).or(newest);
        }
        let (first, crowded) = (self.held.first()?, self.held.len() > CAPACITY);
        if map.settles(first.probe.returned) {
            return Some(Due::Settled(self.held.remove(0)));
        }
        let expired = self.held.iter().position(|held| is_far(&held.probe, newest) && held.has_waited(newest));
        let last = self.held.len() - 1;
        let displaced = || {
            Some(last).filter(|last| crowded && self.held.get(*last).is_some_and(|held| is_far(&held.probe, newest)))
        };
        match expired.or_else(displaced) {
            Some(place) => Some(Due::Beyond(self.held.remove(place))),
            None => crowded.then(|| Due::Settled(self.held.remove(0))),
        }
    }

    /// The next, whether it should wait or not.
    pub(crate) fn take(&mut self) -> Option<Held> {
        (!self.held.is_empty()).then(|| self.held.remove(0))
    }

    /// The next that ended until `end`.
    pub(crate) fn take_until(&mut self, end: Instant<Mono>) -> Option<Held> {
        self.held.first().filter(|held| held.probe.returned <= end)?;
        self.take()
    }

    /// Whether one waits that a knot may still reach.
    pub(crate) fn is_near(&self, map: &MonoToRaw) -> bool {
        let newest = map.span().map(|(_, newest)| newest);
        self.held.first().is_some_and(|held| newest.is_some() && !is_far(&held.probe, newest))
    }

    /// The probes that are given next have other places.
    pub(crate) fn forget_places(&mut self) {
        self.held.iter_mut().for_each(|held| held.place = None);
    }
}

impl Held {
    fn has_waited(&self, newest: Option<Instant<Mono>>) -> bool {
        self.since.zip(newest).is_some_and(|(since, newest)| newest - since > FAR)
    }
}

/// Whether `probe` ended too long after the knots to belong to them.
pub(crate) fn is_far(probe: &Probe, newest: Option<Instant<Mono>>) -> bool {
    newest.is_some_and(|newest| probe.returned - newest > FAR)
}
