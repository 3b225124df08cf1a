//! From every earlier version to this one, with rows in every table that it had.

use std::collections::BTreeMap;

use syncline_store::Store;

use super::{Fixture, ask, run};

/// Of a database, so that two can be compared.
pub(super) async fn definitions(store: &Store) -> String {
    let sql = "SELECT name, replaceAll(create_table_query, concat(currentDatabase(), '.'), '') FROM system.tables \
        WHERE database = currentDatabase() ORDER BY name";
    ask(store, sql).await
}

/// The tables of a database, each with the columns that are stored, and their types.
async fn tables(store: &Store) -> BTreeMap<String, Vec<(String, String)>> {
    let sql = "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') \
            AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree') \
            AND table != 'schema_migrations' ORDER BY table, position FORMAT TSVRaw";
    let mut tables = BTreeMap::<_, Vec<_>>::new();
    for line in ask(store, sql).await.lines() {
        let [table, name, of] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        tables.entry(table.to_owned()).or_default().push((name.to_owned(), of.to_owned()));
    }
    tables
}

/// What a row has there: no zeros, and nothing that is old enough to be deleted.
fn value(name: &str, of: &str) -> String {
    let inner = of.strip_prefix("SimpleAggregateFunction(").and_then(|rest| rest.strip_suffix(')')?.split_once(", "));
    let of = inner.map_or(of, |(_, inner)| inner);
    match of {
        // Tables go by these where they delete what is old.
        "Int64" if matches!(name, "t2" | "ref_from" | "ref_off_to") => "toUnixTimestamp64Nano(now64(9))".to_owned(),
        "LowCardinality(String)" | "String" => "'x'".to_owned(),
        of if of.starts_with("DateTime64") => "now64(9)".to_owned(),
        of if of.starts_with("DateTime") => "now()".to_owned(),
        of if of.starts_with("Int") || of.starts_with("UInt") || of.starts_with("Float") => "7".to_owned(),
        of => format!("defaultValueOfTypeName('{}')", of.replace('\'', "\\'")),
    }
}

/// All rows of these columns. A view fills some of the tables from others, so that they may have more than one.
async fn rows(store: &Store, tables: &BTreeMap<String, Vec<(String, String)>>) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for (table, columns) in tables {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        rows.insert(table.clone(), ask(store, &format!("SELECT {} FROM {table} ORDER BY ALL", names.join(", "))).await);
    }
    rows
}

async fn fill(store: &Store, tables: &BTreeMap<String, Vec<(String, String)>>) {
    for (table, columns) in tables {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<String> = columns.iter().map(|(name, of)| value(name, of)).collect();
        run(store, &format!("INSERT INTO {table} ({}) SELECT {}", names.join(", "), values.join(", "))).await;
    }
}

/// One that the views of this version have to find.
async fn a_wait(store: &Store) {
    for sql in [
        "INSERT INTO nodes (region, node, boot) VALUES ('eu', 'eu-1', 1)",
        "INSERT INTO events (bucket, region, service, node, boot, seq, mono_ns, dur_ns, al_off, err_ns, stack_id) \
         SELECT now(), 'eu', 'cart', 'eu-1', 1, 1, 1000, 5000, toUnixTimestamp64Nano(now64(9)), 7, 3",
        "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES (3, 4, [5], now())",
        "INSERT INTO symbols (build_id, pc, depth, func) VALUES (4, 5, 0, 'main.wait')",
    ] {
        run(store, sql).await;
    }
}

const WAITS: &str =
    "SELECT service, dur_ns, err_ns, stack, weight FROM timeline(t0 = now64(9) - 600, t1 = now64(9) + 1)";

pub(super) async fn each_earlier_version_is_brought_up_to_date_with_its_rows() {
    let fixture = Fixture::migrated().await;
    let (newest, expected) = (fixture.store.plan().await.unwrap().to, definitions(&fixture.store).await);
    for version in 0..newest {
        let store = Store::connect(fixture.engine.url(), &format!("from_{version}")).await.unwrap();
        assert_eq!(store.migrate_to(version).await.unwrap().to, version);
        let has_tables = version > 0;
        if has_tables {
            a_wait(&store).await;
        }
        let report = store.migrate().await.unwrap();
        assert_eq!((report.from, report.to, report.applied.len() as u32), (version, newest, newest - version));
        assert_eq!(definitions(&store).await, expected, "from version {version}");
        let waits = if has_tables { "cart\t5000\t7\tmain.wait\t1" } else { "" };
        assert_eq!(ask(&store, WAITS).await, waits, "from version {version}");
        run(&store, &format!("DROP DATABASE from_{version}")).await;
    }
}

pub(super) async fn rows_of_each_table_of_each_earlier_version_stay_as_they_are() {
    let fixture = Fixture::start().await;
    for version in 1..fixture.store.plan().await.unwrap().to {
        let store = Store::connect(fixture.engine.url(), &format!("from_{version}")).await.unwrap();
        store.migrate_to(version).await.unwrap();
        let tables = tables(&store).await;
        fill(&store, &tables).await;
        let before = rows(&store, &tables).await;
        for (table, rows) in &before {
            assert!(!rows.is_empty(), "{table} of version {version} has no row");
        }
        store.migrate().await.unwrap();
        let after = rows(&store, &tables).await;
        for (table, rows) in &before {
            assert_eq!(after[table], *rows, "{table} from version {version}");
        }
        run(&store, &format!("DROP DATABASE from_{version}")).await;
    }
}
