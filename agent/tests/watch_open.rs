//! `syncline-agent watch` shows goroutines that hang before their waits end, and counts what is inside of calls of C once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::path::Path;

use serde_json::Value;
use support::go_program::{ANY, CGO, GoProgram};
use support::watching::{Watching, last_table, pprof_top, row};

/// What calls the C code.
const C: &str = "main._Cfunc_await_byte";
/// The kind and the function of what blocks in each way that the program knows.
const STUCK: [(&str, &str); 8] = [
    ("goroutine", "main.receive"),
    ("goroutine", "main.choose"),
    ("goroutine", "main.lock"),
    ("goroutine", "main.read"),
    ("goroutine", "main.write"),
    ("syscall", "main.call"),
    ("cgo", C),
    ("syscall", C),
];

#[test]
fn goroutines_that_hang_are_shown_while_they_do_and_counted_once_when_they_are_released() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (pprof, events) = (file("block.pb.gz"), file("events.jsonl"));
    let mut program = GoProgram::start(&CGO.program("stuck"), &[]);
    let pid = program.pid().to_string();
    let mut watching = Watching::start(&[&pid, "--interval", "100ms", "--out", &pprof, "--out", &events]);
    program.go();
    program.events_until_done();
    let is_shown = |table: &str, (_, function): (&str, &str)| table.contains(&format!("{function} "));
    let table = watching.table_where(|table| STUCK.iter().all(|way| is_shown(table, *way)));
    for function in ["main.receive", "main.choose", "main.lock", "main.read", "main.write", "main.call"] {
        let cells = row(&table, function);
        assert_eq!(cells[2], "1", "{table}");
        assert!(cells[3].starts_with("1, 1."), "blocked now, for a second: {table}");
    }
    program.go();
    program.events_until_done();
    assert!(program.finish().success());
    let text = watching.end();
    let table = last_table(&text);
    let events: Vec<Value> =
        std::fs::read_to_string(&events).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (kind, function) in STUCK {
        let is_of_way = |event: &&Value| {
            event["kind"] == kind && event["stack"].as_array().unwrap().iter().any(|call| call["function"] == function)
        };
        let (open, ended): (Vec<&Value>, Vec<&Value>) =
            events.iter().filter(is_of_way).partition(|event| event["open"] == true);
        assert!(!open.is_empty() && ended.len() == 1, "{kind} {function}: {open:#?} {ended:#?}");
        let identity =
            |event: &Value| ["pid", "kind", "goid", "tid", "start_mono_ns"].map(|field| event[field].clone());
        let ns = |event: &Value| event["duration_ns"].as_u64().unwrap();
        for open in open {
            assert_eq!(identity(open), identity(ended[0]));
            assert!(
                ns(open) < ns(ended[0]) && open["abandoned"] == false && open["site"] == ended[0]["site"],
                "{open}"
            );
        }
        let is_inside = (kind, function) == ("syscall", C);
        assert_eq!(ended[0]["inside"], is_inside, "{}", ended[0]);
        if function != C {
            let cells = row(table, function);
            assert_eq!((cells[0], cells[2]), (&*syncline_insight::span(ns(ended[0])), "1"), "{table}");
        }
    }
    assert!(!table.contains("go on") && !table.contains(" NOW "), "{table}");
    let of_c: Vec<&str> = table.lines().filter(|line| line.contains(C)).collect();
    assert!(of_c.len() == 2 && of_c.iter().filter(|line| line.contains("  inside  ")).count() == 1, "{table}");
    let is_of_program = |event: &Value| !event["site"]["function"].as_str().unwrap().starts_with("runtime.");
    let is_counted = |event: &&Value| event["open"] == false && event["inside"] == false && is_of_program(event);
    let counted = || events.iter().filter(is_counted).map(|event| event["duration_ns"].as_u64().unwrap());
    let (count, sum_ns) = (counted().count(), counted().sum::<u64>());
    assert!(table.contains(&format!("\n{count} waits of ")), "{count}: {table}");
    assert!(table.contains(&format!("{} in all", syncline_insight::span(sum_ns))), "{table}");
    // The profile has the call of C without what is inside of it.
    let ns_of_c = counted_of(&events, C);
    let profile = pprof_top(Path::new(&pprof));
    let line = profile.lines().find(|line| line.contains(C)).unwrap_or_else(|| panic!("{profile}"));
    assert_eq!(line.split_whitespace().nth(3), Some(format!("{ns_of_c}ns").as_str()), "{profile}");
}

/// The length of the ended call of C.
fn counted_of(events: &[Value], function: &str) -> u64 {
    let is_it =
        |event: &&Value| event["kind"] == "cgo" && event["open"] == false && event["site"]["function"] == function;
    events.iter().find(is_it).unwrap()["duration_ns"].as_u64().unwrap()
}

#[test]
fn what_hangs_until_its_process_ends_lasted_until_then() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.jsonl").to_string_lossy().into_owned();
    let mut program = GoProgram::start(&ANY.program("stuck"), &[]);
    let mut watching = Watching::start(&[&program.pid().to_string(), "--interval", "100ms", "--out", &events]);
    program.go();
    program.events_until_done();
    let hangs = |table: &str| table.contains("main.receive ") && row(table, "main.receive")[3].starts_with("1, 1.");
    watching.table_where(hangs);
    drop(program);
    let text = watching.end();
    let table = last_table(&text);
    assert_eq!(row(table, "main.receive")[2], "1", "{table}");
    assert!(!table.contains("go on"), "{table}");
    let lines = std::fs::read_to_string(&events).unwrap();
    let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let abandoned = |event: &&Value| event["abandoned"] == true && event["site"]["function"] == "main.receive";
    let abandoned: Vec<&Value> = told.iter().filter(abandoned).collect();
    assert_eq!(abandoned.len(), 1, "{lines}");
    let ns = abandoned[0]["duration_ns"].as_u64().unwrap();
    assert_eq!(row(table, "main.receive")[0], syncline_insight::span(ns), "{table}");
}

#[test]
fn what_hung_before_is_shown_and_ends_as_longer_than_was_seen() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.jsonl").to_string_lossy().into_owned();
    let mut program = GoProgram::start(&CGO.program("stuck"), &[]);
    program.go();
    program.events_until_done();
    let mut watching = Watching::start(&[&program.pid().to_string(), "--interval", "100ms", "--out", &events]);
    let is_shown = |table: &str, (_, function): (&str, &str)| table.contains(&format!("{function} "));
    let table = watching.table_where(|table| STUCK.iter().all(|way| is_shown(table, *way)));
    for function in ["main.receive", "main.choose", "main.lock", "main.read", "main.write", "main.call"] {
        assert!(row(&table, function)[3].starts_with("1, at least 1."), "{table}");
    }
    program.go();
    program.events_until_done();
    assert!(program.finish().success());
    watching.end();
    let events = std::fs::read_to_string(&events).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (kind, function) in STUCK {
        let is_of_way = |event: &&Value| {
            event["kind"] == kind && event["stack"].as_array().unwrap().iter().any(|call| call["function"] == function)
        };
        let (open, ended): (Vec<&Value>, Vec<&Value>) =
            events.iter().filter(is_of_way).partition(|event| event["open"] == true);
        assert!(!open.is_empty() && ended.len() == 1, "{kind} {function}: {open:#?} {ended:#?}");
        let identity =
            |event: &Value| ["pid", "kind", "goid", "tid", "start_mono_ns"].map(|field| event[field].clone());
        assert!(open.iter().all(|open| identity(open) == identity(ended[0])), "{kind} {function}");
        assert!(open.iter().chain(&ended).all(|event| event["began_before"] == true), "{kind} {function}");
    }
}
