//! Windows of time that are longer, or further away, than what a DateTime holds.

use super::{Fixture, base_ns, cluster, run};

/// Rows of an hour ago, also such as the ledger and its audit tell of.
async fn filled() -> Fixture {
    let fixture = Fixture::migrated().await;
    for sql in cluster::rows() {
        run(&fixture.store, &sql).await;
    }
    let minute = base_ns() / 1_000_000_000;
    let ledger = "INSERT INTO ingest_ledger (bucket, region, node, boot, run_seq, batch, events) VALUES";
    run(
        &fixture.store,
        &format!("{ledger} ({minute}, 'eu', 'node-0', 1, 0, 1, 3), ({minute}, 'eu', 'node-0', 1, 0, 2, 3)"),
    )
    .await;
    let twice =
        "SELECT number, 'eu', 'node-0', 1, 'cart', 1, 7 FROM numbers(2)".replace("number,", &format!("{minute},"));
    run(&fixture.store, &format!("INSERT INTO open_waits (bucket, region, node, boot, service, pid, mono_ns) {twice}"))
        .await;
    fixture
}

pub(super) async fn a_window_may_be_of_any_time() {
    let fixture = filled().await;
    let views = "SELECT name FROM system.tables WHERE database = 'syncline' AND engine = 'View' AND create_table_query LIKE '%{t0:%' ORDER BY name";
    let count = async |view: &str, from: &str, to: &str| -> u64 {
        let time = |text: &str| format!("toDateTime64('{text}-01-01 00:00:00', 9, 'UTC')");
        let sql = format!("SELECT count() FROM {view}(t0 = {}, t1 = {})", time(from), time(to));
        fixture.ask(&sql).await.parse().unwrap()
    };
    let mut without_rows = Vec::new();
    for view in fixture.ask(views).await.lines() {
        let found = count(view, "2020", "2100").await;
        assert_eq!(count(view, "1950", "2150").await, found, "{view} from 1950 to 2150");
        assert_eq!(count(view, "2020", "2150").await, found, "{view} to 2150");
        assert_eq!(count(view, "1950", "2100").await, found, "{view} from 1950");
        // Of maps the last one before is wanted, too.
        if view != "region_maps" {
            assert_eq!(count(view, "2150", "2160").await, 0, "{view} of the 2150s");
            assert_eq!(count(view, "1950", "1960").await, 0, "{view} of the 1950s");
        }
        if found == 0 {
            without_rows.push(view.to_owned());
        }
    }
    for view in ["events_live", "timeline", "blocked_time", "repeated_rows", "batch_audit", "run_accounts"] {
        assert!(!without_rows.iter().any(|without| without == view), "{view} has no rows");
    }
}
