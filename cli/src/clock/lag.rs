//! Events that are held back for a while, so that samples after them count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use syncline_timebase::{Instant, Mono, Span};

use super::record::Event;

/// Events in the order in which they fall due.
///
/// The clock of the wait is the node's MONO, as the newest knot or probe shows it. That one is taken rather than the
/// latest ever, so one sample from far ahead holds back no more events than those right behind it.
pub(crate) struct Lag {
    length: Span,
    now: Option<Instant<Mono>>,
    /// By deadline, and among equals as they stand in the stream.
    waiting: BinaryHeap<Reverse<(Instant<Mono>, u64, Event)>>,
    admitted: u64,
}

impl Lag {
    pub(crate) fn new(length: Span) -> Self {
        Self { length, now: None, waiting: BinaryHeap::new(), admitted: 0 }
    }

    pub(crate) fn admit(&mut self, event: Event) {
        // Above the first sample the stream shows no time but the event's own.
        let deadline = self.now.unwrap_or(event.mono) + self.length;
        self.waiting.push(Reverse((deadline, self.admitted, event)));
        self.admitted += 1;
    }

    /// A sample of this time comes next.
    pub(crate) fn advance(&mut self, now: Instant<Mono>) {
        self.now = Some(now);
    }

    /// One more event that must be answered before anything of now is used.
    pub(crate) fn due(&mut self) -> Option<Event> {
        let Reverse((deadline, ..)) = self.waiting.peek()?;
        if self.now? > *deadline { self.next() } else { None }
    }

    /// One more event, due or not: the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.waiting.pop().map(|Reverse((.., event))| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64) -> Event {
        Event { id, mono: Instant::from_ns(50) }
    }

    fn due_at(lag: &mut Lag, now: i64) -> Vec<i64> {
        lag.advance(Instant::from_ns(now));
        std::iter::from_fn(|| lag.due()).map(|event| event.id).collect()
    }

    #[test]
    fn an_event_is_due_when_more_than_the_lag_has_passed_since_its_record() {
        let mut lag = Lag::new(Span::from_ns(10));
        assert!(due_at(&mut lag, 100).is_empty());
        lag.admit(event(1));
        lag.admit(event(2));
        assert!(due_at(&mut lag, 110).is_empty());
        lag.admit(event(3));
        assert_eq!(due_at(&mut lag, 111), [1, 2]);
        assert_eq!(lag.next(), Some(event(3)));
        assert_eq!(lag.next(), None);
    }

    #[test]
    fn one_sample_from_far_ahead_holds_back_only_what_follows_it() {
        let mut lag = Lag::new(Span::from_ns(10));
        assert!(due_at(&mut lag, i64::MAX).is_empty());
        lag.admit(event(1));
        assert!(due_at(&mut lag, 100).is_empty());
        lag.admit(event(2));
        assert_eq!(due_at(&mut lag, 200), [2]);
    }

    #[test]
    fn above_the_first_sample_an_events_own_time_counts() {
        let mut lag = Lag::new(Span::from_ns(10));
        lag.admit(event(1));
        assert!(due_at(&mut lag, 60).is_empty());
        assert_eq!(due_at(&mut lag, 61), [1]);
    }
}
