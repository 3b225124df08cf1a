//! Metrics of the real program, read by a real Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, error_line, fails};
use support::prometheus::{self, Daemon, ask};
use support::{engine_is_here, eventually};
use syncline_sim::NodeSettings;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_reads_them_and_evaluates_the_shipped_rules() {
    if !engine_is_here() || prometheus::path("prometheus").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = ["--region", "us", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--store-dir"];
    let program = Program::start(dir.path(), &[&options[..], &[dir.path().to_str().unwrap()]].concat());
    let rules = prometheus::shipped_rules();
    let shipped = std::fs::read_to_string(&rules).unwrap().matches("- alert:").count();
    assert!(shipped > 10, "{shipped}");
    let prometheus = prometheus::prometheus(dir.path(), program.says("metrics"), &rules).await.unwrap();
    eventually("it is asked", async || ask(&prometheus, "up").first().is_some_and(|(_, up)| *up == 1.0)).await;
    let info = ask(&prometheus, "syncline_aggregator_info").remove(0).0;
    assert_eq!((&info["region"], &info["version"]), (&"us".into(), &env!("CARGO_PKG_VERSION").into()));
    // Rounds end at whole multiples of 15 s; a start does not.
    let evaluated = async || {
        let at = ask(&prometheus, "syncline_alerts_evaluated_timestamp_seconds");
        at.first().is_some_and(|(_, at)| *at > 1.7e9 && at % 15.0 == 0.0)
    };
    eventually("alerts are evaluated", evaluated).await;
    let lost = ask(&prometheus, "syncline_aggregator_lost_waits_total");
    assert!(lost.len() > 10 && lost.iter().all(|(_, count)| *count == 0.0), "{lost:?}");
    assert!(ask(&prometheus, "syncline_node_clock_reference_bound_seconds").is_empty(), "of no node is anything known");
    node_is_read(&program, &prometheus).await;
    let rules = async || {
        let answer = prometheus::get(&format!("{}/api/v1/rules", prometheus.url)).unwrap_or_default();
        answer.matches("\"health\":\"ok\"").count() == shipped
    };
    eventually("all rules are evaluated well", rules).await;
    assert!(program.terminate().success());
}

/// A node sends probes: Prometheus has its offset with a bound that holds the truth, and all else that is known of it.
async fn node_is_read(program: &Program, prometheus: &Daemon) {
    let mut agent = SimulatedAgent::new("web-1", "us", 1, NodeSettings::default());
    let mut uplink = Uplink::to(program).await;
    for _ in 0..8 {
        uplink.store(&agent.next_batch(0)).await;
    }
    let truth = agent.wall_minus_reference_ns() as f64 / 1e9;
    let of_node = |what: &str| ask(prometheus, &format!("{what}{{region=\"us\", node=\"web-1\"}}"));
    let value = |what: &str| of_node(what).first().map(|(_, value)| *value);
    let is_known = async || value("syncline_node_clock_reference_bound_seconds").is_some_and(f64::is_finite);
    eventually("its bound is read", is_known).await;
    // Of one moment: a scrape may come between two questions.
    let least = "syncline_node_clock_reference_offset_seconds - syncline_node_clock_reference_bound_seconds";
    let most = "syncline_node_clock_reference_offset_seconds + syncline_node_clock_reference_bound_seconds";
    let (least, most) = (ask(prometheus, least).remove(0).1, ask(prometheus, most).remove(0).1);
    assert!(least < truth && truth < most && most - least < 0.1, "{least} to {most}, not {truth}");
    let frequency = value("syncline_node_clock_frequency_error_ratio").unwrap();
    assert!(frequency.abs() < 1e-3, "{frequency}");
    assert!(value("syncline_node_clock_probe_age_seconds").unwrap() < 120.0);
    assert!(value("syncline_node_silence_seconds").unwrap() < 120.0);
    assert_eq!(value("syncline_node_clock_drift_ratio"), None, "it is not known for five minutes");
    let statuses = of_node("syncline_node_clock_status");
    assert_eq!((statuses.len(), statuses.iter().map(|(_, is)| is).sum::<f64>()), (4, 1.0), "{statuses:?}");
    assert_eq!(ask(prometheus, "syncline_nodes")[0].1, 1.0);
    let p99 = "histogram_quantile(0.99, syncline_aggregator_insert_duration_seconds_bucket)";
    let p99_s = ask(prometheus, p99).remove(0).1;
    assert!(p99_s > 0.0 && p99_s <= 30.0, "inserts took {p99_s} s");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (dir, address) = (tempfile::tempdir().unwrap(), taken.local_addr().unwrap().to_string());
    let store = dir.path().to_str().unwrap();
    let output = fails(&["--region", "us", "--listen", "127.0.0.1:0", "--metrics", &address, "--store-dir", store]);
    let line = error_line(&output);
    assert!(line.contains(&address) && line.contains("--metrics"), "{line}");
}
