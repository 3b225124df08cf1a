//! What ClickHouse says of itself.

use super::{Fixture, run};

pub(super) async fn parts_and_space_are_told() {
    let fixture = Fixture::migrated().await;
    run(&fixture.store, "SYSTEM STOP MERGES symbols").await;
    let insert = "INSERT INTO symbols (build_id, pc, depth, func) VALUES (1, 2, 0, 'main.main')";
    // Not thrice the same, which would be stored once.
    for sql in [insert.to_owned(), insert.replace("(1,", "(2,"), insert.replace("(1,", "(3,")] {
        run(&fixture.store, &sql).await;
    }
    let versions: u64 = fixture.ask("SELECT count() FROM schema_migrations").await.parse().unwrap();
    run(&fixture.store, "OPTIMIZE TABLE schema_migrations FINAL").await;
    let health = fixture.store.health().await.unwrap();
    assert_eq!((health.most_parts, health.most_parts_of.as_str(), health.parts), (3, "symbols", 4));
    assert!(health.inserts > 0 && health.insert_us > 0, "{health:?}");
    assert_eq!((health.rows, health.mutations, health.rejected_inserts), (versions + 3, 0, 0));
    assert!(health.bytes > 0 && health.disk_bytes > health.disk_free_bytes && health.disk_free_bytes > 0, "{health:?}");
    assert!(health.parts_to_delay >= 100, "{health:?}");
    assert!(health.to_string().starts_with("parts=4 most_parts=3 (symbols) rows="), "{health}");
}
