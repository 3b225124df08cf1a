//! What the documentation, the shipped rules and the runbook say is what the program has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../crates/config/tests/support/page.rs"]
mod page;
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use page::assert_documented;
use support::prometheus;
use syncline_aggregator::{cli, metrics, settings};
use syncline_alerts::Rule;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn each_option_is_documented() {
    assert_documented("configuration.md", "aggregator options", &cli::OPTIONS.table(&cli::syntax()));
    assert_documented("configuration.md", "alert settings", &settings::table());
}

#[test]
fn each_metric_is_documented() {
    assert_documented("metrics.md", "aggregator metrics", &syncline_metrics::table(&metrics::families()));
}

#[test]
fn the_shipped_file_is_right() {
    cli::validate(&root().join("docs/aggregator.toml")).unwrap_or_else(|problem| panic!("{}", problem.shown()));
}

/// The headings of the runbook as they are linked to, each with its text.
fn runbook() -> Vec<(String, String)> {
    let page = read("docs/runbook.md");
    let sections = page.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap());
    sections.map(|(heading, text)| (heading.to_lowercase().replace(' ', "-"), text.to_owned())).collect()
}

#[test]
fn each_rule_has_its_place_in_the_runbook() {
    let runbook = runbook();
    for rule in Rule::ALL {
        assert!(runbook.iter().any(|(heading, _)| heading == rule.name()), "{rule}");
    }
    for (heading, text) in &runbook {
        for part in ["**What it means.**", "**How to look.**", "**What to do.**"] {
            assert!(text.contains(part), "{heading}: {part}");
        }
    }
    let rules = read("deploy/prometheus/syncline.rules.yml");
    let linked: BTreeSet<&str> = rules.lines().filter_map(|line| Some(line.split_once("runbook.md#")?.1)).collect();
    assert_eq!(linked.len(), rules.matches("- alert:").count(), "each rule has its own");
    for link in linked {
        assert!(runbook.iter().any(|(heading, _)| heading == link), "{link}");
    }
}

/// A rule for each kind of alert.
#[test]
fn each_kind_of_alert_has_a_rule() {
    let rules = read("deploy/prometheus/syncline.rules.yml");
    for rule in Rule::ALL {
        assert!(rules.contains(&format!("runbook.md#{rule}\n")), "{rule}");
    }
}

#[test]
fn rules_speak_of_metrics_that_there_are() {
    let (rules, documented) = (read("deploy/prometheus/syncline.rules.yml"), read("docs/metrics.md"));
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = rules.split(|c| !is_name(c)).filter(|word| word.starts_with("syncline_"));
    let mut number = 0;
    for name in names {
        assert!(documented.contains(&format!("| `{name}` |")), "{name}");
        number += 1;
    }
    assert!(number > 10, "{number}");
}

#[test]
fn the_rules_pass_their_tests_in_promtool_and_a_broken_one_does_not() {
    let Some(promtool) = prometheus::path("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let test = |rules: &str| {
        std::fs::write(dir.path().join("syncline.rules.yml"), rules).unwrap();
        std::fs::write(dir.path().join("test.yml"), read("deploy/prometheus/syncline.rules.test.yml")).unwrap();
        let output =
            Command::new(&promtool).args(["test", "rules", "test.yml"]).current_dir(dir.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let rules = read("deploy/prometheus/syncline.rules.yml");
    let (is_good, told) = test(&rules);
    assert!(is_good, "{told}");
    for (good, bad) in [
        ("> 0.05", "> 0.5"),
        ("> 0.025", "< 0.025"),
        ("syncline_agent_connected == 0", "syncline_agent_connected == 1"),
        (" or absent(syncline_alerts_evaluating)", ""),
        (" unless on (instance, region) syncline_region_utc_offset_seconds", ""),
        (" unless on (region, node) syncline_node_clock_reference_bound_seconds", ""),
        (
            "min by (region, node) (syncline_node_clock_reference_bound_seconds)",
            "syncline_node_clock_reference_bound_seconds",
        ),
        ("min by (region, node) (syncline_node_silence_seconds) > 120", "syncline_node_silence_seconds > 120"),
        ("(syncline_node_silence_seconds) + 60", "(syncline_node_silence_seconds) + 60000"),
        (" and on (instance, region, node) syncline_node_clock_drift_ratio\n", "\n"),
        (" and on (instance, region, node) (syncline_node_clock_drift_ratio offset 5m)\n", "\n"),
        ("syncline_node_clock_drift_ratio offset 5m", "syncline_node_clock_drift_ratio offset 15m"),
        ("(last_over_time(syncline_node_silence_seconds[1d])) > 120", "(syncline_node_silence_seconds) > 120"),
        ("min by (region, node) (last_over_time", "max by (region, node) (last_over_time"),
        (" unless group by (region) (syncline_aggregator_info)", ""),
        ("{rule=\"step\"}", ""),
        ("{rule=\"pause\"}", "{rule=\"paus\"}"),
        ("max(syncline_alerts_firing{rule=\"claim\"})", "min(syncline_alerts_firing{rule=\"claim\"})"),
        ("max(syncline_alerts_firing{rule=\"causality\"})", "syncline_alerts_firing{rule=\"causality\"}"),
        ("{rule=\"reference\"}) > 0", "{rule=\"reference\"}) > 2"),
        ("{rule=\"regions\"}) > 0", "{rule=\"regions\"}) >= 0"),
    ] {
        assert!(rules.contains(good));
        assert!(!test(&rules.replace(good, bad)).0, "{good} is not tested");
    }
}
