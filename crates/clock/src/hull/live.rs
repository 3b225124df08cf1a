//! What it takes to answer now and to take the next exchange: small, of constant size and constant work.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw};

use super::bounds::{Bounds, Rate, Rates, Theta};
use super::carried::Carried;
use super::checked::Checked;
use super::doubt::{Doubt, Why};
use super::exchange::Sides;
use super::round_trips::RoundTrips;
use super::state::{Known, State};
use super::{DisruptionCause, Verdict};
use crate::Tolerance;

/// A doubt that so many exchanges do not decide is dropped: a jump would have shown.
const UNDECIDED: u8 = 3;

/// How often a class of bound contradicted itself while the hard one did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Violations {
    pub(crate) budgeted: u32,
    pub(crate) tight: u32,
}

/// The newest states, and what the next is made with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Live {
    carried: Option<Carried>,
    newest: Option<Newest>,
    doubt: Option<Doubt>,
    /// A disruption from here on was seen: nothing is known beyond it until the next exchange.
    broken_from: Option<Instant<Raw>>,
    trips: RoundTrips,
    violations: Violations,
}

/// The ends of the newest exchange, whether it was believed or not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Newest {
    sent: Instant<Raw>,
    returned: Instant<Raw>,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) cause: Option<DisruptionCause>,
    pub(super) state: NewState,
}

/// For the history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NewState {
    None,
    /// The next of its epoch.
    Next(State),
    /// The first of a new epoch, which began after this instant.
    First(State, Instant<Raw>),
}

/// What [`Live`] knows of an instant.
pub(super) enum Ahead {
    Known(Known),
    Nothing,
    /// It lies in the past.
    Past,
}

impl Live {
    pub(super) fn newest_at(&self) -> Option<Instant<Raw>> {
        self.newest.map(|newest| newest.returned)
    }

    pub(super) fn violations(&self) -> Violations {
        self.violations
    }

    /// The clocks jumped after `since`, or, where that is not known, after the newest exchange began. An exchange that met it is not of
    /// before; and a jump that is in doubt may have been another one.
    pub(super) fn disrupt(&mut self, since: Option<Instant<Raw>>) {
        let Some(newest) = self.newest else { return };
        let from = match since {
            Some(since) if since >= newest.returned => since,
            since => newest.sent.min(since.unwrap_or(newest.sent)),
        };
        self.broken_from = Some(self.suspect_from().map_or(from, |suspect| suspect.min(from)));
    }

    /// The newest state, whether or not something happened since.
    pub(super) fn newest_state(&self) -> Option<&State> {
        self.carried.as_ref().map(|carried| &carried.last)
    }

    /// The newest state, unless a disruption may have happened since.
    pub(super) fn undoubted(&self) -> Option<&State> {
        self.newest_state().filter(|_| self.suspect_from().is_none())
    }

    /// Where the newest exchange began.
    pub(super) fn newest_sent(&self) -> Option<Instant<Raw>> {
        self.newest.map(|newest| newest.sent)
    }

    /// Goes on from `state` over other paths, of which nothing is known yet. A disruption that shows from now on may have
    /// happened since `seen_until`.
    pub(super) fn going_on(&self, state: State, seen_until: Instant<Raw>) -> Self {
        let newest = self.newest.map(|newest| Newest { sent: newest.sent.min(seen_until), ..newest });
        Self { carried: Some(Carried::starting(state)), newest, violations: self.violations, ..Self::default() }
    }

    /// A disruption may have happened since then.
    pub(super) fn suspect_from(&self) -> Option<Instant<Raw>> {
        self.broken_from.or(self.doubt.map(|doubt| doubt.from))
    }

    pub(super) fn at(&self, raw: Instant<Raw>, tolerance: &Tolerance) -> Ahead {
        let Some(carried) = &self.carried else { return Ahead::Nothing };
        match &self.doubt {
            Some(doubt) if raw > doubt.from && self.broken_from.is_none() => {
                let other = self.doubted(carried, doubt, tolerance).reach(raw, tolerance);
                Ahead::Known(carried.clean.reach(raw, tolerance).or(other))
            }
            _ if self.broken_from.is_some_and(|from| raw > from) => Ahead::Nothing,
            _ if raw < carried.last.at => Ahead::Past,
            _ => Ahead::Known(carried.last.reach(raw, tolerance)),
        }
    }

    /// What is known of `raw`, the end of an exchange, before that is taken.
    pub(super) fn expected(&self, raw: Instant<Raw>, tolerance: &Tolerance) -> Option<Known> {
        let carried = self.carried.filter(|_| self.broken_from.is_none());
        carried.map(|carried| carried.last.reach(raw, tolerance))
    }

    /// Takes an exchange that returned after all before it.
    pub(super) fn observe(&mut self, tolerance: &Tolerance, exchange: &Checked, verdict: Verdict) -> Taken {
        let taken = self.take(tolerance, exchange, verdict);
        let Sides { sent, returned, .. } = exchange.sides;
        self.newest = Some(Newest { sent, returned });
        taken
    }

    fn take(&mut self, tolerance: &Tolerance, exchange: &Checked, verdict: Verdict) -> Taken {
        let sides = &exchange.sides;
        let Some((carried, expected)) = self.carried.zip(exchange.expected) else {
            return self.begin(tolerance, sides, None);
        };
        if exchange.contradicts() {
            return self.begin(tolerance, sides, Some(DisruptionCause::ProbeContradicts));
        }
        if verdict == Verdict::Broken {
            return self.begin(tolerance, sides, Some(DisruptionCause::OffsetJumped));
        }
        let missing = self.trips.missing_ns(sides.longest_round_trip(expected.rates.firm));
        match (verdict, missing) {
            (Verdict::Doubtful, _) => self.doubt(tolerance, sides, Why::Told),
            (_, Some(missing)) => self.doubt_inside(tolerance, sides, carried, missing),
            _ => self.weigh(tolerance, sides, carried, expected),
        }
    }

    /// Whether the tight bounds go on, or are apart.
    fn weigh(&mut self, tolerance: &Tolerance, sides: &Sides, mut carried: Carried, mut expected: Known) -> Taken {
        let half_before = self.trips.half_ns(tolerance);
        self.trips.observe(sides.returned, sides.least_round_trip(expected.rates.firm));
        let half = self.trips.half_ns(tolerance);
        if half < half_before {
            carried.widen(half_before.saturating_sub(half), tolerance);
            self.doubt = self.doubt.map(|doubt| doubt.widened(half_before.saturating_sub(half), tolerance));
            expected = carried.last.reach(sides.returned, tolerance);
        }
        let own = sides.bounds(half, expected.rates.firm, tolerance);
        // A path that is found to be longer than was known sets tight bounds apart too.
        let careful = if half > half_before { sides.bounds(half_before, expected.rates.firm, tolerance) } else { own };
        match self.verdict(&carried, &expected, careful.tight, sides, tolerance) {
            (Verdict::Broken, _) => {
                self.carried = Some(carried);
                self.begin(tolerance, sides, Some(DisruptionCause::OffsetJumped))
            }
            (Verdict::Doubtful, count) => {
                self.carried = Some(carried);
                self.doubt(tolerance, sides, Why::Apart(count))
            }
            (Verdict::Consistent, _) => self.carry(tolerance, sides, carried, expected, own),
        }
    }

    /// What tight bounds say of an exchange; and how many exchanges in doubt have been at odds with neither side.
    fn verdict(
        &self,
        carried: &Carried,
        expected: &Known,
        own: Theta,
        sides: &Sides,
        tolerance: &Tolerance,
    ) -> (Verdict, u8) {
        let is_apart = |known: &Known| known.bounds.tight.gap(own) > self.trips.noise_ns();
        let other = |doubt: &Doubt| self.doubted(carried, doubt, tolerance).reach(sides.returned, tolerance);
        match (is_apart(expected), &self.doubt) {
            (true, Some(Doubt { why: Why::Apart(_), .. })) => (Verdict::Broken, 0),
            (true, _) => (Verdict::Doubtful, 0),
            (false, Some(doubt @ Doubt { why: Why::Apart(count), .. }))
                if *count < UNDECIDED && !is_apart(&other(doubt)) =>
            {
                (Verdict::Doubtful, count + 1)
            }
            _ => (Verdict::Consistent, 0),
        }
    }

    /// Begins an epoch, with this exchange or after it.
    fn begin(&mut self, tolerance: &Tolerance, sides: &Sides, cause: Option<DisruptionCause>) -> Taken {
        let rates = Rates::anything(tolerance);
        let from = self.broken_from.or(self.doubt.map(|doubt| doubt.from));
        let from = from.or(self.newest.map(|newest| newest.sent)).unwrap_or(sides.sent);
        // A freeze inside an exchange hides as much of its round trip: of its two sides one is of before.
        if self.trips.missing_ns(sides.longest_round_trip(rates.firm)).is_some() {
            (self.broken_from, self.doubt) = (self.carried.map(|_| from), None);
            return Taken { cause, state: NewState::None };
        }
        self.trips.observe(sides.returned, sides.least_round_trip(rates.firm));
        let alone = sides.bounds(self.trips.half_ns(tolerance), rates.firm, tolerance);
        // What contradicts the hard bound may be another jump than the one in doubt.
        let goes_on = cause == Some(DisruptionCause::OffsetJumped);
        let bounds = if goes_on { self.with_doubted(tolerance, sides, alone) } else { alone };
        let epoch = self.carried.map_or(0, |carried| carried.last.epoch.saturating_add(1));
        let state = State { at: sides.returned, bounds, rates, epoch };
        let is_first = self.carried.is_none();
        self.carried = Some(Carried::starting(state));
        (self.broken_from, self.doubt) = (None, None);
        Taken { cause, state: if is_first { NewState::Next(state) } else { NewState::First(state, from) } }
    }

    /// What an exchange says together with those in doubt, now that these are known to be of the same epoch.
    fn with_doubted(&self, tolerance: &Tolerance, sides: &Sides, alone: Bounds) -> Bounds {
        let Some((carried, doubt)) = self.carried.as_ref().zip(self.doubt.filter(|doubt| doubt.why.is_usable())) else {
            return alone;
        };
        let doubted = self.doubted(carried, &doubt, tolerance).reach(sides.returned, tolerance).bounds;
        match alone.tight.meet(doubted.tight) {
            Some(_) => alone.with(doubted, |alone, doubted| alone.meet(doubted).unwrap_or(alone)).nested(),
            None => alone,
        }
    }

    /// The epoch that may have begun; a break may have changed the rate to anything.
    fn doubted(&self, carried: &Carried, doubt: &Doubt, tolerance: &Tolerance) -> State {
        let rates = Rates::anything(tolerance);
        let at = self.newest_at().unwrap_or(carried.last.at);
        State { at, bounds: doubt.bounds, rates, epoch: carried.last.epoch.saturating_add(1) }
    }

    /// The exchange narrows nothing for now. What it says stands beside what is carried.
    fn doubt(&mut self, tolerance: &Tolerance, sides: &Sides, why: Why) -> Taken {
        let alone = sides.bounds(self.trips.half_ns(tolerance), Rate::anything(tolerance), tolerance);
        let bounds = self.with_doubted(tolerance, sides, alone);
        let begun = self.newest.map_or(sides.sent, |newest| newest.sent);
        let from = self.doubt.filter(|doubt| doubt.why.is_usable()).map_or(begun, |doubt| doubt.from);
        self.doubt = Some(Doubt { from, bounds, why });
        Taken { cause: None, state: NewState::None }
    }

    /// So much of the round trip is missing that the clocks may have been disrupted inside the exchange.
    fn doubt_inside(&mut self, tolerance: &Tolerance, sides: &Sides, mut carried: Carried, missing: i64) -> Taken {
        let alone = sides.bounds(self.trips.half_ns(tolerance), Rate::anything(tolerance), tolerance);
        // By so much is one of its sides too old.
        let bounds = alone.with(alone, |theta, _| theta.widened(missing));
        let usable = self.doubt.filter(|doubt| doubt.why.is_usable());
        if usable.is_none() {
            // The exchange before is none of this.
            carried.clean = carried.last;
        }
        let (from, bounds) = usable.map_or((sides.sent, bounds), |doubt| {
            let doubted = self.doubted(&carried, &doubt, tolerance).reach(sides.returned, tolerance);
            (doubt.from, doubted.bounds.with(bounds, Theta::join))
        });
        let why = usable.map_or(Why::Short, |doubt| doubt.why);
        (self.carried, self.doubt) = (Some(carried), Some(Doubt { from, bounds, why }));
        Taken { cause: None, state: NewState::None }
    }

    fn carry(
        &mut self,
        tolerance: &Tolerance,
        sides: &Sides,
        mut carried: Carried,
        expected: Known,
        own: Bounds,
    ) -> Taken {
        let Rates { firm, mut tight } = expected.rates;
        let (told, mut kept) = self.narrowed(expected.bounds, own);
        if told.tight != kept.tight {
            carried.anchors.widen_tight(i64::MAX);
            tight = firm;
        }
        kept.budgeted = carried.recall(sides.returned, own.budgeted, kept.budgeted, firm);
        let (told, kept) = (told.nested(), kept.nested());
        let rates = carried.anchors.rates(sides.returned, &told, Rates { firm, tight }, tolerance);
        carried.anchors.observe(sides.returned, &kept);
        let state = State { at: sides.returned, bounds: told, rates, epoch: carried.last.epoch };
        (carried.clean, carried.last) = (carried.last, State { bounds: kept, ..state });
        (self.carried, self.doubt) = (Some(carried), None);
        Taken { cause: None, state: NewState::Next(state) }
    }

    /// What is said of now, and what is carried on. Where a class contradicts itself, its assumption does not hold or
    /// the path is another: both sides are told of now, and only the exchange's own is believed from then on.
    fn narrowed(&mut self, expected: Bounds, own: Bounds) -> (Bounds, Bounds) {
        let class = |expected: Theta, own: Theta| match expected.meet(own) {
            Some(both) => (both, both),
            None => (expected.join(own), own),
        };
        let (hard, _) = class(expected.hard, own.hard);
        let budgeted = class(expected.budgeted, own.budgeted);
        let tight = class(expected.tight, own.tight);
        self.violations.budgeted = self.violations.budgeted.saturating_add(u32::from(budgeted.0 != budgeted.1));
        self.violations.tight = self.violations.tight.saturating_add(u32::from(tight.0 != tight.1));
        let told = Bounds { hard, budgeted: budgeted.0, tight: tight.0 };
        (told, Bounds { hard, budgeted: budgeted.1, tight: tight.1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_model_is_small() {
        let size = size_of::<Live>();
        assert!(size <= 640, "{size}");
    }
}
