//! `stuck` on a database of its own.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, STUCK};

pub(crate) const ALL: &[Case] = cases![
    places_are_ranked_by_how_many_are_stuck_there,
    each_is_listed_with_what_it_waits_for,
    stuck_json_has_every_stack,
    what_is_not_stuck_is_said_so,
    of_how_many_processes_it_is_not_told_is_said,
];

/// The ages are such that none is overdue, or reaches a bound of the cases, while these run.
///
/// Node, pid, goid, kind, reason, age when it was looked at, how long ago that was, s, flags, stack, port of the other end.
type Told = (&'static str, u32, u64, &'static str, &'static str, i64, i64, u16, u64, u16);

const TOLD: [Told; 9] = [
    ("eu-1", 42, 5, "goroutine", "sync.Mutex.Lock", 5_000, 10, 0, 7, 0),
    ("eu-2", 42, 5, "goroutine", "sync.Mutex.Lock", 9_000, 0, 0, 7, 0),
    // In C code, in a system call.
    ("eu-1", 42, 6, "cgo", "cgo call", 7_000, 5, 0, 8, 0),
    ("eu-1", 42, 6, "syscall", "read", 7_000, 5, 0, 8, 0),
    ("eu-1", 42, 8, "goroutine", "IO wait", 6_000, 1, 0, 8, 443),
    // It was there before its agent.
    ("eu-4", 42, 8, "syscall", "flock", 4_000, 1, 128, 8, 0),
    // Ended with its process; not heard of any more; Go's own.
    ("eu-1", 42, 9, "goroutine", "select", 20, 1, 64, 8, 0),
    ("eu-3", 42, 9, "goroutine", "select", 20, 1_000, 0, 8, 0),
    ("eu-1", 42, 2, "goroutine", "GC sweep wait", 9_500, 9, 0, 9, 0),
];

/// That of the one with a connection.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

pub(crate) fn rows() -> Vec<String> {
    let mut statements: Vec<String> = TOLD.iter().map(row).collect();
    statements.extend([
        "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES (7, 3, [10, 20, 30, 40], now()), (8, 3, [10, 60, 40], now()), \
         (9, 3, [10, 70], now())"
            .to_owned(),
        "INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES (3, 10, 0, 'runtime.gopark', '/go/proc.go', 1), \
         (3, 20, 0, 'sync.(*Mutex).Lock', '/go/mutex.go', 2), (3, 30, 0, 'main.(*Cart).Add', '/shop/cart.go', 3), \
         (3, 40, 0, 'main.serve', '/shop/serve.go', 9), (3, 60, 0, 'main.readFrame', '/shop/frame.go', 6), \
         (3, 70, 0, 'runtime.bgsweep', '/go/mgcsweep.go', 7)"
            .to_owned(),
        // Told every ten seconds, until long after these run. One is observed with less, and told of all the same.
        observations(50, "windows"),
        observations(51, "off"),
        observations(52, "lean"),
    ]);
    statements
}

fn observations(pid: u32, stage: &str) -> String {
    format!(
        "INSERT INTO observations (bucket, region, service, node, boot, pid, mono_ns, dur_ns, stage, al_off) \
         WITH toUnixTimestamp64Nano(now64(9)) + number * 10000000000 AS begun \
         SELECT toDateTime(intDiv(begun, 60000000000) * 60), 'eu-west', 'busy', 'eu-5', 1, {pid}, begun, 10000000000, '{stage}', 0 FROM numbers(360)"
    )
}

fn row(told: &Told) -> String {
    let (node, pid, goid, kind, reason, age_s, ago_s, flags, stack, port) = told;
    let (mono_ns, age_ns, ago_ns) = (5_000_000_000_000_i64, age_s * 1_000_000_000, ago_s * 1_000_000_000);
    format!(
        "INSERT INTO open_waits (bucket, region, service, node, boot, pid, tid, goid, kind, reason, mono_ns, dur_ns, flags, stack_id, fd, \
         fd_type, peer_address, peer_port, al_off, al_end_off, err_ns, trace_id) \
         WITH toUnixTimestamp64Nano(now64(9)) - {ago_ns} AS seen, seen - {mono_ns} - {age_ns} AS off \
         SELECT toDateTime(intDiv(seen, 60000000000) * 60), 'eu-west', 'cart', '{node}', 1, {pid}, 1, {goid}, '{kind}', '{reason}', \
         {mono_ns}, {age_ns}, {flags}, {stack}, if({port} = 0, -1, 7), if({port} = 0, '', 'tcp'), '10.0.0.9', {port}, off, off, 5, if({port} = 0, '', unhex('{TRACE}'))"
    )
}

fn ask(fixture: &Fixture, arguments: &[&str]) -> String {
    fixture.answer(&[&["--database", STUCK, "stuck"], arguments].concat())
}

fn places_are_ranked_by_how_many_are_stuck_there(fixture: &Fixture) {
    let answer = ask(fixture, &[]);
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines[0], "5 goroutines are stuck at 4 places", "{answer}");
    assert!(
        lines[3].trim_start().starts_with("2  ") && lines[3].contains("main.(*Cart).Add cart.go:3  main.serve"),
        "{answer}"
    );
    let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(place("cgo call") < place("IO wait"), "of as many the older first: {answer}");
    assert!(lines[place("IO wait")].ends_with("tcp 10.0.0.9:443"), "{answer}");
    assert!(answer.contains("not listed: 1 goroutine of Go's own (--runtime lists them)"), "{answer}");
    assert!(answer.contains("not listed: 1 goroutine last seen longer ago than should be"), "{answer}");
    assert!(ask(fixture, &["--runtime"]).starts_with("6 goroutines are stuck at 5 places"));
    assert!(ask(fixture, &["--top", "1"]).contains("and 3 places more (--top)"));
}

fn each_is_listed_with_what_it_waits_for(fixture: &Fixture) {
    let answer = ask(fixture, &["--each", "--node", "eu-1"]);
    let goids: Vec<&str> = answer.lines().skip(3).filter_map(|line| line.split_whitespace().nth(9)).collect();
    assert_eq!(goids.len(), 4, "{answer}");
    let place = |text: &str| answer.lines().position(|line| line.contains(text)).unwrap();
    assert!(place("cgo call") < place("IO wait") && place("IO wait") < place("sync.Mutex.Lock"), "{answer}");
    let flock = ask(fixture, &["--each", "--reason", "syscall"]);
    assert!(flock.contains("  syscall flock  main.readFrame frame.go:6"), "{flock}");
    let of_trace = ask(fixture, &["--each", "--trace", &TRACE.to_uppercase()]);
    assert!(of_trace.starts_with("1 goroutine is stuck") && of_trace.contains("tcp 10.0.0.9:443"), "{of_trace}");
    let is_older = |answer: &str| answer.lines().filter(|line| line.trim_start().starts_with("at least 4")).count();
    assert_eq!((is_older(&flock), is_older(&answer)), (1, 0), "{flock}");
    let longer_than_time_goes = ask(fixture, &["--min-duration", "200000d", "--service", "cart"]);
    assert_eq!(longer_than_time_goes, ask(fixture, &["--service", "stock"]));
    assert!(
        ask(fixture, &["--reason", "mutex", "--min-duration", "2h"]).starts_with("1 goroutine is stuck at 1 place\n")
    );
}

fn stuck_json_has_every_stack(fixture: &Fixture) {
    let answer: Value = serde_json::from_str(&ask(fixture, &["--format", "json"])).unwrap();
    assert_eq!((&answer["stuck"], &answer["runtime"], &answer["silent"]), (&5.into(), &1.into(), &1.into()));
    let waits = answer["waits"].as_array().unwrap();
    let io = waits.iter().find(|wait| wait["reason"] == "IO wait").unwrap();
    assert_eq!((&io["fd"], &io["fd_type"], &io["peer"]), (&7.into(), &"tcp".into(), &"10.0.0.9:443".into()));
    let of = |reason: &str| waits.iter().find(|wait| wait["reason"] == reason).map(|wait| &wait["began_before"]);
    assert_eq!((of("IO wait"), of("syscall flock")), (Some(&false.into()), Some(&true.into())), "{answer}");
    assert_eq!((&io["trace_id"], &io["span_id"]), (&TRACE.into(), &Value::Null));
    assert_eq!(io["stack"][1], "main.readFrame /shop/frame.go:6");
    assert!(io["age_ns"].as_u64().unwrap() >= 6_001_000_000_000, "{io}");
    let lock = waits.iter().find(|wait| wait["node"] == "eu-2").unwrap();
    assert_eq!(
        (&lock["fd"], &lock["peer"], &lock["site"]),
        (&Value::Null, &Value::Null, &"main.(*Cart).Add /shop/cart.go:3".into())
    );
}

fn what_is_not_stuck_is_said_so(fixture: &Fixture) {
    assert_eq!(ask(fixture, &["--service", "stock"]), "no goroutine is known to be stuck\n");
}

fn of_how_many_processes_it_is_not_told_is_said(fixture: &Fixture) {
    let untold = |whose: &[&str]| {
        let answer: Value = serde_json::from_str(&ask(fixture, &[whose, &["--format", "json"]].concat())).unwrap();
        answer["untold_processes"].as_u64()
    };
    assert_eq!([&[][..], &["--pid", "50"], &["--service", "cart"]].map(untold), [Some(2), Some(1), Some(0)]);
    let note =
        "not told: waits of 2 processes observed in windows of time, or less, for a budget (syncline observed)\n";
    assert!(ask(fixture, &[]).ends_with(note));
    assert_eq!(ask(fixture, &["--service", "busy"]), format!("no goroutine is known to be stuck\n{note}"));
}
