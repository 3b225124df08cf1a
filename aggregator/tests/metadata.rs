//! What is known of processes and of the traces of waits, through the real program into the real engine, and the waits by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::agent::{SimulatedAgent, Uplink};
use support::engine_is_here;
use support::program::{Program, ask, store};
use syncline_event::{Batch, Container, Process, TraceContext};
use syncline_sim::NodeSettings;
use syncline_store::Store;

/// The question of docs/schema.md.
const WAITS_BY_POD: &str = "
    SELECT e.service AS service, p.k8s_namespace AS namespace, p.k8s_pod_name AS pod, count() AS waits
    FROM events AS e
    ASOF LEFT JOIN (SELECT * FROM processes FINAL) AS p
        ON e.region = p.region AND e.node = p.node AND e.boot = p.boot AND e.pid = p.pid AND e.mono_ns >= p.since_mono_ns
    GROUP BY ALL ORDER BY pod";

async fn rows(store: &Store) -> String {
    ask(store, "SELECT count() FROM processes").await
}

/// Another process with the pid of the first one, since this moment; all waits of the batch are its.
fn taken_over_by(batch: &mut Batch, since_mono_ns: u64) {
    let container =
        Container { pod_name: "orders-1".into(), id: "4a".repeat(32), ..batch.processes[0].container.clone() };
    batch.processes.push(Process { since_mono_ns, container, ..batch.processes[0].clone() });
    batch.waits.process.fill(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_found_by_the_pod_of_the_process_that_had_the_pid_then() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let mut agent = SimulatedAgent::new("n1", "us", 1, NodeSettings::default());
    let mut uplink = Uplink::to(&program).await;
    for _ in 0..3 {
        uplink.store(&agent.next_batch(10)).await;
    }
    assert_eq!(rows(&store).await, "1", "a process is told once");
    let row = ask(&store, "SELECT * EXCEPT (seen, boot, container_id) FROM processes").await;
    let uid = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";
    let named = format!("orders\t/srv/orders\tgo1.27.3\tcontainerd\tapp\torders-0\t{uid}\tshop");
    assert_eq!(row, format!("us\tn1\t42\t1000000\t7\t{named}"));

    let mut batch = agent.next_batch(7);
    let since = batch.waits.start[0].ns().unsigned_abs();
    taken_over_by(&mut batch, since);
    uplink.store(&batch).await;
    assert_eq!(rows(&store).await, "2");
    assert_eq!(ask(&store, WAITS_BY_POD).await, "orders\tshop\torders-0\t30\norders\tshop\torders-1\t7");

    // What is known of the same program later replaces what was.
    let mut batch = agent.next_batch(1);
    batch.processes[0].container.namespace = "market".into();
    batch.waits.process.fill(0);
    uplink.store(&batch).await;
    let namespaces = "SELECT k8s_pod_name, k8s_namespace FROM processes FINAL ORDER BY k8s_pod_name";
    assert_eq!(ask(&store, namespaces).await, "orders-0\tmarket\norders-1\tshop");
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_an_agent_that_tells_no_more_than_its_service_has_a_row_too() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let mut batch = SimulatedAgent::new("n2", "us", 2, NodeSettings::default()).next_batch(4);
    (batch.processes[0].container, batch.processes[0].since_mono_ns) = (Container::default(), 0);
    Uplink::to(&program).await.store(&batch).await;
    assert_eq!(ask(&store, WAITS_BY_POD).await, "orders\t\t\t4");
    let row = "SELECT container_id, k8s_pod_uid, service, executable, since_mono_ns FROM processes";
    assert_eq!(ask(&store, row).await, "orders\t/srv/orders\t0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_waits_of_a_trace_are_found_by_its_id() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let mut batch = SimulatedAgent::new("n3", "us", 3, NodeSettings::default()).next_batch(5);
    let trace = |trace_id, span_id| TraceContext { trace_id, span_id };
    batch.waits.trace[1] = trace(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
    batch.waits.trace[2] = trace(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 8);
    batch.waits.trace[3] = trace(0, 9);
    Uplink::to(&program).await.store(&batch).await;
    let of_trace =
        "SELECT trace, span FROM events WHERE trace_id = unhex('4bf92f3577b34da6a3ce929d0e0e4736') ORDER BY seq";
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let found = format!("{trace}\t00f067aa0ba902b7\n{trace}\t0000000000000008");
    assert_eq!(ask(&store, of_trace).await, found);
    let on_the_fleets_clock = of_trace.replace("events", "timeline(t0 = now64(9) - 3600, t1 = now64(9) + 3600)");
    assert_eq!(ask(&store, &on_the_fleets_clock).await, found);
    let all =
        "SELECT countIf(trace = ''), countIf(span = ''), countIf(trace = '' AND span = '0000000000000009') FROM events";
    assert_eq!(ask(&store, all).await, "3\t2\t1");
}
