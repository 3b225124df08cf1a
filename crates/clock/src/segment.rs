//! A stretch of a clock model as two points with bounds, linear in between: what is stored of a model, and how many events
//! are placed at once.

use syncline_timebase::{ErrorBound, Instant, Mono, Offset, Reference};

use crate::{Estimate, Tolerance};

/// A linear piece of REF - MONO.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Where it begins, and ends.
    pub from: Instant<Mono>,
    /// Not before `from`.
    pub to: Instant<Mono>,
    /// The estimates there. Their bounds hold the model's around the line, with what it bends by in between.
    pub at_from: Estimate,
    /// See `at_from`; of another epoch where the clocks were disrupted in between, and then the line says nothing.
    pub at_to: Estimate,
    /// ns per ns.
    slope: f64,
}

impl Segment {
    /// The piece of `estimate` from `from` to `to`; `inside` are instants (knots, probes) at which the model may bend.
    ///
    /// The bounds at the ends are widened until the line is inside them plus what the model itself allows: by the
    /// largest excess at the bends, and by what the oscillator's wander can bow between them, W dt / 2 when the rate
    /// stays within W of its value anywhere in the piece (W itself grows with dt beyond the tolerance's window).
    pub(crate) fn of(
        estimate: impl Fn(Instant<Mono>) -> Estimate,
        tolerance: &Tolerance,
        [from, to]: [Instant<Mono>; 2],
        inside: impl Iterator<Item = Instant<Mono>>,
    ) -> Self {
        let (at_from, at_to) = (estimate(from), estimate(to));
        let moved = at_to.offset.ns() as f64 - at_from.offset.ns() as f64;
        let slope = moved / ((to - from).ns() as f64).max(1.0);
        let mut segment = Self { from, to, at_from, at_to, slope };
        let bends = inside.filter(|at| from < *at && *at < to);
        let excess = bends.map(|at| segment.excess(at, &estimate(at))).max().unwrap_or_default();
        let bow = tolerance.wander_over(to - from).gained_over(to - from).ns().unsigned_abs() / 2;
        let slack = ErrorBound::from_ns(excess.saturating_add(bow));
        for end in [&mut segment.at_from, &mut segment.at_to] {
            end.hard = end.hard.plus(slack);
        }
        segment
    }

    /// REF - MONO at `mono`, and how far the truth may be from it; `None` outside the segment, and where the clocks were
    /// disrupted inside it or nothing bounds them.
    ///
    /// This is how events are placed in bulk: it costs a few nanoseconds, where the model itself looks through its past.
    #[inline]
    pub fn at(&self, mono: Instant<Mono>) -> Option<(Offset<Mono, Reference>, ErrorBound)> {
        let is_inside = self.from <= mono && mono <= self.to;
        let hard = self.at_from.hard.max(self.at_to.hard);
        let is_one = self.at_from.epoch == self.at_to.epoch && hard.is_bounded();
        (is_inside && is_one).then(|| (Offset::from_ns(self.line_ns(mono)), hard))
    }

    #[inline]
    fn line_ns(&self, mono: Instant<Mono>) -> i64 {
        let moved = (mono - self.from).ns() as f64 * self.slope;
        self.at_from.offset.ns().saturating_add(moved.round() as i64)
    }

    /// How far the bracket of `estimate` at `at` reaches out of the line's, ns.
    fn excess(&self, at: Instant<Mono>, estimate: &Estimate) -> u64 {
        let narrower = self.at_from.hard.ns().min(self.at_to.hard.ns());
        let off_the_line = estimate.offset.ns().abs_diff(self.line_ns(at));
        estimate.hard.ns().saturating_add(off_the_line).saturating_sub(narrower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeClock, ToldDisruption};
    use syncline_timebase::{Bracket, Knot, Probe, Span};

    const SECOND: i64 = 1_000_000_000;

    /// RAW runs as REF does; MONO is slow by so many ppm of it.
    struct Truth {
        ppm: i64,
    }

    impl Truth {
        fn reference(&self, mono: i64) -> i64 {
            mono + SECOND + mono / 1_000_000 * self.ppm + mono % 1_000_000 * self.ppm / 1_000_000
        }

        fn clock(&self, seconds: i64) -> NodeClock {
            let mut clock = NodeClock::new(Tolerance::default());
            for second in 0..seconds {
                let knots: Vec<Knot> = (0..10).map(|i| self.knot(second * SECOND + i * SECOND / 10 + 1)).collect();
                clock.observe(&knots, &[self.probe(second * SECOND + 950_000_000)]);
            }
            clock
        }

        fn knot(&self, mono: i64) -> Knot {
            let raw = Instant::from_ns(self.reference(mono) - SECOND);
            Knot { mono: Instant::from_ns(mono), raw, wall: Instant::from_ns(mono + 5), bracket: Span::ZERO }
        }

        /// 20 us there and as much back.
        fn probe(&self, sent: i64) -> Probe {
            Probe {
                sent: Instant::from_ns(sent),
                received: Instant::from_ns(self.reference(sent + 20_000)),
                replied: Instant::from_ns(self.reference(sent + 21_000)),
                returned: Instant::from_ns(sent + 40_000),
            }
        }
    }

    #[test]
    fn the_line_holds_the_truth_in_between_and_says_nothing_outside() {
        let truth = Truth { ppm: 40 };
        let clock = truth.clock(20);
        let [from, to] = [5, 15].map(|second| Instant::<Mono>::from_ns(second * SECOND));
        let knots = (50..150).map(|i| Instant::from_ns(i * SECOND / 10 + 1));
        let segment = clock.segment([from, to], knots);
        for mono in (from.ns()..=to.ns()).step_by(77_000_000) {
            let (offset, hard) = segment.at(Instant::from_ns(mono)).expect("it is inside");
            let bracket = Bracket::around(Instant::<Mono>::from_ns(mono) + offset, hard);
            assert!(bracket.contains(Instant::from_ns(truth.reference(mono))), "at {mono}");
        }
        assert!(segment.at_from.hard.ns() < 100_000, "{:?}", segment.at_from);
        assert_eq!(segment.at(from - Span::from_ns(1)), None);
        assert_eq!(segment.at(to + Span::from_ns(1)), None);
    }

    #[test]
    fn a_bend_inside_is_in_the_bound() {
        let mut clock = Truth { ppm: 40 }.clock(10);
        // From the tenth second on MONO runs 400 ppm slower.
        let bent = |mono: i64| Truth { ppm: 40 }.reference(mono) + (mono - 10 * SECOND).max(0) / 2_500;
        for tenth in 100..140 {
            let mono = tenth * SECOND / 10 + 1;
            let (raw, wall) = (Instant::from_ns(bent(mono) - SECOND), Instant::from_ns(mono));
            clock.observe(&[Knot { mono: Instant::from_ns(mono), raw, wall, bracket: Span::ZERO }], &[]);
        }
        let ends = [8, 13].map(|second| Instant::<Mono>::from_ns(second * SECOND));
        let knots = || (80..130).map(|i| Instant::from_ns(i * SECOND / 10 + 1));
        let (blind, seeing) = (clock.segment(ends, std::iter::empty()), clock.segment(ends, knots()));
        let corner = Instant::<Mono>::from_ns(10 * SECOND);
        let (offset, hard) = seeing.at(corner).expect("it is inside");
        let off = offset.ns().abs_diff(bent(corner.ns()) - corner.ns());
        assert!(off > 300_000 && off <= hard.ns(), "{off} {hard:?}");
        assert!(blind.at(corner).is_some_and(|(_, hard)| hard.ns() < off), "the bend is what widened it");
    }

    #[test]
    fn over_a_disruption_there_is_no_line() {
        let mut clock = Truth { ppm: 0 }.clock(10);
        let at = Instant::from_ns(10 * SECOND);
        clock.observe_told(&[], &[], &[ToldDisruption { since: at, until: at }]);
        let later = |mono: i64| Instant::<Reference>::from_ns(mono + 3 * SECOND);
        for second in 10..14 {
            let knots: Vec<Knot> =
                (0..10).map(|i| Truth { ppm: 0 }.knot(second * SECOND + i * SECOND / 10 + 1)).collect();
            let probe = Truth { ppm: 0 }.probe(second * SECOND + 950_000_000);
            let (received, replied) = (later(probe.sent.ns() + 20_000), later(probe.sent.ns() + 21_000));
            clock.observe(&knots, &[Probe { received, replied, ..probe }]);
        }
        let segment = clock.segment([8, 13].map(|second| Instant::from_ns(second * SECOND)), std::iter::empty());
        assert_ne!(segment.at_from.epoch, segment.at_to.epoch);
        assert_eq!(segment.at(Instant::from_ns(9 * SECOND)), None);
    }
}
