//! What an administrator asks of the program: the schema, users, how the store is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Output;

use support::engine_is_here;
use support::program::{Program, command, engine_url, error_line};
use syncline_store::Store;

/// The database of an older version.
const OLDER: &str = "older";

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn on<'a>(what: &[&'a str], dir: &'a Path) -> Vec<&'a str> {
    [what, &["--database", OLDER, "--store-dir", dir.to_str().unwrap()]].concat()
}

/// Makes a store of an older version there.
async fn older(dir: &Path, version: u32) {
    let _engine = Program::embedded(dir);
    Store::connect(&engine_url(dir), OLDER).await.unwrap().migrate_to(version).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_shown_and_then_brought_up_to_date() {
    if !engine_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    older(dir.path(), 2).await;
    let status = run(&on(&["status"], dir.path()));
    assert_eq!(status.status.code(), Some(1));
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains("schema version=2 newest=") && text.contains("clickhouse parts="), "{text}");
    assert!(error_line(&status).contains("syncline-aggregator migrate"), "{}", error_line(&status));

    let plan = said(&run(&on(&["migrate", "--dry-run"], dir.path())));
    assert!(plan.contains("`older` has schema version 2;"), "{plan}");
    assert!(plan.contains("\n-- 0003_") && !plan.contains("-- 0002_") && plan.contains(";\n"), "{plan}");
    assert_eq!(said(&run(&on(&["migrate", "--dry-run"], dir.path()))), plan, "looking changes nothing");

    let done = said(&run(&on(&["migrate"], dir.path())));
    assert!(done.starts_with("applied 0003_") && !done.contains("0002_"), "{done}");
    let program = Program::embedded(dir.path());
    let again = said(&run(&on(&["migrate"], dir.path())));
    assert!(again.lines().count() == 1 && again.contains("has schema version"), "{again}");
    assert!(said(&run(&on(&["migrate", "--dry-run"], dir.path()))).contains("steps to this program's: 0"));
    let nowhere = run(&["status", "--database", "nosuch", "--store-dir", dir.path().to_str().unwrap()]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(
        error_line(&nowhere).contains("there are no tables of Syncline in database `nosuch`"),
        "{}",
        error_line(&nowhere)
    );
    drop(program);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(&["users"]).stdout(writer.try_clone().unwrap()).stderr(writer.try_clone().unwrap()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    // Nor is it a panic where the error cannot be told.
    let status = command(&["status", "--store-dir", "/nowhere/store"])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}

#[test]
fn what_went_wrong_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = run(&["migrate", "--store-dir", file.to_str().unwrap()]);
    assert_eq!(error_line(&output).matches("os error").count(), 1, "{}", error_line(&output));
}

#[test]
fn looking_at_a_store_that_is_not_there_leaves_none_behind() {
    let dir = tempfile::tempdir().unwrap();
    for what in [&["migrate", "--dry-run"][..], &["status"]] {
        let output = run(&on(what, &dir.path().join("none")));
        assert_eq!(output.status.code(), Some(1));
        assert!(error_line(&output).contains("there is no store at"), "{}", error_line(&output));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn users_are_sql_with_passwords_that_are_new_each_time() {
    let asked = [
        "users",
        "--database",
        "trace",
        "--writer-from",
        "10.1.0.0/16",
        "--reader-from",
        "::/0",
        "--reader-memory-mib",
        "512",
    ];
    let sql = said(&run(&asked));
    assert!(sql.contains("HOST IP '10.1.0.0/16'") && sql.contains("HOST IP '::/0'"), "{sql}");
    assert!(
        sql.contains("SELECT ON `trace`.* TO syncline_reader;") && sql.contains("max_memory_usage = 536870912"),
        "{sql}"
    );
    let url = sql.lines().find_map(|line| line.strip_prefix("-- For people and tools: SYNCLINE_URL=")).unwrap();
    let password = url.strip_prefix("http://syncline_reader:").unwrap().split('@').next().unwrap();
    assert_eq!(sql.matches(password).count(), 2, "in the URL and in its user");
    assert!(!said(&run(&asked)).contains(password));
    let wrong = run(&["users", "--reader-from", "10.1"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("10.1.0.0/16"));
}
