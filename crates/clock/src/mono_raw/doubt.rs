//! Knots that do not follow from the map, until others agree with them.
//!
//! A single sample is never believed against all others: it may be garbage, or of another boot. Clocks that did jump say
//! so with every further knot.

use super::point::Point;
use super::rate::Rate;
use serde::{Deserialize, Serialize};

/// Knots that agree with one another, at most.
const ENOUGH: usize = 3;

/// Closer ones do not confirm each other: their brackets would let anything agree, and small numbers are near each other
/// by chance. ns.
const APART: i64 = 20_000_000;

/// Further ones do not either, ns.
const TOGETHER: i64 = 3_600_000_000_000;

/// 1 in so many: more than MONO can be made to run fast or slow (10 % by the tick, 0.05 % by NTP).
const FASTEST: i64 = 8;

/// Knots after each other that agree with one another and not with the map.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Doubts {
    points: Vec<Point>,
}

impl Doubts {
    /// Takes `point`; what does not agree with it is given up, and its number returned.
    pub(super) fn add(&mut self, point: Point) -> u64 {
        let before = self.points.len();
        match self.points.last() {
            Some(last) if agree(last, &point) && point.mono - last.mono < APART => return 0,
            Some(last) if agree(last, &point) => drop(self.points.drain(..before.saturating_sub(ENOUGH - 1))),
            _ => self.points.clear(),
        }
        let given_up = before - self.points.len();
        self.points.push(point);
        given_up as u64
    }

    /// Gives up all, and returns their number.
    pub(super) fn give_up(&mut self) -> u64 {
        std::mem::take(&mut self.points).len() as u64
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The rate that two of them have, where that is like `rate`: nothing but a jump lies before them.
    pub(super) fn at_rate(&self, rate: &Rate) -> Option<Rate> {
        let [.., first, second] = self.points.as_slice() else { return None };
        Rate::between(first, second).filter(|own| own.is_like(rate))
    }

    /// The rate of as many as are [`ENOUGH`], where they lie on a line.
    pub(super) fn on_a_line(&self) -> Option<Rate> {
        let [first, second, third] = self.points.as_slice() else { return None };
        let straight = Rate::between(first, second)?.is_like(&Rate::between(second, third)?);
        straight.then(|| Rate::between(first, third)).flatten()
    }
}

/// Whether the second may be a later reading of the clocks of the first.
fn agree(first: &Point, second: &Point) -> bool {
    let elapsed = first.until(second.mono).filter(|elapsed| (1..=TOGETHER).contains(elapsed));
    elapsed.zip(second.ahead.checked_sub(first.ahead)).is_some_and(|(elapsed, risen)| {
        risen.unsigned_abs() <= (elapsed / FASTEST + first.readings(second)).unsigned_abs()
    })
}

/// Knots older than the newest one of the map, in the order of their coming: a stream that goes on in the past.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Run(Option<(i64, i64)>);

impl Run {
    /// How long it is, ns of MONO, once it comes to `mono`. It may go back a little (what comes twice), by `late` ns.
    pub(super) fn reach(&mut self, mono: i64, late: i64) -> i64 {
        let (from, to) = match self.0 {
            Some((from, to)) if (0..=TOGETHER).contains(&mono.saturating_sub(to)) => (from, mono),
            Some((from, to)) if (0..=late).contains(&to.saturating_sub(mono)) => (from, to),
            _ => (mono, mono),
        };
        self.0 = Some((from, to));
        to.saturating_sub(from)
    }

    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}
