//! Where on RAW a piece of MONO lies, kept for later: the map forgets knots, and with them where MONO bent.

use syncline_timebase::{Instant, Mono, Span};

use crate::mono_raw::RawPoint;

/// A piece of MONO on RAW: the chord between its ends, and how far RAW may be from that anywhere in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    ends: [(Instant<Mono>, RawPoint); 2],
    slack: Span,
}

impl Placement {
    /// The piece of the map `at` between `ends`, which may bend `inside`.
    pub(crate) fn of(
        at: impl Fn(Instant<Mono>) -> Option<RawPoint>,
        ends: [Instant<Mono>; 2],
        inside: impl Iterator<Item = Instant<Mono>>,
    ) -> Option<Self> {
        let [from, to] = ends;
        let mut placement = Self { ends: [(from, at(from)?), (to, at(to)?)], slack: Span::ZERO };
        let chord = placement;
        let off = |mono: Instant<Mono>| Some((at(mono)?.raw - chord.at(mono).raw).abs() + at(mono)?.slack);
        let bends = inside.filter(|mono| from < *mono && *mono < to).chain(ends);
        placement.slack = bends.filter_map(off).max().unwrap_or(Span::ZERO);
        Some(placement)
    }

    pub(crate) fn ends(&self) -> &[(Instant<Mono>, RawPoint); 2] {
        &self.ends
    }

    /// Where `mono` lies, along the chord.
    pub(crate) fn at(&self, mono: Instant<Mono>) -> RawPoint {
        let [(from, first), (to, last)] = self.ends;
        let ahead = |mono: Instant<Mono>, point: RawPoint| i128::from(point.raw.ns()) - i128::from(mono.ns());
        let (start, rise) = (ahead(from, first), ahead(to, last) - ahead(from, first));
        let run = i128::from((to - from).ns()).max(1);
        let along = i128::from((mono - from).ns()) * rise / run;
        let raw = i128::from(mono.ns()) + start + along;
        RawPoint { raw: Instant::from_ns(i64::try_from(raw).unwrap_or(first.raw.ns())), slack: self.slack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeClock, Tolerance};
    use syncline_timebase::{Knot, Probe};

    const TENTH: i64 = 100_000_000;
    /// MONO runs 650 ppm slower than RAW from here on.
    const BEND: i64 = 305 * TENTH;
    const THETA: i64 = 5_000_000_000;

    fn raw(mono: i64) -> i64 {
        mono + (mono - BEND).max(0) / 1_000_000 * 650
    }

    /// A second of knots, and a probe of 200 us.
    fn observe(clock: &mut NodeClock, second: i64) {
        let knot = |tenth: i64| {
            let (mono, bracket) = ((10 * second + tenth) * TENTH, Span::from_ns(200));
            Knot {
                mono: Instant::from_ns(mono),
                raw: Instant::from_ns(raw(mono)),
                wall: Instant::from_ns(mono),
                bracket,
            }
        };
        let sent = second * 10 * TENTH + 850_000_000;
        let answered = Instant::from_ns(raw(sent + 100_000) + THETA);
        let returned = Instant::from_ns(sent + 200_000);
        let probe = Probe { sent: Instant::from_ns(sent), received: answered, replied: answered, returned };
        clock.observe(&(0..10).map(knot).collect::<Vec<_>>(), &[probe]);
    }

    #[test]
    fn a_piece_in_which_mono_bends_is_known_a_minute_later_as_well_as_then() {
        let mut clock = NodeClock::new(Tolerance::default());
        (0..32).for_each(|second| observe(&mut clock, second));
        let ends = [300 * TENTH, 309 * TENTH].map(Instant::<Mono>::from_ns);
        let knots = || (300..310).map(|tenth| Instant::from_ns(tenth * TENTH));
        let placement = clock.placement(ends, knots()).unwrap();
        let at_once = clock.segment(ends, knots());
        (32..100).for_each(|second| observe(&mut clock, second));
        let (forgotten, kept) = (clock.segment(ends, knots()), clock.segment_at(&placement, knots()).unwrap());
        let hard = |segment: crate::Segment| segment.at_from.hard.max(segment.at_to.hard).ns();
        assert!(hard(kept) <= hard(at_once) + 50_000, "{} and at once {}", hard(kept), hard(at_once));
        assert!(hard(kept) < hard(forgotten), "{} and with the map of now {}", hard(kept), hard(forgotten));
        for mono in (ends[0].ns()..=ends[1].ns()).step_by(7_000_000) {
            let (offset, bound) = kept.at(Instant::from_ns(mono)).unwrap();
            let truth = raw(mono) + THETA - mono;
            assert!(offset.ns().abs_diff(truth) <= bound.ns(), "at {mono}: {offset:?} for {truth}, {bound:?}");
        }
    }

    #[test]
    fn where_the_map_has_become_another_one_the_placement_says_nothing() {
        let mut clock = NodeClock::new(Tolerance::default());
        (0..5).for_each(|second| observe(&mut clock, second));
        let ends = [30 * TENTH, 39 * TENTH].map(Instant::<Mono>::from_ns);
        let placement = clock.placement(ends, std::iter::empty()).unwrap();
        assert!(clock.segment_at(&placement, std::iter::empty()).is_some());
        assert!(NodeClock::new(Tolerance::default()).segment_at(&placement, std::iter::empty()).is_none());
        assert!(NodeClock::new(Tolerance::default()).placement(ends, std::iter::empty()).is_none());
    }

    #[test]
    fn where_the_same_mono_lies_elsewhere_on_raw_the_placement_says_nothing() {
        let mut clock = NodeClock::new(Tolerance::default());
        (0..40).for_each(|second| observe(&mut clock, second));
        let ends = [300 * TENTH, 399 * TENTH].map(Instant::<Mono>::from_ns);
        let placement = clock.placement(ends, std::iter::empty()).unwrap();
        assert!(clock.segment_at(&placement, std::iter::empty()).is_some());
        // As after a restart of the node that kept its name and its MONO: RAW has run 5 ms further by the last of them.
        let first = placement.ends()[0];
        let last = (ends[1], RawPoint { raw: placement.ends()[1].1.raw + Span::from_ms(5), ..placement.ends()[1].1 });
        let elsewhere = Placement { ends: [first, last], ..placement };
        assert!(clock.segment_at(&elsewhere, std::iter::empty()).is_none());
    }
}
