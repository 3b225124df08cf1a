//! When to send the next probe.
//!
//! Fast until the clock model can be locked and after every disruption, slow while nothing is there to be aligned. That an
//! exchange contradicts the one before, so that the clocks must have jumped, is seen here without a clock model: REF - MONO
//! lies between T3 - T4 and T2 - T1, whatever the paths are.

use syncline_timebase::{Instant, Mono, Offset, Probe, Reference, Span};

/// An aggregator answers so many probes of a node in a second, and no more in the long run.
pub const ANSWERED_PER_SECOND: u32 = 50;
/// The least time from probe to probe that [`ANSWERED_PER_SECOND`] has room for, with some for a late timer's catching up.
pub const LEAST_INTERVAL: Span = Span::from_ms(25);
/// Requests for each answer that a burst wants: on a path that loses more it ends with fewer answers.
const REQUESTS_PER_ANSWER: u32 = 4;

/// What may be sent when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// From probe to probe, while there is something to align.
    pub interval: Span,
    /// From probe to probe at a start and after a disruption, until so many were answered.
    pub fast: (Span, u32),
    /// From probe to probe while there is nothing to align.
    pub idle: Span,
}

impl Pacing {
    /// Probes 100 ms apart until sixteen were answered, then one each `interval`, one each eight seconds while there is nothing to align.
    pub fn every(interval: Span) -> Self {
        let fast = Span::from_ms(100).min(interval);
        Self { interval, fast: (fast, 16), idle: Span::from_s(8).max(interval) }
    }
}

/// The clock runs as fast or slow as this against the reference: 1 in so many. Twice what oscillators may and NTP may steer.
const FASTEST: i64 = 500;
/// Idle no sooner than so long after the last disruption: the rate is to be learned first.
const SETTLING: Span = Span::from_s(60);

/// Where an exchange says that REF - MONO lies.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant<Mono>,
    low: Offset<Mono, Reference>,
    high: Offset<Mono, Reference>,
}

/// What is left of a burst.
#[derive(Clone, Copy, Debug)]
struct Burst {
    answers: u32,
    requests: u32,
}

impl Burst {
    fn of(answers: u32) -> Self {
        Self { answers, requests: answers.saturating_mul(REQUESTS_PER_ANSWER) }
    }

    fn is_over(self) -> bool {
        self.answers == 0 || self.requests == 0
    }
}

/// Decides when the next probe is due.
#[derive(Clone, Debug)]
pub struct Pacer {
    pacing: Pacing,
    burst: Burst,
    last: Option<Seen>,
    disrupted_at: Option<Instant<Mono>>,
}

impl Pacer {
    /// Starts fast.
    pub fn new(pacing: Pacing) -> Self {
        Self { pacing, burst: Burst::of(pacing.fast.1), last: None, disrupted_at: None }
    }

    /// Somebody who knows says that the clocks jumped.
    pub fn disrupted(&mut self, at: Instant<Mono>) {
        self.burst = Burst::of(self.pacing.fast.1);
        self.disrupted_at = Some(at);
        self.last = None;
    }

    /// An exchange finished; whether it shows that the clocks have jumped since the one before.
    pub fn exchanged(&mut self, probe: &Probe) -> bool {
        let seen = Seen::of(probe);
        let jumped = self.last.is_some_and(|last| !last.may_become(&seen));
        if jumped {
            self.disrupted(probe.returned);
        } else {
            self.burst.answers = self.burst.answers.saturating_sub(1);
        }
        self.disrupted_at.get_or_insert(probe.returned);
        self.last = Some(seen);
        jumped
    }

    /// How long after the last request the next one is due, at `now`; `busy` says that there is something to align.
    pub fn pause(&self, now: Instant<Mono>, busy: bool) -> Span {
        let is_settled = self.disrupted_at.is_some_and(|at| now - at > SETTLING);
        match () {
            () if !self.burst.is_over() => self.pacing.fast.0,
            () if busy || !is_settled => self.pacing.interval,
            () => self.pacing.idle,
        }
    }

    /// The least time between two requests, whatever happens.
    pub fn least(&self) -> Span {
        self.pacing.fast.0
    }

    /// A request was sent.
    pub fn sent(&mut self) {
        self.burst.requests = self.burst.requests.saturating_sub(1);
    }
}

impl Seen {
    fn of(probe: &Probe) -> Self {
        let (low, high) = (probe.returned.offset_to(probe.replied), probe.sent.offset_to(probe.received));
        Self { at: probe.returned, low, high }
    }

    /// Whether clocks that did not jump can bring `next` after this.
    fn may_become(&self, next: &Self) -> bool {
        let drift = (next.at - self.at).abs().ns() / FASTEST + 1;
        next.low.ns() <= self.high.ns().saturating_add(drift) && self.low.ns().saturating_sub(drift) <= next.high.ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(at_ms: i64, theta_us: i64) -> Probe {
        let sent = Instant::from_ns(at_ms * 1_000_000);
        let received = Instant::from_ns((sent + Span::from_ns(100_000)).ns() + theta_us * 1_000);
        let replied = received + Span::from_ns(10_000);
        Probe { sent, received, replied, returned: sent + Span::from_ns(210_000) }
    }

    fn at(ms: i64) -> Instant<Mono> {
        Instant::from_ns(ms * 1_000_000)
    }

    #[test]
    fn fast_at_a_start_then_steady_then_idle() {
        let mut pacer = Pacer::new(Pacing::every(Span::from_s(1)));
        let mut pauses = Vec::new();
        let mut now = 0;
        for _ in 0..100 {
            pacer.sent();
            assert!(!pacer.exchanged(&probe(now, 5_000)));
            let pause = pacer.pause(at(now), false);
            pauses.push(pause.ns() / 1_000_000);
            now += pause.ns() / 1_000_000;
        }
        assert!(pauses[..15].iter().all(|pause| *pause == 100));
        assert!(pauses[15..70].iter().all(|pause| *pause == 1_000), "{pauses:?}");
        assert_eq!(pauses[99], 8_000);
        assert_eq!(pacer.pause(at(now), true), Span::from_s(1), "events wait for an exchange behind them");
        pacer.disrupted(at(now));
        assert_eq!(pacer.pause(at(now), false), Span::from_ms(100));
    }

    /// How many answers a burst brings where only one request of `of` is answered, and after how many requests it ends.
    fn burst_under_loss(of: u32) -> (u32, u32) {
        let mut pacer = Pacer::new(Pacing::every(Span::from_s(1)));
        let (mut answers, mut requests) = (0, 0);
        while pacer.pause(at(0), true) == Span::from_ms(100) {
            pacer.sent();
            requests += 1;
            if requests % of == 0 {
                pacer.exchanged(&probe(i64::from(requests) * 100, 0));
                answers += 1;
            }
        }
        (answers, requests)
    }

    #[test]
    fn a_burst_has_its_answers_under_loss_and_an_end_where_nothing_comes_back() {
        assert_eq!([1, 2, 4].map(burst_under_loss), [(16, 16), (16, 32), (16, 64)]);
        assert_eq!(burst_under_loss(1_000), (0, 64));
    }

    #[test]
    fn the_least_interval_is_within_what_is_answered() {
        assert!(LEAST_INTERVAL.ns() * i64::from(ANSWERED_PER_SECOND) > 1_000_000_000);
    }

    #[test]
    fn a_jump_that_no_path_explains_is_seen_and_drift_is_none() {
        let mut pacer = Pacer::new(Pacing::every(Span::from_s(1)));
        assert!(!pacer.exchanged(&probe(0, 0)));
        assert!(!pacer.exchanged(&probe(1_000, 2_100)), "2,000 ppm and the round trip");
        assert!(pacer.exchanged(&probe(1_100, 3_000)), "0.9 ms in 0.1 s are more than both");
        assert!(!pacer.exchanged(&probe(1_200, 3_000)));
        assert!(pacer.exchanged(&probe(1_300, -3_000)));
        assert_eq!(pacer.pause(at(1_300), false), Span::from_ms(100));
    }

    #[test]
    fn no_stamps_can_break_it() {
        let mut pacer = Pacer::new(Pacing::every(Span::from_ms(5)));
        for ns in [i64::MIN, 0, i64::MAX] {
            let (mono, reference) = (Instant::from_ns(ns), Instant::from_ns(-ns.max(-i64::MAX)));
            pacer.exchanged(&Probe { sent: mono, received: reference, replied: reference, returned: mono });
            assert_eq!(pacer.pause(mono, true), Span::from_ms(5));
        }
        assert_eq!(pacer.least(), Span::from_ms(5));
    }
}
