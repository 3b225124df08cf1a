//! Versions of the schema, and what is refused.

use std::collections::BTreeSet;

use syncline_store::{Store, StoreError};

use super::{Fixture, run};

pub(super) async fn migrating_again_changes_nothing() {
    let fixture = Fixture::start().await;
    let first = fixture.store.migrate().await.unwrap();
    assert_eq!((first.from, first.to), (0, u32::try_from(first.applied.len()).unwrap()));
    assert!(first.to > 0);
    let tables = "SELECT name, create_table_query FROM system.tables WHERE database = 'syncline' ORDER BY name";
    let before = fixture.ask(tables).await;
    let second = fixture.store.migrate().await.unwrap();
    assert_eq!((second.from, second.to, second.applied.len()), (first.to, first.to, 0));
    assert_eq!(fixture.ask(tables).await, before);

    // As after an interruption: everything exists, nothing is recorded.
    run(&fixture.store, "TRUNCATE TABLE schema_migrations").await;
    assert_eq!(fixture.store.migrate().await.unwrap(), first);
    let uncommented = "SELECT table, name FROM system.columns WHERE database = 'syncline' AND comment = '' \
        AND table IN (SELECT name FROM system.tables WHERE database = 'syncline' AND engine LIKE '%MergeTree')";
    assert_eq!(fixture.ask(uncommented).await, "", "columns without a comment");
}

/// A column that is added to `events` is easily forgotten there.
pub(super) async fn the_live_view_has_all_columns_of_events() {
    let fixture = Fixture::migrated().await;
    let columns_of = async |what: &str| {
        let described = fixture.ask(&format!("DESCRIBE {what}")).await;
        described.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let mut expected = columns_of("TABLE events").await;
    expected.extend(["start_is_revised", "end_is_revised"].map(str::to_owned));
    let found = columns_of("(SELECT * FROM events_live(t0 = now64(9) - 1, t1 = now64(9)))").await;
    assert_eq!(found, expected);
}

pub(super) async fn a_newer_schema_is_refused() {
    let fixture = Fixture::migrated().await;
    run(&fixture.store, "INSERT INTO schema_migrations (version, name, checksum) VALUES (4000, '4000_future', 1)")
        .await;
    let error = fixture.store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::SchemaNewer { found: 4000, .. }), "{error}");
    assert!(error.to_string().contains("update this program"), "{error}");
}

pub(super) async fn a_changed_migration_is_refused() {
    let fixture = Fixture::migrated().await;
    run(&fixture.store, "TRUNCATE TABLE schema_migrations").await;
    run(&fixture.store, "INSERT INTO schema_migrations (version, name, checksum) VALUES (1, '0001_other', 1)").await;
    let error = fixture.store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::SchemaForeign { .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

pub(super) async fn a_foreign_database_is_refused() {
    let fixture = Fixture::start().await;
    let other = Store::connect(fixture.engine.url(), "other").await.unwrap();
    let server = Store::connect(fixture.engine.url(), "system").await.unwrap();
    run(&server, "CREATE DATABASE other").await;
    run(&other, "CREATE TABLE invoices (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    let error = other.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::SchemaForeign { .. }) && error.to_string().contains("`invoices`"), "{error}");
    assert_eq!(super::ask(&other, "SHOW TABLES").await, "invoices");
}

pub(super) async fn wrong_urls_and_names_are_one_line() {
    // Bound and closed again: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://me:secret@127.0.0.1:{port}");
    let error = Store::connect(&url, "syncline").await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.is_retryable(), "{text}");
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused") && !text.contains("secret"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    for name in ["", "a b", "1a", "x`; DROP", "ö"] {
        let error = Store::connect(&url, name).await.unwrap_err();
        assert!(matches!(error, StoreError::BadDatabaseName { .. }), "{error}");
    }
}
