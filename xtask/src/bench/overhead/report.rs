//! From runs to tables.

use super::{Idle, Observed, Round, Run, Workload};
use crate::bench::observer::Way;
use crate::bench::statistics::{Spread, whole};
use crate::bench::table;

const HEADINGS: [&str; 8] = [
    "observed by",
    "ns/op",
    "times",
    "added ns/op",
    "added ns/block",
    "added CPU ns/block",
    "observer's CPU",
    "blocks seen",
];
const MIB: f64 = 1_048_576.0;

/// Prints everything.
pub(super) fn print(ways: &[Way], rounds: &[Round], idle: &Idle) {
    for workload in Workload::ALL {
        let figures = Figures { rounds, workload };
        println!("### {}\n", workload.title());
        println!("{:.2} blocks per operation, as the agent counts them.\n", figures.blocks_per_op());
        table::print(&HEADINGS, &ways.iter().map(|way| figures.row(*way)).collect::<Vec<_>>());
    }
    println!("### The agent itself\n");
    table::print(
        &["agent", "memory before", "memory at most", "CPU", "waits/s", "as events", "in sums", "lost, counted"],
        &agent_rows(rounds, idle),
    );
}

/// All runs of one workload.
struct Figures<'a> {
    rounds: &'a [Round],
    workload: Workload,
}

impl Figures<'_> {
    fn runs(&self, way: Way) -> impl Iterator<Item = &Run> {
        self.rounds.iter().flatten().filter(move |run| run.way == way && run.workload == self.workload)
    }

    fn observed(&self, way: Way) -> impl Iterator<Item = &Observed> {
        self.runs(way).filter_map(|run| run.observer.as_ref())
    }

    /// From the agent whose counts come from the kernel's sums: nothing of it goes through a ring that may be full.
    fn blocks_per_op(&self) -> f64 {
        let runs = self.runs(Way::AgentAboveThreshold);
        let per_op = |run: &Run| Some(run.observer.as_ref()?.seen.waits() as f64 / run.measured.all_ops() as f64);
        Spread::of(runs.filter_map(per_op)).median
    }

    fn ns_per_op(&self, way: Way) -> Spread {
        Spread::of(self.runs(way).map(|run| run.measured.ns_per_op))
    }

    /// What a way adds to a figure of the same round; each round has one run of each way.
    fn added(&self, way: Way, figure: impl Fn(&Run) -> f64) -> Spread {
        let pairs = self.runs(way).zip(self.runs(Way::Nothing));
        Spread::of(pairs.map(|(run, base)| figure(run) - figure(base)))
    }

    fn row(&self, way: Way) -> Vec<String> {
        let (here, base) = (self.ns_per_op(way), self.ns_per_op(Way::Nothing));
        let mut row = vec![way.name().to_owned(), here.to_string(), format!("{:.1}", here.median / base.median)];
        if way != Way::Nothing {
            row.extend(self.added_cells(way));
        }
        let of_observer = Spread::of(self.observed(way).map(|observer| observer.cpu_share)).median;
        if !of_observer.is_nan() {
            row.extend([percent(of_observer), share(self.seen_per_op(way) / self.blocks_per_op())]);
        }
        row.resize(HEADINGS.len(), String::new());
        row
    }

    fn added_cells(&self, way: Way) -> [String; 3] {
        let (added, added_cpu) = (self.added(way, |run| run.measured.ns_per_op), self.added(way, cpu_ns_per_op));
        let per_block = 1.0 / self.blocks_per_op();
        [added, added.times(per_block), added_cpu.times(per_block)].map(|spread| spread.to_string())
    }

    /// Waits that the observer knows of as such, for an operation.
    fn seen_per_op(&self, way: Way) -> f64 {
        let per_op = |run: &Run| {
            let seen = run.observer.as_ref()?.seen;
            Some((seen.events + seen.summed) as f64 / run.measured.all_ops() as f64)
        };
        Spread::of(self.runs(way).filter_map(per_op)).median
    }
}

/// The program's own, user and system: the probes' work is in it.
fn cpu_ns_per_op(run: &Run) -> f64 {
    run.measured.cpu_ns as f64 / run.measured.ops as f64
}

fn agent_rows(rounds: &[Round], idle: &Idle) -> Vec<Vec<String>> {
    let nothing = || std::iter::repeat_n(String::new(), 4);
    let mut rows = vec![
        ["default, program asleep".to_owned(), String::new(), mib(idle.memory.peak), percent(idle.cpu_share)]
            .into_iter()
            .chain(nothing())
            .collect(),
    ];
    for (way, name) in [
        (Way::AgentInBudget, "default"),
        (Way::AgentAboveThreshold, "no budget"),
        (Way::AgentEverything, "threshold 0"),
    ] {
        for workload in Workload::ALL {
            let mut row = vec![format!("{name}, {}", workload.argument())];
            row.extend(agent_cells(&Figures { rounds, workload }, way));
            rows.push(row);
        }
    }
    rows
}

fn agent_cells(figures: &Figures<'_>, way: Way) -> Vec<String> {
    let median = |what: &dyn Fn(&Observed) -> f64| Spread::of(figures.observed(way).map(what)).median;
    let highest = |what: &dyn Fn(&Observed) -> f64| Spread::of(figures.observed(way).map(what)).max;
    vec![
        mib(highest(&|observer| observer.before.now as f64) as u64),
        mib(highest(&|observer| observer.after.peak as f64) as u64),
        percent(median(&|observer| observer.cpu_share)),
        whole(median(&|observer| observer.seen.waits() as f64 / observer.took.as_secs_f64())),
        share(median(&|observer| observer.seen.events as f64 / observer.seen.waits() as f64)),
        share(median(&|observer| observer.seen.summed as f64 / observer.seen.waits() as f64)),
        share(median(&|observer| observer.seen.lost as f64 / observer.seen.waits() as f64)),
    ]
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}

/// Of one core.
fn percent(share: f64) -> String {
    format!("{:.1} % of a core", share * 100.0)
}

fn share(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
