//! The metrics of the real agent while it observes a real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;
#[allow(dead_code, reason = "Alertmanager has nothing to do with an agent")]
#[path = "../../aggregator/tests/support/prometheus.rs"]
mod prometheus;
mod support;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use fake::{Answer, Fake, eventually};
use support::go_program::{ANY, GoProgram};

/// Ends the agent with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a line of the exposition; none where it is not there.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_captured_stored_and_lost_is_counted() {
    if !support::bpf_usable() {
        return;
    }
    let fake = Fake::start(|_, _| Answer::Store).await;
    let mut program = GoProgram::start_by(&mut Command::new(ANY.program("rounds")));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_syncline-agent"))
        .args(["--region", "eu", "--node", "n1", "--aggregator", &fake.url(), "--without", "tcp"])
        .args([
            "--control",
            "none",
            "--spool",
            "none",
            "--symbol-cache",
            "none",
            "--budget",
            "off",
            "--metrics",
            &address,
        ])
        .args(["--probe-interval", "600ms", "--require-aggregator", "20s", "--pid", &program.pid().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let _agent = Agent(child);
    assert_eq!(ready, "ready\n");
    program.go();
    program.next_event();
    let url = format!("http://{address}/metrics");
    let text = || ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    eventually("the waits are counted as they are captured, and as they are stored", async || {
        let text = text();
        let at_least = |name: &str, least: f64| value(&text, name).is_some_and(|value| value >= least);
        at_least("syncline_agent_waits_total", 5.0) && at_least("syncline_agent_stored_waits_total", 5.0)
    })
    .await;
    let text = text();
    assert!(text.contains("syncline_agent_info{version=") && text.contains("region=\"eu\",node=\"n1\"} 1"), "{text}");
    assert_eq!(value(&text, "syncline_agent_connected"), Some(1.0));
    assert_eq!(value(&text, "syncline_agent_lost_waits_total{cause=\"queue_full\"}"), Some(0.0));
    assert!(ureq::get(&format!("http://{address}/")).call().is_err(), "nothing else is there");
    a_real_prometheus_reads_them(&address).await;
}

/// All of them, as its parser has it.
async fn a_real_prometheus_reads_them(address: &str) {
    if prometheus::path("prometheus").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let daemon = prometheus::prometheus(dir.path(), address, &prometheus::shipped_rules()).await.unwrap();
    let ask = |query: &str| prometheus::ask(&daemon, query);
    eventually("it is asked", async || ask("up").first().is_some_and(|(_, up)| *up == 1.0)).await;
    let info = ask("syncline_agent_info").remove(0).0;
    assert_eq!((&info["region"], &info["node"]), (&"eu".into(), &"n1".into()));
    assert!(ask("syncline_agent_stored_waits_total")[0].1 >= 5.0);
    let lost = ask("syncline_agent_lost_waits_total");
    assert!(lost.len() > 10 && lost.iter().all(|(of, _)| of["cause"].is_string()), "{lost:?}");
}
