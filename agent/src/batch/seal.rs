//! When a batch is sealed, and which waits it may hold.

use syncline_timebase::{Instant, Mono, Span};

/// Without a finished probe for this long, a batch goes anyway.
pub const LONGEST_WAIT: Span = Span::from_s(5);
/// This many waits make a batch at once, so that memory stays bounded: as many as a batch may hold, with room for what still
/// arrives in one message.
pub const ENOUGH_WAITS: usize = 49_152;
/// Probes closer together than this make one batch.
pub const SHORTEST_GAP: Span = Span::from_ms(500);

/// Whether waits are held until a probe was made behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// They are: a batch goes once a probe has finished, with the waits that ended before that was sent.
    BehindProbe,
    /// They are not: whatever is there goes as often as this.
    Every(Span),
}

/// Which waits go into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// All of them.
    Everything,
    /// Those that ended before this instant.
    EndedBefore(Instant<Mono>),
}

impl Holding {
    /// Those that may go now; the others stay.
    pub(super) fn take<T>(self, pending: &mut Vec<T>, end: impl Fn(&T) -> Instant<Mono>) -> Vec<T> {
        match self {
            Self::Everything => std::mem::take(pending),
            Self::EndedBefore(sent) => {
                let (taken, younger) = std::mem::take(pending).into_iter().partition(|one| end(one) < sent);
                *pending = younger;
                taken
            }
        }
    }
}

/// State of the rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealRule {
    sealing: Sealing,
    last_sealed: Instant<Mono>,
    /// T1 of the newest probe that finished since the last sealing.
    probe_sent: Option<Instant<Mono>>,
}

impl SealRule {
    pub(super) fn new(sealing: Sealing, start: Instant<Mono>) -> Self {
        Self { sealing, last_sealed: start, probe_sent: None }
    }

    pub(super) fn probe_finished(&mut self, sent: Instant<Mono>) {
        self.probe_sent = Some(sent);
    }

    /// Whether to seal now, and with what.
    pub(super) fn due(&self, now: Instant<Mono>, waits: usize) -> Option<Holding> {
        let since = now - self.last_sealed;
        let are_enough = waits >= ENOUGH_WAITS;
        match (self.sealing, self.probe_sent) {
            (Sealing::BehindProbe, Some(sent)) => {
                (since >= SHORTEST_GAP || are_enough).then_some(Holding::EndedBefore(sent))
            }
            (Sealing::BehindProbe, None) => (since >= LONGEST_WAIT || are_enough).then_some(Holding::Everything),
            (Sealing::Every(interval), probe) => {
                let has_news = waits > 0 || probe.is_some();
                let is_due = since >= LONGEST_WAIT || (has_news && since >= interval);
                (is_due || are_enough).then_some(Holding::Everything)
            }
        }
    }

    pub(super) fn sealed(&mut self, now: Instant<Mono>) {
        *self = Self::new(self.sealing, now);
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
        let mut rule = SealRule::new(Sealing::BehindProbe, at_ms(0));
        assert_eq!(rule.due(at_ms(1_000), 5), None);
        rule.probe_finished(at_ms(999));
        assert_eq!(rule.due(at_ms(1_000), 5), Some(Holding::EndedBefore(at_ms(999))));
        rule.sealed(at_ms(1_000));
        assert_eq!(rule.due(at_ms(1_001), 5), None);
    }

    #[test]
    fn a_burst_of_probes_makes_one_batch_behind_the_newest() {
        let mut rule = SealRule::new(Sealing::BehindProbe, at_ms(0));
        for ms in [100, 200, 300, 400] {
            rule.probe_finished(at_ms(ms));
            assert_eq!(rule.due(at_ms(ms + 1), 0), None);
        }
        assert_eq!(rule.due(at_ms(500), 0), Some(Holding::EndedBefore(at_ms(400))));
    }

    #[test]
    fn without_probes_everything_goes_after_five_seconds() {
        let rule = SealRule::new(Sealing::BehindProbe, at_ms(0));
        assert_eq!(rule.due(at_ms(4_999), 1), None);
        assert_eq!(rule.due(at_ms(5_000), 1), Some(Holding::Everything));
    }

    #[test]
    fn without_holding_what_is_there_goes_at_the_interval_whether_probes_finish_or_not() {
        let mut rule = SealRule::new(Sealing::Every(Span::from_s(1)), at_ms(0));
        assert_eq!(rule.due(at_ms(999), 1), None);
        assert_eq!(rule.due(at_ms(1_000), 1), Some(Holding::Everything));
        assert_eq!(rule.due(at_ms(1), ENOUGH_WAITS), Some(Holding::Everything));
        assert_eq!(rule.due(at_ms(4_999), 0), None, "there is nothing to say");
        assert_eq!(rule.due(at_ms(5_000), 0), Some(Holding::Everything));
        rule.probe_finished(at_ms(900));
        assert_eq!(rule.due(at_ms(999), 1), None);
        assert_eq!(rule.due(at_ms(1_000), 0), Some(Holding::Everything), "the probe is to be told");
    }

    #[test]
    fn enough_waits_go_at_once() {
        let rule = SealRule::new(Sealing::BehindProbe, at_ms(0));
        assert_eq!(rule.due(at_ms(1), ENOUGH_WAITS - 1), None);
        assert_eq!(rule.due(at_ms(1), ENOUGH_WAITS), Some(Holding::Everything));
    }

    #[test]
    fn enough_waits_go_at_once_but_those_behind_the_probe_stay_for_the_next() {
        let mut rule = SealRule::new(Sealing::BehindProbe, at_ms(0));
        rule.probe_finished(at_ms(100));
        assert_eq!(rule.due(at_ms(150), ENOUGH_WAITS - 1), None);
        assert_eq!(rule.due(at_ms(150), ENOUGH_WAITS), Some(Holding::EndedBefore(at_ms(100))));
        rule.sealed(at_ms(150));
        // Too many of them behind it: they cannot wait for another probe.
        assert_eq!(rule.due(at_ms(150), ENOUGH_WAITS), Some(Holding::Everything));
    }
}
