//! When a batch is sealed, and which waits it may hold.

use syncline_timebase::{Instant, Mono, Span};

/// Where there is nothing to hold a batch goes after so long, and no wait is held less long for a probe.
pub const LONGEST_WAIT: Span = Span::from_s(5);
/// A wait is held for so long beyond the interval of probes: some of them may be lost.
const BEYOND_INTERVAL: Span = Span::from_s(4);
/// This many waits make a batch at once, so that memory stays bounded: as many as a batch may hold, with room for what still
/// arrives in one message.
pub const ENOUGH_WAITS: usize = 49_152;
/// Probes closer together than this make one batch.
pub const SHORTEST_GAP: Span = Span::from_ms(500);

/// Whether waits are held until a probe was made behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// They are: a batch goes once a probe has finished, with the waits that ended before that was sent. Where none finishes they are held so
    /// long; see [`Sealing::behind_probes`].
    BehindProbe(Span),
    /// They are not: whatever is there goes as often as this.
    Every(Span),
}

impl Sealing {
    /// Behind probes that are made each `interval`: waits are held for longer than from one to the next, whatever that is.
    pub fn behind_probes(interval: Span) -> Self {
        Self::BehindProbe(LONGEST_WAIT.max(interval + BEYOND_INTERVAL))
    }
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
    /// Since when there have been waits to hold, of those that no batch has taken.
    held_since: Option<Instant<Mono>>,
}

impl SealRule {
    pub(super) fn new(sealing: Sealing, start: Instant<Mono>) -> Self {
        Self { sealing, last_sealed: start, probe_sent: None, held_since: None }
    }

    pub(super) fn probe_finished(&mut self, sent: Instant<Mono>) {
        self.probe_sent = Some(sent);
    }

    /// Whether to seal now, and with what; `is_holding` says whether there is something whose place in time is to be told.
    pub(super) fn due(&mut self, now: Instant<Mono>, waits: usize, is_holding: bool) -> Option<Holding> {
        self.held_since = is_holding.then(|| self.held_since.unwrap_or(now));
        let since = now - self.last_sealed;
        let are_enough = waits >= ENOUGH_WAITS;
        match (self.sealing, self.probe_sent) {
            (Sealing::BehindProbe(_), Some(sent)) => {
                (since >= SHORTEST_GAP || are_enough).then_some(Holding::EndedBefore(sent))
            }
            (Sealing::BehindProbe(within), None) => {
                let is_late = self.held_since.map_or(since >= LONGEST_WAIT, |held_since| now - held_since >= within);
                (is_late || are_enough).then_some(Holding::Everything)
            }
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

    fn behind(interval_s: i64) -> Sealing {
        Sealing::behind_probes(Span::from_s(interval_s))
    }

    fn due(rule: &mut SealRule, now: Instant<Mono>, waits: usize) -> Option<Holding> {
        rule.due(now, waits, waits > 0)
    }

    #[test]
    fn a_probe_seals_with_what_ended_before_it() {
        let mut rule = SealRule::new(behind(1), at_ms(0));
        assert_eq!(due(&mut rule, at_ms(1_000), 5), None);
        rule.probe_finished(at_ms(999));
        assert_eq!(due(&mut rule, at_ms(1_000), 5), Some(Holding::EndedBefore(at_ms(999))));
        rule.sealed(at_ms(1_000));
        assert_eq!(due(&mut rule, at_ms(1_001), 5), None);
    }

    #[test]
    fn a_burst_of_probes_makes_one_batch_behind_the_newest() {
        let mut rule = SealRule::new(behind(1), at_ms(0));
        for ms in [100, 200, 300, 400] {
            rule.probe_finished(at_ms(ms));
            assert_eq!(due(&mut rule, at_ms(ms + 1), 0), None);
        }
        assert_eq!(due(&mut rule, at_ms(500), 0), Some(Holding::EndedBefore(at_ms(400))));
    }

    #[test]
    fn without_probes_waits_are_held_for_longer_than_an_interval_from_when_they_came() {
        for (interval_s, held_s) in [(1, 5), (10, 14), (60, 64)] {
            let mut rule = SealRule::new(behind(interval_s), at_ms(0));
            // Long after the last batch: what counts is the wait.
            assert_eq!(due(&mut rule, at_ms(4_999), 1), None);
            assert_eq!(due(&mut rule, at_ms(4_998 + 1_000 * held_s), 2), None);
            assert_eq!(due(&mut rule, at_ms(4_999 + 1_000 * held_s), 2), Some(Holding::Everything));
        }
    }

    #[test]
    fn what_stays_behind_a_probe_is_held_anew() {
        let mut rule = SealRule::new(behind(1), at_ms(0));
        assert_eq!(due(&mut rule, at_ms(100), 1), None);
        rule.probe_finished(at_ms(4_000));
        assert_eq!(due(&mut rule, at_ms(4_100), 2), Some(Holding::EndedBefore(at_ms(4_000))));
        rule.sealed(at_ms(4_100));
        assert_eq!(due(&mut rule, at_ms(4_101), 1), None);
        assert_eq!(due(&mut rule, at_ms(9_100), 1), None);
        assert_eq!(due(&mut rule, at_ms(9_101), 1), Some(Holding::Everything));
    }

    #[test]
    fn with_nothing_to_hold_a_batch_goes_after_five_seconds() {
        let mut rule = SealRule::new(behind(60), at_ms(0));
        assert_eq!(due(&mut rule, at_ms(4_999), 0), None);
        assert_eq!(due(&mut rule, at_ms(5_000), 0), Some(Holding::Everything));
    }

    #[test]
    fn without_holding_what_is_there_goes_at_the_interval_whether_probes_finish_or_not() {
        let mut rule = SealRule::new(Sealing::Every(Span::from_s(1)), at_ms(0));
        assert_eq!(due(&mut rule, at_ms(999), 1), None);
        assert_eq!(due(&mut rule, at_ms(1_000), 1), Some(Holding::Everything));
        assert_eq!(due(&mut rule, at_ms(1), ENOUGH_WAITS), Some(Holding::Everything));
        assert_eq!(due(&mut rule, at_ms(4_999), 0), None, "there is nothing to say");
        assert_eq!(due(&mut rule, at_ms(5_000), 0), Some(Holding::Everything));
        rule.probe_finished(at_ms(900));
        assert_eq!(due(&mut rule, at_ms(999), 1), None);
        assert_eq!(due(&mut rule, at_ms(1_000), 0), Some(Holding::Everything), "the probe is to be told");
    }

    #[test]
    fn enough_waits_go_at_once() {
        let mut rule = SealRule::new(behind(1), at_ms(0));
        assert_eq!(due(&mut rule, at_ms(1), ENOUGH_WAITS - 1), None);
        assert_eq!(due(&mut rule, at_ms(1), ENOUGH_WAITS), Some(Holding::Everything));
    }

    #[test]
    fn enough_waits_go_at_once_but_those_behind_the_probe_stay_for_the_next() {
        let mut rule = SealRule::new(behind(1), at_ms(0));
        rule.probe_finished(at_ms(100));
        assert_eq!(due(&mut rule, at_ms(150), ENOUGH_WAITS - 1), None);
        assert_eq!(due(&mut rule, at_ms(150), ENOUGH_WAITS), Some(Holding::EndedBefore(at_ms(100))));
        rule.sealed(at_ms(150));
        // Too many of them behind it: they cannot wait for another probe.
        assert_eq!(due(&mut rule, at_ms(150), ENOUGH_WAITS), Some(Holding::Everything));
    }
}
