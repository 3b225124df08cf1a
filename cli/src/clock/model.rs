//! The one place that knows the estimator's interface: records in, answers, steps and refusals out.

use std::collections::BTreeMap;

use syncline_clock::{Disruption, DisruptionCause, Estimate, NodeClock, Observed, Tolerance};
use syncline_timebase::{Bracket, ErrorBound, Instant, Knot, Mono, Probe, Reference, Span};

use super::record::ClockRead;
use crate::failure::usage;

/// A stream does not say how long a read of the clocks took. Single reads jitter by some 100 ns, and a knot is three.
const BRACKET: Span = Span::from_ns(200);

/// Probes that wait for a knot, at most: half a second of them at the fastest rate that an aggregator takes, which is
/// several knots.
const MOST_WAITING: usize = 25;

/// What a bound assumes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Claim {
    /// Oscillators within their tolerance, and the floor of the paths.
    Hard,
    /// Also that paths are symmetric.
    Tight,
    /// Also that no more than this share of the delay above the floor is asymmetric.
    Budgeted { alpha: f64 },
}

/// When something was, on the reference's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) estimate: Instant<Reference>,
    pub(crate) bracket: Bracket<Reference>,
}

/// Reference times at which steps were declared.
pub(crate) type Steps = Vec<Instant<Reference>>;

/// Refuses a claim that the estimator does not make.
pub(crate) fn offered(claim: Claim) -> anyhow::Result<()> {
    match claim {
        Claim::Hard => Ok(()),
        Claim::Tight | Claim::Budgeted { .. } => {
            Err(usage("the clock model of this version gives hard bounds only: leave --bound out"))
        }
    }
}

/// The clock model of the stream's node.
///
/// A probe is placed on RAW far better between two knots than beyond the last one, and what it was taken for is kept for
/// good. So it waits for the next knot, which is 0.1 s away in a stream from an agent. An answer that is asked for
/// meanwhile uses it all the same, in a copy of the model.
pub(crate) struct Model {
    clock: NodeClock,
    claim: Claim,
    waiting: Vec<Probe>,
    /// The clock with all that waits in it, made when it is asked.
    preview: Option<NodeClock>,
    newest_knot: Option<Instant<Mono>>,
    newest_probe: Option<Probe>,
    refused: BTreeMap<&'static str, u64>,
}

impl Model {
    pub(crate) fn new(path_floor: Span, claim: Claim) -> Self {
        Self {
            clock: NodeClock::new(Tolerance { path_floor, ..Tolerance::default() }),
            claim,
            waiting: Vec::new(),
            preview: None,
            newest_knot: None,
            newest_probe: None,
            refused: BTreeMap::new(),
        }
    }

    #[must_use]
    pub(crate) fn take_knot(&mut self, read: ClockRead) -> Steps {
        let knot = Knot { mono: read.mono, raw: read.raw, wall: read.wall, bracket: BRACKET };
        let mut placed = std::mem::take(&mut self.waiting);
        self.waiting = placed.extract_if(.., |probe| probe.returned > knot.mono).collect();
        self.newest_knot = self.newest_knot.max(Some(knot.mono));
        // The estimator itself decides whether a probe goes before the knot: hence the first of them in one call.
        let mut placed = placed.into_iter();
        let mut steps = self.observe(Some(knot), placed.next());
        steps.extend(placed.flat_map(|probe| self.observe(None, Some(probe))));
        steps
    }

    #[must_use]
    pub(crate) fn take_probe(&mut self, probe: Probe) -> Steps {
        if self.newest_knot >= Some(probe.returned) {
            return self.observe(None, Some(probe));
        }
        self.preview = None;
        self.waiting.push(probe);
        match self.waiting.len() > MOST_WAITING {
            true => {
                let longest_waiting = self.waiting.remove(0);
                self.observe(None, Some(longest_waiting))
            }
            false => Steps::new(),
        }
    }

    /// No knot comes any more.
    #[must_use]
    pub(crate) fn end(&mut self) -> Steps {
        let waiting = std::mem::take(&mut self.waiting);
        let steps = waiting.into_iter().flat_map(|probe| self.observe(None, Some(probe))).collect();
        let settled = self.clock.settle();
        self.count(&settled);
        steps
    }

    /// What is known of the moment now; `None` where that is nothing.
    pub(crate) fn when(&mut self, mono: Instant<Mono>) -> Option<When> {
        if self.waiting.is_empty() {
            return when(&self.clock, self.claim, mono);
        }
        let preview = self.preview.get_or_insert_with(|| {
            let mut clock = self.clock.clone();
            clock.observe(&[], &self.waiting);
            clock
        });
        when(preview, self.claim, mono)
    }

    /// The model in hindsight, once the stream has ended. It is the model of the stream's end: what that has forgotten (an
    /// hour and more ago) is carried back from what it still has.
    pub(crate) fn into_hindsight(self) -> Hindsight {
        Hindsight { clock: self.clock, claim: self.claim }
    }

    /// Samples that the estimator did not take, by cause.
    pub(crate) fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    fn observe(&mut self, knot: Option<Knot>, probe: Option<Probe>) -> Steps {
        self.preview = None;
        let observed = self.clock.observe(knot.as_slice(), probe.as_slice());
        self.count(&observed);
        let declared_at = |disruption| self.declared_at(disruption, knot, probe);
        let steps = observed.disruptions.iter().filter_map(declared_at).collect();
        if observed.used.contains(&true) {
            self.newest_probe = probe;
        }
        steps
    }

    fn count(&mut self, observed: &Observed) {
        for (cause, count) in &observed.refused {
            *self.refused.entry(cause.name()).or_default() += count;
        }
    }

    /// The reference's time when a step was declared. A probe brings it along; for a knot, that of the last probe is
    /// carried on. Before any probe there is no time to give, and nothing that a step could make wrong.
    fn declared_at(
        &self,
        disruption: &Disruption,
        knot: Option<Knot>,
        probe: Option<Probe>,
    ) -> Option<Instant<Reference>> {
        match (disruption.cause, knot, probe) {
            (DisruptionCause::ClocksDisagree, Some(knot), _) | (_, Some(knot), None) => {
                self.newest_probe.map(|last| last.replied + (knot.mono - last.returned))
            }
            (_, _, probe) => probe.map(|probe| probe.replied),
        }
    }
}

/// What the whole stream says.
pub(crate) struct Hindsight {
    clock: NodeClock,
    claim: Claim,
}

impl Hindsight {
    pub(crate) fn when(&self, mono: Instant<Mono>) -> Option<When> {
        when(&self.clock, self.claim, mono)
    }
}

fn when(clock: &NodeClock, claim: Claim, mono: Instant<Mono>) -> Option<When> {
    let estimate = clock.estimate(mono);
    let bound = Some(bound(&estimate, claim)).filter(|bound| bound.is_bounded())?;
    let middle = mono + estimate.offset;
    Some(When { estimate: middle, bracket: Bracket::around(middle, bound) })
}

fn bound(estimate: &Estimate, claim: Claim) -> ErrorBound {
    match claim {
        Claim::Hard => estimate.hard,
        // Not offered, so nothing is claimed.
        Claim::Tight | Claim::Budgeted { .. } => ErrorBound::UNBOUNDED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    /// REF - MONO.
    const AHEAD: i64 = 1_800_000_000_000 * MS;

    fn model() -> Model {
        Model::new(Span::ZERO, Claim::Hard)
    }

    fn read(ms: i64) -> ClockRead {
        skewed(ms, 0)
    }

    /// RAW is ahead of MONO.
    fn skewed(ms: i64, raw_ahead_ms: i64) -> ClockRead {
        ClockRead {
            mono: Instant::from_ns(ms * MS),
            raw: Instant::from_ns((ms + raw_ahead_ms) * MS),
            wall: Instant::from_ns(ms * MS),
        }
    }

    /// Half a millisecond there and as much back; the reference is `jumped` ms further than it should be.
    fn probe(ms: i64, jumped: i64) -> Probe {
        let reference = Instant::from_ns(AHEAD + (ms + jumped) * MS + MS / 2);
        let (sent, returned) = (Instant::from_ns(ms * MS), Instant::from_ns((ms + 1) * MS));
        Probe { sent, received: reference, replied: reference, returned }
    }

    fn half_width(when: When) -> i64 {
        (when.bracket.latest - when.estimate).ns()
    }

    #[test]
    fn nothing_is_known_before_a_probe() {
        let mut model = model();
        assert!(model.when(Instant::from_ns(5)).is_none());
        assert!(model.take_knot(read(100)).is_empty());
        assert!(model.when(Instant::from_ns(5)).is_none());
        assert!(model.into_hindsight().when(Instant::from_ns(5)).is_none());
    }

    #[test]
    fn a_probe_counts_at_once_and_for_more_once_a_knot_follows() {
        let mut model = model();
        (0..3).for_each(|tick| assert!(model.take_knot(read(tick * 100)).is_empty()));
        assert!(model.take_probe(probe(280, 0)).is_empty());
        let (at, truth) = (Instant::from_ns(281 * MS), Instant::from_ns(281 * MS + AHEAD));
        let early = model.when(at).unwrap();
        assert!(model.take_knot(read(300)).is_empty());
        let late = model.when(at).unwrap();
        assert!(early.bracket.contains(truth) && late.bracket.contains(truth));
        assert!(half_width(late) + 50_000 < half_width(early), "{late:?} {early:?}");
    }

    #[test]
    fn a_step_is_declared_at_its_probes_time_on_the_reference() {
        let mut model = model();
        assert!(model.take_knot(read(0)).is_empty());
        assert!(model.take_probe(probe(50, 0)).is_empty());
        assert!(model.take_knot(read(100)).is_empty());
        assert!(model.take_probe(probe(150, 7)).is_empty());
        assert_eq!(model.take_knot(read(200)), [probe(150, 7).replied]);
        // A knot that shows one is believed once another agrees, and has the last probe's time, carried on by 250 ms less
        // the way back.
        assert!(model.take_knot(skewed(300, 5)).is_empty());
        assert_eq!(model.take_knot(skewed(400, 5)), [probe(150, 7).replied + Span::from_ms(249)]);
    }

    #[test]
    fn probes_do_not_wait_for_ever() {
        let mut model = model();
        let most = MOST_WAITING as i64;
        assert!(model.take_knot(read(0)).is_empty());
        (1..=most).for_each(|tick| assert!(model.take_probe(probe(tick * 10, 0)).is_empty()));
        assert!(model.newest_probe.is_none());
        assert!(model.take_probe(probe(most * 10 + 10, 0)).is_empty());
        assert_eq!((model.newest_probe, model.waiting.len()), (Some(probe(10, 0)), MOST_WAITING));
        assert!(model.end().is_empty());
        assert_eq!(model.newest_probe, Some(probe(most * 10 + 10, 0)));
    }

    #[test]
    fn what_cannot_be_is_refused_and_counted() {
        let mut model = model();
        assert!(model.take_probe(probe(0, 0)).is_empty());
        assert!(model.end().is_empty());
        assert!(model.take_knot(read(100)).is_empty() && model.take_knot(read(100)).is_empty());
        let backwards = Probe { received: Instant::from_ns(5), replied: Instant::from_ns(4), ..probe(10, 0) };
        assert!(model.take_probe(backwards).is_empty());
        let counted = [("knot_out_of_order", 1), ("probe_impossible", 1), ("probe_without_knot", 1)];
        assert_eq!(model.refused(), &BTreeMap::from(counted));
    }
}
