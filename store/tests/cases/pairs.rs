//! Messages, the pairs they make, and the check of the clocks by them.

use std::net::IpAddr;

use syncline_store::LowCardinality;
use syncline_store::rows::*;

use super::timeline::{Map, insert_maps, run_of};
use super::{Fixture, base_ns};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
/// mono of every node at [`base_ns`], s.
const MONO_S: i64 = 5_000;
const SHIFT: u8 = 12;

/// A message: of which node, when (ns of its region's REF after [`base_ns`]), how well that is known.
#[derive(Clone, Copy)]
struct Call {
    region: &'static str,
    node: &'static str,
    boot: u64,
    direction: MessageDirection,
    local: (&'static str, u16),
    remote: (&'static str, u16),
    netns: u32,
    mark: u32,
    marks: u32,
    at: i64,
    err: u64,
}

const SEND: Call = Call {
    region: "eu",
    node: "eu-1",
    boot: 1,
    direction: MessageDirection::Send,
    local: ("10.0.0.1", 40_000),
    remote: ("10.0.0.2", 80),
    netns: 7,
    mark: 4 << SHIFT,
    marks: 1,
    at: 0,
    err: 1_000,
};

/// The receipt of the mark of [`SEND`], so much later.
const fn receipt(at: i64) -> Call {
    Call {
        node: "eu-2",
        boot: 2,
        direction: MessageDirection::Receive,
        local: SEND.remote,
        remote: SEND.local,
        netns: 8,
        at,
        ..SEND
    }
}

fn address(text: &str) -> [u8; 16] {
    match text.parse().unwrap() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

async fn insert(fixture: &Fixture, token: &str, calls: &[Call]) {
    let n = calls.len();
    let rows = MessageRows {
        bucket: calls.iter().map(|call| u32::try_from((base_ns() + call.at) / (60 * SECOND) * 60).unwrap()).collect(),
        region: calls.iter().map(|call| call.region).collect(),
        service: LowCardinality::constant("shop", n),
        node: calls.iter().map(|call| call.node).collect(),
        boot: calls.iter().map(|call| call.boot).collect(),
        pid: vec![42; n],
        tid: vec![43; n],
        goid: vec![44; n],
        direction: calls.iter().map(|call| call.direction).collect(),
        local_address: calls.iter().map(|call| address(call.local.0)).collect(),
        local_port: calls.iter().map(|call| call.local.1).collect(),
        peer_address: calls.iter().map(|call| address(call.remote.0)).collect(),
        peer_port: calls.iter().map(|call| call.remote.1).collect(),
        netns: calls.iter().map(|call| call.netns).collect(),
        mark: calls.iter().map(|call| call.mark).collect(),
        marks: calls.iter().map(|call| call.marks).collect(),
        mark_shift: vec![SHIFT; n],
        mono_ns: calls.iter().map(|call| (MONO_S * SECOND + call.at).unsigned_abs()).collect(),
        wall_off: vec![0; n],
        ref_run: calls.iter().map(|call| run_of(call.region)).collect(),
        al_off: vec![base_ns() - MONO_S * SECOND; n],
        err_ns: calls.iter().map(|call| call.err).collect(),
        bound_class: vec![BoundClass::Hard; n],
        clock_status: vec![ClockStatus::Synchronized; n],
        epoch: vec![0; n],
        model_rev: vec![1; n],
    };
    fixture.store.insert(rows.into_block().unwrap(), token).await.unwrap();
    insert_node(fixture, calls[0].region).await;
}

/// The views ask how many regions there are.
async fn insert_node(fixture: &Fixture, region: &str) {
    let rows = NodeRows {
        region: LowCardinality::constant(region, 1),
        node: LowCardinality::constant("any", 1),
        boot: vec![1],
        kernel: vec!["6.18".into()],
        agent_version: vec!["0".into()],
        first_seen: vec![base_ns()],
        last_seen: vec![base_ns()],
    };
    fixture.store.insert(rows.into_block().unwrap(), &format!("node {region}")).await.unwrap();
}

/// The pairs of the minute from [`base_ns`] on, in order of their marks.
async fn pairs(fixture: &Fixture) -> Vec<String> {
    let second = base_ns() / SECOND;
    let sql = format!(
        "SELECT src_node, dst_node, intDiv(mark, 4096), gap_ns, least_ns, most_ns, verdict FROM causal_pairs(\
         t0 = toDateTime64({second}, 9, 'UTC'), t1 = toDateTime64({}, 9, 'UTC')) ORDER BY mark, src_node, dst_node",
        second + 60
    );
    fixture.ask(&sql).await.lines().map(|line| line.replace('\t', " ")).collect()
}

pub(crate) async fn sends_meet_their_receipts_and_are_judged() {
    let fixture = Fixture::migrated().await;
    let mark = |number: u32| number << SHIFT;
    let calls = [
        // One call that sent marks 4, 5 and 6 was read by two, the last one not at all.
        Call { marks: 3, at: SECOND, ..SEND },
        receipt(SECOND + 5_000),
        Call { mark: mark(5), ..receipt(SECOND + 1_500) },
        // Proved to be received before it was sent.
        Call { mark: mark(7), at: 2 * SECOND, ..SEND },
        Call { mark: mark(7), ..receipt(2 * SECOND - 2_001) },
        // Bounds that touch.
        Call { mark: mark(8), at: 3 * SECOND, ..SEND },
        Call { mark: mark(8), ..receipt(3 * SECOND - 2_000) },
        // Nothing is known of one end.
        Call { mark: mark(9), at: 4 * SECOND, err: UNBOUNDED_NS, ..SEND },
        Call { mark: mark(9), ..receipt(5 * SECOND) },
        // The last mark of the numbers, and the first of the next round.
        Call { mark: mark(0xf_ffff), marks: 2, at: 6 * SECOND, ..SEND },
        Call { mark: 0, ..receipt(7 * SECOND) },
        // Another port: an address translation was in between.
        Call { mark: mark(12), at: 8 * SECOND, ..SEND },
        Call { mark: mark(12), remote: ("192.0.2.1", 1), ..receipt(9 * SECOND) },
        // On one node and boot the clock is one, and order is exact.
        Call { mark: mark(13), at: 10 * SECOND, err: UNBOUNDED_NS, ..SEND },
        Call { mark: mark(13), node: "eu-1", boot: 1, err: UNBOUNDED_NS, ..receipt(10 * SECOND + 1) },
    ];
    insert(&fixture, "calls", &calls).await;
    assert_eq!(
        pairs(&fixture).await,
        [
            "eu-1 eu-2 0 1000000000 999998000 1000002000 right",
            "eu-1 eu-2 4 5000 3000 7000 right",
            "eu-1 eu-2 5 1500 -500 3500 cannot tell",
            "eu-1 eu-2 7 -2001 -4001 -1 violated",
            "eu-1 eu-2 8 -2000 -4000 0 cannot tell",
            "eu-1 eu-2 9 1000000000 \\N \\N cannot tell",
            "eu-1 eu-1 13 1 1 1 right",
        ]
    );
}

pub(crate) async fn each_send_is_of_one_minute_and_its_receipt_of_any() {
    let fixture = Fixture::migrated().await;
    let mark = |number: u32| number << SHIFT;
    let minute = 60 * SECOND;
    let calls = [
        Call { mark: mark(1), at: -1, ..SEND },
        Call { mark: mark(1), ..receipt(1_000) },
        Call { mark: mark(2), ..SEND },
        Call { mark: mark(2), ..receipt(-1_000) },
        Call { mark: mark(3), at: minute - 1, ..SEND },
        Call { mark: mark(3), ..receipt(minute + 9 * SECOND) },
        Call { mark: mark(4), at: minute, ..SEND },
        Call { mark: mark(4), ..receipt(minute - 1_000) },
    ];
    insert(&fixture, "calls", &calls).await;
    let found = pairs(&fixture).await;
    assert_eq!(
        found,
        ["eu-1 eu-2 2 -1000 -3000 1000 cannot tell", "eu-1 eu-2 3 9000000001 8999998001 9000002001 right"]
    );
}

pub(crate) async fn what_has_no_bound_is_no_violation_and_has_no_slack() {
    let fixture = Fixture::migrated().await;
    insert(&fixture, "calls", &[Call { err: UNBOUNDED_NS, ..SEND }, receipt(-5 * SECOND)]).await;
    fixture.store.check_pairs(u32::try_from(base_ns() / SECOND).unwrap(), true).await.unwrap();
    let sql = "SELECT pairs, violated, cannot_tell, slack_ns FROM pair_checks FINAL";
    assert_eq!(fixture.ask(sql).await, format!("1\t0\t1\t{}", i64::MAX));
}

pub(crate) async fn a_mark_seen_twice_and_a_loopback_elsewhere_are_no_pair() {
    let fixture = Fixture::migrated().await;
    let (here, there) = (("127.0.0.1", 40_000), ("127.0.0.1", 80));
    let loopback = |call: Call, netns, boot| match call.direction {
        MessageDirection::Send => Call { local: here, remote: there, netns, boot, ..call },
        MessageDirection::Receive => Call { local: there, remote: here, netns, boot, ..call },
    };
    let calls = [
        SEND,
        receipt(5_000),
        Call { node: "eu-3", ..receipt(6_000) },
        Call { mark: 5 << SHIFT, ..SEND },
        Call { mark: 5 << SHIFT, node: "eu-3", boot: 3, at: 1_000, ..SEND },
        Call { mark: 5 << SHIFT, ..receipt(5_000) },
        // The same addresses on another machine, and in another namespace.
        Call { mark: 9 << SHIFT, ..loopback(SEND, 7, 1) },
        Call { mark: 9 << SHIFT, ..loopback(receipt(5_000), 7, 2) },
        Call { mark: 9 << SHIFT, ..loopback(receipt(5_000), 8, 1) },
        Call { mark: 10 << SHIFT, ..loopback(SEND, 7, 1) },
        Call { mark: 10 << SHIFT, ..loopback(receipt(5_000), 7, 1) },
    ];
    insert(&fixture, "calls", &calls).await;
    let found = pairs(&fixture).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[..2].iter().all(|pair| pair.ends_with("ambiguous")), "{found:?}");
    assert_eq!(found[2], "eu-1 eu-2 10 5000 3000 7000 right");
}

pub(crate) async fn regions_are_compared_on_the_fleets_clock() {
    let fixture = Fixture::migrated().await;
    // us is 20 ms behind eu, give or take 3 us, over the whole minute.
    let map = Map {
        region: "us",
        from: -10 * SECOND,
        to: 100 * SECOND,
        off: 20 * MS,
        off_to: 20 * MS,
        rate_ppb: 0,
        err: 3_000,
        err_to: 3_000,
        err_rate_ppb: 0,
        rev: 1,
    };
    insert_maps(&fixture, &[map]).await;
    insert(&fixture, "eu", &[Call { at: SECOND, ..SEND }]).await;
    let there = Call { region: "us", node: "us-1", ..receipt(SECOND - 20 * MS + 9_000) };
    // Within a region its own clock is enough, whatever is known of the region.
    let within = [Call { at: SECOND, ..SEND }, receipt(SECOND + 2_500)];
    let within = within.map(|call| Call { region: "us", mark: 5 << SHIFT, ..call });
    insert(&fixture, "us", &[there, within[0], within[1]]).await;
    // 1000 and 1000 of the nodes, 3000 of the region, and 1 for the slope of its map.
    assert_eq!(pairs(&fixture).await, ["eu-1 us-1 4 9000 3999 14001 right", "eu-1 eu-2 5 2500 500 4500 right"]);
}

/// The clock model of `eu-2`, revised: wrong by so much.
async fn revise(fixture: &Fixture, wrong_by_ns: i64) {
    let offset = base_ns() - MONO_S * SECOND + wrong_by_ns;
    let rows = ClockSegmentRows {
        region: LowCardinality::constant("eu", 1),
        node: LowCardinality::constant("eu-2", 1),
        boot: vec![2],
        ref_run: vec![run_of("eu")],
        epoch: vec![0],
        mono_from: vec![(MONO_S * SECOND).unsigned_abs()],
        mono_to: vec![((MONO_S + 60) * SECOND).unsigned_abs()],
        ref_off: vec![offset],
        ref_off_to: vec![offset],
        rate_ppb: vec![0],
        err_from_ns: vec![1_000],
        err_to_ns: vec![1_000],
        bound_class: vec![BoundClass::Hard],
        wall_off: vec![0],
        status: vec![ClockStatus::Synchronized],
        rev: vec![2],
    };
    fixture.store.insert(rows.into_block().unwrap(), "revision").await.unwrap();
}

pub(crate) async fn a_broken_alignment_is_found_and_checked_once() {
    let fixture = Fixture::migrated().await;
    let minute = u32::try_from(base_ns() / SECOND).unwrap();
    // A hundred each way, under way for 50 to 149 us.
    let one_way = |number: u32| {
        let at = i64::from(number) * 100 * MS;
        let mark = (100 + number) << SHIFT;
        let took = (50 + i64::from(number)) * 1_000;
        let back = |call: Call| Call { local: ("10.0.0.9", call.local.1), remote: ("10.0.0.9", call.remote.1), ..call };
        let reply = back(Call { direction: MessageDirection::Send, mark, ..receipt(at) });
        let replied = back(Call { direction: MessageDirection::Receive, mark, at: at + took, ..SEND });
        [Call { mark, at, ..SEND }, Call { mark, ..receipt(at + took) }, reply, replied]
    };
    let calls: Vec<Call> = (0..100).flat_map(one_way).collect();
    assert_eq!(fixture.store.pairs_settled_until().await.unwrap(), None);
    insert(&fixture, "calls", &calls).await;
    let checks = async || {
        let sql = "SELECT src_node, dst_node, pairs, violated, cannot_tell, ambiguous, least_gap_ns, slack_ns, gap_p50_ns, settled \
            FROM pair_checks FINAL ORDER BY src_node";
        fixture.ask(sql).await.lines().map(|line| line.replace('\t', " ")).collect::<Vec<_>>()
    };
    fixture.store.check_pairs(minute, false).await.unwrap();
    let sound = ["eu-1 eu-2 100 0 0 0 50000 52000 100000 0", "eu-2 eu-1 100 0 0 0 50000 52000 100000 0"];
    assert_eq!(checks().await, sound);
    assert_eq!(fixture.store.violated_pairs(minute).await.unwrap(), []);
    assert_eq!(fixture.store.pairs_settled_until().await.unwrap(), Some(minute - 120));
    // 10 ms into what is stored of one node: what it sends now seems to be received before, by all that is beyond the way's 149 us.
    revise(&fixture, 10 * MS).await;
    for _ in 0..2 {
        fixture.store.check_pairs(minute, true).await.unwrap();
        let broken =
            ["eu-1 eu-2 100 0 0 0 10050000 10052000 10100000 1", "eu-2 eu-1 100 100 0 0 -9950000 -9948000 -9900000 1"];
        assert_eq!(checks().await, broken);
    }
    let violated = fixture.store.violated_pairs(minute).await.unwrap();
    assert_eq!(violated.len(), 1);
    assert_eq!((violated[0].src.as_str(), violated[0].violated, violated[0].slack_ns), ("eu/eu-2", 100, -9_948_000));
    assert_eq!(fixture.store.pairs_settled_until().await.unwrap(), Some(minute));
}

pub(crate) async fn what_is_told_of_a_session_later_replaces_the_earlier() {
    let fixture = Fixture::migrated().await;
    let told = async |dur_ns: u64, ended: u8, bytes: u64| {
        let rows = TcpSessionRows {
            bucket: vec![u32::try_from(base_ns() / SECOND).unwrap()],
            region: LowCardinality::constant("eu", 1),
            service: LowCardinality::constant("shop", 1),
            node: LowCardinality::constant("eu-1", 1),
            boot: vec![1],
            pid: vec![42],
            tid: vec![43],
            goid: vec![44],
            stack_id: vec![0],
            socket: vec![u64::MAX],
            opener: vec![SessionOpener::Remote],
            local_address: vec![address("fd00::1")],
            local_port: vec![443],
            peer_address: vec![address("fd00::2")],
            peer_port: vec![50_000],
            netns: vec![7],
            mono_ns: vec![5],
            wall_off: vec![0],
            handshake_ns: vec![0],
            dur_ns: vec![dur_ns],
            ended: vec![ended],
            last_state: LowCardinality::constant(if ended == 1 { "LAST_ACK" } else { "" }, 1),
            error: vec![0],
            bytes_sent: vec![bytes],
            bytes_received: vec![bytes],
            retransmits: vec![0],
            srtt_us: vec![9],
            min_rtt_us: vec![u32::MAX],
            ref_run: vec![1],
            al_off: vec![base_ns()],
            al_end_off: vec![base_ns()],
            err_ns: vec![1],
            err_end_ns: vec![UNBOUNDED_NS],
            sends_watched: vec![1],
            sends: vec![bytes],
            send_total_ns: vec![5 * bytes],
            send_max_ns: vec![7],
            send_hist: [[0, 0, bytes].as_slice()].into_iter().collect(),
            sends_unmeasured: vec![1],
            sends_unacknowledged: vec![2],
        };
        fixture.store.insert(rows.into_block().unwrap(), &format!("session {dur_ns}")).await.unwrap();
    };
    told(10, 0, 100).await;
    told(30, 1, 300).await;
    told(20, 0, 200).await;
    let sql = "SELECT dur_ns, ended, bytes_sent, last_state, toString(opener), sends, send_total_ns, send_max_ns, send_hist, sends_unmeasured, \
        sends_unacknowledged FROM tcp_sessions FINAL";
    assert_eq!(fixture.ask(sql).await, "30\t1\t300\tLAST_ACK\tremote\t300\t1500\t7\t[0,0,300]\t1\t2");
    let losses = TcpLossRows {
        bucket: vec![u32::try_from(base_ns() / SECOND).unwrap()],
        region: LowCardinality::constant("eu", 1),
        node: LowCardinality::constant("eu-1", 1),
        boot: vec![1],
        run_seq: vec![2],
        cause: LowCardinality::constant("message_rate", 1),
        count: vec![3],
        batch: vec![4],
    };
    fixture.store.insert(losses.into_block().unwrap(), "losses").await.unwrap();
    assert_eq!(fixture.ask("SELECT cause, count FROM tcp_losses").await, "message_rate\t3");
}
