//! theta = REF - RAW: an interval that holds it.
//!
//! An exchange (L1, T2, T3, L4), L on RAW and T on REF, says with d the delays there and back, each at least the floor:
//!
//! ```text
//! theta(L1) = T2 - L1 - d_there  <=  T2 - L1 - floor          (an upper bound, at L1)
//! theta(L4) = T3 - L4 + d_back   >=  T3 - L4 + floor          (a lower bound, at L4)
//! ```
//!
//! Bounds are carried from probe to probe by the rate of theta, itself an interval: over any stretch between two probes
//! the mean rate lies between (low_now - high_then) / tau and (high_now - low_then) / tau, and the rate at any instant of
//! that stretch is within the oscillator's wander of the mean. What results is the convex-hull bound of Moon, Skelly and
//! Towsley (INFOCOM 1999) and Zhang, Liu and Xia (INFOCOM 2002), made recursive and made to hold for an oscillator that
//! wanders, instead of for a straight line.

use syncline_timebase::{Instant, Raw, Reference, Span};

use crate::Tolerance;
use crate::thinning::may_span;

/// Probe states kept: thinned with age, they reach back some hours.
const CAPACITY: usize = 160;

/// A finished exchange, its node-side stamps on RAW.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) sent: Instant<Raw>,
    pub(crate) received: Instant<Reference>,
    pub(crate) replied: Instant<Reference>,
    pub(crate) returned: Instant<Raw>,
    /// How far the node-side stamps may be off.
    pub(crate) slack: Span,
}

/// Why an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DisruptionCause {
    /// A probe showed an offset that the oscillator cannot have reached: the guest was paused, moved or suspended, or
    /// the reference stepped.
    ProbeContradicts,
    /// MONO and RAW jumped against each other.
    ClocksDisagree,
}

/// The node's clocks did not run on as oscillators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// Where on RAW it was noticed; it happened between this and the probe before.
    pub noticed_at: Instant<Raw>,
    /// How it showed.
    pub cause: DisruptionCause,
}

/// An exchange that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadExchange {
    OutOfOrder,
    Impossible,
}

/// An interval that holds theta, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theta {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

/// An interval that holds the rate of theta, ppb.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

#[derive(Clone, Copy, Debug)]
struct State {
    at: Instant<Raw>,
    theta: Theta,
    /// Holds at every instant from the state before to this one.
    rate: Rate,
    epoch: u32,
}

/// What is known of theta at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) theta: Theta,
    pub(crate) rate: Rate,
    pub(crate) epoch: u32,
    /// Somewhere around this instant the clocks were disrupted, and it is not known on which side.
    pub(crate) disrupted: bool,
    /// How far beyond the first or the last probe; zero between probes.
    pub(crate) carried: Span,
}

/// The states of one boot.
#[derive(Clone, Debug)]
pub(crate) struct Hull {
    tolerance: Tolerance,
    states: Vec<State>,
    /// A disruption was seen after the last state: nothing is known until the next probe.
    broken: bool,
}

impl Hull {
    pub(crate) fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, states: Vec::new(), broken: false }
    }

    /// Where the last probe returned.
    pub(crate) fn last_at(&self) -> Option<Instant<Raw>> {
        self.states.last().map(|state| state.at)
    }

    /// The clocks jumped: what was known does not lead beyond the last probe.
    pub(crate) fn disrupt(&mut self) {
        self.broken = true;
    }

    pub(crate) fn observe(&mut self, exchange: &Exchange) -> Result<Option<DisruptionCause>, BadExchange> {
        if self.last_at().is_some_and(|last| exchange.returned <= last) {
            return Err(BadExchange::OutOfOrder);
        }
        let alone = self.alone(exchange)?;
        let (theta, epoch, cause) = match self.states.last() {
            None => (alone, 0, None),
            Some(last) if self.broken => (alone, last.epoch + 1, None),
            Some(last) => match self.carried(last, exchange) {
                Some(theta) => (theta, last.epoch, None),
                None => (alone, last.epoch + 1, Some(DisruptionCause::ProbeContradicts)),
            },
        };
        self.broken = false;
        let rate = self.rate_at(exchange.returned, theta, epoch);
        self.states.push(State { at: exchange.returned, theta, rate, epoch });
        self.thin();
        Ok(cause)
    }

    /// Theta at `raw`; `None` while nothing is known.
    pub(crate) fn at(&self, raw: Instant<Raw>) -> Option<Known> {
        let after = self.states.partition_point(|state| state.at < raw);
        match (after.checked_sub(1).and_then(|before| self.states.get(before)), self.states.get(after)) {
            (_, Some(state)) if state.at == raw => Some(at_state(state)),
            (Some(before), Some(after)) if before.epoch == after.epoch => Some(within(before, after, raw)),
            (Some(before), Some(after)) => Some(self.across(before, after, raw)),
            (Some(_), None) if self.broken => None,
            (Some(last), None) => Some(self.after(last, raw)),
            (None, Some(first)) => Some(self.before(first, raw)),
            (None, None) => None,
        }
    }

    /// What one exchange says by itself, at its end.
    fn alone(&self, exchange: &Exchange) -> Result<Theta, BadExchange> {
        let floor = self.tolerance.path_floor;
        let elapsed = exchange.returned - exchange.sent;
        let high = span_to(exchange.sent, exchange.received) + exchange.slack - floor;
        let low = span_to(exchange.returned, exchange.replied) - exchange.slack + floor;
        let high = high.ns().saturating_add(up(self.tolerance.absolute.ppb(), elapsed));
        let possible = elapsed.ns() >= 0
            && exchange.replied >= exchange.received
            && far_from_edges(low.ns())
            && far_from_edges(high);
        if possible && low.ns() <= high { Ok(Theta { low: low.ns(), high }) } else { Err(BadExchange::Impossible) }
    }

    /// What the exchange says together with everything before it; `None` where the two contradict each other.
    fn carried(&self, last: &State, exchange: &Exchange) -> Option<Theta> {
        let Known { theta: expected, rate, .. } = self.after(last, exchange.returned);
        let floor = self.tolerance.path_floor;
        let high_at_sent = span_to(exchange.sent, exchange.received) + exchange.slack - floor;
        let high = high_at_sent.ns().saturating_add(up(rate.high, exchange.returned - exchange.sent));
        let low = (span_to(exchange.returned, exchange.replied) - exchange.slack + floor).ns();
        let theta = Theta { low: low.max(expected.low), high: high.min(expected.high) };
        (theta.low <= theta.high).then_some(theta)
    }

    fn after(&self, last: &State, raw: Instant<Raw>) -> Known {
        let elapsed = raw - last.at;
        // The rate may wander on from what it was up to the last probe.
        let wander =
            self.tolerance.wander.ppb() * elapsed.ns() as f64 / self.tolerance.wander_window.ns().max(1) as f64;
        let rate = self.clamped(Rate { low: last.rate.low - wander, high: last.rate.high + wander });
        let theta = Theta {
            low: last.theta.low.saturating_add(down(rate.low, elapsed)),
            high: last.theta.high.saturating_add(up(rate.high, elapsed)),
        };
        Known { theta, rate, epoch: last.epoch, disrupted: false, carried: elapsed }
    }

    fn before(&self, first: &State, raw: Instant<Raw>) -> Known {
        let elapsed = first.at - raw;
        let wander = self.tolerance.wander_over(elapsed).ppb();
        let rate = self.clamped(Rate { low: first.rate.low - wander, high: first.rate.high + wander });
        Known { theta: backward(first, rate, raw), rate, epoch: first.epoch, disrupted: false, carried: elapsed }
    }

    /// Between two epochs: either side may hold.
    fn across(&self, before: &State, after: &State, raw: Instant<Raw>) -> Known {
        let (old, new) = (self.after(before, raw), self.before(after, raw));
        let theta = Theta { low: old.theta.low.min(new.theta.low), high: old.theta.high.max(new.theta.high) };
        let rate = union(old.rate, new.rate);
        Known { theta, rate, epoch: after.epoch, disrupted: true, carried: Span::ZERO }
    }

    /// The rate at every instant since the state before, from what all states of this epoch say.
    fn rate_at(&self, at: Instant<Raw>, theta: Theta, epoch: u32) -> Rate {
        let anything = self.clamped(Rate { low: f64::NEG_INFINITY, high: f64::INFINITY });
        let mut rate = anything;
        for then in self.states.iter().rev().take_while(|state| state.epoch == epoch) {
            let elapsed = at - then.at;
            let (wander, per_ns) = (self.tolerance.wander_over(elapsed).ppb(), 1e9 / elapsed.ns() as f64);
            rate.high = rate.high.min(theta.high.saturating_sub(then.theta.low) as f64 * per_ns + wander);
            rate.low = rate.low.max(theta.low.saturating_sub(then.theta.high) as f64 * per_ns - wander);
        }
        // An oscillator that wanders more than assumed leaves nothing: start again from what it can be at all.
        if rate.low <= rate.high { rate } else { anything }
    }

    fn clamped(&self, rate: Rate) -> Rate {
        let most = self.tolerance.absolute.ppb();
        Rate { low: rate.low.clamp(-most, most), high: rate.high.clamp(-most, most) }
    }

    fn thin(&mut self) {
        let Some(newest) = self.last_at().filter(|_| self.states.len() > CAPACITY) else {
            return;
        };
        let mut kept: Vec<State> = Vec::with_capacity(CAPACITY + 1);
        let mut states = std::mem::take(&mut self.states).into_iter().peekable();
        while let Some(state) = states.next() {
            match (kept.last(), states.peek_mut()) {
                // States on either side of a disruption stay: what is not known between them must not grow.
                (Some(start), Some(end))
                    if start.epoch == end.epoch && may_span(end.at - start.at, newest - end.at) =>
                {
                    end.rate = union(end.rate, state.rate);
                }
                _ => kept.push(state),
            }
        }
        let surplus = kept.len().saturating_sub(CAPACITY * 3 / 4);
        self.states = kept.split_off(if kept.len() > CAPACITY { surplus } else { 0 });
    }
}

fn at_state(state: &State) -> Known {
    Known { theta: state.theta, rate: state.rate, epoch: state.epoch, disrupted: false, carried: Span::ZERO }
}

fn within(before: &State, after: &State, raw: Instant<Raw>) -> Known {
    let (rate, elapsed) = (after.rate, raw - before.at);
    let later = backward(after, rate, raw);
    let low = before.theta.low.saturating_add(down(rate.low, elapsed)).max(later.low);
    let high = before.theta.high.saturating_add(up(rate.high, elapsed)).min(later.high);
    // They cannot cross while the assumptions hold; if they do, neither side is believed alone.
    let theta = Theta { low: low.min(high), high: high.max(low) };
    Known { theta, rate, epoch: after.epoch, disrupted: false, carried: Span::ZERO }
}

fn backward(state: &State, rate: Rate, raw: Instant<Raw>) -> Theta {
    let elapsed = state.at - raw;
    Theta {
        low: state.theta.low.saturating_sub(up(rate.high, elapsed)),
        high: state.theta.high.saturating_sub(down(rate.low, elapsed)),
    }
}

fn union(a: Rate, b: Rate) -> Rate {
    Rate { low: a.low.min(b.low), high: a.high.max(b.high) }
}

fn span_to(raw: Instant<Raw>, reference: Instant<Reference>) -> Span {
    Span::from_ns(raw.offset_to(reference).ns())
}

/// Gain at `ppb` over `elapsed`, rounded up.
fn up(ppb: f64, elapsed: Span) -> i64 {
    (ppb * 1e-9 * elapsed.ns() as f64).ceil() as i64
}

/// Gain at `ppb` over `elapsed`, rounded down.
fn down(ppb: f64, elapsed: Span) -> i64 {
    (ppb * 1e-9 * elapsed.ns() as f64).floor() as i64
}

/// Sums with spans of years stay inside `i64`.
fn far_from_edges(ns: i64) -> bool {
    ns.unsigned_abs() < 1 << 62
}
