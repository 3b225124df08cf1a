//! Metrics of the real program, read by a real Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::program::{Program, error_line, fails};
use support::prometheus::{self, ask};
use support::{engine_is_here, eventually};

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
    let rules = async || {
        let answer = prometheus::get(&format!("{}/api/v1/rules", prometheus.url)).unwrap_or_default();
        answer.matches("\"health\":\"ok\"").count() == shipped
    };
    eventually("all rules are evaluated well", rules).await;
    assert!(program.terminate().success());
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
