//! The engine's life: start, stop, exclusion, crashes.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
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
    let stranger = match stranger {
        Ok(store) => store.query_text("SELECT * FROM file('/etc/hostname', LineAsString)", "TSV").await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(stranger, Err(StoreError::Sql { code: 497, .. })), "{stranger:?}");
    let wrong = Store::connect(&format!("http://syncline:wrong@127.0.0.1:{port}"), "syncline").await.unwrap_err();
    assert!(matches!(wrong, StoreError::Sql { code: 516, .. }), "{wrong}");
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
