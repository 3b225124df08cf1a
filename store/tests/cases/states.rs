//! The views `state_split` and `goroutine_split`.

use syncline_store::LowCardinality;
use syncline_store::rows::*;

use super::{Fixture, base_ns, run};

const SECOND: i64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// An interval of ten seconds of a process, from so long after the base; the REF of its region is 1 s ahead of its mono.
#[derive(Clone, Copy)]
struct Interval {
    region: &'static str,
    pid: u32,
    from: i64,
    running_ns: u64,
    blocked: &'static [(&'static str, u64, u64)],
    goroutines: u64,
    handoffs: u64,
}

const INTERVAL: Interval = Interval {
    region: "eu",
    pid: 42,
    from: 0,
    running_ns: 600 * MS,
    blocked: &[("chan receive", 3_000 * MS, 5), ("select", 1_000 * MS, 2)],
    goroutines: 3,
    handoffs: 4,
};

fn minute_of(reference_ns: i64) -> u32 {
    u32::try_from(reference_ns / (60 * SECOND) * 60).unwrap()
}

fn mono(reference_ns: i64) -> u64 {
    u64::try_from(reference_ns - SECOND).unwrap()
}

fn by_reason(blocked: &[(&str, u64, u64)], of: impl Fn(&(&str, u64, u64)) -> u64) -> Vec<(String, u64)> {
    blocked.iter().map(|blocked| (blocked.0.to_owned(), of(blocked))).collect()
}

async fn insert(fixture: &Fixture, token: &str, intervals: &[Interval]) {
    let n = intervals.len();
    let each = || intervals.iter();
    let rows = ProcessStateRows {
        bucket: each().map(|interval| minute_of(base_ns() + interval.from)).collect(),
        region: each().map(|interval| interval.region).collect(),
        service: LowCardinality::constant("shop", n),
        node: LowCardinality::constant("n1", n),
        boot: vec![1; n],
        pid: each().map(|interval| interval.pid).collect(),
        mono_ns: each().map(|interval| mono(base_ns() + interval.from)).collect(),
        dur_ns: vec![10_000 * MS; n],
        running_ns: each().map(|interval| interval.running_ns).collect(),
        runnable_ns: vec![100 * MS; n],
        syscall_ns: vec![200 * MS; n],
        cgo_ns: vec![100 * MS; n],
        blocked_ns: each().map(|interval| interval.blocked.iter().map(|blocked| blocked.1).sum()).collect(),
        blocked_by: each().map(|interval| by_reason(interval.blocked, |blocked| blocked.1)).collect(),
        blocked_times: each().map(|interval| by_reason(interval.blocked, |blocked| blocked.2)).collect(),
        goroutines: each().map(|interval| interval.goroutines).collect(),
        started: vec![2; n],
        ended: vec![1; n],
        runs: vec![50; n],
        handoffs: each().map(|interval| interval.handoffs).collect(),
        ref_run: vec![1; n],
        al_off: vec![SECOND; n],
        al_end_off: vec![SECOND; n],
        err_ns: vec![7; n],
        err_end_ns: vec![8; n],
    };
    fixture.store.insert(rows.into_block().unwrap(), token).await.unwrap();
}

/// What a goroutine did in `lived` ns from `first` on, as was told then.
#[derive(Clone, Copy)]
struct Told {
    goid: u64,
    first: i64,
    lived: i64,
    runnable_ns: u64,
    fate: GoroutineFate,
}

const TOLD: Told = Told { goid: 7, first: 0, lived: 60 * SECOND, runnable_ns: 5 * MS, fate: GoroutineFate::Alive };

async fn tell(fixture: &Fixture, token: &str, told: &[Told]) {
    let n = told.len();
    let lived = |told: &Told| told.lived.unsigned_abs();
    let blocked =
        |told: &Told| vec![("IO wait".to_owned(), MS), ("select".to_owned(), lived(told) - told.runnable_ns - MS)];
    let rows = GoroutineStateRows {
        bucket: told.iter().map(|told| minute_of(base_ns() + told.first + told.lived)).collect(),
        region: LowCardinality::constant("eu", n),
        service: LowCardinality::constant("shop", n),
        node: LowCardinality::constant("n1", n),
        boot: vec![1; n],
        pid: vec![42; n],
        goid: told.iter().map(|told| told.goid).collect(),
        mono_ns: told.iter().map(|told| mono(base_ns() + told.first)).collect(),
        wall_off: vec![0; n],
        dur_ns: told.iter().map(lived).collect(),
        start_seen: vec![1; n],
        fate: told.iter().map(|told| told.fate).collect(),
        state: vec![GoroutineState::Blocked; n],
        reason: LowCardinality::constant("select", n),
        state_ns: vec![9; n],
        running_ns: vec![0; n],
        runnable_ns: told.iter().map(|told| told.runnable_ns).collect(),
        syscall_ns: vec![0; n],
        cgo_ns: vec![0; n],
        blocked_ns: told.iter().map(|told| lived(told) - told.runnable_ns).collect(),
        blocked_by: told.iter().map(blocked).collect(),
        blocked_times: vec![vec![("IO wait".to_owned(), 1), ("select".to_owned(), 3)]; n],
        runs: vec![4; n],
        handoffs: vec![2; n],
        ref_run: vec![1; n],
        al_off: vec![SECOND; n],
        al_end_off: vec![SECOND; n],
        err_ns: vec![7; n],
        err_end_ns: vec![8; n],
    };
    fixture.store.insert(rows.into_block().unwrap(), token).await.unwrap();
}

/// The window from and to ns after the base.
fn window(from: i64, to: i64) -> String {
    let moment = |ns: i64| format!("fromUnixTimestamp64Nano(toInt64({}), 'UTC')", base_ns() + ns);
    format!("t0 = {}, t1 = {}", moment(from), moment(to))
}

async fn split(fixture: &Fixture, what: &str, from: i64, to: i64) -> String {
    fixture.ask(&format!("SELECT {what} FROM state_split({}) ORDER BY pid, state, reason", window(from, to))).await
}

pub(super) async fn the_states_of_a_process_add_up_over_the_intervals_of_the_window() {
    let fixture = Fixture::migrated().await;
    let second = Interval {
        from: 10 * SECOND,
        running_ns: 1_400 * MS,
        blocked: &[("other", 500 * MS, 1), ("select", 3_000 * MS, 1)],
        goroutines: 9,
        handoffs: 6,
        ..INTERVAL
    };
    let before = Interval { from: -10 * SECOND, ..INTERVAL };
    let after = Interval { from: 20 * SECOND, ..INTERVAL };
    insert(&fixture, "1", &[before, second, INTERVAL, after]).await;
    let columns = "state, reason, total_ns, round(share, 4), mean, times";
    let expected = "blocked\tchan receive\t3000000000\t0.2913\t0.15\t5\n\
        blocked\tother\t500000000\t0.0485\t0.025\t1\n\
        blocked\tselect\t4000000000\t0.3883\t0.2\t3\n\
        cgo\t\t200000000\t0.0194\t0.01\t\\N\n\
        runnable\t\t200000000\t0.0194\t0.01\t\\N\n\
        running\t\t2000000000\t0.1942\t0.1\t100\n\
        syscall\t\t400000000\t0.0388\t0.02\t\\N";
    assert_eq!(split(&fixture, columns, 0, 20 * SECOND).await, expected);
    let shares =
        fixture.ask(&format!("SELECT round(sum(share), 9) FROM state_split({})", window(0, 20 * SECOND))).await;
    assert_eq!(shares, "1");
    let process = "DISTINCT region, service, node, boot, pid, observed_ns, goroutines, started, ended, runs, handoffs, runs_per_s, handoffs_per_s";
    let process = fixture.ask(&format!("SELECT {process} FROM state_split({})", window(0, 20 * SECOND))).await;
    assert_eq!(process, "eu\tshop\tn1\t1\t42\t20000000000\t9\t4\t2\t100\t10\t5\t0.5");
    assert_eq!(split(&fixture, "state", 30 * SECOND, 40 * SECOND).await, "");
}

pub(super) async fn the_same_batch_counts_once() {
    let fixture = Fixture::migrated().await;
    for _ in 0..2 {
        insert(&fixture, "n1/1/1", &[INTERVAL]).await;
        tell(&fixture, "n1/1/1", &[TOLD]).await;
    }
    assert_eq!(split(&fixture, "total_ns", 0, 10 * SECOND).await.lines().next(), Some("3000000000"));
    assert_eq!(fixture.ask("SELECT count() FROM goroutine_states").await, "1");
}

pub(super) async fn a_window_is_on_the_fleets_clock() {
    let fixture = Fixture::migrated().await;
    // The clock of "us" is 40 s behind that of the root.
    let (from, to) = (base_ns() - 300 * SECOND, base_ns() + 300 * SECOND);
    run(
        &fixture.store,
        &format!(
            "INSERT INTO region_clock (region, root, ref_run, root_run, ref_from, ref_to, off, off_to, rate_ppb, err_ns, err_to_ns, err_rate_ppb, \
             bound_class, status, rev) VALUES ('us', 'eu', 1, 1, {from}, {to}, {off}, {off}, 0, 5, 5, 0, 'hard', 'synchronized', 1)",
            off = 40 * SECOND
        ),
    )
    .await;
    insert(&fixture, "1", &[Interval { region: "us", pid: 1, ..INTERVAL }, Interval { pid: 2, ..INTERVAL }]).await;
    assert_eq!(split(&fixture, "pid, region", 0, SECOND).await.lines().next(), Some("2\teu"));
    assert_eq!(split(&fixture, "pid, region", 40 * SECOND, 41 * SECOND).await.lines().next(), Some("1\tus"));
    assert_eq!(split(&fixture, "pid, region", SECOND, 40 * SECOND).await, "");
}

pub(super) async fn what_is_told_of_a_goroutine_later_replaces_the_earlier_of_any_day() {
    let fixture = Fixture::migrated().await;
    let first = Told { first: -2 * DAY, ..TOLD };
    let next_day = Told { lived: DAY, runnable_ns: 8 * MS, ..first };
    let last = Told { lived: 2 * DAY, runnable_ns: 9 * MS, fate: GoroutineFate::Finished, ..first };
    // The newest does not have to be stored last.
    for (token, told) in [("1", last), ("2", first), ("3", next_day)] {
        tell(&fixture, token, &[told]).await;
    }
    let columns = "goid, toUnixTimestamp64Nano(since), err_ns, toUnixTimestamp64Nano(told), lived_ns, start_seen, fate, state, reason, state_ns, \
        running_ns + runnable_ns + syscall_ns + cgo_ns + blocked_ns = lived_ns, runnable_ns, blocked_most, blocked_times['select'], runs, handoffs";
    let asked =
        |from: i64| format!("SELECT {columns} FROM goroutine_split({}) ORDER BY runnable_ns", window(from, DAY));
    let began = base_ns() - 2 * DAY;
    let expected = format!(
        "7\t{began}\t7\t{}\t{}\t1\tfinished\tblocked\tselect\t9\t1\t9000000\tselect\t3\t4\t2",
        base_ns(),
        2 * DAY,
    );
    assert_eq!(fixture.ask(&asked(-3 * DAY)).await, expected);
    assert_eq!(fixture.ask(&asked(-SECOND)).await, expected);
    run(&fixture.store, "OPTIMIZE TABLE goroutine_states FINAL").await;
    assert_eq!(fixture.ask(&asked(-3 * DAY)).await, expected);
}

pub(super) async fn goroutines_are_those_that_lived_in_the_window() {
    let fixture = Fixture::migrated().await;
    let told = |goid: u64, first: i64, lived: i64| Told { goid, first: first * SECOND, lived: lived * SECOND, ..TOLD };
    // Ended before; ends in it; within it; longer than it; begins after.
    let all = [told(1, -20, 19), told(2, -20, 25), told(3, 2, 2), told(4, -900, 1_800), told(5, 10, 5)];
    tell(&fixture, "1", &all).await;
    let goids = format!("SELECT goid FROM goroutine_split({}) ORDER BY goid", window(0, 10 * SECOND));
    assert_eq!(fixture.ask(&goids).await, "2\n3\n4");
}

pub(super) async fn a_goroutine_that_does_nothing_is_shown_while_its_process_is_observed() {
    let fixture = Fixture::migrated().await;
    let told = |goid: u64, first: i64, lived: i64| Told { goid, first: first * SECOND, lived: lived * SECOND, ..TOLD };
    // The second of them ended, the third was seen anew by another agent, of the last was nothing told for too long.
    let ended = Told { fate: GoroutineFate::Finished, ..told(2, -3_000, 600) };
    let all = [
        told(1, -3_000, 600),
        told(2, -3_000, 60),
        ended,
        told(3, -3_000, 600),
        told(3, -100, 50),
        told(4, -6_000, 600),
    ];
    tell(&fixture, "1", &all).await;
    let goids =
        format!("SELECT goid, round(lived_ns / 1e9) FROM goroutine_split({}) ORDER BY goid", window(0, 10 * SECOND));
    assert_eq!(fixture.ask(&goids).await, "", "of its process nothing is known");
    insert(&fixture, "2", &[Interval { pid: 41, ..INTERVAL }, Interval { from: -600 * SECOND, ..INTERVAL }]).await;
    assert_eq!(fixture.ask(&goids).await, "");
    insert(&fixture, "3", &[INTERVAL]).await;
    assert_eq!(fixture.ask(&goids).await, "1\t600\n3\t50");
}

pub(super) async fn the_questions_of_the_documentation_are_answered() {
    let documentation = include_str!("../../../docs/schema.md");
    let (_, section) = documentation.split_once("### How did goroutines spend their time?").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    // What is in the store began an hour ago.
    let questions: Vec<String> = section
        .split("```sql")
        .skip(1)
        .map(|text| text.split("```").next().unwrap().replace("now64(9) - 600", "now64(9) - 7200"))
        .collect();
    let fixture = Fixture::migrated().await;
    insert(&fixture, "1", &[INTERVAL, Interval { pid: 43, ..INTERVAL }]).await;
    tell(&fixture, "1", &[TOLD, Told { goid: 8, runnable_ns: 6 * MS, ..TOLD }]).await;
    let [processes, goroutines] = &questions[..] else { panic!("{questions:?}") };
    let services = fixture.ask(processes).await;
    assert_eq!(services.lines().next(), Some("shop\tblocked\tchan receive\t6\t60"), "{services}");
    assert_eq!(services.lines().count(), 6, "{services}");
    let goids = fixture.ask(goroutines).await;
    assert_eq!(
        goids,
        "shop\tn1\t42\t8\t60\t6\t0.01\t4\tblocked\tselect\nshop\tn1\t42\t7\t60\t5\t0.01\t4\tblocked\tselect"
    );
}
