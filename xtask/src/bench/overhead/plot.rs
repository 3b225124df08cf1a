//! The pictures of docs/overhead.md.

use std::fs;

use anyhow::{Context, Result};

use super::figures::{Figures, ops_per_s, p99_us};
use super::workload::{ALL, Pace, Workload};
use crate::bench::dots::{Dots, Panel, Scale};
use crate::bench::observer::Way;
use crate::bench::statistics::Spread;
use crate::place;

/// Draws docs/img/overhead-*.svg.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(ways: &[Way], figures: &Figures<'_>) -> Result<()> {
    let dir = place::workspace().join("docs").join("img");
    fs::create_dir_all(&dir)?;
    for (name, picture) in pictures(ways, *figures) {
        let path = dir.join(name);
        fs::write(&path, picture.text()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn pictures(ways: &[Way], figures: Figures<'_>) -> [(&'static str, Dots); 3] {
    let of_pace = |paces: &[Pace]| ALL.iter().filter(|workload| paces.contains(&workload.pace)).collect::<Vec<_>>();
    let dots = |title, scale, workloads: Vec<&'static Workload>, figure: &dyn Fn(&'static Workload, Way) -> Spread| {
        let ways: Vec<Way> = ways.iter().copied().filter(|way| *way != Way::Nothing).collect();
        let marks = |workload| ways.iter().map(|way| figure(workload, *way)).collect();
        let panels = workloads.into_iter().map(|workload| Panel { title: workload.label, marks: marks(workload) });
        let rows = ways.iter().map(|way| (way.label(), colour(*way))).collect();
        Dots { title, scale, rows, panels: panels.collect() }
    };
    [
        (
            "overhead-blocks.svg",
            dots(
                "CPU time that a way adds to a block, ns",
                Scale::Decades(1..6),
                of_pace(&[Pace::Blocks]),
                &|workload, way| figures.added_to_a_block(workload, way)[1],
            ),
        ),
        (
            "overhead-throughput.svg",
            dots(
                "Throughput, of the unobserved program's, where it does what it can",
                Scale::Share,
                of_pace(&[Pace::Blocks, Pace::Full]),
                &|workload, way| figures.times(workload, way, ops_per_s),
            ),
        ),
        (
            "overhead-p99.svg",
            dots(
                "p99 latency, times the unobserved program's",
                Scale::Decades(-1..3),
                of_pace(&[Pace::Fixed, Pace::Full]),
                &|workload, way| figures.times(workload, way, p99_us),
            ),
        ),
    ]
}

fn colour(way: Way) -> &'static str {
    match way {
        Way::AgentInBudget | Way::AgentAboveThreshold | Way::AgentEverything => "#1a6fb5",
        Way::EmptyUprobes => "#8d99ae",
        _ => "#d1495b",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overhead::figures::tests::run;
    use crate::bench::svg::unbalanced;

    #[test]
    fn each_workload_has_its_panel() {
        let runs: Vec<_> =
            ALL.iter().flat_map(|one| [Way::Nothing, Way::Bpftrace].map(|way| run(0, way, one, 500))).collect();
        let [blocks, throughput, p99] = pictures(&Way::ALL, Figures { runs: &runs }).map(|(_, dots)| dots.text());
        assert!(blocks.contains(">mutex</text>") && !blocks.contains("caddy"));
        assert!(throughput.contains(">caddy, proxy</text>") && p99.contains(">10k idle</text>"));
        for text in [blocks, throughput, p99] {
            assert_eq!(unbalanced(&text), None);
            assert!(!text.contains("NaN") && !text.contains(">nobody<"), "{text}");
        }
    }
}
