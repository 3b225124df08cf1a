//! From runs to tables.

use super::{Idle, Observed, Round, Run, Workload};
use crate::bench::observer::Way;
use crate::bench::statistics::{Spread, whole};
use crate::bench::table;

const MIB: f64 = 1_048_576.0;

/// Prints everything.
pub(super) fn print(ways: &[Way], rounds: &[Round], idle: &Idle) {
    for workload in Workload::ALL {
        let figures = Figures { rounds, workload };
        println!("### {}\n", workload.title());
        println!("{:.2} blocks per operation, as the agent counts them.\n", figures.blocks_per_op());
        let headings = [
            "observed by",
            "ns/op",
            "added ns/op",
            "added ns/block",
            "times",
            "program's CPU ns/op",
            "observer's CPU",
            "blocks seen",
        ];
        table::print(&headings, &ways.iter().map(|way| figures.row(*way)).collect::<Vec<_>>());
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

    /// By rounds: each has one run of each way.
    fn added(&self, way: Way) -> Spread {
        let base = self.runs(Way::Nothing).map(|run| run.measured.ns_per_op);
        Spread::of(self.runs(way).zip(base).map(|(run, base)| run.measured.ns_per_op - base))
    }

    fn row(&self, way: Way) -> Vec<String> {
        let (here, base) = (self.ns_per_op(way), self.ns_per_op(Way::Nothing));
        let cpu = Spread::of(self.runs(way).map(|run| run.measured.cpu_ns as f64 / run.measured.ops as f64));
        let added = self.added(way);
        let of_observer = Spread::of(self.observed(way).map(|observer| observer.cpu_share)).median;
        let is_base = way == Way::Nothing;
        vec![
            way.name().to_owned(),
            here.to_string(),
            if is_base { String::new() } else { added.to_string() },
            if is_base { String::new() } else { added.times(1.0 / self.blocks_per_op()).to_string() },
            format!("{:.1}", here.median / base.median),
            whole(cpu.median),
            if of_observer.is_nan() { String::new() } else { percent(of_observer) },
            if of_observer.is_nan() { String::new() } else { share(self.seen_per_op(way) / self.blocks_per_op()) },
        ]
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

fn agent_rows(rounds: &[Round], idle: &Idle) -> Vec<Vec<String>> {
    let nothing = || std::iter::repeat_n(String::new(), 4);
    let mut rows = vec![
        ["default, program asleep".to_owned(), String::new(), mib(idle.memory.peak), percent(idle.cpu_share)]
            .into_iter()
            .chain(nothing())
            .collect(),
    ];
    for (way, name) in [(Way::AgentAboveThreshold, "default"), (Way::AgentEverything, "threshold 0")] {
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
