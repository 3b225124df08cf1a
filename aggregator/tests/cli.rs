//! What a user is told when it cannot work: one line on what, where and how to mend it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::TcpListener;

use support::engine_is_here;
use support::program::{Program, error_line, fails, store};

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = fails(&["--region", "us", "--listen", &address, "--store-dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let line = error_line(&output);
    assert!(line.contains(&address) && line.contains("--listen") && line.contains("in use"), "{line}");
}

#[test]
fn a_clickhouse_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://me:secret@{free}");
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let run = |url: &str| {
        let output =
            fails(&["--region", "us", "--listen", "127.0.0.1:0", "--clickhouse-url", url, "--state-dir", state]);
        assert_eq!(output.status.code(), Some(1));
        error_line(&output)
    };
    let line = run(&url);
    assert!(line.contains("no ClickHouse answers") && line.contains(&free.to_string()), "{line}");
    assert!(!line.contains("secret"), "{line}");
    assert!(run("ftp://somewhere").contains("http://"), "{}", run("ftp://somewhere"));
}

#[test]
fn a_missing_library_is_named_with_the_way_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--store-dir", dir.path().to_str().unwrap()];
    let mut command = support::program::command(&arguments);
    let output = command.env("SYNCLINE_LIBCHDB", dir.path().join("none.so")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = error_line(&output);
    assert!(line.contains("none.so") && line.contains("cargo xtask fetch libchdb"), "{line}");
}

#[test]
fn a_second_aggregator_on_the_same_store_is_told_who_has_it() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = Program::embedded(dir.path());
    let output = fails(&["--region", "eu", "--listen", "127.0.0.1:0", "--store-dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let line = error_line(&output);
    assert!(line.contains(&first.pid().to_string()) && line.contains("in use"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_a_foreign_and_a_newer_schema_are_refused() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _first = Program::embedded(dir.path());
    let (url, state) = (support::program::engine_url(dir.path()), dir.path().join("other"));
    let store = store(dir.path()).await;
    let run = |url: &str, database: &str| {
        let arguments = ["--region", "eu", "--listen", "127.0.0.1:0", "--clickhouse-url", url, "--database", database];
        let output = fails(&[&arguments[..], &["--state-dir", state.to_str().unwrap()]].concat());
        error_line(&output)
    };
    let (_, address) = url.rsplit_once('@').unwrap();
    let line = run(&format!("http://syncline:wrong@{address}"), "syncline");
    assert!(line.contains("uthentication"), "{line}");

    store.client().query("CREATE DATABASE foreign_one").execute().await.unwrap();
    store.client().query("CREATE TABLE foreign_one.t (a UInt8) ENGINE = Memory").execute().await.unwrap();
    let line = run(&url, "foreign_one");
    assert!(line.contains("foreign_one") && line.contains("not usable"), "{line}");

    let newer = "INSERT INTO schema_migrations (version, name, checksum) VALUES (4000, 'future', 1)";
    store.client().query(newer).execute().await.unwrap();
    let line = run(&url, "syncline");
    assert!(line.contains("4000") && line.contains("update this program"), "{line}");
}

#[test]
fn the_state_of_another_region_is_refused() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    drop(Program::embedded(dir.path()));
    let output = fails(&["--region", "eu", "--listen", "127.0.0.1:0", "--store-dir", dir.path().to_str().unwrap()]);
    let line = error_line(&output);
    assert!(line.contains("belongs to region \"us\"") && line.contains("--state-dir"), "{line}");
}

#[test]
fn a_root_that_is_no_url_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let output = fails(&["--region", "eu", "--listen", "127.0.0.1:0", "--store-dir", state, "--root", "us.example"]);
    let line = error_line(&output);
    assert!(line.contains("--root us.example") && line.contains("http://host:port"), "{line}");
}

#[test]
fn the_end_of_the_engine_is_the_end_of_the_aggregator_and_is_told() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Program::embedded(dir.path());
    let engine = support::program::engine_pid(dir.path());
    rustix::process::kill_process(engine, rustix::process::Signal::KILL).unwrap();
    let (status, log) = program.ends();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("ended by itself") && log.contains("engine.log"), "{log}");
}
