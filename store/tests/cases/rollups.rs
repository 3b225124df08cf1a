//! What is summed up of waits: `wait_hours`, and the view `top_blockers`.

use super::timeline::{WAIT, Wait, insert_waits, run_of};
use super::{Fixture, base_ns, run};

const WAITS: [Wait; 3] = [
    Wait { goid: 1, dur: 1_000, ..WAIT },
    Wait { goid: 2, dur: 3_000, stack_id: 9, ..WAIT },
    Wait { goid: 2, at: 5_000, dur: 2_000, stack_id: 9, ..WAIT },
];

pub(super) async fn hours_count_each_wait_once_and_outlive_it() {
    let fixture = Fixture::migrated().await;
    // The same block twice, as after an answer that was lost.
    insert_waits(&fixture, &WAITS).await;
    insert_waits(&fixture, &WAITS).await;
    let sums = "SELECT stack_id, sum(waits), sum(blocked_ns), sum(seen_ns), max(max_ns) FROM wait_hours
        WHERE service = 'shop' AND kind = 'goroutine' AND reason = 'chan receive' GROUP BY stack_id ORDER BY stack_id";
    let expected = "0\t1\t1000\t1000\t1000\n9\t2\t5000\t5000\t3000";
    assert_eq!(fixture.ask(sums).await, expected);
    run(&fixture.store, "TRUNCATE TABLE events").await;
    assert_eq!(fixture.ask(sums).await, expected);
}

/// What was seen in windows counts by its weight, and what was only found to go on is no wait more.
pub(super) async fn hours_and_places_count_by_weight() {
    let fixture = Fixture::migrated().await;
    let now = base_ns() / 1_000_000_000;
    let (region, mono_ns, off) = ("eu", 5_000_000_000_i64, base_ns() - 5_000_000_000);
    let events = format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, kind, reason, mono_ns, dur_ns, flags, weight_milli, stack_id, ref_run, al_off, al_end_off)
         SELECT toStartOfMinute(toDateTime({now}, 'UTC')), '{region}', 'shop', 'eu-1', 1, number, 'goroutine', 'select', {mono_ns}, 1000, if(number = 2, 128, 0), 2500, 9, {}, {off}, {off}
         FROM numbers(3)",
        run_of(region)
    );
    run(&fixture.store, &events).await;
    let short = format!(
        "INSERT INTO short_waits (bucket, region, service, node, boot, pid, reason, count, total_ns, weight_milli)
         SELECT toStartOfMinute(toDateTime({now}, 'UTC')), '{region}', 'shop', 'eu-1', 1, 42, 'select', 4, 100, 2500"
    );
    run(&fixture.store, &short).await;
    let hours = "SELECT stack_id, sum(waits), sum(blocked_ns), sum(seen_ns), max(max_ns) FROM wait_hours GROUP BY stack_id ORDER BY stack_id";
    assert_eq!(fixture.ask(hours).await, "0\t10\t250\t100\t0\n9\t5\t7500\t3000\t1000");
    let base = base_ns();
    let places = format!(
        "SELECT waits, blocked_ns FROM top_blockers(t0 = fromUnixTimestamp64Nano({base} - 1000000, 'UTC'), t1 = fromUnixTimestamp64Nano({base} + 1000000, 'UTC'))"
    );
    assert_eq!(fixture.ask(&places).await, "5\t7500");
}

pub(super) async fn blockers_are_ranked_by_place() {
    let fixture = Fixture::migrated().await;
    insert_waits(&fixture, &WAITS).await;
    let named = "INSERT INTO stacks (stack_id, build_id, pcs) VALUES (9, 7, [16, 32])";
    run(&fixture.store, named).await;
    let names =
        "INSERT INTO symbols (build_id, pc, depth, func) VALUES (7, 16, 0, 'runtime.gopark'), (7, 32, 0, 'main.take')";
    run(&fixture.store, names).await;
    let base = base_ns();
    let sql = format!(
        "SELECT site, waits, blocked_ns, round(share, 3), p50_ns, p99_ns, max_ns, nodes, goroutines, longest_stack_id
         FROM top_blockers(t0 = fromUnixTimestamp64Nano({base} - 1000000, 'UTC'), t1 = fromUnixTimestamp64Nano({base} + 1000000, 'UTC')) ORDER BY blocked_ns DESC"
    );
    let expected = "main.take\t2\t5000\t0.833\t2000\t3000\t3000\t1\t1\t9\n\t1\t1000\t0.167\t1000\t1000\t1000\t1\t1\t0";
    assert_eq!(fixture.ask(&sql).await, expected);
}
