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

/// Of a database, so that two can be compared.
async fn definitions(store: &Store) -> String {
    let sql = "SELECT name, replaceAll(create_table_query, concat(currentDatabase(), '.'), '') FROM system.tables \
        WHERE database = currentDatabase() ORDER BY name";
    super::ask(store, sql).await
}

pub(super) async fn each_earlier_version_is_brought_up_to_date_with_its_rows() {
    let fixture = Fixture::migrated().await;
    let (newest, expected) = (fixture.store.plan().await.unwrap().to, definitions(&fixture.store).await);
    for version in 0..newest {
        let store = Store::connect(fixture.engine.url(), &format!("from_{version}")).await.unwrap();
        assert_eq!(store.migrate_to(version).await.unwrap().to, version);
        let has_tables = version > 0;
        if has_tables {
            for sql in [
                "INSERT INTO nodes (region, node, boot) VALUES ('eu', 'eu-1', 1)",
                "INSERT INTO events (bucket, region, service, node, boot, seq, mono_ns, dur_ns, al_off, err_ns, stack_id) \
                 SELECT now(), 'eu', 'cart', 'eu-1', 1, 1, 1000, 5000, toUnixTimestamp64Nano(now64(9)), 7, 3",
                "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES (3, 4, [5], now())",
                "INSERT INTO symbols (build_id, pc, depth, func) VALUES (4, 5, 0, 'main.wait')",
            ] {
                run(&store, sql).await;
            }
        }
        let report = store.migrate().await.unwrap();
        assert_eq!((report.from, report.to, report.applied.len() as u32), (version, newest, newest - version));
        assert_eq!(definitions(&store).await, expected, "from version {version}");
        let rows = super::ask(
            &store,
            "SELECT service, dur_ns, err_ns, stack, weight FROM timeline(t0 = now64(9) - 600, t1 = now64(9) + 1)",
        )
        .await;
        assert_eq!(rows, if has_tables { "cart\t5000\t7\tmain.wait\t1" } else { "" }, "from version {version}");
        run(&store, &format!("DROP DATABASE from_{version}")).await;
    }
}

pub(super) async fn a_plan_is_what_migrating_does_and_changes_nothing() {
    let fixture = Fixture::start().await;
    let databases = "SELECT name FROM system.databases ORDER BY name";
    let server = Store::connect(fixture.engine.url(), "system").await.unwrap();
    let before = super::ask(&server, databases).await;
    let plan = fixture.store.plan().await.unwrap();
    assert_eq!(super::ask(&server, databases).await, before);
    assert_eq!((plan.from, plan.steps[0].0, plan.steps.len() as u32), (0, "schema_migrations", plan.to + 1));

    // Statement by statement, as an administrator may do it.
    for statement in plan.steps.iter().flat_map(|(_, statements)| statements) {
        let store = if statement.starts_with("CREATE DATABASE") { &server } else { &fixture.store };
        run(store, statement).await;
    }
    let plan = fixture.store.plan().await.unwrap();
    assert_eq!((plan.from, plan.steps.len()), (plan.to, 0));
    assert_eq!(fixture.store.migrate().await.unwrap().applied.len(), 0);
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
