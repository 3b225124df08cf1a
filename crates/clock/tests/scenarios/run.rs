//! One run of a scenario against a clock model, and what is measured of it.

use std::collections::BTreeMap;

use syncline_clock::{Estimate, NodeClock, Observed, Tolerance};
use syncline_sim::scenario::{Delivery, Fault, Generated, Scenario, Truth};
use syncline_timebase::{Instant, Raw, Span};

/// An event is asked about so often, and more often around faults.
const ASKED_EVERY_NS: i64 = 173_000_000;

/// What came of a run.
#[derive(Default)]
pub(crate) struct Measured {
    /// Answers given once an exchange begun after the event was taken.
    pub(crate) held: Coverage,
    /// Answers at the end of the run.
    pub(crate) hindsight: Coverage,
    /// Errors and half widths of settled held answers, ns, in order of size.
    pub(crate) errors_ns: Vec<u64>,
    pub(crate) hindsight_errors_ns: Vec<u64>,
    pub(crate) widths_ns: Vec<u64>,
    pub(crate) best_round_trip_ns: u64,
    pub(crate) disruptions: u64,
    /// Exchanges it took to notice each break; `None` where it never was.
    pub(crate) noticed_within: Vec<Option<u64>>,
    pub(crate) wall_steps: Vec<i64>,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Length of the model's debug text: in proportion to what it keeps.
    pub(crate) model_size: usize,
    pub(crate) ends_bounded: bool,
}

/// How often the truth was outside the hard bound.
#[derive(Default)]
pub(crate) struct Coverage {
    pub(crate) asked: u64,
    /// Of these, answered with a finite bound.
    pub(crate) bounded: u64,
    pub(crate) outside: u64,
    /// How far outside at most, ns.
    pub(crate) worst_ns: u64,
    pub(crate) first: Option<String>,
}

pub(crate) fn run(scenario: &Scenario, seed: u64) -> Measured {
    let Generated { deliveries, mut truth, best_round_trip_ns } = scenario.generate(seed);
    let mut run = Run::new(scenario, &mut truth);
    deliveries.iter().for_each(|delivery| run.take(delivery));
    run.finish(best_round_trip_ns)
}

struct Run<'a> {
    scenario: &'a Scenario,
    truth: &'a mut Truth,
    /// One for each reference, as an aggregator keeps them.
    models: BTreeMap<usize, NodeClock>,
    events: std::iter::Peekable<std::vec::IntoIter<i64>>,
    asked: Vec<(i64, usize)>,
    /// When exchanges that were taken began and ended, true ns.
    taken: Vec<(i64, i64)>,
    unnoticed: Vec<(usize, i64)>,
    measured: Measured,
}

/// An answer beside the truth.
struct Answer {
    error_ns: u64,
    estimate: Estimate,
    /// How far the truth is outside the hard interval, and half the width of that.
    outside_ns: u64,
    half_width_ns: u64,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, truth: &'a mut Truth) -> Self {
        let unnoticed: Vec<(usize, i64)> = truth.breaks().iter().copied().enumerate().collect();
        let measured = Measured { noticed_within: vec![None; unnoticed.len()], ..Measured::default() };
        Self {
            events: truth.events(ASKED_EVERY_NS).into_iter().peekable(),
            scenario,
            truth,
            models: BTreeMap::new(),
            asked: Vec::new(),
            taken: Vec::new(),
            unnoticed,
            measured,
        }
    }

    fn take(&mut self, delivery: &Delivery) {
        let model = self.models.entry(delivery.reference).or_insert_with(|| NodeClock::new(Tolerance::default()));
        let observed = model.observe(&delivery.knots, &delivery.probes);
        // An aggregator answers when a batch comes, whether its probes were of use or not.
        let honest: Vec<(i64, i64)> = delivery.lived.iter().copied().flatten().collect();
        let horizon = honest.iter().map(|(begun, _)| *begun).max();
        self.taken.extend(honest);
        self.count(&observed);
        while let Some(event) = self.events.next_if(|event| horizon.is_some_and(|horizon| *event <= horizon)) {
            self.ask_held(event, delivery.reference);
        }
    }

    fn count(&mut self, observed: &Observed) {
        for (cause, count) in &observed.refused {
            *self.measured.refused.entry(cause.name()).or_default() += count;
        }
        self.measured.disruptions += observed.disruptions.len() as u64;
        self.measured.wall_steps.extend(observed.wall_steps.iter().map(|step| step.size.ns()));
        for disruption in &observed.disruptions {
            self.notice(disruption.noticed_at);
        }
    }

    /// A disruption was declared here on RAW: it is that of the first break that was not noticed yet.
    fn notice(&mut self, at: Instant<Raw>) {
        let at = at + Span::from_ns(2_000);
        let Some(place) = self.unnoticed.iter().position(|(_, broken)| self.truth.raw(*broken) <= at) else { return };
        let (which, broken) = self.unnoticed.remove(place);
        let since = self.taken.iter().filter(|(begun, ended)| *begun >= broken && self.truth.raw(*ended) <= at);
        self.measured.noticed_within[which] = Some(since.count() as u64);
    }

    fn ask_held(&mut self, event: i64, reference: usize) {
        self.asked.push((event, reference));
        let Some(answer) = self.answer(event, reference) else { return };
        if self.is_excused(event) {
            return;
        }
        self.measured.held.count(event, &answer);
        if self.truth.is_settled(event) {
            self.measured.errors_ns.push(answer.known_error_ns());
            self.measured.widths_ns.push(answer.half_width_ns);
        }
    }

    fn finish(mut self, best_round_trip_ns: u64) -> Measured {
        for (event, reference) in std::mem::take(&mut self.asked) {
            let Some(answer) = self.answer(event, reference).filter(|_| !self.is_excused(event)) else { continue };
            self.measured.hindsight.count(event, &answer);
            self.measured.ends_bounded = answer.estimate.hard.is_bounded();
            if self.truth.is_settled(event) {
                self.measured.hindsight_errors_ns.push(answer.known_error_ns());
            }
        }
        let mut measured = self.measured;
        measured.errors_ns.sort_unstable();
        measured.hindsight_errors_ns.sort_unstable();
        measured.widths_ns.sort_unstable();
        let size = |model: &NodeClock| format!("{model:?}").len();
        Measured { best_round_trip_ns, model_size: self.models.values().map(size).max().unwrap_or(0), ..measured }
    }

    fn answer(&mut self, event: i64, reference: usize) -> Option<Answer> {
        let mono = self.truth.mono(event);
        let model = self.models.get(&reference)?;
        let (estimate, bounds) = (model.estimate(mono), model.bounds(mono));
        let truth = mono.offset_to(self.truth.reference(reference, event)).ns();
        let (outside_ns, half_width_ns) = bounds.map_or((0, u64::MAX), |bounds| {
            let (low, high) = (bounds.hard.low.ns(), bounds.hard.high.ns());
            let outside = low.saturating_sub(truth).max(truth.saturating_sub(high)).max(0).unsigned_abs();
            (outside, high.abs_diff(low) / 2)
        });
        let error_ns = estimate.offset.ns().abs_diff(truth);
        // What is published around the point has to hold the truth too.
        let outside_ns = outside_ns.max(error_ns.saturating_sub(estimate.hard.ns()));
        Some(Answer { error_ns, outside_ns, half_width_ns, estimate })
    }

    fn is_excused(&self, event: i64) -> bool {
        !self.truth.is_held_to(event) || (self.scenario.limits.gap_excused && self.is_in_gap(event))
    }

    /// No exchange lies between it and a break.
    fn is_in_gap(&self, event: i64) -> bool {
        self.truth.breaks().iter().any(|broken| {
            let (from, until) = (event.min(*broken), event.max(*broken));
            let separates = |(begun, ended): &(i64, i64)| {
                from <= *begun && if event < *broken { *ended <= until } else { *begun <= until }
            };
            !self.taken.iter().any(separates)
        })
    }
}

impl Answer {
    fn known_error_ns(&self) -> u64 {
        if self.estimate.hard.is_bounded() { self.error_ns } else { u64::MAX }
    }
}

impl Coverage {
    fn count(&mut self, event: i64, answer: &Answer) {
        self.asked += 1;
        self.bounded += u64::from(answer.estimate.hard.is_bounded());
        let outside_ns = answer.outside_ns;
        if outside_ns > 0 {
            self.outside += 1;
            self.worst_ns = self.worst_ns.max(outside_ns);
            let told =
                || format!("at {:.6} s: off by {} ns, {:?}", event as f64 * 1e-9, answer.error_ns, answer.estimate);
            self.first.get_or_insert_with(told);
        }
    }
}

/// The steps that somebody made, ns.
pub(crate) fn true_wall_steps(scenario: &Scenario) -> Vec<i64> {
    let mut steps: Vec<(i64, i64)> = scenario
        .faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Wall(step) => Some((step.at_ns, step.size_ns)),
            Fault::Suspend { at_ns, length_ns } => Some((*at_ns, *length_ns)),
            _ => None,
        })
        .collect();
    steps.sort_unstable();
    steps.into_iter().map(|(_, size)| size).collect()
}

/// The value below which `percent` of the sorted `values` lie; 0 of none.
pub(crate) fn percentile(values: &[u64], percent: usize) -> u64 {
    let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(place).copied().unwrap_or(0)
}
