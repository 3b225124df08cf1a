//! Messages between nodes with wrong clocks, through the real program into the real engine, and what the pairs say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, store};
use support::{engine_is_here, eventually};
use syncline_event::{Direction, Flow, Opener, SendLatency, SessionEnd, StackId, TcpLoss, TcpLossCause, TcpSession};
use syncline_sim::{NodeSettings, OscillatorSettings};
use syncline_timebase::{Offset, Span};

const BATCHES: u32 = 10;
const EACH_WAY: u32 = 8;
/// A message is under way for so long.
const WAY_NS: i64 = 200_000;
const MS: i64 = 1_000_000;

fn agent(name: &str, seed: u64, frequency_ppb: f64) -> SimulatedAgent {
    let oscillator = OscillatorSettings { frequency_ppb, ..OscillatorSettings::default() };
    SimulatedAgent::new(name, "us", seed, NodeSettings { oscillator, ..NodeSettings::default() })
}

fn flow(local: &str, remote: &str) -> Flow {
    Flow { local: local.parse().unwrap(), remote: remote.parse().unwrap(), netns: 7 }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_nodes_with_wrong_clocks_contradict_nothing_and_are_stored_once() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let mut agents = [agent("a", 1, 35_000.0), agent("b", 2, -60_000.0)];
    let mut uplinks = [Uplink::to(&program).await, Uplink::to(&program).await];
    let ends = ("10.0.0.1:40000", "10.0.0.2:80");
    for number in 0..BATCHES {
        let mut batches = agents.each_mut().map(|agent| agent.next_batch(1));
        for message in 0..EACH_WAY {
            let (mark, sent) = (number * EACH_WAY + message, 100 * MS + i64::from(message) * 90 * MS);
            for (from, to, local, remote) in [(0, 1, ends.0, ends.1), (1, 0, ends.1, ends.0)] {
                agents[from].tell_message(&mut batches[from], flow(local, remote), Direction::Send, mark, sent);
                agents[to].tell_message(&mut batches[to], flow(remote, local), Direction::Receive, mark, sent + WAY_NS);
            }
        }
        for (batch, uplink) in batches.iter().zip(&mut uplinks) {
            uplink.store(batch).await;
            uplink.store(batch).await;
        }
    }
    let store = store(dir.path()).await;
    let stored = 2 * 2 * BATCHES * EACH_WAY;
    assert_eq!(ask(&store, "SELECT count() FROM messages").await, stored.to_string());
    let pairs = "causal_pairs(t0 = now64(9) - 3600, t1 = now64(9) + 3600)";
    let sql = format!(
        "SELECT src_node, dst_node, count(), countIf(verdict = 'violated'), countIf(least_ns <= {WAY_NS} AND {WAY_NS} <= most_ns), \
         countIf(most_ns - least_ns < 10000000) FROM {pairs} GROUP BY src_node, dst_node ORDER BY src_node"
    );
    let each = BATCHES * EACH_WAY;
    assert_eq!(ask(&store, &sql).await, format!("a\tb\t{each}\t0\t{each}\t{each}\nb\ta\t{each}\t0\t{each}\t{each}"));
    assert!(program.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_what_was_lost_of_tcp_are_stored() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let mut agent = agent("a", 3, 1_000.0);
    let mut uplink = Uplink::to(&program).await;
    let mut batch = agent.next_batch(1);
    batch.flows = vec![flow("[fd00::1]:443", "[fd00::2]:5000")];
    let first = batch.waits.start[0];
    let open = TcpSession {
        process: 0,
        flow: 0,
        tid: 1,
        goid: 2,
        stack: StackId::NONE,
        socket: 3,
        opener: Opener::Remote,
        first,
        wall_offset: Offset::from_ns(0),
        handshake_ns: None,
        updated: first + Span::from_ms(10),
        bytes_sent: 10,
        bytes_received: 20,
        retransmits: 1,
        srtt_us: 30,
        min_rtt_us: Some(4),
        end: None,
        sends: None,
    };
    let end = Some(SessionEnd { last_state: 5, error: 0 });
    let sends = SendLatency {
        count: 3,
        total_ns: 12,
        max_ns: 8,
        histogram: vec![0, 2, 0, 1],
        unmeasured: 1,
        unacknowledged: 2,
    };
    let sends = Some(sends);
    let ended = TcpSession { updated: first + Span::from_ms(20), bytes_sent: 11, end, sends, ..open.clone() };
    batch.tcp_sessions = vec![open, ended];
    batch.tcp_losses = vec![TcpLoss { cause: TcpLossCause::MarkUncertain, count: 5 }];
    uplink.store(&batch).await;
    let store = store(dir.path()).await;
    let sql = "SELECT service, local_address, peer_port, toString(opener), dur_ns, ended, last_state, bytes_sent, retransmits, err_ns < 5000000, \
        sends_watched, sends, send_total_ns, send_max_ns, send_hist, sends_unmeasured, sends_unacknowledged \
        FROM tcp_sessions FINAL";
    let row = ask(&store, sql).await;
    assert_eq!(row, "orders\tfd00::1\t5000\tremote\t20000000\t1\tFIN_WAIT2\t11\t1\t1\t1\t3\t12\t8\t[0,2,0,1]\t1\t2");
    assert_eq!(ask(&store, "SELECT cause, count FROM tcp_losses").await, "mark_uncertain\t5");
    assert!(program.terminate().success());
}

/// A message at `at_ns` since 1970 that is known to 1 us, by the clock of its node.
fn message_row(node: &str, direction: &str, at_ns: u64) -> String {
    let (sender, receiver) = ("'10.0.0.1', 5", "'10.0.0.2', 6");
    let (local, peer) = if direction == "send" { (sender, receiver) } else { (receiver, sender) };
    format!(
        "INSERT INTO messages (bucket, region, node, boot, direction, local_address, local_port, peer_address, peer_port, mark, marks, \
         mark_shift, mono_ns, ref_run, al_off, err_ns) VALUES ({}, 'us', '{node}', {}, '{direction}', {local}, {peer}, 4096, 1, 12, {at_ns}, 7, 0, 1000)",
        at_ns / 60_000_000_000 * 60,
        node.len(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roots_aggregator_checks_what_was_not_checked_and_warns() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let before = store(dir.path()).await;
    let now_ns = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let sent_ns = now_ns - 300_000_000_000;
    ask(&before, &message_row("early", "send", sent_ns)).await;
    ask(&before, &message_row("too-early", "receive", sent_ns - 1_000_000)).await;
    assert!(program.terminate().success());

    let program = Program::embedded(dir.path());
    let store = store(dir.path()).await;
    let checked = "SELECT src_node, dst_node, pairs, violated, least_gap_ns, slack_ns, settled FROM pair_checks FINAL";
    eventually("the minute is checked", async || !ask(&store, checked).await.is_empty()).await;
    assert_eq!(ask(&store, checked).await, "early\ttoo-early\t1\t1\t-1000000\t-998000\t1");
    eventually("it is told", async || program.log().contains("proved to be received before they were sent")).await;
    assert!(program.log().contains("us/too-early"), "{}", program.log());
    assert!(program.terminate().success());
}
