//! The pictures of docs/performance.md.

use std::fs;

use anyhow::{Context, Result};

use super::collector::Collector;
use super::ingest::{Ingest, Run};
use super::queries::Queries;
use crate::bench::dots::{Dots, Panel, Scale};
use crate::bench::statistics::Spread;
use crate::place;

const OURS: &str = "#1a6fb5";
const THEIRS: &str = "#d1495b";
const PART: &str = "#8d99ae";

/// Draws docs/img/pipeline-*.svg of what was measured.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(
    ingest: Option<&Ingest<'_>>,
    queries: Option<&Queries>,
    collector: Option<&Collector<'_>>,
) -> Result<()> {
    let dir = place::workspace().join("docs").join("img");
    fs::create_dir_all(&dir)?;
    let ways = ingest.zip(collector).map(|(ingest, collector)| {
        let ways = [ingest.decoded(), ingest.stored(), collector.runs()];
        ("pipeline-ways.svg", ways_of(ways.map(Run::rates), ways.map(all_cpu)))
    });
    let answers = queries.map(|queries| ("pipeline-answers.svg", answers_of(queries.times())));
    for (name, picture) in ways.into_iter().chain(answers) {
        let path = dir.join(name);
        fs::write(&path, picture.text()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn all_cpu(runs: &[Run]) -> Spread {
    Spread::of(runs.iter().map(|run| run.cpu_us + run.engine_cpu_us))
}

fn ways_of(rates: [Spread; 3], cpus: [Spread; 3]) -> Dots {
    Dots {
        title: "Ways of events, logarithmic",
        scale: Scale::Decades(-1..7),
        rows: vec![("only decoded", PART), ("rows in ClickHouse", OURS), ("as logs (OTLP)", THEIRS)],
        panels: vec![
            Panel { title: "events/s", marks: rates.to_vec() },
            Panel { title: "CPU time an event, us", marks: cpus.to_vec() },
        ],
    }
}

/// By store, and in it by question.
fn answers_of(times: [[Spread; 2]; 3]) -> Dots {
    let panel = |title, question: usize| Panel { title, marks: times.iter().map(|of| of[question]).collect() };
    Dots {
        title: "Answers, ms, logarithmic",
        scale: Scale::Decades(0..4),
        rows: vec![("48 M rows, 300 nodes", OURS), ("4.8 M rows, 300", PART), ("4.8 M rows, 3,000", PART)],
        panels: vec![panel("2 s of timeline", 0), panel("top stacks of ten minutes", 1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::svg::unbalanced;

    #[test]
    fn each_way_and_each_store_has_its_mark() {
        let spread = |number: f64| Spread::of([number, number * 1.1]);
        let ways = ways_of([2e6, 2e5, 5e4].map(spread), [0.4, 9.0, 40.0].map(spread)).text();
        let answers = answers_of([[30.0, 80.0], [20.0, 60.0], [21.0, 61.0]].map(|of| of.map(spread))).text();
        for text in [ways, answers] {
            assert_eq!(unbalanced(&text), None);
            assert_eq!(text.matches("<circle").count(), 6);
            assert!(!text.contains("NaN"));
        }
    }
}
