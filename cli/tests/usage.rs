//! What the program says when it is asked wrongly, and what it can say without a store.

// clippy.toml lets tests unwrap, but knows only the functions marked as tests, not their helpers.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn syncline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["SYNCLINE_STORE", "SYNCLINE_URL", "XDG_DATA_HOME", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    syncline(arguments).output().unwrap()
}

/// The one line on standard error, after checking that it is one and that nothing else was written.
fn refusal(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote to standard output");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    error
}

const EXPORT: [&str; 5] = ["export", "-f", "pprof", "-o", "-"];

#[test]
fn times_that_are_none_are_refused_before_a_store_is_looked_for() {
    let error = refusal(&["timeline", "--from", "yesterday", "--store", "/nowhere"], 2);
    assert!(error.contains("--from: \"yesterday\" is not a time; write RFC 3339"), "{error}");
    for command in [&["timeline"][..], &["blockers"], &["goroutine", "1", "1"], &["states"], &["sends"], &EXPORT] {
        let window = ["--from", "-1s", "--to", "-2s", "--store", "/nowhere"];
        let error = refusal(&[command, &window].concat(), 2);
        assert!(error.contains("is not before --to"), "{error}");
    }
}

#[test]
fn what_export_cannot_write_is_refused_in_words() {
    for (arguments, said) in [
        (&["-f", "svg", "-o", "x"][..], "possible values: perfetto, pprof, speedscope, parquet"),
        (&["-f", "pprof", "-o", "x", "--kind", "nap"], "possible values: goroutine, syscall, off_cpu, cgo"),
        (&["-f", "pprof", "-o", "x", "--goroutine", "0"], "not a goroutine: its number"),
        (&["-f", "pprof"], "--output <FILE>"),
    ] {
        let output = run(&[&["export"], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(said), "{arguments:?}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let error = refusal(&["export", "-f", "pprof", "-o", dir.path().to_str().unwrap(), "--store", "/nowhere"], 2);
    assert!(error.contains("is a directory: name a file in it"), "{error}");
}

#[test]
fn a_missing_store_is_named_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("store");
    let missing = missing.to_str().unwrap();
    for command in [&["skew"][..], &["timeline"], &["sql", "SELECT 1"]] {
        let error = refusal(&[&["--store", missing], command].concat(), 2);
        assert!(error.contains(&format!("there is no store at {missing}")), "{error}");
    }
    assert!(!Path::new(missing).exists());
    let error = refusal(&["--store", dir.path().to_str().unwrap(), "skew"], 2);
    assert!(error.contains("not a Syncline store"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    let error = refusal(&["--url", "http://127.0.0.1:1", "skew"], 1);
    assert!(error.contains("no ClickHouse answers at http://127.0.0.1:1/"), "{error}");
    let error = refusal(&["--url", "https://db", "skew"], 1);
    assert!(error.contains("must be http://"), "{error}");
    let error = refusal(&["--url", "http://a", "--store", "/b", "skew"], 2);
    assert!(error.contains("give one of them"), "{error}");
}

#[test]
fn sql_wants_a_query_and_whole_parameters() {
    assert!(refusal(&["sql"], 2).contains("the query is empty"));
    assert!(refusal(&["sql", "SELECT 1", "--param", "x"], 2).contains("is not NAME=VALUE"));
}

#[test]
fn clap_refuses_with_the_same_code() {
    for arguments in [
        &["timeline", "--min-duration", "long"][..],
        &["skew", "--format", "xml"],
        &["blockers", "--by", "size"],
        &["states", "--by", "sleeping"],
        &["states", "--limit", "0"],
        &["goroutine", "1"],
        &["goroutine", "1", "0"],
        &["nothing"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn numbers_that_are_none_are_refused_with_a_word_on_where_to_find_them() {
    let error = |arguments: &[&str]| String::from_utf8(run(arguments).stderr).unwrap();
    for command in [&["goroutine", "x", "1"][..], &["timeline", "--pid", "x"], &["blockers", "--pid", "0"]] {
        let error = error(command);
        assert!(error.contains("not a process id: a number, as `pgrep NAME` says"), "{error}");
    }
    assert!(error(&["goroutine", "1", "x"]).contains("not a goroutine: its number, as in `goroutine 18 [select]`"));
}

#[test]
fn every_command_teaches_by_example() {
    let commands = [
        "",
        "sql",
        "timeline",
        "blockers",
        "states",
        "goroutine",
        "sends",
        "skew",
        "doctor",
        "bias",
        "clock",
        "clock replay",
    ];
    for command in commands {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = run(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Examples:\n  "), "{arguments:?}: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{arguments:?}: {text}");
    }
}

#[test]
fn the_doctors_json_and_exit_code_agree() {
    let output = run(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    for check in checks {
        assert!(["ok", "warn", "fail"].contains(&check["status"].as_str().unwrap()), "{check}");
        assert!(!check["found"].as_str().unwrap().is_empty(), "{check}");
        assert_eq!(check["status"] == "ok", check["hint"].is_null(), "{check}");
    }
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    for name in [
        "kernel",
        "btf",
        "bpf",
        "capabilities",
        "uprobes",
        "libchdb",
        "clocksource",
        "vmclock",
        "disk-space",
        "clang",
        "go",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let can_capture = report["can_capture"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!can_capture)));
    assert!(report["can_store"].is_boolean());
}

#[test]
fn a_doctor_without_a_library_says_how_to_get_one() {
    let output = syncline(&["doctor", "--json"]).env("SYNCLINE_LIBCHDB", "/nowhere/libchdb.so").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let library = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "libchdb").unwrap();
    assert_eq!(library["status"], "fail");
    assert!(library["hint"].as_str().unwrap().contains("SYNCLINE_LIBCHDB"), "{library}");
    assert_eq!(report["can_store"], false);
}
