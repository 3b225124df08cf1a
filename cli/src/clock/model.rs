//! The one place that knows the estimator's interface: records in, answers, steps and refusals out.

use std::collections::BTreeMap;

use syncline_clock::{DisruptionCause, NodeClock, Observed, ToldDisruption, Tolerance};
use syncline_timebase::{Bracket, Instant, Knot, Mono, Probe, Reference, Span};

use super::record::ClockRead;
use super::steps::Declarations;

/// A stream does not say how long a read of the clocks took. Single reads jitter by some 100 ns, and a knot is three.
const BRACKET: Span = Span::from_ns(200);

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

/// The budget that the model assumes where nobody says another.
pub(crate) fn usual_alpha() -> f64 {
    Tolerance::default().asymmetry_share
}

/// When something was, on the reference's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) estimate: Instant<Reference>,
    /// Holds the estimate if the claim is hard; else the truth may be elsewhere if the claim is false, and so may this.
    pub(crate) bracket: Bracket<Reference>,
}

/// Reference times at which steps were declared.
pub(crate) type Steps = Vec<Instant<Reference>>;

/// The clock model of the stream's node.
pub(crate) struct Model {
    clock: NodeClock,
    claim: Claim,
    declarations: Declarations,
    refused: BTreeMap<&'static str, u64>,
}

impl Model {
    pub(crate) fn new(assumed: Tolerance, claim: Claim) -> Self {
        Self {
            clock: NodeClock::new(tolerance(assumed, claim)),
            claim,
            declarations: Declarations::default(),
            refused: BTreeMap::new(),
        }
    }

    #[must_use]
    pub(crate) fn take_knot(&mut self, read: ClockRead) -> Steps {
        let knot = knot(read);
        self.declarations.knot(knot);
        let observed = self.clock.observe(&[knot], &[]);
        self.note(&observed)
    }

    #[must_use]
    pub(crate) fn take_probe(&mut self, probe: Probe) -> Steps {
        self.declarations.probe(probe);
        let observed = self.clock.observe(&[], &[probe]);
        let mut steps = Steps::new();
        if observed.used.contains(&false) {
            self.declarations.drop_last_probe();
        } else {
            steps.extend(self.declarations.told_by(&probe));
        }
        steps.extend(self.note(&observed));
        steps
    }

    #[must_use]
    pub(crate) fn take_told(&mut self, told: ToldDisruption) -> Steps {
        let observed = self.clock.observe_told(&[], &[], &[told]);
        let mut steps = self.note(&observed);
        if observed.disruptions.iter().any(|disruption| disruption.cause == DisruptionCause::Told) {
            steps.extend(self.declarations.frozen_at(told.until));
        }
        steps
    }

    /// No knot comes any more.
    #[must_use]
    pub(crate) fn end(&mut self) -> Steps {
        let observed = self.clock.settle();
        let mut steps = self.note(&observed);
        steps.extend(self.declarations.end());
        steps
    }

    /// What is known of the moment now; `None` where that is nothing.
    pub(crate) fn when(&self, mono: Instant<Mono>) -> Option<When> {
        when(&self.clock, self.claim, mono)
    }

    /// Samples that the estimator did not take, by cause.
    pub(crate) fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    fn note(&mut self, observed: &Observed) -> Steps {
        for (cause, count) in &observed.refused {
            *self.refused.entry(cause.name()).or_default() += count;
        }
        observed.disruptions.iter().filter_map(|disruption| self.declarations.declared_at(disruption)).collect()
    }
}

/// What the whole stream says: a model of its own, because one that keeps everything need not answer as one that is
/// bounded does.
pub(crate) struct Hindsight {
    clock: NodeClock,
    claim: Claim,
}

impl Hindsight {
    pub(crate) fn new(assumed: Tolerance, claim: Claim) -> Self {
        Self { clock: NodeClock::of_whole_stream(tolerance(assumed, claim)), claim }
    }

    pub(crate) fn take_knot(&mut self, read: ClockRead) {
        self.clock.observe(&[knot(read)], &[]);
    }

    pub(crate) fn take_probe(&mut self, probe: Probe) {
        self.clock.observe(&[], &[probe]);
    }

    pub(crate) fn take_told(&mut self, told: ToldDisruption) {
        self.clock.observe_told(&[], &[], &[told]);
    }

    /// No sample comes any more: from here on it answers.
    pub(crate) fn end(self) -> Self {
        Self { clock: self.clock.in_hindsight(), ..self }
    }

    pub(crate) fn when(&self, mono: Instant<Mono>) -> Option<When> {
        when(&self.clock, self.claim, mono)
    }
}

fn tolerance(assumed: Tolerance, claim: Claim) -> Tolerance {
    match claim {
        Claim::Budgeted { alpha } => Tolerance { asymmetry_share: alpha, ..assumed },
        Claim::Hard | Claim::Tight => assumed,
    }
}

fn knot(read: ClockRead) -> Knot {
    Knot { mono: read.mono, raw: read.raw, wall: read.wall, bracket: BRACKET }
}

fn when(clock: &NodeClock, claim: Claim, mono: Instant<Mono>) -> Option<When> {
    let estimate = clock.estimate(mono);
    let bounds = clock.bounds(mono).filter(|_| estimate.hard.is_bounded())?;
    let interval = match claim {
        Claim::Hard => bounds.hard,
        Claim::Budgeted { .. } => bounds.budgeted,
        Claim::Tight => bounds.tight,
    };
    let bracket = Bracket { earliest: mono + interval.low, latest: mono + interval.high };
    Some(When { estimate: mono + estimate.offset, bracket })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    /// REF - MONO.
    const AHEAD: i64 = 1_800_000_000_000 * MS;

    fn model() -> Model {
        Model::new(Tolerance::default(), Claim::Hard)
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

    fn width(when: When) -> i64 {
        (when.bracket.latest - when.bracket.earliest).ns()
    }

    #[test]
    fn nothing_is_known_before_a_probe() {
        let mut model = model();
        assert!(model.when(Instant::from_ns(5)).is_none());
        assert!(model.take_knot(read(100)).is_empty());
        assert!(model.when(Instant::from_ns(5)).is_none());
        assert!(Hindsight::new(Tolerance::default(), Claim::Hard).when(Instant::from_ns(5)).is_none());
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
        assert!(width(late) + 100_000 < width(early), "{late:?} {early:?}");
    }

    #[test]
    fn a_step_is_declared_at_its_probes_time_on_the_reference() {
        let mut model = model();
        assert!(model.take_knot(read(0)).is_empty());
        assert!(model.take_probe(probe(50, 0)).is_empty());
        assert!(model.take_knot(read(100)).is_empty());
        assert!(model.take_probe(probe(150, 7)).is_empty());
        assert_eq!(model.take_knot(read(200)), [probe(150, 7).replied]);
        // A knot that shows one is believed once another agrees; the next probe tells how long the clocks stood still.
        assert!(model.take_knot(skewed(300, 5)).is_empty());
        assert!(model.take_knot(skewed(400, 5)).is_empty());
        assert_eq!(model.take_probe(probe(450, 900)), [probe(450, 900).received - Span::from_ms(50)]);
    }

    #[test]
    fn one_that_is_told_is_declared_once_and_a_probe_tells_how_long_it_was() {
        let mut model = model();
        (0..2).for_each(|tick| assert!(model.take_knot(read(tick * 100)).is_empty()));
        assert!(model.take_probe(probe(150, 0)).is_empty());
        assert!(model.take_knot(read(200)).is_empty());
        let told = ToldDisruption { since: Instant::from_ns(200 * MS), until: Instant::from_ns(230 * MS) };
        assert!(model.take_told(told).is_empty());
        assert!(model.when(told.until).is_none(), "nothing is known of it yet");
        assert!(model.take_knot(read(300)).is_empty());
        assert_eq!(model.take_probe(probe(350, 900)), [probe(350, 900).received - Span::from_ms(120)]);
        assert!(model.take_knot(read(400)).is_empty(), "of which the probe is no second one");
        assert!(model.take_told(told).is_empty() && model.end().is_empty(), "told again");
    }

    #[test]
    fn what_is_asked_while_a_probe_waits_changes_nothing_later() {
        let answers = |asks_early: bool| {
            let mut model = model();
            let mut answers = Vec::new();
            for tick in 0..200 {
                assert!(model.take_knot(read(tick * 100)).is_empty());
                if tick % 7 == 3 {
                    assert!(model.take_probe(probe(tick * 100 + 50, 0)).is_empty());
                    let at = |back: i64| Instant::from_ns((tick * 100 + 40 - back) * MS);
                    (0..if asks_early { 3 } else { 0 }).for_each(|back| assert!(model.when(at(back * 500)).is_some()));
                }
                answers.push(model.when(Instant::from_ns(tick * 99 * MS)));
            }
            answers
        };
        assert_eq!(answers(true), answers(false));
    }

    #[test]
    fn a_probe_may_be_the_last_record() {
        let mut model = model();
        assert!(model.take_knot(read(0)).is_empty());
        assert!(model.take_probe(probe(50, 0)).is_empty());
        assert!(model.take_knot(read(100)).is_empty());
        assert!(model.take_probe(probe(150, 7)).is_empty());
        assert_eq!(model.end(), [probe(150, 7).replied]);
    }

    #[test]
    fn hindsight_sees_both_sides() {
        let (mut model, mut hindsight) = (model(), Hindsight::new(Tolerance::default(), Claim::Hard));
        let mut at_once = Vec::new();
        for tick in 0..600 {
            assert!(model.take_knot(read(tick * 100)).is_empty());
            hindsight.take_knot(read(tick * 100));
            if tick % 10 == 5 {
                assert!(model.take_probe(probe(tick * 100 + 50, 0)).is_empty());
                hindsight.take_probe(probe(tick * 100 + 50, 0));
                at_once.extend(model.when(Instant::from_ns(tick * 100 * MS)));
            }
        }
        assert!(model.end().is_empty());
        let hindsight = hindsight.end();
        let mut narrower = 0;
        for when in at_once {
            let mono = Instant::from_ns(when.estimate.ns() - AHEAD);
            let later = hindsight.when(mono).unwrap();
            assert!(width(later) <= width(when), "{when:?} {later:?}");
            narrower += u32::from(width(later) < width(when));
        }
        assert!(narrower > 30, "{narrower} of 60 are narrower");
    }

    #[test]
    fn what_cannot_be_is_refused_and_counted() {
        let mut model = model();
        assert!(model.take_probe(probe(0, 0)).is_empty());
        assert!(model.end().is_empty());
        assert!(model.take_knot(read(100)).is_empty() && model.take_knot(read(100)).is_empty());
        let backwards = Probe { received: Instant::from_ns(5_000), replied: Instant::from_ns(1_000), ..probe(10, 0) };
        assert!(model.take_probe(backwards).is_empty());
        let counted = [("knot_out_of_order", 1), ("probe_impossible", 1), ("probe_without_knot", 1)];
        assert_eq!(model.refused(), &BTreeMap::from(counted));
    }
}
