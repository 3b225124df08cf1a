//! From figures to tables.

use super::figures::{Figures, Run, cpu_ns_per_op, ops_per_s, p99_us};
use super::targets;
use super::workload::{Pace, Workload};
use crate::bench::observer::Way;
use crate::bench::statistics::{Spread, whole};
use crate::bench::table;

const HEADINGS: [&str; 10] = [
    "observed by",
    "op/s",
    "times",
    "CPU, us/op",
    "times",
    "p99, us",
    "times",
    "observer's CPU",
    "its memory",
    "blocks seen",
];
const MIB: f64 = 1_048_576.0;

/// All tables.
pub(super) fn text(workloads: &[&'static Workload], ways: &[Way], figures: &Figures<'_>) -> String {
    let figures = *figures;
    let mut text = targets::text(workloads, figures);
    let of_blocks: Vec<&'static Workload> =
        workloads.iter().copied().filter(|workload| workload.pace == Pace::Blocks).collect();
    if !of_blocks.is_empty() {
        text += &format!("### What a block costs, ns\n\n{}", block_table(&of_blocks, ways, figures));
    }
    for workload in workloads {
        let blocks = figures.blocks_per_op(workload);
        text += &format!("### {}\n\n{blocks:.2} blocks an operation, as the agent counts them.\n\n", workload.title);
        let rows: Vec<Vec<String>> = ways.iter().map(|way| row(figures, workload, *way)).collect();
        text += &table::text(&HEADINGS, &rows);
    }
    text += &format!("### The agent itself\n\n{}", agent_table(workloads, figures));
    text
}

/// What the tables are not worth, by the shares of the CPUs that others took in the pauses; nothing where they took next to none.
pub(super) fn caution(others: &[f64]) -> &'static str {
    const BUSY: f64 = 0.1;
    if Spread::of(others.iter().copied()).median > BUSY {
        "**Others kept the machine busy: throughput and p99 say little here. CPU times hold.**\n\n"
    } else {
        ""
    }
}

/// What is not in the tables, and why; nothing where all is.
pub(super) fn left_out(left_out: &[String], failures: &[String]) -> String {
    let left_out = left_out.iter().map(|what| format!("- Left out: {what}\n"));
    let failed = failures.iter().map(|what| format!("- Failed: {what}\n"));
    let lines: String = left_out.chain(failed).collect();
    if lines.is_empty() { lines } else { lines + "\n" }
}

/// Time and CPU time that each way adds to a block.
fn block_table(workloads: &[&'static Workload], ways: &[Way], figures: Figures<'_>) -> String {
    let columns = workloads.iter().flat_map(|workload| ["time", "CPU"].map(|of| format!("{}, {of}", workload.name)));
    let headings: Vec<String> = std::iter::once("added by".to_owned()).chain(columns).collect();
    let row = |way: &Way| {
        let cells = workloads.iter().flat_map(|workload| figures.added_to_a_block(workload, *way));
        std::iter::once(way.name().to_owned()).chain(cells.map(|spread| spread.to_string())).collect()
    };
    let rows: Vec<Vec<String>> = ways.iter().filter(|way| **way != Way::Nothing).map(row).collect();
    table::text(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

fn row(figures: Figures<'_>, workload: &'static Workload, way: Way) -> Vec<String> {
    let mut row = vec![way.name().to_owned()];
    let figures_shown: [fn(&Run) -> f64; 3] = [ops_per_s, |run| cpu_ns_per_op(run) / 1e3, p99_us];
    for figure in figures_shown {
        row.push(figures.spread(workload, way, figure).short());
        row.push(if way == Way::Nothing { String::new() } else { figures.times(workload, way, figure).short() });
    }
    let cpu = figures.observers_cpu(workload, way).median;
    if !cpu.is_nan() {
        row.extend([percent(cpu), mib(figures.observers_memory(workload, way))]);
        row.extend([figures.seen_share(workload, way)].into_iter().filter(|share| !share.is_nan()).map(percent));
    }
    row.resize(HEADINGS.len(), String::new());
    row
}

fn agent_table(workloads: &[&'static Workload], figures: Figures<'_>) -> String {
    let ways = [Way::AgentInBudget, Way::AgentAboveThreshold, Way::AgentEverything];
    let row = |way: Way, workload: &&'static Workload| {
        vec![
            format!("{}, {}", way.label(), workload.label),
            mib(figures.observers_memory(workload, way)),
            percent(figures.observers_cpu(workload, way).median),
            whole(figures.events_per_s(workload, way).median),
            percent(figures.lost_share(workload, way)),
        ]
    };
    let rows: Vec<Vec<String>> = ways.iter().flat_map(|way| workloads.iter().map(|one| row(*way, one))).collect();
    table::text(&["agent", "memory at most", "CPU, of a core", "events/s", "lost, counted"], &rows)
}

fn mib(bytes: f64) -> String {
    if bytes.is_nan() { "?".to_owned() } else { format!("{:.1} MiB", bytes / MIB) }
}

fn percent(share: f64) -> String {
    if share.is_nan() { "?".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overhead::figures::tests::run;
    use crate::bench::overhead::workload::ALL;

    #[test]
    fn tables_have_a_row_for_each_way_and_say_where_nothing_was_measured() {
        let workload = &ALL[0];
        let runs = [run(0, Way::Nothing, workload, 1_000_000), run(0, Way::AgentAboveThreshold, workload, 200_000)];
        let ways = [Way::Nothing, Way::AgentAboveThreshold, Way::Bpftrace];
        let text = text(&[workload], &ways, &Figures { runs: &runs });
        assert!(
            text.contains("| nobody observes | 1,000,000 (1,000,000 to 1,000,000) |  | 0.50 (0.50 to 0.50) |"),
            "{text}"
        );
        assert!(text.contains("| 200,000 (200,000 to 200,000) | 0.20 (0.20 to 0.20) | 2.5 (2.5 to 2.5) |"), "{text}");
        assert!(text.contains("| 2.0 % | 30.0 MiB | 100.0 % |"), "{text}");
        assert!(text.contains("threshold 1 ms | 2,000 (2,000 to 2,000) | 1,000 (1,000 to 1,000) |"), "{text}");
        assert!(text.contains("at function entry | ? (? to ?) | ? (? to ?) |"), "{text}");
        assert!(text.contains("2.00 blocks an operation"), "{text}");
    }

    #[test]
    fn a_busy_machine_is_said() {
        assert_eq!([caution(&[]), caution(&[0.01, 0.02, 0.9])], ["", ""]);
        assert!(caution(&[0.5, 0.0, 1.0]).contains("CPU times hold"));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(left_out(&[], &[]), "");
        let said = left_out(&["bpftrace: none".to_owned()], &["echo, nobody observes: it broke".to_owned()]);
        assert_eq!(said, "- Left out: bpftrace: none\n- Failed: echo, nobody observes: it broke\n\n");
    }
}
