//! Where on RAW a MONO stamp lies.
//!
//! Between two knots the map is their chord. If the kernel changed the rate of MONO once between them, from s1 to s2 at
//! a fraction x of the interval, the chord is off by at most x (1 - x) (s2 - s1) dt, which is x times the residual that
//! the second knot shows against the line of slope s1. So the residual bounds the error of the chord, together with what
//! it is itself uncertain by: the readings of both knots and that of the slope, over the interval. The slope s1 is that
//! of the stretch before; stretch and interval together are shorter than the half second in which at most one change is
//! assumed, so a change in the one leaves the other straight. Where there is no such stretch, x (1 - x) (s2 - s1) dt is
//! at most dt / 4 of the largest change.
//!
//! A knot is kept only where it says more than its neighbours do: one that took so long to read that the point before it
//! places RAW better is left out, and one that the chord from its predecessor to its successor places better is dropped
//! when the successor comes.
//!
//! A knot that does not follow from the map (RAW and MONO disagree, or it lies more than an hour ahead) is doubted until
//! another, or two where the rate is a new one, agree with it. Then it is one of these:
//!
//! - a bend: the rate of MONO changed by more than steering does (`adjtimex` ticks), and that explains the residual;
//! - a gap in the knots: they follow from the map after all;
//! - a jump of RAW or MONO, back or ahead. From there on RAW is *counted on*: moved by what it jumped, so that it goes on
//!   as if it had not. Then it never goes back, slopes may be taken over the jump, and a chord over it is off by little on
//!   either side.
//!
//! Knots older than the newest are late or come twice, and are refused. But if three of them agree where the map has leapt
//! over a gap, or if nothing else comes for a whole minute, what the map leapt to was not true: it is forgotten, and the
//! map goes on with them. So whatever is sent, an honest node is heard again soon after.
//!
//! Memory is bounded: 256 points of 24 bytes. The last few place the next stamps, the others serve events that come late.
//! The older a stretch, the fewer knots it keeps, and what a new chord misses a dropped knot by is added to the error of
//! that stretch. About an hour is kept.

mod doubt;
mod point;
mod rate;
#[cfg(test)]
mod tests;
mod track;
mod verdict;

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Knot, Mono, Raw, Span};

use doubt::{Doubts, Run};
use point::{Point, UNKNOWN, placed};
use rate::Rate;
use track::{Foreseen, Track};
pub(crate) use verdict::{Heard, KnotVerdict};

/// A single knot further ahead than this is not believed, ns.
const FAR_AHEAD: i64 = 3_600_000_000_000;
/// What comes so late is late; beyond that it is of another time. ns.
const LATE: i64 = 60_000_000_000;
/// What knots have gone on after for so long waits for no better one, ns.
const LONGEST_WAIT: i64 = 250_000_000;
/// A knot that is known better than this is not dropped for a later one, ns.
const NARROW: u32 = 1_000;

/// A point on RAW, and how far it may be off. Neither end of that is beyond what an `Instant` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawPoint {
    pub(crate) raw: Instant<Raw>,
    pub(crate) slack: Span,
}

/// The map from MONO to RAW of one boot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct MonoToRaw {
    track: Track,
    /// MONO is RAW: nothing steers it.
    identity: bool,
    /// What RAW is counted on by, ns: what its jumps took from it.
    shift: i64,
    /// The newest knot that followed from the map, kept or not, ns.
    heard: Option<i64>,
    /// The interval of the last jump, or of the last disruption that was told: what lies in it is on either side. ns.
    broken: Option<(i64, i64)>,
    /// The last interval without knots of more than [`LATE`].
    leapt: Option<Leap>,
    ahead: Doubts,
    behind: Doubts,
    run_behind: Run,
}

/// An interval without knots.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Leap {
    /// MONO before and after it, ns.
    from: i64,
    to: i64,
    /// What RAW was counted on by before it, ns.
    shift: i64,
}

impl MonoToRaw {
    /// The map of a clock that is an oscillator itself; it needs no knots.
    pub(crate) fn identity() -> Self {
        Self { identity: true, ..Self::default() }
    }

    /// A map that is never thinned, for a pass over a whole stream.
    pub(crate) fn whole() -> Self {
        Self { track: Track::whole(), ..Self::default() }
    }

    pub(crate) fn observe(&mut self, knot: &Knot) -> Heard {
        let Some(point) = Point::of(knot) else { return Heard::of(KnotVerdict::Implausible) };
        match self.last().map(|last| (last.mono, last.until(point.mono))) {
            Some((last, _)) if point.mono <= last => Heard::of(self.hear_behind(point)),
            Some((_, elapsed)) if elapsed.is_none_or(|elapsed| elapsed > FAR_AHEAD) => self.hear_doubtful(point),
            _ => match point.shifted(self.shift).filter(|point| self.track.leads_to(point, 0)) {
                Some(point) => self.hear_next(point),
                None => self.hear_doubtful(point),
            },
        }
    }

    /// RAW at `mono`; `None` where there are no knots, where the clocks may have jumped, and where 64 bits do not hold it.
    pub(crate) fn at(&self, mono: Instant<Mono>) -> Option<RawPoint> {
        let mono = mono.ns();
        match self.last() {
            _ if self.identity => placed(mono, 0, 0),
            Some(last) if mono > last.mono => self.track.beyond(mono).filter(|_| !self.seems_to_jump()),
            _ => self.track.at(mono),
        }
    }

    /// The first knot and the newest that are kept; `None` before any, and where none are needed.
    pub(crate) fn span(&self) -> Option<(Instant<Mono>, Instant<Mono>)> {
        let [first, last] = [self.track.points().first()?, self.last()?];
        Some((Instant::from_ns(first.mono), Instant::from_ns(last.mono)))
    }

    /// Whether nothing can be placed without knots.
    pub(crate) fn needs_knots(&self) -> bool {
        !self.identity
    }

    /// Whether no further knot can place `mono` better: one after it will be kept, or knots have gone on for long enough.
    pub(crate) fn settles(&self, mono: Instant<Mono>) -> bool {
        let points = self.track.points();
        let mut after = points.iter().rev().take_while(|point| point.mono >= mono.ns());
        let lasting = points.first().is_some_and(|first| first.mono >= mono.ns());
        let gone_on = self.heard.is_some_and(|heard| heard.saturating_sub(mono.ns()) > LONGEST_WAIT);
        self.identity || gone_on || lasting || after.any(|point| point.reading <= NARROW)
    }

    /// Whether the clocks jumped somewhere between `from` and `to`, as far as is remembered.
    pub(crate) fn is_broken(&self, from: Instant<Mono>, to: Instant<Mono>) -> bool {
        self.broken.is_some_and(|(last, next)| from.ns() < next && last < to.ns())
    }

    /// The same two, as far as somebody who heard the knots so far, and perhaps the next, can tell of them.
    pub(crate) fn within_reach(&self, since: Instant<Mono>, until: Instant<Mono>) -> (Instant<Mono>, Instant<Mono>) {
        let newest = self.heard.map_or(since, Instant::from_ns);
        (since.min(newest + Span::from_ns(LONGEST_WAIT)), until.min(newest + Span::from_ns(LATE)))
    }

    /// Whether it is news that the clocks were disrupted in between.
    pub(crate) fn is_news(&self, since: Instant<Mono>, until: Instant<Mono>) -> bool {
        self.broken != Some(self.broken_with(since.ns(), until.ns()))
    }

    /// Somebody says that the clocks were disrupted in between, whether or not MONO and RAW show it.
    pub(crate) fn break_between(&mut self, since: Instant<Mono>, until: Instant<Mono>) {
        self.mark_broken(since.ns(), until.ns());
    }

    fn mark_broken(&mut self, from: i64, to: i64) {
        self.broken = Some(self.broken_with(from, to));
    }

    /// What was broken before this, and is not over by then, is broken with it.
    fn broken_with(&self, from: i64, to: i64) -> (i64, i64) {
        let lasting = self.broken.filter(|(_, end)| *end > from);
        lasting.map_or((from, to), |(since, end)| (since.min(from), end.max(to)))
    }

    /// It follows from the map. One that is read worse than it is foreseen is evidence of nothing.
    fn hear_next(&mut self, point: Point) -> Heard {
        let known_better = self.track.is_known_better(&point);
        if known_better && !self.ahead.points().is_empty() {
            return Heard::of(KnotVerdict::Taken);
        }
        let given_up = self.ahead.give_up();
        self.behind.give_up();
        self.run_behind.end();
        self.heard = Some(point.mono);
        if !known_better {
            self.leap_to(&point);
            self.track.append(point);
        }
        Heard { verdict: KnotVerdict::Taken, given_up }
    }

    fn hear_doubtful(&mut self, point: Point) -> Heard {
        let given_up = self.ahead.add(point);
        let rate = self.track.rate();
        let verdict = match (self.ahead.at_rate(&rate), self.ahead.on_a_line()) {
            (None, None) => KnotVerdict::Doubted,
            (Some(_), _) => self.go_on(None),
            (None, Some(own)) => self.go_on(Some(own)),
        };
        Heard { verdict, given_up }
    }

    fn hear_behind(&mut self, point: Point) -> KnotVerdict {
        let run = self.run_behind.reach(point.mono, LATE);
        self.behind.add(point);
        let agreed = self.behind.on_a_line().is_some();
        if !agreed || (run < LATE && !self.behind.points().iter().all(|point| self.is_leapt(point))) {
            return KnotVerdict::OutOfOrder;
        }
        let doubts = std::mem::take(&mut self.behind);
        self.return_to(doubts.points());
        KnotVerdict::Returned(self.raw_of(&point))
    }

    /// Forgets what is newer than `points` and goes on with them: on the RAW from before it leapt ahead, if they follow
    /// from that, else from nothing.
    fn return_to(&mut self, points: &[Point]) {
        let Some(first) = points.first() else { return };
        self.track.cut(first.mono);
        let leap = self.leapt.take().filter(|leap| leap.holds(first));
        self.shift = leap.map_or(0, |leap| leap.shift);
        let follows = |first: &Point| self.track.leads_to(first, 0);
        if leap.is_none() || !first.shifted(self.shift).as_ref().is_some_and(follows) {
            (self.track, self.shift) = (self.track.afresh(), 0);
        }
        self.resume(points, true);
        (self.leapt, self.broken) = (None, None);
        self.ahead.give_up();
        self.run_behind.end();
    }

    /// Whether `point` lies where the map has leapt over more time than late knots explain.
    fn is_leapt(&self, point: &Point) -> bool {
        let long_before = |first: &Point| point.until(first.mono).is_none_or(|gap| gap > LATE);
        self.leapt.is_some_and(|leap| leap.holds(point)) || self.track.points().first().is_some_and(long_before)
    }

    /// The doubted knots agree with one another, and have a rate of their `own` or that from before: takes them all.
    fn go_on(&mut self, own: Option<Rate>) -> KnotVerdict {
        let doubts = std::mem::take(&mut self.ahead);
        let Some((first, last)) = doubts.points().first().zip(self.last().copied()) else {
            return KnotVerdict::Doubted;
        };
        let elapsed = last.until(first.mono).unwrap_or(i64::MAX);
        let bent = own.map_or(0, |own| own.over(elapsed).saturating_sub(self.track.rate().over(elapsed)));
        self.run_behind.end();
        self.leap_to(first);
        if first.shifted(self.shift).is_some_and(|first| self.track.leads_to(&first, bent)) {
            self.resume(doubts.points(), own.is_some());
            return KnotVerdict::Taken;
        }
        self.jump(doubts.points(), bent.saturating_abs());
        let was_told = self.broken.is_some_and(|(since, until)| since < first.mono && first.mono <= until);
        self.mark_broken(last.mono, first.mono);
        KnotVerdict::Jumped { before: Instant::from_ns(last.mono), at: self.raw_of(first), is_news: !was_told }
    }

    /// Takes `points`, before which RAW or MONO jumped, and their rate may have changed so that it makes `bent` ns over
    /// the interval before them.
    ///
    /// RAW is counted on at the rate from before, to the best read of them. In the interval each frame, that of before
    /// the jump and that of after it, is off the chord by what steering and the readings make, and by `bent`.
    fn jump(&mut self, points: &[Point], bent: i64) {
        let (best, first) = (points.iter().min_by_key(|point| point.reading), points.first());
        let Some((best, first)) = best.zip(first) else { return };
        let unforeseen = || self.last().map(|last| Foreseen { ahead: last.ahead, slack: i64::from(UNKNOWN) });
        let foreseen = self.track.foreseen(best.mono).or_else(unforeseen);
        self.shift = foreseen.and_then(|foreseen| foreseen.ahead.checked_sub(best.ahead)).unwrap_or(0);
        self.resume(points, true);
        let slack = foreseen.map_or(i64::from(UNKNOWN), |foreseen| foreseen.slack);
        self.track.widen(first.mono, slack.saturating_add(i64::from(best.reading)).saturating_add(bent));
    }

    /// Takes what was doubted; `anew` where its rate is not that of before.
    fn resume(&mut self, points: &[Point], anew: bool) {
        let shift = self.shift;
        for (place, point) in points.iter().filter_map(|point| point.shifted(shift)).enumerate() {
            self.heard = Some(point.mono);
            self.track.append(point);
            if anew && place == 0 {
                self.track.begin(point.mono);
            }
        }
    }

    /// Remembers where the map leaps, before it goes on with `next`.
    fn leap_to(&mut self, next: &Point) {
        if let Some(last) = self.last().filter(|last| last.until(next.mono).is_none_or(|gap| gap > LATE)) {
            self.leapt = Some(Leap { from: last.mono, to: next.mono, shift: self.shift });
        }
    }

    fn last(&self) -> Option<&Point> {
        self.track.points().last()
    }

    /// Whether knots soon after the last one say that the clocks jumped there.
    fn seems_to_jump(&self) -> bool {
        let next = self.ahead.points().first();
        self.last().zip(next).is_some_and(|(last, next)| last.until(next.mono).is_some_and(|gap| gap <= FAR_AHEAD))
    }

    fn raw_of(&self, point: &Point) -> Instant<Raw> {
        Instant::from_ns(point.mono.saturating_add(point.ahead).saturating_add(self.shift))
    }
}

impl Leap {
    fn holds(&self, point: &Point) -> bool {
        self.from < point.mono && point.mono < self.to
    }
}
