//! Every numbered scenario of the simulator, and random compositions of what happens in them, against the clock model.

mod claims;
mod compositions;
mod judge;
mod run;

use judge::{Miss, misses};
use run::{Measured, percentile, run};
use syncline_sim::scenario::{self, Scenario};

/// Runs of each scenario.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Prints a line of what was measured for each scenario: `--nocapture` shows it.
#[test]
fn every_scenario_keeps_its_limits() {
    println!("us; the worst of {} runs; error and bound of held answers, once settled", SEEDS.len());
    let failures: Vec<String> = scenario::all().iter().flat_map(judged).collect();
    assert!(failures.is_empty(), "limits were not kept:\n{}", failures.join("\n"));
}

/// Runs a scenario, prints what was measured, and gives what fails.
fn judged(scenario: &Scenario) -> Vec<String> {
    let runs: Vec<(u64, Measured)> = SEEDS.iter().map(|seed| (*seed, run(scenario, *seed))).collect();
    let missed: Vec<(u64, Miss)> =
        runs.iter().flat_map(|(seed, run)| misses(scenario, run).into_iter().map(|miss| (*seed, miss))).collect();
    println!("{}", measured(scenario, &runs));
    let failures: Vec<String> = missed.into_iter().map(told).collect();
    if failures.is_empty() { failures } else { [vec![scenario.to_string()], failures].concat() }
}

fn told((seed, miss): (u64, Miss)) -> String {
    format!("    seed {seed}: {miss}")
}

/// The worst of all runs.
fn measured(scenario: &Scenario, runs: &[(u64, Measured)]) -> String {
    let worst = |value: &dyn Fn(&Measured) -> u64| runs.iter().map(|(_, run)| value(run)).max().unwrap_or(0);
    let us = |value: &dyn Fn(&Measured) -> u64| match worst(value) {
        u64::MAX => "none".to_owned(),
        ns => format!("{:.1}", ns as f64 * 1e-3),
    };
    let over_half = |run: &Measured| match percentile(&run.widths_ns, 95) {
        u64::MAX => u64::MAX,
        ns => ns.saturating_sub(run.best_round_trip_ns / 2),
    };
    let outside = worst(&|run| run.held.outside) + worst(&|run| run.hindsight.outside);
    let [p50, p99] = [50, 99].map(|percent| us(&|run| percentile(&run.errors_ns, percent)));
    let (later, p95) = (us(&|run| percentile(&run.hindsight_errors_ns, 99)), us(&|run| percentile(&run.widths_ns, 95)));
    let (over_half, disruptions) = (us(&over_half), worst(&|run| run.disruptions));
    let noticed = runs.iter().flat_map(|(_, run)| &run.noticed_within);
    let within = noticed.clone().flatten().max().map_or(String::new(), |probes| format!(" in {probes}"));
    let missed = noticed.filter(|within| within.is_none()).count();
    let (steps, refused) = (worst(&|run| run.wall_steps.len() as u64), worst(&|run| run.refused.values().sum()));
    format!(
        "{:3} {:32} outside {outside}; error p50 {p50} p99 {p99}, in hindsight {later}; bound p95 {p95}, over half the \
         round trip {over_half}; disruptions {disruptions}{within}, unnoticed {missed}; steps {steps}; \
         refused {refused};",
        scenario.number, scenario.name,
    )
}
