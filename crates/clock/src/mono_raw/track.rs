//! The points that are kept, and what lies between and after them.

use serde::{Deserialize, Serialize};
use syncline_timebase::Span;

use super::RawPoint;
use super::point::{Point, UNKNOWN, between, kept, placed};
use super::rate::{self, Rate, steered};
use crate::thinning::may_span;

/// Points kept; at 10 Hz they reach back about an hour.
pub(super) const CAPACITY: usize = 256;
/// More than steering and brackets can make: MONO or RAW itself has jumped. ns.
const LEAST_JUMP: i64 = 20_000;

/// Points in order of MONO, on a RAW that is counted on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Track {
    points: Vec<Point>,
    /// Slopes from before this are not those from here on, ns.
    rate_from: Option<i64>,
    /// Nothing is thinned.
    whole: bool,
    /// The rate at the last point. Each knot asks for it several times.
    rate: Rate,
}

/// RAW - MONO as it is foreseen, and how far that may be off; ns.
#[derive(Clone, Copy)]
pub(super) struct Foreseen {
    pub(super) ahead: i64,
    pub(super) slack: i64,
}

impl Track {
    /// Keeps everything, for a pass over a whole stream.
    pub(super) fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// One that keeps as much and has nothing yet.
    pub(super) fn afresh(&self) -> Self {
        Self { whole: self.whole, ..Self::default() }
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// `mono` on RAW, between the points, and before the first.
    pub(super) fn at(&self, mono: i64) -> Option<RawPoint> {
        let after = self.points.partition_point(|point| point.mono < mono);
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (_, Some(point)) if point.mono == mono => placed(mono, point.ahead, i64::from(point.reading)),
            (Some(before), Some(after)) => between(before, after, mono),
            (None, Some(first)) => before_all(first, mono),
            (_, None) => None,
        }
    }

    /// `mono` on RAW, after the last point.
    pub(super) fn beyond(&self, mono: i64) -> Option<RawPoint> {
        let Foreseen { ahead, slack } = self.foreseen(mono)?;
        placed(mono, ahead, slack)
    }

    /// What it is after the last point, at the rate before it.
    pub(super) fn foreseen(&self, mono: i64) -> Option<Foreseen> {
        let last = self.points.last()?;
        let elapsed = last.until(mono)?;
        let rate = self.rate;
        let slack = i64::from(last.reading).saturating_add(rate.error_over(elapsed)).saturating_add(steered(elapsed));
        Some(Foreseen { ahead: last.ahead.checked_add(rate.over(elapsed))?, slack })
    }

    /// The rate at the last point.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether `point` follows from those before it, but for what a rate that changed by so much makes: `bent` ns at
    /// `point` if it changed right after the last one, less if later.
    pub(super) fn leads_to(&self, point: &Point, bent: i64) -> bool {
        self.points.is_empty()
            || self.off(point).is_some_and(|(off, slack)| {
                (bent.min(0).saturating_sub(slack)..=bent.max(0).saturating_add(slack)).contains(&off)
            })
    }

    /// How far `point` is off what was foreseen, and within what; ns.
    fn off(&self, point: &Point) -> Option<(i64, i64)> {
        let Foreseen { ahead, slack } = self.foreseen(point.mono)?;
        Some((point.ahead.checked_sub(ahead)?, slack.saturating_add(i64::from(point.reading) + LEAST_JUMP)))
    }

    /// Whether the points before place RAW better than `point` itself does.
    pub(super) fn is_known_better(&self, point: &Point) -> bool {
        self.foreseen(point.mono).is_some_and(|foreseen| i64::from(point.reading) >= foreseen.slack)
    }

    /// Adds a point, and drops those before it that the new chord places better than they were read.
    pub(super) fn append(&mut self, point: Point) {
        while self.is_last_surpassed_by(&point) {
            self.points.pop();
            self.rate = self.measured(&self.points, 0);
        }
        let chord = self.bow(&self.points, &point).unwrap_or(UNKNOWN);
        self.points.push(Point { chord, ..point });
        self.thin();
        self.rate = self.measured(&self.points, 0);
    }

    /// What comes from `mono` on has a rate of its own.
    pub(super) fn begin(&mut self, mono: i64) {
        self.rate_from = Some(mono);
        self.rate = self.measured(&self.points, 0);
    }

    /// The chord that ends with the first point from `mono` on is off by no more than `slack` ns.
    pub(super) fn widen(&mut self, mono: i64, slack: i64) {
        let next = self.points.partition_point(|point| point.mono < mono);
        if let Some(point) = self.points.get_mut(next).filter(|_| next > 0) {
            point.chord = point.chord.max(kept(slack));
        }
    }

    /// Forgets what is not before `mono`.
    pub(super) fn cut(&mut self, mono: i64) {
        self.points.truncate(self.points.partition_point(|point| point.mono < mono));
        self.rate = self.measured(&self.points, 0);
    }

    fn is_last_surpassed_by(&self, point: &Point) -> bool {
        let [.., before, last] = self.points.as_slice() else { return false };
        let without_last = self.points.get(..self.points.len() - 1).unwrap_or_default();
        let chord = || self.bow(without_last, point);
        let placed = |chord| between(before, &Point { chord, ..*point }, last.mono);
        last.reading > point.reading
            && chord().and_then(placed).is_some_and(|placed| placed.slack.ns() < i64::from(last.reading))
    }

    /// How far the chord from the last of `points` to `next` may be off, see the head of the map.
    fn bow(&self, points: &[Point], next: &Point) -> Option<u32> {
        let Some(last) = points.last() else { return Some(0) };
        let elapsed = last.until(next.mono)?;
        let is_all = points.len() == self.points.len() && elapsed <= rate::LONGEST;
        let rate = if is_all { self.rate } else { self.measured(points, elapsed) };
        let residual = next.ahead.checked_sub(last.ahead.checked_add(rate.over(elapsed))?)?.saturating_abs();
        let unsure = last.readings(next).saturating_add(rate.error_over(elapsed));
        let is_steered = residual <= unsure.saturating_add(steered(elapsed));
        // What is seen well is believed, be it more than steering makes or less.
        let is_seen = rate.changes_once(elapsed) && unsure < bowed(elapsed);
        Some(kept(if is_steered && !is_seen { bowed(elapsed) } else { residual.saturating_add(unsure) }))
    }

    /// The rate at the last of `points`, for the `next` ns.
    fn measured(&self, points: &[Point], next: i64) -> Rate {
        let from = self.rate_from.map_or(0, |from| points.partition_point(|point| point.mono < from));
        Rate::of(points.get(from..).unwrap_or_default(), next)
    }

    fn thin(&mut self) {
        let is_full = !self.whole && self.points.len() > CAPACITY;
        let Some(newest) = self.points.last().map(|point| point.mono).filter(|_| is_full) else { return };
        let mut kept: Vec<Point> = Vec::with_capacity(CAPACITY + 1);
        let mut points = std::mem::take(&mut self.points).into_iter().peekable();
        while let Some(point) = points.next() {
            match (kept.last(), points.peek_mut()) {
                (Some(start), Some(end)) if may_be_one(start, end, newest) => end.chord = without(start, &point, end),
                _ => kept.push(point),
            }
        }
        // Nothing left to thin: the oldest are forgotten.
        let surplus = kept.len().saturating_sub(CAPACITY * 3 / 4);
        self.points = kept.split_off(if kept.len() > CAPACITY { surplus } else { 0 });
    }
}

/// The error of the chord over two stretches that become one.
///
/// It is off what the two chords were by at most what it misses `point` by, and each of them by its own error. The reading
/// of `point` counts as far as it is worse than those at the ends, which count anyway. Where nothing but steering was seen,
/// it is also at most what that can make.
fn without(start: &Point, point: &Point, end: &Point) -> u32 {
    let Some(placed) = between(start, &Point { chord: 0, ..*end }, point.mono) else { return UNKNOWN };
    let missed = placed.raw.ns().saturating_sub(point.mono.saturating_add(point.ahead)).saturating_abs();
    let worse = (i64::from(point.reading) - placed.slack.ns()).max(0);
    let summed = end.chord.max(point.chord).saturating_add(kept(missed)).saturating_add(kept(worse + 2));
    let steered =
        [(start, point), (point, end)].iter().all(|(from, to)| i64::from(to.chord) <= bowed_between(from, to));
    let alike = Rate::between(start, point).zip(Rate::between(point, end)).is_some_and(|(a, b)| a.is_like(&b));
    if steered && alike { summed.min(kept(bowed_between(start, end))) } else { summed }
}

fn may_be_one(start: &Point, end: &Point, newest: i64) -> bool {
    let span = |from: &Point, to: i64| from.until(to).map_or(Span::MAX, Span::from_ns);
    may_span(span(start, end.mono), span(end, newest))
}

/// What steering can bow `elapsed` ns off their chord, see the head of the map; ns.
fn bowed(elapsed: i64) -> i64 {
    steered(elapsed) / 4 + 1
}

fn bowed_between(start: &Point, end: &Point) -> i64 {
    start.until(end.mono).map_or(i64::MAX, bowed)
}

fn before_all(first: &Point, mono: i64) -> Option<RawPoint> {
    let back = first.mono.checked_sub(mono)?;
    placed(mono, first.ahead, i64::from(first.reading).saturating_add(steered(back)))
}
