//! Versions of the schema, and what is refused.

use std::collections::BTreeSet;

use syncline_store::{Store, StoreError};

use super::upgrade::definitions;
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
}

/// As when two branches met, or an administrator left a step out.
pub(super) async fn what_is_missing_in_between_is_run_again() {
    let fixture = Fixture::migrated().await;
    let newest = fixture.store.plan().await.unwrap().to;
    run(&fixture.store, "INSERT INTO symbols (build_id, pc, depth, func) VALUES (1, 2, 0, 'kept')").await;
    let expected = definitions(&fixture.store).await;
    run(&fixture.store, "DROP TABLE processes").await;
    run(&fixture.store, "DELETE FROM schema_migrations WHERE version = 8").await;
    let report = fixture.store.migrate().await.unwrap();
    assert_eq!((report.from, report.to, report.applied.first().copied()), (7, newest, Some("0008_processes")));
    assert_eq!(definitions(&fixture.store).await, expected);
    assert_eq!(fixture.ask("SELECT func FROM symbols").await, "kept");
    assert_eq!(fixture.store.migrate().await.unwrap().applied.len(), 0);
}

/// As far as ClickHouse keeps it: of views with parameters it keeps no columns.
pub(super) async fn each_table_view_and_column_is_told_of() {
    let fixture = Fixture::migrated().await;
    let tables =
        "SELECT name FROM system.tables WHERE database = 'syncline' AND comment = '' AND engine != 'MaterializedView'";
    assert_eq!(fixture.ask(tables).await, "", "tables and views without a comment");
    let columns = "SELECT table, name FROM system.columns WHERE database = 'syncline' AND comment = '' \
        AND table NOT IN (SELECT name FROM system.tables WHERE database = 'syncline' AND engine = 'MaterializedView')";
    assert_eq!(fixture.ask(columns).await, "", "columns without a comment");
    let views = "SELECT count() FROM system.tables WHERE database = 'syncline' AND engine = 'View'";
    assert!(fixture.ask(views).await.parse::<u32>().unwrap() >= 24);
}

pub(super) async fn columns_that_opentelemetry_names_have_that_name() {
    let fixture = Fixture::migrated().await;
    // In `alert_silences` they are regular expressions.
    let unnamed = "WITH map('region', 'cloud.region', 'node', 'host.name', 'service', 'service.name', 'pid', 'process.pid', 'tid', 'thread.id', \
            'func', 'code.function.name', 'file', 'code.file.path', 'line', 'code.line.number', 'k8s_pod_name', 'k8s.pod.name', 'k8s_pod_uid', 'k8s.pod.uid', \
            'k8s_namespace', 'k8s.namespace.name', 'container_id', 'container.id', 'container_name', 'container.name', \
            'local_address', 'network.local.address', 'local_port', 'network.local.port', \
            'peer_address', 'network.peer.address', 'peer_port', 'network.peer.port') AS attributes \
        SELECT table, name FROM system.columns \
        WHERE database = 'syncline' AND mapContains(attributes, name) AND position(comment, concat('(', attributes[name], ')')) = 0 \
            AND table NOT IN (SELECT name FROM system.tables WHERE database = 'syncline' AND engine = 'MaterializedView') AND table != 'alert_silences'";
    assert_eq!(fixture.ask(unnamed).await, "");
}

pub(super) async fn whoever_asks_is_told_what_the_schema_is() {
    let fixture = Fixture::start().await;
    let said = async |store: &Store| store.check_schema().await.unwrap_err();
    let error = said(&fixture.store).await;
    assert!(matches!(&error, StoreError::SchemaMissing { database } if database == "syncline"), "{error}");
    fixture.store.migrate_to(12).await.unwrap();
    let reader = Store::connect(fixture.engine.reader_url(), "syncline").await.unwrap();
    let error = said(&reader).await;
    assert!(matches!(error, StoreError::SchemaOlder { found: 12, .. }), "{error}");
    assert!(error.to_string().contains("syncline-aggregator migrate"), "{error}");
    fixture.store.migrate().await.unwrap();
    reader.check_schema().await.unwrap();
    run(&fixture.store, "INSERT INTO schema_migrations (version, name, checksum) VALUES (4000, '4000_future', 1)")
        .await;
    assert!(matches!(said(&reader).await, StoreError::SchemaNewer { found: 4000, .. }));
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

/// As Rails, golang-migrate and dbmate make theirs.
pub(super) async fn versions_of_another_program_are_refused() {
    let fixture = Fixture::start().await;
    let server = Store::connect(fixture.engine.url(), "system").await.unwrap();
    for (database, columns) in [
        ("rails", "version String"),
        ("golang_migrate", "version Int64, dirty UInt8, sequence UInt64"),
        ("dbmate", "version String, ts DateTime, applied UInt8"),
    ] {
        run(&server, &format!("CREATE DATABASE {database}")).await;
        let other = Store::connect(fixture.engine.url(), database).await.unwrap();
        run(&other, &format!("CREATE TABLE schema_migrations ({columns}) ENGINE = MergeTree ORDER BY version")).await;
        for error in [other.migrate().await.unwrap_err(), other.check_schema().await.unwrap_err()] {
            let text = error.to_string();
            assert!(matches!(error, StoreError::SchemaForeign { .. }), "{error}");
            assert!(text.contains(columns) && text.contains("name another database"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        assert_eq!(super::ask(&other, "SHOW TABLES").await, "schema_migrations");
    }
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
