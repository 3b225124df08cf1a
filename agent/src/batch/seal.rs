//! When a batch is sealed, and which waits it may hold.

use syncline_timebase::{Instant, Mono, Span};

/// Without a finished probe for this long, a batch goes anyway.
pub const LONGEST_WAIT: Span = Span::from_s(5);
/// This many waits make a batch at once, so that memory stays bounded: as many as a batch may hold, with room for what still
/// arrives in one message.
pub const ENOUGH_WAITS: usize = 49_152;
/// Probes closer together than this make one batch.
pub const SHORTEST_GAP: Span = Span::from_ms(500);

/// Which waits go into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// All of them.
    Everything,
    /// Those that ended before this instant.
    EndedBefore(Instant<Mono>),
}

/// State of the rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealRule {
    last_sealed: Instant<Mono>,
    /// T1 of the newest probe that finished since the last sealing.
    probe_sent: Option<Instant<Mono>>,
}

impl SealRule {
    pub(super) fn new(start: Instant<Mono>) -> Self {
        Self { last_sealed: start, probe_sent: None }
    }

    pub(super) fn probe_finished(&mut self, sent: Instant<Mono>) {
        self.probe_sent = Some(sent);
    }

    /// Whether to seal now, and with what.
    pub(super) fn due(&self, now: Instant<Mono>, waits: usize) -> Option<Holding> {
        let since = now - self.last_sealed;
        match self.probe_sent {
            Some(sent) if since >= SHORTEST_GAP || waits >= ENOUGH_WAITS => Some(Holding::EndedBefore(sent)),
            None if since >= LONGEST_WAIT || waits >= ENOUGH_WAITS => Some(Holding::Everything),
            _ => None,
        }
    }

    pub(super) fn sealed(&mut self, now: Instant<Mono>) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: i64) -> Instant<Mono> {
        Instant::from_ns(0) + Span::from_ms(ms)
    }

    #[test]
    fn a_probe_seals_with_what_ended_before_it() {
        let mut rule = SealRule::new(at_ms(0));
        assert_eq!(rule.due(at_ms(1_000), 5), None);
        rule.probe_finished(at_ms(999));
        assert_eq!(rule.due(at_ms(1_000), 5), Some(Holding::EndedBefore(at_ms(999))));
        rule.sealed(at_ms(1_000));
        assert_eq!(rule.due(at_ms(1_001), 5), None);
    }

    #[test]
    fn a_burst_of_probes_makes_one_batch_behind_the_newest() {
        let mut rule = SealRule::new(at_ms(0));
        for ms in [100, 200, 300, 400] {
            rule.probe_finished(at_ms(ms));
            assert_eq!(rule.due(at_ms(ms + 1), 0), None);
        }
        assert_eq!(rule.due(at_ms(500), 0), Some(Holding::EndedBefore(at_ms(400))));
    }

    #[test]
    fn without_probes_everything_goes_after_five_seconds() {
        let rule = SealRule::new(at_ms(0));
        assert_eq!(rule.due(at_ms(4_999), 1), None);
        assert_eq!(rule.due(at_ms(5_000), 1), Some(Holding::Everything));
    }

    #[test]
    fn enough_waits_go_at_once() {
        let rule = SealRule::new(at_ms(0));
        assert_eq!(rule.due(at_ms(1), ENOUGH_WAITS - 1), None);
        assert_eq!(rule.due(at_ms(1), ENOUGH_WAITS), Some(Holding::Everything));
    }

    #[test]
    fn enough_waits_go_at_once_but_those_behind_the_probe_stay_for_the_next() {
        let mut rule = SealRule::new(at_ms(0));
        rule.probe_finished(at_ms(100));
        assert_eq!(rule.due(at_ms(150), ENOUGH_WAITS - 1), None);
        assert_eq!(rule.due(at_ms(150), ENOUGH_WAITS), Some(Holding::EndedBefore(at_ms(100))));
        rule.sealed(at_ms(150));
        // Too many of them behind it: they cannot wait for another probe.
        assert_eq!(rule.due(at_ms(150), ENOUGH_WAITS), Some(Holding::Everything));
    }
}
