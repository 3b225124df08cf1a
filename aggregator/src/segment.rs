//! A stretch of a clock model as two points with bounds, linear in between: what the store keeps of a model.

use syncline_clock::{Estimate, NodeClock, Status, Tolerance};
use syncline_store::rows::{BoundClass, ClockStatus};
use syncline_timebase::{ErrorBound, FrequencyError, Instant, Mono, Span};

/// A linear piece of REF - MONO.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) from: Instant<Mono>,
    pub(crate) to: Instant<Mono>,
    pub(crate) at_from: Estimate,
    pub(crate) at_to: Estimate,
}

impl Segment {
    /// The piece of `clock` from `from` to `to`; `inside` are instants (knots) at which the model may bend.
    ///
    /// The bounds at the ends are widened until the line is inside them plus what the model itself allows: by the
    /// largest excess at the bends, and by what the oscillator's wander can bow between them, W dt / 2 when the rate
    /// stays within W of its value anywhere in the piece (W itself grows with dt beyond the tolerance's window).
    pub(crate) fn of(
        clock: &NodeClock,
        tolerance: &Tolerance,
        from: Instant<Mono>,
        to: Instant<Mono>,
        inside: impl Iterator<Item = Instant<Mono>>,
    ) -> Self {
        let mut segment = Self { from, to, at_from: clock.estimate(from), at_to: clock.estimate(to) };
        let bends = inside.filter(|at| from < *at && *at < to);
        let excess = bends.map(|at| segment.excess(at, &clock.estimate(at))).max().unwrap_or_default();
        let bow = tolerance.wander_over(to - from).gained_over(to - from).ns().unsigned_abs() / 2;
        let slack = ErrorBound::from_ns(excess.saturating_add(bow));
        segment.at_from.hard = segment.at_from.hard.plus(slack);
        segment.at_to.hard = segment.at_to.hard.plus(slack);
        segment
    }

    /// How far the bracket of `estimate` at `at` reaches out of the line's, ns.
    fn excess(&self, at: Instant<Mono>, estimate: &Estimate) -> u64 {
        let offset = self.between(at, self.at_from.offset.ns(), self.at_to.offset.ns());
        let narrower = self.at_from.hard.ns().min(self.at_to.hard.ns());
        let off_the_line = estimate.offset.ns().abs_diff(offset);
        estimate.hard.ns().saturating_add(off_the_line).saturating_sub(narrower)
    }

    fn between(&self, at: Instant<Mono>, first: i64, last: i64) -> i64 {
        let (part, whole) = (i128::from((at - self.from).ns()), i128::from((self.to - self.from).ns().max(1)));
        let moved = (i128::from(last) - i128::from(first)) * part / whole;
        i64::try_from(i128::from(first) + moved).unwrap_or(first)
    }
}

/// How fast a bound must grow past `at`, in 10^-9, to hold what `clock` says over the next `window` around the line that
/// goes on from `at` at [`rate_ppb`]. `clock` is that of an oscillator: MONO is RAW.
///
/// The ends of the hard bound are bent away from any line by the oscillator's wander, more the later, so the chord over the
/// whole window is the steepest.
pub(crate) fn growth_ppb(clock: &NodeClock, at: Instant<Mono>, window: Span) -> u64 {
    let now = clock.estimate(at);
    let Some(hard) = clock.bounds(at + window).map(|bounds| bounds.hard) else { return u64::MAX };
    let rate = FrequencyError::from_ppb(rate_ppb(&now) as f64);
    let line = now.offset.ns().saturating_add(rate.gained_over(window).ns());
    let reach = line.abs_diff(hard.low.ns()).max(line.abs_diff(hard.high.ns()));
    let grown = u128::from(reach.saturating_sub(now.hard.ns())) * 1_000_000_000;
    u64::try_from(grown.div_ceil(u128::from(window.ns().unsigned_abs().max(1)))).unwrap_or(u64::MAX)
}

/// The rate of an estimate in whole 10^-9.
pub(crate) fn rate_ppb(estimate: &Estimate) -> i64 {
    estimate.rate.ppb().round() as i64
}

/// What the bound of `bound` assumes.
pub(crate) fn bound_class(bound: ErrorBound) -> BoundClass {
    if bound.is_bounded() { BoundClass::Hard } else { BoundClass::Unknown }
}

/// The status in the store's words.
pub(crate) fn clock_status(status: Status) -> ClockStatus {
    match status {
        Status::Unknown => ClockStatus::Unknown,
        Status::Synchronized => ClockStatus::Synchronized,
        Status::FreeRunning => ClockStatus::FreeRunning,
        Status::Disrupted => ClockStatus::Disrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::{Bracket, Knot, Probe, Reference};

    /// REF = MONO + 1 s + 40 ppm; RAW runs as REF does, so MONO is bent against neither.
    fn clock() -> NodeClock {
        let mut clock = NodeClock::new(Tolerance::default());
        for second in 0..20i64 {
            let knots: Vec<Knot> = (0..10).map(|i| knot(second * 1_000_000_000 + i * 100_000_000 + 1)).collect();
            let reference = |mono: i64| Instant::from_ns(mono + 1_000_000_000 + mono / 25_000);
            clock.observe(&knots, &[probe(second, reference)]);
        }
        clock
    }

    /// An oscillator that so many seconds of probes have followed while its rate changed by `drift_ppb` each second.
    fn oscillator(seconds: i64, drift_ppb: f64) -> NodeClock {
        let mut clock = NodeClock::of_oscillator(Tolerance::default());
        let reference = |mono: i64| {
            let elapsed_s = mono as f64 * 1e-9;
            Instant::from_ns(mono + 1_000_000_000 + (0.5 * drift_ppb * elapsed_s * elapsed_s).round() as i64)
        };
        for second in 0..seconds {
            clock.observe(&[], &[probe(second, reference)]);
        }
        clock
    }

    /// 20 us there and as much back.
    fn probe(second: i64, reference: impl Fn(i64) -> Instant<Reference>) -> Probe {
        let sent = second * 1_000_000_000 + 950_000_000;
        Probe {
            sent: Instant::from_ns(sent),
            received: reference(sent + 20_000),
            replied: reference(sent + 21_000),
            returned: Instant::from_ns(sent + 40_000),
        }
    }

    fn knot(mono: i64) -> Knot {
        Knot {
            mono: Instant::from_ns(mono),
            raw: Instant::from_ns(mono + mono / 25_000),
            wall: Instant::from_ns(mono + 5),
            bracket: Span::ZERO,
        }
    }

    #[test]
    fn the_line_holds_the_truth_in_between() {
        let (clock, tolerance) = (clock(), Tolerance::default());
        let (from, to) = (Instant::from_ns(5_000_000_000), Instant::from_ns(15_000_000_000));
        let knots = (50..150).map(|i| Instant::from_ns(i * 100_000_000 + 1));
        let segment = Segment::of(&clock, &tolerance, from, to, knots);
        for mono in (5_000_000_000i64..15_000_000_000).step_by(77_000_000) {
            let at = Instant::<Mono>::from_ns(mono);
            let offset = segment.between(at, segment.at_from.offset.ns(), segment.at_to.offset.ns());
            let bound = segment.at_from.hard.max(segment.at_to.hard);
            let bracket = Bracket::around(Instant::<Mono>::from_ns(mono + offset), bound);
            assert!(bracket.contains(Instant::from_ns(mono + 1_000_000_000 + mono / 25_000)), "at {mono}");
        }
        assert!(segment.at_from.hard.ns() < 100_000, "{:?}", segment.at_from);
    }

    #[test]
    fn the_growth_covers_the_model_over_its_window() {
        let window = Tolerance::default().wander_window;
        for (seconds, drift_ppb) in [(20, 0.0), (300, 3.0), (300, -3.0)] {
            let (clock, at) = (oscillator(seconds, drift_ppb), Instant::from_ns(seconds * 1_000_000_000));
            let (now, growth) = (clock.estimate(at), growth_ppb(&clock, at, window));
            assert!(growth < 20_000, "{growth} ppb");
            for ahead in (0..=window.ns()).step_by(170_000_000).map(Span::from_ns) {
                let hard = clock.bounds(at + ahead).unwrap().hard;
                let gained = |ppb: i64| FrequencyError::from_ppb(ppb as f64).gained_over(ahead).ns();
                let line = now.offset.ns() + gained(rate_ppb(&now));
                let bound = now.hard.ns() + gained(growth as i64).unsigned_abs() + 1;
                let reach = line.abs_diff(hard.low.ns()).max(line.abs_diff(hard.high.ns()));
                assert!(reach <= bound, "{drift_ppb} ppb/s, after {ahead:?}: {reach} > {bound}");
            }
        }
    }
}
