//! Who may do what: the reader of the embedded engine, and the users of a server.

use syncline_store::{
    EmbeddedConfig, EmbeddedEngine, Location, OpenOptions, ReaderLimits, Role, Store, StoreError, Users, open,
};

use super::{Fixture, ask, run};

const NOT_GRANTED: u32 = 497;
const READONLY: u32 = 164;
const CONSTRAINT: u32 = 452;
const TOO_MUCH_MEMORY: u32 = 241;
const TOO_MANY_ROWS: u32 = 158;

async fn code(store: &Store, sql: &str) -> u32 {
    match store.query_text(sql, "Null").await {
        Err(StoreError::Sql { code, .. }) => code,
        other => panic!("{sql}: {other:?}"),
    }
}

fn password_of(url: &str) -> &str {
    url.split([':', '@']).nth(2).unwrap()
}

pub(super) async fn the_reader_reads_and_nothing_else() {
    let fixture = Fixture::migrated().await;
    run(&fixture.store, "INSERT INTO symbols (build_id, pc, depth, func) VALUES (1, 2, 0, 'main.main')").await;
    let reader = Store::connect(fixture.engine.reader_url(), "syncline").await.unwrap();
    assert_eq!(ask(&reader, "SELECT func FROM symbols").await, "main.main");
    assert_eq!(ask(&reader, "SELECT count() FROM timeline(t0 = now64(9) - 1, t1 = now64(9))").await, "0");
    assert_eq!(ask(&reader, "SELECT getSetting('max_threads') SETTINGS max_threads = 1").await, "1");
    for sql in [
        "INSERT INTO symbols (func) VALUES ('x')",
        "ALTER TABLE symbols DELETE WHERE 1",
        "DROP TABLE symbols",
        "CREATE TABLE t (a UInt8) ENGINE = Memory",
        "SYSTEM STOP MERGES symbols",
        "INSERT INTO FUNCTION file('x.tsv', 'TSV', 'a UInt8') VALUES (1)",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    ] {
        assert_eq!(code(&reader, sql).await, NOT_GRANTED, "{sql}");
    }
    assert_eq!(ask(&reader, "SELECT count() FROM symbols").await, "1");
    for sql in [
        "SELECT file('../access.json')",
        "SELECT file('/etc/passwd')",
        "SELECT file('/proc/1/environ')",
        "SELECT file('../../../../../../../etc/passwd')",
        "SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/passwd'",
    ] {
        let refused = reader.query_text(sql, "Null").await.unwrap_err().to_string();
        assert!(refused.contains("Permission denied") || refused.contains("errno: 13"), "{sql}: {refused}");
    }
    let users = ask(&reader, "SELECT file('../users.xml')").await;
    assert!(!users.contains(password_of(fixture.engine.url())) && users.contains("password_sha256_hex"), "{users}");
    // Of ours, which may have passwords, the engine's process has only what is of no interest. Cargo's are in that of this test.
    let environment = ask(&reader, "SELECT file('/proc/self/environ')").await;
    let names = environment.split("\\0").filter_map(|variable| Some(variable.split_once('=')?.0));
    let allowed = ["HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"];
    let others: Vec<_> = names.filter(|name| !allowed.contains(name)).collect();
    assert!(others.is_empty() && environment.contains("PATH="), "{environment}");
    assert_eq!(ask(&reader, "KILL QUERY WHERE user = 'syncline' TEST").await, "", "it sees no queries of others");
}

pub(super) async fn the_readers_limits_hold_whatever_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { max_memory_bytes: 1 << 30, ..EmbeddedConfig::new(dir.path()) };
    let engine = EmbeddedEngine::start(config).await.unwrap();
    let reader = Store::connect(engine.reader_url(), "system").await.unwrap();
    assert_eq!(ask(&reader, "SELECT getSetting('max_memory_usage')").await, (3u64 << 28).to_string());
    let large = "SELECT length(groupArray(number)) FROM numbers(1000000000)";
    assert_eq!(code(&reader, large).await, TOO_MUCH_MEMORY);
    assert_eq!(code(&reader, "SELECT sum(number) FROM numbers(100000000000)").await, TOO_MANY_ROWS);
    for setting in [
        "max_memory_usage = 2000000000",
        "max_memory_usage = 0",
        "max_memory_usage_for_user = 0",
        "max_untracked_memory = 1000000000",
        "max_execution_time = 0",
        "max_execution_time = 3601",
        "max_rows_to_read = 0",
        "max_temporary_data_on_disk_size_for_user = 0",
        "max_concurrent_queries_for_user = 0",
    ] {
        assert_eq!(code(&reader, &format!("SELECT 1 SETTINGS {setting}")).await, CONSTRAINT, "{setting}");
    }
    let of_user =
        "SELECT getSetting('max_temporary_data_on_disk_size_for_user'), getSetting('max_concurrent_queries_for_user')";
    assert_eq!(ask(&reader, of_user).await, format!("{}\t32", 3u64 << 30));
    let quota = "SELECT max_queries, max_errors, max_execution_time FROM system.quota_usage WHERE quota_name = 'syncline_reader'";
    assert_eq!(ask(&reader, quota).await, "100000\t10000\t14400");
    assert_eq!(code(&reader, "SELECT 1 SETTINGS profile = 'default'").await, READONLY, "whose constraints are none");
    assert_eq!(ask(&reader, "SELECT 1 SETTINGS max_execution_time = 3600, max_rows_to_read = 10").await, "1");
}

pub(super) async fn who_opens_to_read_is_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::Embedded(dir.path().to_owned());
    let user = async |role: Role| {
        let store = open(&location, &OpenOptions { role, database: "system".to_owned(), ..OpenOptions::default() })
            .await
            .unwrap();
        let user = ask(&store, "SELECT currentUser()").await;
        store.close().await.unwrap();
        user
    };
    assert_eq!(user(Role::Reader).await, "syncline_reader", "of an engine that this opening starts");
    let holder = open(&location, &OpenOptions::default()).await.unwrap();
    assert_eq!(user(Role::Reader).await, "syncline_reader");
    assert_eq!(user(Role::Writer).await, "syncline");

    // As a holder of an older version publishes itself.
    let path = dir.path().join("endpoint.json");
    let mut endpoint: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    endpoint.as_object_mut().unwrap().remove("reader_url").unwrap();
    std::fs::write(&path, endpoint.to_string()).unwrap();
    assert_eq!(user(Role::Reader).await, "syncline");
    holder.close().await.unwrap();
}

/// The embedded engine keeps no users of its own, so that these cannot be made in it.
pub(super) async fn the_users_of_a_server_are_sql_that_clickhouse_parses() {
    let fixture = Fixture::start().await;
    let server = Store::connect(fixture.engine.url(), "system").await.unwrap();
    let users = Users {
        database: "syncline".to_owned(),
        cluster: None,
        writer_networks: vec!["10.1.0.0/16".to_owned(), "fd00::1".to_owned()],
        reader_networks: Vec::new(),
        writer_password: "it's \\ a `word`".to_owned(),
        reader_password: "r".to_owned(),
        limits: ReaderLimits::with_memory(4 << 30, 8 << 30),
    };
    let clustered = Users { cluster: Some("{cluster}".to_owned()), ..users.clone() };
    for statement in [users.statements(), clustered.statements()].concat() {
        let quoted = statement.replace('\\', "\\\\").replace('\'', "\\'");
        let parsed = ask(&server, &format!("SELECT formatQuerySingleLine('{quoted}')")).await;
        let words = |text: &str| text.split_whitespace().next().map(str::to_owned);
        assert_eq!(words(&parsed), words(&statement), "{parsed}");
    }
    let all = users.statements().join("\n");
    assert!(all.contains("CREATE USER OR REPLACE syncline_writer IDENTIFIED WITH sha256_password BY 'it\\'s \\\\ a `word`' HOST IP '10.1.0.0/16', IP 'fd00::1'"), "{all}");
    assert!(all.contains("GRANT SELECT ON system.parts TO syncline_reader, syncline_writer"), "{all}");
    assert!(
        all.contains("FOR INTERVAL 1 hour MAX queries = 100000, errors = 10000, execution_time = 14400 TO"),
        "{all}"
    );
    assert!(all.contains("max_concurrent_queries_for_user = 32 CONST"), "{all}");
    assert!(all.contains("HOST LOCAL SETTINGS PROFILE 'syncline_reader'"), "{all}");
    assert!(
        all.contains("max_memory_usage = 4294967296 MIN 1 MAX 4294967296") && all.contains("readonly = 2 CONST"),
        "{all}"
    );
    assert!(
        clustered.statements().iter().all(|statement| statement.contains(" ON CLUSTER `{cluster}`")),
        "{clustered:?}"
    );
}
