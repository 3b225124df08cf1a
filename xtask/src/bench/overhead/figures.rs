//! From runs to figures, without a look at anything else.

use super::stage::Outcome;
use super::workload::Workload;
use crate::bench::observer::{Seen, Way};
use crate::bench::statistics::Spread;

/// One measurement.
pub(super) struct Run {
    pub(super) round: u32,
    pub(super) way: Way,
    pub(super) workload: &'static Workload,
    pub(super) outcome: Outcome,
    /// What an observer has seen: those while it settled as well.
    pub(super) all_ops: u64,
    /// The program's own, user and system: the probes' work is in it.
    pub(super) cpu_ns: f64,
    pub(super) observed: Option<Observed>,
}

/// What is known of the observer of a run.
pub(super) struct Observed {
    pub(super) cpu_ns: f64,
    /// The most that was resident since it began.
    pub(super) peak_bytes: u64,
    /// `None` of one that sees nothing.
    pub(super) seen: Option<Seen>,
}

pub(super) fn ops_per_s(run: &Run) -> f64 {
    run.outcome.ops as f64 * 1e9 / run.outcome.elapsed_ns as f64
}

pub(super) fn p99_us(run: &Run) -> f64 {
    run.outcome.p99_ns / 1e3
}

pub(super) fn cpu_ns_per_op(run: &Run) -> f64 {
    run.cpu_ns / run.outcome.ops as f64
}

fn ns_per_op(run: &Run) -> f64 {
    run.outcome.elapsed_ns as f64 / run.outcome.ops as f64
}

/// All runs.
#[derive(Clone, Copy)]
pub(super) struct Figures<'a> {
    pub(super) runs: &'a [Run],
}

impl<'a> Figures<'a> {
    fn of(self, workload: &'static Workload, way: Way) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.way == way && run.workload == workload)
    }

    fn observed(self, workload: &'static Workload, way: Way) -> impl Iterator<Item = (&'a Run, &'a Observed)> {
        self.of(workload, way).filter_map(|run| Some((run, run.observed.as_ref()?)))
    }

    /// Each run beside that of the unobserved program in its round, where there is one.
    fn pairs(self, workload: &'static Workload, way: Way) -> impl Iterator<Item = (&'a Run, &'a Run)> {
        let alone = move |run: &'a Run| self.of(workload, Way::Nothing).find(|alone| alone.round == run.round);
        self.of(workload, way).filter_map(move |run| Some((run, alone(run)?)))
    }

    /// A figure over the rounds.
    pub(super) fn spread(self, workload: &'static Workload, way: Way, figure: fn(&Run) -> f64) -> Spread {
        Spread::of(self.of(workload, way).map(figure))
    }

    /// How many times that of the unobserved program it is.
    pub(super) fn times(self, workload: &'static Workload, way: Way, figure: fn(&Run) -> f64) -> Spread {
        Spread::of(self.pairs(workload, way).map(|(run, alone)| figure(run) / figure(alone)))
    }

    /// Waits of an operation, as the agent counts them whose counts come from the kernel's sums: nothing of it goes through a ring that may
    /// be full. NaN where it was not there.
    pub(super) fn blocks_per_op(self, workload: &'static Workload) -> f64 {
        let per_op = |(run, observed): (&Run, &Observed)| Some(observed.seen?.waits() as f64 / run.all_ops as f64);
        Spread::of(self.observed(workload, Way::AgentAboveThreshold).filter_map(per_op)).median
    }

    /// Ns that a way adds to a block: of the time of an operation, and of the program's CPU time.
    pub(super) fn added_to_a_block(self, workload: &'static Workload, way: Way) -> [Spread; 2] {
        let added = |figure: fn(&Run) -> f64| {
            let added = self.pairs(workload, way).map(|(run, alone)| figure(run) - figure(alone));
            Spread::of(added).times(1.0 / self.blocks_per_op(workload))
        };
        [added(ns_per_op), added(cpu_ns_per_op)]
    }

    /// Of one CPU.
    pub(super) fn observers_cpu(self, workload: &'static Workload, way: Way) -> Spread {
        let share = |(run, observed): (&Run, &Observed)| observed.cpu_ns / run.outcome.elapsed_ns as f64;
        Spread::of(self.observed(workload, way).map(share))
    }

    /// The most in any round, bytes.
    pub(super) fn observers_memory(self, workload: &'static Workload, way: Way) -> f64 {
        Spread::of(self.observed(workload, way).map(|(_, observed)| observed.peak_bytes as f64)).max
    }

    /// The share of the blocks that are in the observer's events or sums.
    pub(super) fn seen_share(self, workload: &'static Workload, way: Way) -> f64 {
        let per_op = |(run, observed): (&Run, &Observed)| {
            let seen = observed.seen?;
            Some((seen.events + seen.summed) as f64 / run.all_ops as f64)
        };
        Spread::of(self.observed(workload, way).filter_map(per_op)).median / self.blocks_per_op(workload)
    }

    /// Events a second, of those that are told and not summed up.
    pub(super) fn events_per_s(self, workload: &'static Workload, way: Way) -> Spread {
        let rate = |(run, observed): (&Run, &Observed)| {
            Some(observed.seen?.events as f64 / run.all_ops as f64 * ops_per_s(run))
        };
        Spread::of(self.observed(workload, way).filter_map(rate))
    }

    /// The share of the waits that the observer knows to have lost.
    pub(super) fn lost_share(self, workload: &'static Workload, way: Way) -> f64 {
        let lost = |(_, observed): (&Run, &Observed)| {
            let seen = observed.seen?;
            Some(seen.lost as f64 / seen.waits().max(1) as f64)
        };
        Spread::of(self.observed(workload, way).filter_map(lost)).median
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::overhead::workload::ALL;

    /// A run of a second at so many operations, whose observer has seen two waits in each.
    pub(in crate::bench::overhead) fn run(round: u32, way: Way, workload: &'static Workload, ops: u64) -> Run {
        let outcome = Outcome { ops, elapsed_ns: 1_000_000_000, p99_ns: 2e9 / ops as f64, ..Outcome::default() };
        let seen = Some(Seen { events: ops, summed: ops, lost: 0 });
        let observed = (way != Way::Nothing).then_some(Observed { cpu_ns: 2e7, peak_bytes: 30 << 20, seen });
        Run { round, way, workload, outcome, all_ops: ops, cpu_ns: 5e8, observed }
    }

    #[test]
    fn what_a_way_costs_is_found_in_each_round() {
        let workload = &ALL[0];
        // The machine was twice as slow in the second round; in the third the unobserved program failed.
        let runs = [
            run(0, Way::Nothing, workload, 1_000),
            run(0, Way::AgentAboveThreshold, workload, 500),
            run(1, Way::AgentAboveThreshold, workload, 250),
            run(1, Way::Nothing, workload, 500),
            run(2, Way::AgentAboveThreshold, workload, 10),
            run(0, Way::Nothing, &ALL[1], 7),
        ];
        let figures = Figures { runs: &runs };
        let way = Way::AgentAboveThreshold;
        assert_eq!(figures.times(workload, way, ops_per_s), Spread { median: 0.5, min: 0.5, max: 0.5 });
        assert_eq!(figures.spread(workload, Way::Nothing, ops_per_s).median, 750.0);
        assert_eq!((figures.blocks_per_op(workload), figures.seen_share(workload, way)), (2.0, 1.0));
        let [time, cpu] = figures.added_to_a_block(workload, way);
        assert_eq!((time.min, time.max), (500_000.0, 1_000_000.0));
        assert_eq!((cpu.min, cpu.max), (250_000.0, 500_000.0));
        assert_eq!(figures.observers_cpu(workload, way).median, 0.02);
        assert_eq!(figures.events_per_s(workload, way).max, 500.0);
        assert!(figures.times(&ALL[2], way, ops_per_s).median.is_nan());
    }
}
