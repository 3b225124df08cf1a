//! The views `run_accounts` and `batch_audit`.

use super::{Fixture, base_ns, run};

const MINUTE: i64 = 60;
const RUN: u64 = 100;

fn minute(after: i64) -> i64 {
    (base_ns() / 1_000_000_000 / MINUTE + after) * MINUTE
}

/// A batch of run [`RUN`] of node `n` as it is stored: its number, minute, first event and number of events, waits in sums, and losses,
/// and of the account what was captured, left out and waiting.
struct Stored(u64, i64, u64, u64, u64, u64, [i64; 3]);

async fn insert(fixture: &Fixture, batches: &[Stored]) {
    for Stored(number, after, first_seq, events, short, lost, [captured, left_out, waiting]) in batches {
        let (bucket, store) = (minute(*after), &fixture.store);
        let ledger = format!(
            "INSERT INTO ingest_ledger (bucket, region, node, boot, run_seq, batch, first_seq, events, first_bucket, short_waits, losses, \
             has_account, captured, left_out, waiting, open) VALUES ({bucket}, 'eu', 'n', 1, {RUN}, {number}, {first_seq}, {events}, {bucket}, \
             {short}, {lost}, 1, {captured}, {left_out}, {waiting}, -1)"
        );
        run(store, &ledger).await;
        run(
            store,
            &format!("INSERT INTO events (bucket, region, node, boot, seq) SELECT {bucket}, 'eu', 'n', 1, {first_seq} + number FROM numbers({events})"),
        )
        .await;
        if *short > 0 {
            run(store, &format!("INSERT INTO short_waits (bucket, region, node, boot, count, batch) VALUES ({bucket}, 'eu', 'n', 1, {short}, {number})")).await;
        }
        if *lost > 0 {
            insert_losses(fixture, bucket, &[(*number, "ring_buffer_full", *lost)]).await;
        }
    }
}

async fn insert_losses(fixture: &Fixture, bucket: i64, losses: &[(u64, &str, u64)]) {
    for (number, cause, count) in losses {
        let row = format!("({bucket}, 'eu', 'n', 1, {RUN}, '{cause}', {count}, {number})");
        let sql = "INSERT INTO losses (bucket, region, node, boot, run_seq, cause, count, batch) VALUES";
        run(&fixture.store, &format!("{sql} {row}")).await;
    }
}

/// The run was captured whole: 10 + 20 in sums, 3 lost, and so on.
fn whole() -> [Stored; 3] {
    [
        Stored(100, 0, 100, 10, 20, 3, [40, 2, 5]),
        Stored(101, 0, 110, 0, 0, 0, [41, 2, 6]),
        Stored(102, 1, 110, 5, 1, 0, [45, 2, 4]),
    ]
}

async fn accounts(fixture: &Fixture, from: i64, to: i64) -> String {
    let sql = format!(
        "SELECT from_batch, to_batch, captured, events, short_waits, lost, twice, left_out, waiting, unexplained, batches, dropped, missing, is_ended, miscounted \
         FROM run_accounts(t0 = {}, t1 = {})",
        minute(from),
        minute(to)
    );
    fixture.ask(&sql).await
}

async fn not_whole(fixture: &Fixture) -> String {
    let sql = format!(
        "SELECT batch, events, found_events, distinct_events, short_waits, found_short_waits, losses, found_losses \
         FROM batch_audit(t0 = {}, t1 = {}) WHERE NOT is_whole ORDER BY batch",
        minute(0),
        minute(9)
    );
    fixture.ask(&sql).await
}

pub(super) async fn a_run_adds_up_from_its_start_and_from_any_minute_on() {
    let fixture = Fixture::migrated().await;
    insert(&fixture, &whole()).await;
    assert_eq!(accounts(&fixture, 0, 9).await, "100\t102\t45\t15\t21\t3\t0\t2\t4\t0\t3\t0\t0\t0\t\\N");
    assert_eq!(accounts(&fixture, 0, 1).await, "100\t101\t41\t10\t20\t3\t0\t2\t6\t0\t2\t0\t0\t0\t\\N");
    assert_eq!(accounts(&fixture, 1, 9).await, "103\t102\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t\\N");
    insert(&fixture, &[Stored(103, 2, 115, 2, 0, 0, [47, 2, 4])]).await;
    assert_eq!(accounts(&fixture, 1, 9).await, "103\t103\t2\t2\t0\t0\t0\t0\t0\t0\t1\t0\t0\t0\t\\N");
    assert_eq!(not_whole(&fixture).await, "");
    run(&fixture.store, &format!("INSERT INTO ingest_ledger SELECT * REPLACE (104 AS batch, {} AS bucket, 0 AS events, 117 AS first_seq, 3 AS open) FROM (SELECT * FROM ingest_ledger WHERE batch = 103)", minute(2))).await;
    // 4 wait, and 3 were counted.
    assert_eq!(accounts(&fixture, 0, 9).await, "100\t104\t47\t17\t21\t3\t0\t2\t4\t0\t5\t0\t0\t1\t1");
}

pub(super) async fn a_batch_that_is_missing_is_known_and_so_are_those_that_were_given_up() {
    let fixture = Fixture::migrated().await;
    let [first, _, _] = whole();
    // Two batches later: 101 had 7 events and told of 1 loss, and 102 had 4 in sums.
    insert(&fixture, &[first, Stored(103, 1, 117, 5, 0, 0, [57, 2, 5])]).await;
    assert_eq!(accounts(&fixture, 0, 9).await, "100\t103\t57\t15\t20\t3\t0\t2\t5\t12\t2\t0\t2\t0\t\\N");
    let drop = |number, events, short| {
        let bucket = minute(5);
        format!(
            "INSERT INTO dropped_batches VALUES ({bucket}, 'eu', 'n', 1, {RUN}, {number}, 'queue_full', {events}, {short})"
        )
    };
    run(&fixture.store, &drop(101, 7, 0)).await;
    insert_losses(&fixture, minute(5), &[(101, "queue_full", 7), (101, "park_map_full", 1)]).await;
    assert_eq!(accounts(&fixture, 0, 2).await, "100\t103\t57\t15\t20\t11\t0\t2\t5\t4\t2\t1\t1\t0\t\\N");
    run(&fixture.store, &drop(102, 0, 4)).await;
    insert_losses(&fixture, minute(6), &[(102, "queue_full", 4)]).await;
    assert_eq!(accounts(&fixture, 0, 2).await, "100\t103\t57\t15\t20\t15\t0\t2\t5\t0\t2\t2\t0\t0\t\\N");
    // The one that was sent before it was given up had arrived.
    insert(&fixture, &[Stored(102, 1, 117, 0, 4, 0, [57, 2, 10])]).await;
    assert_eq!(accounts(&fixture, 0, 2).await, "100\t103\t57\t15\t24\t15\t4\t2\t5\t0\t3\t1\t0\t0\t\\N");
    assert_eq!(not_whole(&fixture).await, "");
}

pub(super) async fn rows_that_are_missing_or_there_twice_are_found() {
    let fixture = Fixture::migrated().await;
    insert(&fixture, &whole()).await;
    run(
        &fixture.store,
        &format!("INSERT INTO events (bucket, region, node, boot, seq) VALUES ({}, 'eu', 'n', 1, 103)", minute(0)),
    )
    .await;
    run(&fixture.store, "ALTER TABLE events DELETE WHERE seq IN (111, 112) SETTINGS mutations_sync = 1").await;
    run(&fixture.store, "ALTER TABLE short_waits DELETE WHERE batch = 102 SETTINGS mutations_sync = 1").await;
    insert_losses(&fixture, minute(0), &[(100, "park_map_full", 2)]).await;
    assert_eq!(not_whole(&fixture).await, "100\t10\t11\t10\t20\t20\t3\t5\n102\t5\t3\t3\t1\t0\t0\t0");
}

/// Each of the tables that are found by their marks is looked at, here or by `batch_audit`, but for what several batches may tell.
pub(super) async fn rows_of_other_tables_that_are_there_twice_are_found() {
    let fixture = Fixture::migrated().await;
    let repeated = async || {
        let of = format!("repeated_rows(t0 = {}, t1 = {})", minute(0), minute(9));
        fixture.ask(&format!("SELECT table, region, node, boot, repeated FROM {of} ORDER BY table")).await
    };
    let (at, bucket) = (minute(1), minute(1));
    let rows = [
        ("open_waits", "bucket, pid, mono_ns", format!("{bucket}, 1, 5")),
        ("observations", "bucket, pid, mono_ns", format!("{bucket}, 1, 5")),
        ("process_states", "bucket, pid, mono_ns", format!("{bucket}, 1, 5")),
        ("messages", "bucket, pid, mono_ns", format!("{bucket}, 1, 5")),
        ("tcp_losses", "bucket, batch, cause", format!("{bucket}, 7, 'x'")),
        ("clock_probes", "t1, t2", format!("1, {at} * 1000000000")),
        ("clock_steps", "mono_ns, at", format!("1, toDateTime({at})")),
        ("clock_claims", "mono_ns, at", format!("1, toDateTime({at})")),
        ("clock_disruptions", "batch, mono_from, at", format!("3, 1, toDateTime({at})")),
    ];
    for (table, columns, values) in &rows {
        let insert = format!("INSERT INTO {table} (region, node, boot, {columns}) VALUES");
        // Of another node, and of another boot, it is no repetition.
        for of in ["'eu', 'n', 1", "'eu', 'm', 1", "'eu', 'n', 2"] {
            run(&fixture.store, &format!("{insert} ({of}, {values})")).await;
        }
        assert_eq!(repeated().await, "", "{table}");
        run(&fixture.store, &format!("{insert} ('eu', 'n', 1, {values}), ('eu', 'n', 1, {values})")).await;
        assert_eq!(repeated().await, format!("{table}\teu\tn\t1\t2"));
        run(&fixture.store, &format!("TRUNCATE TABLE {table}")).await;
    }
    let by_the_audit = ["events", "short_waits", "losses", "dropped_batches"];
    for (table, _) in syncline_store::marked_tables() {
        assert!(by_the_audit.contains(&table) || rows.iter().any(|(name, ..)| *name == table), "{table} is looked at");
    }
}
