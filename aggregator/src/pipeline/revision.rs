//! What was placed at once is placed again once more is known.
//!
//! A batch is placed by the model of its moment. A minute later the model knows both sides of it, and whether the clocks were
//! disrupted there: if that makes a difference worth a row, the piece gets another revision.

use std::collections::VecDeque;

use syncline_clock::{NodeClock, Placement, Segment};
use syncline_timebase::{ErrorBound, Instant, Mono, Offset, Span, Wall};

/// A piece is looked at again when the newest probe is so much later.
pub(crate) const SETTLED_AFTER: Span = Span::from_s(60);
/// Pieces that wait for that; beyond it the oldest are left as they are. Twice what a batch each second makes of a minute.
const MOST_PENDING: usize = 128;
/// A longer piece is none of a batch: it spans an outage, or what its knots say is made up. Each tenth of a second of it costs.
const LONGEST: Span = Span::from_s(600);
/// MONO may bend at each of its knots, which are read ten times a second.
const KNOTS_APART: Span = Span::from_ms(100);

/// Pieces of a node's model that may yet be known better, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(VecDeque<Piece>);

#[derive(Clone, Copy, Debug)]
struct Piece {
    from: Instant<Mono>,
    to: Instant<Mono>,
    wall: Offset<Mono, Wall>,
    told: Option<Told>,
    /// Where it lies on RAW by the knots of its time, most of which the model has forgotten when it is looked at again.
    placement: Option<Placement>,
}

/// A piece that is known otherwise than it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revised {
    /// As it is known now.
    pub(crate) segment: Segment,
    /// WALL - MONO at its end.
    pub(crate) wall: Offset<Mono, Wall>,
}

/// What was said of a piece.
#[derive(Clone, Copy, Debug)]
struct Told {
    offsets_ns: [i64; 2],
    bound: ErrorBound,
}

impl Pending {
    /// A piece was told as `segment`, or nothing could be said of it. It lies at `placement` on RAW. How many others had to go for it.
    pub(crate) fn push(
        &mut self,
        ends: [Instant<Mono>; 2],
        wall: Offset<Mono, Wall>,
        segment: Option<&Segment>,
        placement: Option<Placement>,
    ) -> usize {
        let [from, to] = ends;
        if to - from > LONGEST {
            return 0;
        }
        let surplus = (self.0.len() + 1).saturating_sub(MOST_PENDING);
        self.0.drain(..surplus);
        self.0.push_back(Piece { from, to, wall, told: segment.map(Told::of), placement });
        surplus
    }

    /// The pieces that are known otherwise by now, and are settled.
    pub(crate) fn revised(&mut self, clock: &NodeClock) -> Vec<Revised> {
        let Some(newest) = clock.last_probe() else { return Vec::new() };
        let settled = self.0.iter().take_while(|piece| newest - piece.to >= SETTLED_AFTER).count();
        self.0.drain(..settled).filter_map(|piece| piece.revised(clock)).collect()
    }
}

impl Piece {
    fn revised(&self, clock: &NodeClock) -> Option<Revised> {
        let segment = self.known_now(clock);
        // Over a disruption there is no line.
        let is_one = segment.at_from.epoch == segment.at_to.epoch;
        let now = Told::of(&segment);
        // Where nothing is known any more (the clocks were other ones), what was told stays.
        let differs = now.bound.is_bounded() && self.told.is_none_or(|told| told.differs_from(&now));
        (is_one && differs).then_some(Revised { segment, wall: self.wall })
    }

    /// Where the piece was placed on RAW then, or where the model would place it now: both are true, and the narrower one
    /// says more.
    fn known_now(&self, clock: &NodeClock) -> Segment {
        let bends =
            || (1..).map(|knot| self.from + Span::from_ns(KNOTS_APART.ns() * knot)).take_while(|at| *at < self.to);
        let by_map = clock.segment([self.from, self.to], bends());
        let by_placement = self.placement.and_then(|placement| clock.segment_at(&placement, bends()));
        by_placement.filter(|placed| Told::of(placed).bound < Told::of(&by_map).bound).unwrap_or(by_map)
    }
}

impl Told {
    fn of(segment: &Segment) -> Self {
        let offsets_ns = [segment.at_from.offset.ns(), segment.at_to.offset.ns()];
        Self { offsets_ns, bound: segment.at_from.hard.max(segment.at_to.hard) }
    }

    /// Whether it is a fifth wider or narrower than what is known `now`, or off by a tenth of that.
    fn differs_from(&self, now: &Self) -> bool {
        if !self.bound.is_bounded() {
            return true;
        }
        let (told, known) = (u128::from(self.bound.ns()), u128::from(now.bound.ns()));
        let moved = self.offsets_ns.iter().zip(&now.offsets_ns).map(|(told, now)| told.abs_diff(*now)).max();
        5 * known < 4 * told || 5 * told < 4 * known || 10 * u128::from(moved.unwrap_or(0)) > known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::samples::{self, OFFSET, SECOND};
    use syncline_clock::Tolerance;
    use syncline_event::Batch;

    const WALL: Offset<Mono, Wall> = Offset::from_ns(5);

    fn sight(clock: &mut NodeClock, pending: &mut Pending, batch: &Batch) -> Vec<Revised> {
        clock.observe(&batch.knots, &batch.probes);
        let [from, to] = [batch.knots[0].mono, batch.knots[9].mono];
        let segment = clock.last_probe().map(|_| clock.segment([from, to], std::iter::empty()));
        let revised = pending.revised(clock);
        let placement = clock.placement([from, to], batch.knots.iter().map(|knot| knot.mono));
        pending.push([from, to], WALL, segment.as_ref(), placement);
        revised
    }

    #[test]
    fn what_was_told_before_the_model_knew_is_told_again_once_and_better() {
        let (mut clock, mut pending) = (NodeClock::new(Tolerance::default()), Pending::default());
        let mut revised = Vec::new();
        // A minute before the first probe, of which nothing could be said.
        pending.push([Instant::from_ns(100_000_000), Instant::from_ns(900_000_000)], WALL, None, None);
        for number in 1..200 {
            revised.extend(sight(&mut clock, &mut pending, &samples::batch("n", number)));
        }
        let first = revised.first().unwrap().segment;
        assert_eq!(first.from.ns(), 100_000_000);
        assert!(first.at_from.offset.ns().abs_diff(OFFSET) <= first.at_from.hard.ns());
        assert!(revised.len() < 30, "{} of 200: a steady model is not told twice", revised.len());
        assert!(revised.is_sorted_by_key(|revised| revised.segment.from));
        assert!(pending.0.len() <= 62, "{}", pending.0.len());
    }

    /// MONO falls behind by 650 ppm from the middle of the hundredth second on.
    fn slewed(number: u64) -> Batch {
        let bent = |mono: i64| (mono - 100 * SECOND - SECOND / 2).max(0) / 1_000_000 * 650;
        let mut batch = samples::batch("n", number);
        for knot in &mut batch.knots {
            knot.raw = Instant::from_ns(knot.mono.ns() + bent(knot.mono.ns()));
        }
        for probe in &mut batch.probes {
            let late = Span::from_ns(bent(probe.sent.ns()));
            (probe.received, probe.replied) = (probe.received + late, probe.replied + late);
        }
        batch
    }

    #[test]
    fn where_mono_bent_a_piece_is_not_told_again_with_a_wider_bound() {
        let (mut clock, mut pending) = (NodeClock::new(Tolerance::default()), Pending::default());
        let revised: Vec<_> = (1..200).flat_map(|number| sight(&mut clock, &mut pending, &slewed(number))).collect();
        let around = |revised: &&Revised| (90 * SECOND..110 * SECOND).contains(&revised.segment.from.ns());
        let hard = |revised: &Revised| revised.segment.at_from.hard.max(revised.segment.at_to.hard).ns();
        let widest = revised.iter().filter(around).map(hard).max().unwrap_or(0);
        // Half a round trip of 100 us, and a line over a second with the bend in its middle: 650 ppm of a quarter of that.
        assert!(widest < 250_000, "{widest} ns");
    }

    #[test]
    fn only_what_makes_a_difference_does() {
        let told = |offset: i64, bound: u64| Told { offsets_ns: [0, offset], bound: ErrorBound::from_ns(bound) };
        assert!(!told(0, 100).differs_from(&told(10, 100)));
        assert!(told(0, 100).differs_from(&told(11, 100)));
        assert!(told(0, 126).differs_from(&told(0, 100)) && told(0, 100).differs_from(&told(0, 126)));
        assert!(!told(0, 124).differs_from(&told(0, 100)));
        let unknown = Told { bound: ErrorBound::UNBOUNDED, ..told(0, 0) };
        assert!(unknown.differs_from(&told(0, 1)));
    }

    #[test]
    fn no_more_wait_than_have_room() {
        let mut pending = Pending::default();
        let second = |s| [Instant::from_ns(s * SECOND), Instant::from_ns((s + 1) * SECOND)];
        let gone: usize = (0..1_000).map(|s| pending.push(second(s), WALL, None, None)).sum();
        assert_eq!((pending.0.len(), gone), (MOST_PENDING, 1_000 - MOST_PENDING));
        pending.push([Instant::from_ns(1), Instant::from_ns(i64::MAX)], WALL, None, None);
        assert_eq!(pending.0.back().unwrap().to.ns(), 1_000 * SECOND, "knots that nobody can have read");
    }
}
