//! What observing may cost, and whether it does not cost more.

use super::figures::{Figures, ops_per_s, p99_us};
use super::workload::{Workload, named};
use crate::bench::observer::Way;
use crate::bench::statistics::{Spread, whole};
use crate::bench::table;

const MIB: f64 = 1_048_576.0;

/// Something that must not be more than so much.
struct Target {
    what: String,
    most: f64,
    found: Spread,
    unit: &'static str,
}

/// All of them whose workloads were measured, as a table.
pub(super) fn text(workloads: &[&'static Workload], figures: Figures<'_>) -> String {
    let is_measured = |workload: &&'static Workload| workloads.contains(workload);
    let of = |name: &str| named(name).ok().filter(is_measured);
    let mut all: Vec<Target> = Vec::new();
    all.extend(of("ping-pong").into_iter().flat_map(|workload| blocks(figures, workload)));
    all.extend(of("http-full").map(|workload| throughput(figures, workload)));
    all.extend(["http-1000", "http-4000"].into_iter().filter_map(of).map(|workload| tail(figures, workload)));
    all.extend(of("paced").map(|workload| agents_cpu(figures, workload)));
    all.extend(of("ping-pong").map(|workload| agents_memory(figures, workload)));
    if all.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = all.iter().map(Target::row).collect();
    format!("### Targets\n\n{}", table::text(&["", "at most", "found", ""], &rows))
}

impl Target {
    fn row(&self) -> Vec<String> {
        let verdict = match self.found {
            Spread { median, .. } if median.is_nan() => "not measured",
            Spread { max, .. } if max <= self.most => "met",
            Spread { min, .. } if min > self.most => "missed",
            _ => "cannot tell",
        };
        let found = shown(self.found);
        vec![
            self.what.clone(),
            format!("{} {}", self.most, self.unit),
            format!("{found} {}", self.unit),
            verdict.to_owned(),
        ]
    }
}

fn blocks(figures: Figures<'_>, workload: &'static Workload) -> [Target; 2] {
    let target = |what: &str, most, way| {
        let [time, _] = figures.added_to_a_block(workload, way);
        Target { what: what.to_owned(), most, found: time.times(1e-3), unit: "us" }
    };
    [
        target("a block of the ping-pong, no budget, threshold 1 ms", 2.5, Way::AgentAboveThreshold),
        target("the same at threshold 0: event and stack", 4.0, Way::AgentEverything),
    ]
}

fn throughput(figures: Figures<'_>, workload: &'static Workload) -> Target {
    let lost = figures.times(workload, Way::AgentInBudget, ops_per_s).times(-1.0).plus(1.0);
    let what = format!("{}, default: throughput lost", workload.label);
    Target { what, most: 1.0, found: lost.times(100.0), unit: "%" }
}

fn tail(figures: Figures<'_>, workload: &'static Workload) -> Target {
    let more = figures.times(workload, Way::AgentInBudget, p99_us).plus(-1.0);
    let what = format!("{}, default: added to p99", workload.label);
    Target { what, most: 5.0, found: more.times(100.0), unit: "%" }
}

/// The agent's share, as far as it goes with the events.
fn agents_cpu(figures: Figures<'_>, workload: &'static Workload) -> Target {
    const EVENTS_PER_S: f64 = 10_000.0;
    let events = figures.events_per_s(workload, Way::AgentEverything).median;
    let share = figures.observers_cpu(workload, Way::AgentEverything).times(EVENTS_PER_S / events);
    let what = format!("the agent's CPU for 10,000 events a second (of {} in {})", whole(events), workload.name);
    Target { what, most: 1.0, found: share.times(100.0), unit: "% of a core" }
}

fn agents_memory(figures: Figures<'_>, workload: &'static Workload) -> Target {
    let most = figures.observers_memory(workload, Way::AgentEverything) / MIB;
    let events = whole(figures.events_per_s(workload, Way::AgentEverything).median);
    let what = format!("the agent's memory at {events} events a second, with 100,000 as the aim");
    Target { what, most: 64.0, found: Spread { median: most, min: most, max: most }, unit: "MiB" }
}

/// One digit behind the point; a spread only where it is one.
fn shown(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    match () {
        () if median.is_nan() => "?".to_owned(),
        () if min == max => format!("{median:.1}"),
        () => format!("{median:.1} ({min:.1} to {max:.1})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overhead::figures::tests::run;

    #[test]
    fn what_differs_by_more_than_the_limit_is_no_verdict() {
        let http = named("http-full").unwrap();
        let alone = |round| run(round, Way::Nothing, http, 1_000);
        let observed = |round, ops| run(round, Way::AgentInBudget, http, ops);
        let runs = [alone(0), observed(0, 995), alone(1), observed(1, 900)];
        let text = text(&[http], Figures { runs: &runs });
        assert!(text.contains(" (0.5 to 10.0) % | cannot tell |"), "{text}");
    }

    #[test]
    fn a_target_is_met_missed_or_not_measured() {
        let http = named("http-full").unwrap();
        let runs = |observed| [run(0, Way::Nothing, http, 1_000), run(0, Way::AgentInBudget, http, observed)];
        let verdict = |observed| text(&[http], Figures { runs: &runs(observed) });
        assert!(verdict(995).contains("| HTTP, default: throughput lost | 1 % | 0.5 % | met |"), "{}", verdict(995));
        assert!(verdict(900).contains("| 1 % | 10.0 % | missed |"), "{}", verdict(900));
        let nothing = text(&[named("ping-pong").unwrap()], Figures { runs: &[] });
        assert_eq!(nothing.matches("| not measured |").count(), 3, "{nothing}");
        assert_eq!(text(&[named("mutex").unwrap()], Figures { runs: &[] }), "");
    }
}
