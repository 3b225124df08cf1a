//! From a scenario and a seed to what an aggregator receives.

use syncline_timebase::{Knot, Probe};

use crate::{Random, SimulatedNode};

use super::delivery::{Delivery, deliver};
use super::plan::Plan;
use super::{Sampling, Scenario, Truth, US};

/// What an aggregator receives of one run, and the truth.
pub struct Generated {
    /// Batches in the order of their arrival.
    pub deliveries: Vec<Delivery>,
    /// The truth to compare with.
    pub truth: Truth,
    /// The shortest round trip of the run by true time, ns; zero without any.
    pub best_round_trip_ns: u64,
}

/// A finished exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) probe: Probe,
    pub(super) reference: usize,
    pub(super) begun_ns: i64,
    pub(super) ended_ns: i64,
}

impl Exchange {
    /// Time on the way, by clocks that nobody freezes, ns.
    fn on_the_way_ns(&self) -> i64 {
        self.ended_ns - self.begun_ns - (self.probe.replied - self.probe.received).ns()
    }
}

/// A knot, from when until when it was read, true ns.
#[derive(Clone, Copy, Debug)]
struct Reading {
    knot: Knot,
    from_ns: i64,
    until_ns: i64,
}

pub(super) fn generate(scenario: &Scenario, seed: u64) -> Generated {
    let plan = Plan::of(scenario);
    let mut agent = Agent {
        node: SimulatedNode::new(plan.node.clone(), seed),
        random: Random::seeded(seed ^ 0x5CE7),
        sampling: scenario.sampling,
        length_ns: scenario.length_ns,
        readings: Vec::new(),
        plan: &plan,
    };
    let exchanges = agent.probe();
    agent.read_knots();
    let batches = agent.batches(&exchanges);
    let best = exchanges.iter().map(Exchange::on_the_way_ns).min();
    let mut truth = Truth::of(scenario, &plan, agent.node);
    Generated {
        deliveries: deliver(scenario, batches, &mut truth, &mut agent.random),
        truth,
        best_round_trip_ns: best.unwrap_or(0).unsigned_abs(),
    }
}

struct Agent<'a> {
    plan: &'a Plan,
    node: SimulatedNode,
    random: Random,
    sampling: Sampling,
    length_ns: i64,
    readings: Vec<Reading>,
}

impl Agent<'_> {
    /// All exchanges that came back, in order of their beginning.
    fn probe(&mut self) -> Vec<Exchange> {
        let mut reroutes = self.plan.reroutes.iter().peekable();
        let mut exchanges = Vec::new();
        for begun_ns in self.probe_times() {
            while let Some((_, path)) = reroutes.next_if(|(at, _)| *at <= begun_ns) {
                self.node.path().reroute(*path);
            }
            exchanges.extend(self.exchange(begun_ns));
        }
        exchanges
    }

    fn probe_times(&mut self) -> Vec<i64> {
        let Sampling { probe_every_ns, probe_phase_ns, burst, burst_spacing_ns, .. } = self.sampling;
        let bursts = (probe_phase_ns..self.length_ns).step_by(step(probe_every_ns));
        let of_burst = |start: i64| (0..burst).map(move |place| start + burst_spacing_ns * place as i64);
        // Room for the knot before it, on a node that has just thawed too.
        let mut times: Vec<i64> = bursts.flat_map(of_burst).map(|due| self.fires(due) + 2 * US).collect();
        // Timers that were due on a frozen node fire once.
        times.dedup();
        times.retain(|time| self.plan.agent_runs(*time));
        times
    }

    /// When a timer that is due at `due_ns` fires: late, and not on a frozen node.
    fn fires(&mut self, due_ns: i64) -> i64 {
        self.node.awake_ns(due_ns + self.random.exponential(self.sampling.late_ns) as i64)
    }

    fn exchange(&mut self, begun_ns: i64) -> Option<Exchange> {
        let reference = self.plan.serving(begun_ns);
        let (probe, ended_ns) = self.node.probe_of(self.plan.references.get(reference)?, begun_ns);
        let probe = probe.filter(|_| !self.plan.is_lost(begun_ns) && ended_ns < self.length_ns)?;
        if self.sampling.knots_beside_probes {
            self.read_knot(begun_ns - US);
            self.read_knot(ended_ns + US);
        }
        Some(Exchange { probe, reference, begun_ns, ended_ns })
    }

    fn read_knots(&mut self) {
        for due in (0..self.length_ns).step_by(step(self.sampling.knot_every_ns)) {
            let now = self.fires(due);
            if self.plan.reads_knots(now) {
                self.read_knot(now);
            }
        }
        self.readings.sort_by_key(|reading| reading.from_ns);
        // One reader: no reading begins within another.
        self.readings.dedup_by(|next, kept| next.from_ns <= kept.until_ns + US);
    }

    fn read_knot(&mut self, from_ns: i64) {
        let preempted = self.plan.preempted.filter(|(share, _)| self.random.uniform() < *share);
        let bracket_ns = preempted.map(|(_, longest)| self.random.between(0.0, longest as f64) as i64);
        let knot = match bracket_ns {
            Some(bracket_ns) => self.node.knot_within(from_ns, bracket_ns),
            None => self.node.knot(from_ns),
        };
        let until_ns = from_ns + bracket_ns.unwrap_or(US / 2);
        self.readings.push(Reading { knot, from_ns, until_ns });
    }

    /// What was read and finished since the batch before. Probes of two references are never in one.
    fn batches(&self, exchanges: &[Exchange]) -> Vec<Batch> {
        let mut finished = exchanges.to_vec();
        finished.sort_by_key(|exchange| exchange.ended_ns);
        let (mut knots, mut finished) = (self.readings.iter().peekable(), finished.into_iter().peekable());
        let mut batches = Vec::new();
        for cut in (0..=self.length_ns).step_by(step(self.sampling.batch_every_ns)) {
            let mut batch = Batch::new(self.plan.serving(cut), cut);
            while let Some(exchange) = finished.next_if(|exchange| exchange.ended_ns < cut) {
                if batch.exchanges.last().is_some_and(|last| last.reference != exchange.reference) {
                    let sealed = exchange.begun_ns - 2 * US;
                    batch.knots.extend(knots_until(&mut knots, sealed));
                    batches.push(std::mem::replace(&mut batch, Batch::new(exchange.reference, cut)));
                }
                batch.reference = exchange.reference;
                batch.exchanges.push(exchange);
            }
            batch.knots.extend(knots_until(&mut knots, cut));
            batches.push(batch);
        }
        batches.retain(|batch| !batch.knots.is_empty() || !batch.exchanges.is_empty());
        batches
    }
}

/// What an agent seals at once.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) reference: usize,
    pub(super) sealed_ns: i64,
    pub(super) knots: Vec<Knot>,
    pub(super) exchanges: Vec<Exchange>,
}

impl Batch {
    fn new(reference: usize, sealed_ns: i64) -> Self {
        Self { reference, sealed_ns, knots: Vec::new(), exchanges: Vec::new() }
    }
}

fn knots_until<'a>(
    readings: &mut std::iter::Peekable<impl Iterator<Item = &'a Reading>>,
    cut_ns: i64,
) -> impl Iterator<Item = Knot> {
    std::iter::from_fn(move || readings.next_if(|reading| reading.until_ns < cut_ns)).map(|reading| reading.knot)
}

fn step(every_ns: i64) -> usize {
    usize::try_from(every_ns).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Fault, SECOND};

    fn generated(faults: Vec<Fault>) -> Generated {
        generate(&Scenario { faults, ..Scenario::quiet(1, "x", "") }, 3)
    }

    #[test]
    fn a_quiet_run_holds_what_an_agent_sends_in_order() {
        let run = generated(Vec::new());
        let knots: Vec<Knot> = run.deliveries.iter().flat_map(|delivery| delivery.knots.clone()).collect();
        let probes: Vec<Probe> = run.deliveries.iter().flat_map(|delivery| delivery.probes.clone()).collect();
        assert!((7_000..=7_200).contains(&knots.len()) && (590..=600).contains(&probes.len()));
        assert!(knots.is_sorted_by(|a, b| a.mono < b.mono && a.raw < b.raw));
        assert!(probes.is_sorted_by(|a, b| a.returned < b.sent));
        assert!((120_000..125_000).contains(&run.best_round_trip_ns), "{}", run.best_round_trip_ns);
    }

    #[test]
    fn nothing_is_sampled_on_a_frozen_node_and_nobody_asks_about_it() {
        let mut run = generated(vec![Fault::Pause { at_ns: 100 * SECOND, length_ns: 50 * SECOND }]);
        let lived: Vec<(i64, i64)> = run.deliveries.iter().flat_map(|d| d.lived.iter().copied().flatten()).collect();
        let frozen = 100 * SECOND..150 * SECOND;
        assert!(!lived.iter().any(|(begun, ended)| frozen.contains(begun) || frozen.contains(ended)));
        let (mono, returned) = (run.truth.mono(120 * SECOND), run.truth.mono(150 * SECOND));
        assert_eq!(mono, returned);
        let events = run.truth.events(SECOND / 7);
        assert!(events.is_sorted() && !events.iter().any(|event| frozen.contains(event)));
        assert_eq!(run.truth.breaks(), [150 * SECOND]);
        let settled = [59, 61, 97, 100, 200, 211].map(|s| run.truth.is_settled(s * SECOND));
        assert_eq!(settled, [false, true, true, false, false, true]);
    }

    #[test]
    fn probes_of_two_references_are_never_in_one_batch() {
        let run = generated(vec![Fault::SecondReference { every_ns: 3 * SECOND / 2, ahead_ns: -60 * SECOND }]);
        let ahead_ns = |probe: &Probe, begun_ns: i64| probe.received - run.truth.reference(0, begun_ns);
        for delivery in &run.deliveries {
            for (probe, lived) in delivery.probes.iter().zip(&delivery.lived) {
                let ahead = ahead_ns(probe, lived.unwrap().0).ns();
                assert_eq!(usize::from(ahead < -59 * SECOND), delivery.reference);
            }
        }
        assert_eq!(run.truth.reference(1, 0) - run.truth.reference(0, 0), syncline_timebase::Span::from_s(-60));
    }
}
