//! Programs of whose runtime nothing is known: their goroutines are not observed, their threads are, and it is said why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::altered::Altered;
use support::go_program::{ANY, Build, GoProgram, PIE_STRIPPED, STRIPPED, library_host};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, RawWait, Target};
use syncline_event::Kind;

#[test]
fn threads_of_an_unknown_version_are_observed() {
    for (toolchain, flags) in [("go1.21.13", STRIPPED), ("go1.27.3", PIE_STRIPPED)] {
        let build = Build { toolchain, variant: if flags == STRIPPED { "stripped" } else { "pie" }, flags, cgo: false };
        let (program, version) = Altered::of_unknown_version(build, "blocking");
        observe_threads(&program, "unsupported_version", &version);
    }
}

/// What the dynamic linker decided about it leads nowhere without offsets: nothing is bound by that.
#[test]
fn threads_of_a_library_of_an_unknown_version_are_observed() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let flags = &["-buildmode=c-shared", "-ldflags=-s -w"];
    let build = Build { toolchain: "go1.27.3", variant: "c-shared-stripped", flags, cgo: true };
    let (library, version) = Altered::of_unknown_version(build, "library");
    let mut host = GoProgram::start(&library_host(), &[library.path().to_str().unwrap()]);
    let pid = host.pid();
    host.go();
    assert_eq!(host.next_event()["event"], "loaded");
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(pid))).unwrap();
    assert!(capture.process(pid).unwrap().limited().unwrap().to_string().contains(&version));
    host.go();
    host.events_until_done();
    let is_call = |wait: &RawWait| wait.kind == Kind::Syscall && wait.tgid == pid;
    let waits = waits_until(&mut capture, |waits| waits.iter().filter(|wait| is_call(wait)).count() >= 12);
    assert!(waits.iter().filter(|wait| is_call(wait)).all(|wait| wait.unbound && wait.goid == 0), "{waits:#?}");
    drop(capture);
    assert!(host.finish().success());
}

/// Obfuscators give the runtime's functions other names.
#[test]
fn threads_of_a_program_whose_runtime_has_other_names_are_observed() {
    let program = Altered::new(ANY, "blocking", "runtime.gopark\0", "runtime.xxxxxx\0");
    observe_threads(&program, "garbled", "obfuscated or damaged (the function table has no runtime.gopark)");
}

fn observe_threads(program: &Altered, reason: &str, why: &str) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut running = GoProgram::start(&program.path(), &[]);
    let pid = running.pid();
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(pid))).unwrap();
    let attached = capture.rescan().attached;
    let limited = attached[0].limited.as_deref().unwrap();
    assert!(limited.contains(why) && limited.lines().count() == 1, "{limited}");
    assert_eq!(capture.coverage().limited, BTreeMap::from([(reason, 1)]));
    assert!(capture.coverage().skipped.is_empty());
    running.go();
    let reports = running.events_until_done();
    let is_seen = |waits: &[RawWait]| reports.iter().all(|report| !calls_of(report, waits).is_empty());
    let mut waits = waits_until(&mut capture, is_seen);
    waits.extend(drain(&mut capture));
    for report in &reports {
        check_call(report, &waits, &capture);
    }
    assert!(waits.iter().all(|wait| wait.kind != Kind::Goroutine && wait.goid == 0));
    assert!(waits.iter().filter(|wait| wait.kind == Kind::Syscall).all(|wait| wait.unbound));
    assert_eq!(capture.counters().lost(), 0, "{:?}", capture.counters());
    drop(capture);
    assert!(running.finish().success());
}

/// The system calls that may be the one that the program reports.
fn calls_of<'a>(report: &Value, waits: &'a [RawWait]) -> Vec<&'a RawWait> {
    let number = |key: &str| report[key].as_u64().unwrap();
    let (began, took) = (number("began_wall_ns"), number("took_ns"));
    let is_it = |wait: &&RawWait| {
        wait.kind == Kind::Syscall
            && wait.reason == report["call"].as_str().unwrap()
            && (began - 2_000..=began + took).contains(&wait.park_wall_ns)
            && wait.fd.map_or(-1, i64::from) == report["fd"].as_i64().unwrap()
    };
    waits.iter().filter(is_it).collect()
}

/// Its stack is the program's, with all names: the function table tells those whatever the version.
fn check_call(report: &Value, waits: &[RawWait], capture: &Capture) {
    let binary = &capture.process(waits[0].tgid).unwrap().binary;
    let trace = report["trace"].as_str().unwrap();
    // The outermost function of the goroutine.
    let calls = trace.lines().take_while(|line| !line.starts_with("created by "));
    let outermost = calls.filter(|line| line.starts_with("main.")).last().unwrap();
    let expected = outermost.rsplit_once('(').unwrap().0;
    let calls = calls_of(report, waits);
    let of_program = calls.iter().filter(|wait| {
        let mut frames = wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true));
        frames.any(|frame| frame.function == expected)
    });
    assert_eq!(of_program.count(), 1, "{}: {expected} is not on the stack of any of {calls:#?}", report["call"]);
}
