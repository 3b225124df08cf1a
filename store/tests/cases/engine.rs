//! The engine's life: start, stop, exclusion, crashes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use syncline_store::{
    BlockBuilder, Column, EmbeddedConfig, EmbeddedEngine, Location, OpenOptions, Store, StoreError, open,
};

use super::{Fixture, HOLD_ARGUMENT, ask, run};

fn process(pid: u32) -> (Pid, OwnedFd) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    (pid, pidfd_open(pid, PidfdFlags::empty()).unwrap())
}

fn ends_within(pidfd: &OwnedFd, seconds: u64) -> bool {
    let timeout = Timespec::try_from(Duration::from_secs(seconds)).unwrap();
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

pub(super) async fn a_reopened_directory_has_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let first = EmbeddedEngine::start(EmbeddedConfig::new(dir.path())).await.unwrap();
    let (_, pidfd) = process(first.pid().unwrap());
    let store = Store::connect(first.url(), "syncline").await.unwrap();
    store.migrate().await.unwrap();
    run(&store, "INSERT INTO symbols (build_id, pc, depth, func) VALUES (1, 2, 0, 'main.main')").await;
    assert!(dir.path().join("endpoint.json").exists());
    first.stop().await.unwrap();
    assert!(ends_within(&pidfd, 0), "stop() returned before the engine had ended");
    assert!(!dir.path().join("endpoint.json").exists());

    let second = EmbeddedEngine::start(EmbeddedConfig::new(dir.path())).await.unwrap();
    let (_, pidfd) = process(second.pid().unwrap());
    let store = Store::connect(second.url(), "syncline").await.unwrap();
    assert_eq!(ask(&store, "SELECT func FROM symbols").await, "main.main");
    drop(second);
    assert!(ends_within(&pidfd, 0), "drop returned before the engine had ended");
}

pub(super) async fn a_second_opener_is_told_the_holders_pid() {
    let dir = tempfile::tempdir().unwrap();
    let _engine = EmbeddedEngine::start(EmbeddedConfig::new(dir.path())).await.unwrap();
    let error = EmbeddedEngine::start(EmbeddedConfig::new(dir.path())).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { holder: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
}

pub(super) async fn open_uses_the_engine_of_a_live_holder() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::Embedded(dir.path().to_owned());
    let holder = open(&location, &OpenOptions::default()).await.unwrap();
    assert!(holder.holds_engine());
    holder.migrate().await.unwrap();
    run(&holder, "INSERT INTO symbols (build_id, pc, depth, func) VALUES (1, 2, 0, 'shared')").await;
    let guest = open(&location, &OpenOptions::default()).await.unwrap();
    assert!(!guest.holds_engine());
    assert_eq!(ask(&guest, "SELECT func FROM symbols").await, "shared");
    guest.close().await.unwrap();
    assert_eq!(ask(&holder, "SELECT func FROM symbols").await, "shared");
    holder.close().await.unwrap();

    let alone = open(&location, &OpenOptions::default()).await.unwrap();
    assert!(alone.holds_engine());
    assert_eq!(ask(&alone, "SELECT func FROM symbols").await, "shared");
}

pub(super) async fn a_killed_holder_leaves_no_engine_and_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder =
        Command::new("/proc/self/exe").arg(HOLD_ARGUMENT).arg(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let (_, pidfd) = process(line.trim().parse().unwrap());
    assert!(!ends_within(&pidfd, 0));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(ends_within(&pidfd, 20), "the engine outlives its killed parent");

    assert!(dir.path().join("endpoint.json").exists(), "the killed holder should have left it");
    let store = open(&Location::Embedded(dir.path().to_owned()), &OpenOptions::default()).await.unwrap();
    assert!(store.holds_engine(), "a stale endpoint was believed");
    assert_eq!(ask(&store, "SELECT func FROM symbols").await, "kept");
}

pub(super) async fn a_killed_engine_makes_inserts_fail_retryably() {
    let fixture = Fixture::migrated().await;
    let (pid, pidfd) = process(fixture.engine.pid().unwrap());
    kill_process(pid, Signal::KILL).unwrap();
    assert!(ends_within(&pidfd, 20));
    let block = BlockBuilder::new("symbols").column("func", Column::String(vec!["x".into()])).build().unwrap();
    let error = fixture.store.insert(block, "token").await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

pub(super) async fn memory_is_capped_and_strangers_may_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { max_memory_bytes: 512 << 20, ..EmbeddedConfig::new(dir.path()) };
    let engine = EmbeddedEngine::start(config).await.unwrap();
    let store = Store::connect(engine.url(), "system").await.unwrap();
    assert_eq!(ask(&store, "SELECT getServerSetting('max_server_memory_usage')").await, "536870912");
    let error = store.query_text("SELECT groupArray(number) FROM numbers(1000000000)", "Null").await.unwrap_err();
    assert!(matches!(error, StoreError::Sql { code: 241, .. }) && error.is_retryable(), "{error}");

    let port = engine.url().rsplit(':').next().unwrap();
    let stranger = Store::connect(&format!("http://127.0.0.1:{port}"), "system").await;
    assert!(matches!(stranger, Err(StoreError::Unreachable { .. })), "{stranger:?}");
    let wrong = Store::connect(&format!("http://syncline:wrong@127.0.0.1:{port}"), "syncline").await.unwrap_err();
    assert!(matches!(wrong, StoreError::Sql { code: 516, .. }), "{wrong}");
}

/// The status of the answer to a request of plain HTTP.
fn status(port: u16, request: &str, headers: &str, body: &str) -> u16 {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let length = body.len();
    write!(
        connection,
        "{request} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap_or_else(|| panic!("{line}")).parse().unwrap()
}

fn base64(text: &str) -> String {
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let of = |three: &[u8]| {
        let bits = three.iter().chain([0, 0].iter()).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        (0..4).map(|at| if at > three.len() { '=' } else { letters[bits >> (18 - 6 * at) & 63] }).collect::<String>()
    };
    text.as_bytes().chunks(3).map(of).collect()
}

pub(super) async fn who_has_no_password_is_not_answered_however_he_asks() {
    let fixture = Fixture::migrated().await;
    let port: u16 = fixture.engine.url().rsplit(':').next().unwrap().parse().unwrap();
    let password = fixture.engine.url().split([':', '@']).nth(2).unwrap();
    let attacks = ["SYSTEM STOP LISTEN HTTP", "SYSTEM START LISTEN TCP", "SELECT file('../users.xml')", "SELECT 1"];
    // Of `default:`, `default:x`, `:` and of no Basic one.
    let names = [
        "",
        "X-ClickHouse-User: default\r\n",
        "x-clickhouse-user: default\r\n",
        "X-ClickHouse-User: \r\n",
        "X-ClickHouse-User: default syncline\r\n",
    ];
    let words = [
        "Basic ZGVmYXVsdDo=",
        "Basic ZGVmYXVsdDp4",
        "Basic Og==",
        "Bearer c3luY2xp",
        "basic ZGVmYXVsdDo=",
        "Basic ZGVmYXVsdDo= Basic c3luY2xp",
        "Basic ZGVmYXVsdDo=c3luY2xp",
    ];
    let authorizations = words.map(|word| format!("Authorization: {word}\r\n"));
    let headers: Vec<&str> = names.into_iter().chain(authorizations.iter().map(String::as_str)).collect();
    // Letters of a name in an address can be written as `%75`.
    let own = format!("/?user=syncline&password={password}");
    let paths = [
        "/",
        "/?user=default",
        "/?user=default&user=syncline",
        "/?%75ser=default",
        "/query",
        "/play",
        "/ping",
        "/replicas_status",
        &own,
    ];
    for (sql, headers) in attacks.iter().flat_map(|sql| headers.iter().map(move |headers| (sql, headers))) {
        for path in paths {
            assert_eq!(status(port, &format!("POST {path}"), headers, sql), 404, "{path} {headers} {sql}");
        }
        let get = format!("GET /?query={}", sql.replace(' ', "+"));
        assert_eq!(status(port, &get, headers, ""), 404, "{get} {headers}");
    }
    // Whoever names one of the two needs its password, and may name no other user beside.
    let own = format!("Authorization: Basic {}\r\n", base64(&format!("syncline:{password}")));
    let named = [
        "X-ClickHouse-User: syncline\r\n",
        "Authorization: Basic c3luY2xpbmU6\r\n",
        "Authorization: Basic c3luY2xpOg==\r\n",
        &own,
    ];
    let others = [
        "?user=default",
        "?user=default&password=",
        "?password=",
        "?user",
        "?database=system&user=default",
        "?%75ser=default",
        "?p%61ssword=",
        "?a=b&&user=default",
        "?user=syncline&user=default",
    ];
    for (headers, other) in named.iter().flat_map(|headers| others.iter().map(move |other| (headers, other))) {
        let refused = status(port, &format!("POST /{other}"), headers, "SYSTEM STOP LISTEN HTTP");
        assert!(matches!(refused, 401 | 403 | 404 | 500), "{refused} {other} {headers}");
    }
    let [ours, default] = ["X-ClickHouse-User: syncline\r\n", "X-ClickHouse-User: default\r\n"];
    let [our_word, their_word] = ["Authorization: Basic c3luY2xpbmU6\r\n", "Authorization: Basic ZGVmYXVsdDo=\r\n"];
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for headers in [
        ours.to_owned(),
        our_word.to_owned(),
        format!("{ours}{default}"),
        format!("{default}{ours}"),
        format!("{default}{our_word}"),
        format!("{ours}{their_word}"),
        format!("{our_word}{their_word}"),
        format!("{their_word}{our_word}"),
    ] {
        for (headers, body) in
            [(headers.clone(), "SYSTEM STOP LISTEN HTTP"), (format!("{headers}{form}"), "user=default&query=SELECT+1")]
        {
            let refused = status(port, "POST /", &headers, body);
            assert!(matches!(refused, 401 | 403 | 404 | 500), "{refused} {headers}");
        }
    }

    let right = format!("X-ClickHouse-User: syncline\r\nX-ClickHouse-Key: {password}\r\n");
    for headers in [&right, &own] {
        assert_eq!(status(port, "POST /", headers, "SELECT 1"), 200);
    }
    assert_eq!(status(port, "GET /?database=system&query=SELECT+1", &right, ""), 200);
    assert_eq!(status(port, "POST /?database=system", &own, "SELECT 1"), 404);
    assert_eq!(fixture.ask("SELECT count() FROM nodes").await, "0", "it still listens");
    let reader = Store::connect(fixture.engine.reader_url(), "syncline").await.unwrap();
    assert_eq!(ask(&reader, "SELECT count() FROM nodes").await, "0");
}

pub(super) async fn a_missing_or_broken_library_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libchdb.so");
    let config = || EmbeddedConfig { libchdb: Some(library.clone()), ..EmbeddedConfig::new(dir.path().join("data")) };
    let error = EmbeddedEngine::start(config()).await.unwrap_err().to_string();
    assert!(error.contains("cargo xtask fetch libchdb") && error.contains("SYNCLINE_LIBCHDB"), "{error}");
    assert!(error.contains(library.to_str().unwrap()), "{error}");

    std::fs::write(&library, "not a library").unwrap();
    let error = EmbeddedEngine::start(config()).await.unwrap_err();
    assert!(matches!(&error, StoreError::EngineStart { reason, .. } if reason.contains("libchdb.so")), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

pub(super) async fn a_port_in_use_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http_port = Some(listener.local_addr().unwrap().port());
    let config = EmbeddedConfig { http_port, ..EmbeddedConfig::new(dir.path()) };
    let error = EmbeddedEngine::start(config).await.unwrap_err();
    assert!(matches!(error, StoreError::EngineStart { .. }), "{error}");
    assert!(error.to_string().contains("Address already in use"), "{error}");
}
