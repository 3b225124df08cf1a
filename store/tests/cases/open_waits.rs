//! The view `open_waits_now`.

use std::time::{SystemTime, UNIX_EPOCH};

use syncline_store::rows::*;
use syncline_store::{Arrays, LowCardinality};

use super::Fixture;

const SECOND: i64 = 1_000_000_000;
const REF_MINUS_MONO: i64 = 1_000 * SECOND;

/// One look at a wait.
#[derive(Clone, Copy)]
struct Told {
    goid: u64,
    /// Begin and look, ns on REF.
    began: i64,
    looked: i64,
    flags: u16,
    stack_id: u64,
    peer_port: u16,
}

/// The view shows what goes on by ClickHouse's own clock. To be asked once in a test.
fn now_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn mono(reference_ns: i64) -> u64 {
    u64::try_from(reference_ns - REF_MINUS_MONO).unwrap()
}

fn minute_of(reference_ns: i64) -> u32 {
    u32::try_from(reference_ns / (60 * SECOND) * 60).unwrap()
}

async fn insert(fixture: &Fixture, token: &str, told: &[Told]) {
    let n = told.len();
    let rows = OpenWaitRows {
        bucket: told.iter().map(|told| minute_of(told.looked)).collect(),
        region: LowCardinality::constant("eu", n),
        service: LowCardinality::constant("shop", n),
        node: LowCardinality::constant("eu-1", n),
        boot: vec![1; n],
        pid: vec![42; n],
        tid: vec![43; n],
        goid: told.iter().map(|told| told.goid).collect(),
        kind: vec![EventKind::Goroutine; n],
        reason: LowCardinality::constant("chan receive", n),
        mono_ns: told.iter().map(|told| mono(told.began)).collect(),
        wall_off: vec![0; n],
        dur_ns: told.iter().map(|told| u64::try_from(told.looked - told.began).unwrap()).collect(),
        run_delay_ns: vec![0; n],
        flags: told.iter().map(|told| told.flags).collect(),
        stack_id: told.iter().map(|told| told.stack_id).collect(),
        waker_goid: vec![0; n],
        address: vec![0; n],
        fd: vec![-1; n],
        fd_type: LowCardinality::constant("", n),
        local_address: vec![[0; 16]; n],
        local_port: vec![0; n],
        peer_address: vec![[0; 16]; n],
        peer_port: told.iter().map(|told| told.peer_port).collect(),
        ref_run: vec![1; n],
        al_off: vec![REF_MINUS_MONO; n],
        al_end_off: vec![REF_MINUS_MONO; n],
        err_ns: vec![7; n],
        err_end_ns: vec![8; n],
        trace_id: vec![0x4bf9_2f35_u128.to_be_bytes(); n],
        span_id: vec![0xfe; n],
    };
    fixture.store.insert(rows.into_block().unwrap(), token).await.unwrap();
}

/// The events that the waits became, in buckets so many minutes from those of their begin.
async fn insert_ended(fixture: &Fixture, ended: &[(Told, i64)]) {
    let n = ended.len();
    let rows = EventRows {
        bucket: ended.iter().map(|(told, minutes)| minute_of(told.began + minutes * 60 * SECOND)).collect(),
        region: LowCardinality::constant("eu", n),
        service: LowCardinality::constant("shop", n),
        node: LowCardinality::constant("eu-1", n),
        boot: vec![1; n],
        seq: (1..).take(n).collect(),
        pid: vec![42; n],
        tid: vec![43; n],
        goid: ended.iter().map(|(told, _)| told.goid).collect(),
        kind: vec![EventKind::Goroutine; n],
        reason: LowCardinality::constant("chan receive", n),
        mono_ns: ended.iter().map(|(told, _)| mono(told.began)).collect(),
        wall_off: vec![0; n],
        dur_ns: vec![1; n],
        run_delay_ns: vec![0; n],
        flags: vec![0; n],
        stack_id: vec![0; n],
        waker_goid: vec![0; n],
        waker_stack_id: vec![0; n],
        address: vec![0; n],
        result: vec![0; n],
        fd: vec![-1; n],
        fd_type: LowCardinality::constant("", n),
        local_address: vec![[0; 16]; n],
        local_port: vec![0; n],
        peer_address: vec![[0; 16]; n],
        peer_port: vec![0; n],
        ref_run: vec![1; n],
        al_off: vec![REF_MINUS_MONO; n],
        al_end_off: vec![REF_MINUS_MONO; n],
        err_ns: vec![7; n],
        err_end_ns: vec![8; n],
        bound_class: vec![BoundClass::Hard; n],
        clock_status: vec![ClockStatus::Synchronized; n],
        epoch: vec![0; n],
        model_rev: vec![1; n],
        trace_id: vec![[0; 16]; n],
        span_id: vec![0; n],
        weight_milli: vec![1_000; n],
    };
    fixture.store.insert(rows.into_block().unwrap(), "ended").await.unwrap();
}

async fn name_stack(fixture: &Fixture, stack_id: u64) {
    let stacks = StackRows {
        stack_id: vec![stack_id],
        build_id: vec![2],
        pcs: Arrays::from_iter([&[11, 12, 13][..]]),
        last_seen: vec![4],
    };
    fixture.store.insert(stacks.into_block().unwrap(), "stacks").await.unwrap();
    let symbols = SymbolRows {
        build_id: vec![2; 3],
        pc: vec![11, 12, 13],
        depth: vec![0; 3],
        func: ["runtime.gopark", "main.take", "main.main"].map(String::from).to_vec(),
        file: LowCardinality::constant("main.go", 3),
        line: vec![4; 3],
    };
    fixture.store.insert(symbols.into_block().unwrap(), "symbols").await.unwrap();
}

const GOES_ON: &str = "SELECT goid, toUnixTimestamp64Nano(since), err_ns, toUnixTimestamp64Nano(seen), open_ns, is_current, stack, stack_id, peer_port, trace, span \
    FROM open_waits_now ORDER BY goid";

pub(super) async fn those_that_go_on_are_shown_as_they_were_seen_last() {
    let fixture = Fixture::migrated().await;
    let now = now_ns();
    let first =
        Told { goid: 7, began: now - 25 * SECOND, looked: now - 20 * SECOND, flags: 0, stack_id: 0, peer_port: 0 };
    let last = Told { looked: now - 5 * SECOND, stack_id: 9, peer_port: 80, ..first };
    insert(&fixture, "1", &[first]).await;
    insert(&fixture, "2", &[last]).await;
    name_stack(&fixture, 9).await;
    let expected = format!(
        "7\t{}\t7\t{}\t{}\t1\tmain.take\t9\t80\t{:032x}\t00000000000000fe",
        first.began,
        last.looked,
        20 * SECOND,
        0x4bf9_2f35
    );
    assert_eq!(fixture.ask(GOES_ON).await, expected);
}

pub(super) async fn those_that_ended_are_left_out_also_of_the_minutes_around() {
    let fixture = Fixture::migrated().await;
    let now = now_ns();
    let of = |goid: u64| Told {
        goid,
        began: now - 100 * SECOND,
        looked: now - 80 * SECOND,
        flags: 0,
        stack_id: 0,
        peer_port: 0,
    };
    let abandoned = Told { looked: now - 70 * SECOND, flags: FLAG_ABANDONED, ..of(5) };
    // It was looked at when its program was another already, before that was noticed.
    let too_late = Told { looked: now - 60 * SECOND, ..of(5) };
    // It waits once more.
    let again = Told { began: now - 30 * SECOND, looked: now - 10 * SECOND, ..of(2) };
    insert(&fixture, "1", &[of(1), of(2), of(3), of(4), of(5), abandoned, too_late, again]).await;
    insert_ended(&fixture, &[(of(1), -1), (of(2), 0), (of(3), 1)]).await;
    let expected = format!("2\t{}\n4\t{}", again.began, of(4).began);
    assert_eq!(
        fixture.ask("SELECT goid, toUnixTimestamp64Nano(since) FROM open_waits_now ORDER BY goid").await,
        expected
    );
}

pub(super) async fn one_that_is_overdue_is_marked() {
    let fixture = Fixture::migrated().await;
    let now = now_ns();
    let of = |goid: u64, age_s: i64, silent_s: i64| {
        let looked = now - silent_s * SECOND;
        Told { goid, began: looked - age_s * SECOND, looked, flags: 0, stack_id: 0, peer_port: 0 }
    };
    // One of 5 s would have been told of at 20 s, one of two hours at three.
    insert(&fixture, "1", &[of(1, 5, 100), of(2, 5, 200), of(3, 7_200, 3_500), of(4, 7_200, 3_900)]).await;
    assert_eq!(
        fixture.ask("SELECT goid, is_current FROM open_waits_now ORDER BY goid").await,
        "1\t1\n2\t0\n3\t1\n4\t0"
    );
}
