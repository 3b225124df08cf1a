//! Where on RAW a MONO stamp lies.
//!
//! Between two knots the map is their chord. If the kernel changed the rate of MONO once between them, from s1 to s2 at
//! a fraction x of the interval, the chord is off by at most x (1 - x) (s2 - s1) dt, which is x times the residual that
//! the second knot shows against the line of slope s1. So the residual itself bounds the error of the chord. The slope
//! s1 is that of the stretch before; stretch and interval together are shorter than the half second in which at most one
//! change is assumed, so a change in the one leaves the other straight.
//!
//! Memory is bounded by thinning: the older a stretch, the fewer knots it keeps, and what a new chord misses a dropped
//! knot by is added to the error of that stretch. About an hour is kept.

use syncline_timebase::{Instant, Knot, Mono, Raw, Span};

use crate::thinning::may_span;

/// Knots kept; at 10 Hz they reach back about an hour.
const CAPACITY: usize = 256;
/// Slopes are taken over at least this long, so that the brackets of the knots do not drown them.
const BASELINE: Span = Span::from_ms(90);
/// Longest stretch between knots on which the rate is taken to change at most once.
const ONE_CHANGE: Span = Span::from_ms(250);
/// Largest change of the rate of MONO against RAW: from one end of what NTP may steer to the other.
const LARGEST_CHANGE_PPM: i64 = 1_000;
/// More than steering and brackets can make: MONO or RAW itself has jumped.
const LEAST_JUMP: Span = Span::from_ns(20_000);

#[derive(Clone, Copy, Debug)]
struct Point {
    mono: Instant<Mono>,
    raw: Instant<Raw>,
    /// How far `raw` may be off at `mono`.
    reading: Span,
    /// How far the chord from the point before may be off.
    chord: Span,
}

/// A point on RAW, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawPoint {
    pub(crate) raw: Instant<Raw>,
    pub(crate) slack: Span,
}

/// What a knot said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnotVerdict {
    Taken,
    /// Not after the knot before it.
    OutOfOrder,
    /// Taken, but MONO and RAW no longer agree with what they did before.
    Jumped,
}

/// The map from MONO to RAW of one boot.
#[derive(Clone, Debug, Default)]
pub(crate) struct MonoToRaw {
    points: Vec<Point>,
    /// MONO is RAW: nothing steers it.
    identity: bool,
}

impl MonoToRaw {
    /// The map of a clock that is an oscillator itself; it needs no knots.
    pub(crate) fn identity() -> Self {
        Self { points: Vec::new(), identity: true }
    }

    pub(crate) fn observe(&mut self, knot: &Knot) -> KnotVerdict {
        let reading = Span::from_ns(knot.bracket.ns() / 2 + 1);
        let Some(last) = self.points.last().copied() else {
            self.points.push(Point { mono: knot.mono, raw: knot.raw, reading, chord: Span::ZERO });
            return KnotVerdict::Taken;
        };
        if knot.mono <= last.mono || knot.raw < last.raw {
            return KnotVerdict::OutOfOrder;
        }
        let elapsed = knot.mono - last.mono;
        let residual = (knot.raw - (last.raw + self.extrapolated(elapsed))).abs();
        let most = steered(elapsed);
        let jumped = residual > most + reading + last.reading + LEAST_JUMP;
        let chord =
            if elapsed <= ONE_CHANGE && self.points.len() > 1 { residual } else { Span::from_ns(most.ns() / 4) };
        self.points.push(Point { mono: knot.mono, raw: knot.raw, reading, chord: chord.max(Span::ZERO) });
        self.thin();
        if jumped { KnotVerdict::Jumped } else { KnotVerdict::Taken }
    }

    /// RAW at `mono`; `None` before the first knot ever.
    pub(crate) fn at(&self, mono: Instant<Mono>) -> Option<RawPoint> {
        if self.identity {
            return Some(RawPoint { raw: Instant::from_ns(mono.ns()), slack: Span::ZERO });
        }
        let after = self.points.partition_point(|point| point.mono < mono);
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (Some(before), Some(after)) => Some(between(before, after, mono)),
            (Some(last), None) => Some(self.beyond(last, mono)),
            (None, Some(first)) => Some(before_all(first, mono)),
            (None, None) => None,
        }
    }

    fn beyond(&self, last: &Point, mono: Instant<Mono>) -> RawPoint {
        let elapsed = mono - last.mono;
        RawPoint { raw: last.raw + self.extrapolated(elapsed), slack: last.reading + steered(elapsed) }
    }

    /// What RAW does while MONO goes on by `elapsed` after the last point, at the rate of the last [`BASELINE`].
    fn extrapolated(&self, elapsed: Span) -> Span {
        let Some((last, older)) = self.points.split_last() else { return elapsed };
        let baseline = older.iter().rev().find(|point| last.mono - point.mono >= BASELINE).or(older.first());
        match baseline {
            Some(start) => scaled(elapsed, last.raw - start.raw, last.mono - start.mono),
            None => elapsed,
        }
    }

    fn thin(&mut self) {
        let Some(newest) = self.points.last().map(|point| point.mono).filter(|_| self.points.len() > CAPACITY) else {
            return;
        };
        let mut kept: Vec<Point> = Vec::with_capacity(CAPACITY + 1);
        let mut points = std::mem::take(&mut self.points).into_iter().peekable();
        while let Some(point) = points.next() {
            match (kept.last(), points.peek_mut()) {
                (Some(start), Some(end)) if may_span(end.mono - start.mono, newest - end.mono) => {
                    let missed = (between(start, end, point.mono).raw - point.raw).abs();
                    end.chord = end.chord.max(point.chord) + missed + point.reading;
                }
                _ => kept.push(point),
            }
        }
        // Nothing left to thin: the oldest are forgotten.
        let surplus = kept.len().saturating_sub(CAPACITY * 3 / 4);
        self.points = kept.split_off(if kept.len() > CAPACITY { surplus } else { 0 });
    }
}

fn between(before: &Point, after: &Point, mono: Instant<Mono>) -> RawPoint {
    let along = scaled(mono - before.mono, after.raw - before.raw, after.mono - before.mono);
    RawPoint { raw: before.raw + along, slack: before.reading.max(after.reading) + after.chord }
}

fn before_all(first: &Point, mono: Instant<Mono>) -> RawPoint {
    let back = first.mono - mono;
    RawPoint { raw: first.raw - back, slack: first.reading + steered(back) }
}

/// What steering may add to `elapsed`, at most.
fn steered(elapsed: Span) -> Span {
    Span::from_ns(elapsed.ns() / (1_000_000 / LARGEST_CHANGE_PPM) + 1)
}

/// `elapsed * numerator / denominator`, exact, rounded towards zero.
fn scaled(elapsed: Span, numerator: Span, denominator: Span) -> Span {
    if denominator == Span::ZERO {
        return elapsed;
    }
    let product = i128::from(elapsed.ns()) * i128::from(numerator.ns()) / i128::from(denominator.ns());
    Span::from_ns(i64::try_from(product).unwrap_or(if product < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sim::{NodeSettings, SimulatedNode};

    const SECOND: i64 = 1_000_000_000;

    fn slewing_node() -> SimulatedNode {
        let steering =
            vec![(0, 0.0), (30 * SECOND, 500_000.0), (31 * SECOND + 40_000_000, -500_000.0), (60 * SECOND, 12_000.0)];
        SimulatedNode::new(NodeSettings { steering, ..NodeSettings::default() }, 3)
    }

    fn map_of(node: &mut SimulatedNode, seconds: i64) -> MonoToRaw {
        let mut map = MonoToRaw::default();
        for tick in 0..seconds * 10 {
            assert_eq!(map.observe(&node.knot(tick * SECOND / 10)), KnotVerdict::Taken);
        }
        map
    }

    #[test]
    fn the_truth_is_within_the_slack_through_slews_and_thinning() {
        let mut node = slewing_node();
        let map = map_of(&mut node, 600);
        assert!(map.points.len() <= CAPACITY);
        for millisecond in (0..600_000).step_by(7) {
            let now = millisecond * 1_000_000;
            let point = map.at(node.mono(now)).unwrap();
            let error = (point.raw - node.raw(now)).abs();
            assert!(error <= point.slack, "at {millisecond} ms: off by {error:?}, slack {:?}", point.slack);
        }
    }

    #[test]
    fn recent_stamps_are_placed_within_a_microsecond() {
        let mut node = slewing_node();
        let map = map_of(&mut node, 100);
        let slack = map.at(node.mono(98 * SECOND)).unwrap().slack;
        assert!(slack <= Span::from_ns(1_000), "{slack:?}");
    }

    #[test]
    fn a_jump_of_one_clock_is_seen_and_a_repeated_knot_refused() {
        let mut node = slewing_node();
        let mut map = map_of(&mut node, 10);
        let mut knot = node.knot(10 * SECOND);
        knot.raw = knot.raw + Span::from_ms(5);
        assert_eq!(map.observe(&knot), KnotVerdict::Jumped);
        assert_eq!(map.observe(&knot), KnotVerdict::OutOfOrder);
    }
}
