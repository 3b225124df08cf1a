//! C code called from Go: each call is one event of its goroutine, and so is what the C side waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use support::go_program::{Build, CGO, CGO_PIE, CGO_STATIC, GoProgram};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, CaptureKind, Kinds, RawWait, Target};
use syncline_event::Kind;

/// The program's C functions nap at least this long; the clocks that time them may tick coarsely.
const NAP_NS: u64 = 29_900_000;
/// What ends at a moment or with another thread is waited for as long as is left.
const LEFT_NS: u64 = 1_000_000;
/// The kernel's tracing clocks may differ from what the program reads by the step of a clock update.
const WALL_SLACK_NS: u64 = 2_000;

#[test]
fn calls_of_c_are_seen_as_the_program_reports_them_go_1_21() {
    compare_with_itself("go1.21.13");
}

#[test]
fn calls_of_c_are_seen_as_the_program_reports_them_go_1_24() {
    compare_with_itself("go1.24.11");
}

#[test]
fn calls_of_c_are_seen_as_the_program_reports_them_go_1_27() {
    compare_with_itself("go1.27.3");
}

fn compare_with_itself(toolchain: &'static str) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for build in [CGO, CGO_PIE, CGO_STATIC].map(|build| Build { toolchain, ..build }) {
        let mut program = GoProgram::start(&build.program("foreign"), &[]);
        let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
        program.go();
        let reports = program.events_until_done();
        assert_eq!(reports.len(), 5 * 3);
        let last = goid(reports.last().unwrap());
        let mut waits = waits_until(&mut capture, |waits| of(waits, Kind::Cgo, last).count() >= 3);
        waits.extend(drain(&mut capture));
        for report in &reports {
            check_call(build, report, &waits, &capture);
        }
        check_foreign_threads(&waits, &capture, build);
        assert_eq!(capture.counters().lost(), 0, "{:?}", capture.counters());
        assert_eq!(capture.bindings(program.pid()).unbound(), 0);
        drop(capture);
        assert!(program.finish().success());
    }
}

fn of(waits: &[RawWait], kind: Kind, goid: u64) -> impl Iterator<Item = &RawWait> {
    waits.iter().filter(move |wait| wait.kind == kind && wait.goid == goid)
}

fn check_call(build: Build, report: &Value, waits: &[RawWait], capture: &Capture) {
    let what = format!("{} {} {}", build.toolchain, build.variant, report["name"]);
    let began = report["began_wall_ns"].as_u64().unwrap();
    let took = report["took_ns"].as_u64().unwrap();
    let during = |wait: &&RawWait| (began - WALL_SLACK_NS..=began + took).contains(&wait.park_wall_ns);
    let calls: Vec<_> = of(waits, Kind::Cgo, goid(report)).filter(during).collect();
    let (functions, call) = match report["name"].as_str().unwrap() {
        "nap" => (vec!["main.nap"], "clock_nanosleep"),
        "own" => (vec!["main.own"], "nanosleep"),
        "condition" => (vec!["main.condition"], "futex"),
        // The inner one ends first.
        "callback" => (vec!["main.inside", "main.callback"], "clock_nanosleep"),
        _ => (vec!["main.join"], "futex"),
    };
    let at_least = if call == "futex" { LEFT_NS } else { NAP_NS };
    let blocked = of(waits, Kind::Syscall, goid(report)).filter(during).filter(|wait| length(wait) >= at_least);
    let blocked: Vec<_> = blocked.collect();
    assert_eq!(calls.len(), functions.len(), "{what}: {calls:#?}");
    for (wait, function) in calls.iter().zip(&functions) {
        assert!(length(wait) >= NAP_NS && length(wait) <= took, "{what}: {} ns of {took} ns", length(wait));
        assert_eq!(wait.reason, "cgo call", "{what}");
        let stack = functions_of(capture, wait);
        assert_eq!(stack[0], "runtime.cgocall", "{what}: {stack:?}");
        let of_program = stack.iter().position(|name| name == function);
        assert!(of_program.is_some_and(|place| place <= 2), "{what}: {stack:?}");
        assert!(stack.iter().any(|name| name == caller_of(function)), "{what}: {stack:?}");
    }
    assert_eq!(blocked.iter().map(|wait| wait.reason).collect::<Vec<_>>(), [call], "{what}: {blocked:#?}");
    // What the C side waited for has the stack of the goroutine that called it.
    let stack = functions_of(capture, blocked[0]);
    let caller = caller_of(functions[0]);
    check_leaf(&stack[0], call, build);
    assert!(stack.iter().any(|name| name == "runtime.cgocall"), "{what}: {stack:?}");
    assert!(stack.iter().any(|name| name == caller), "{what}: {stack:?}");
    let inside = calls[0];
    assert!(inside.park_mono_ns <= blocked[0].park_mono_ns && blocked[0].run_mono_ns <= inside.run_mono_ns, "{what}");
}

/// The C function that waits, by its name if its file has one for it. The program's own are gone if it was stripped: then the first call
/// that has a name is Go's. Of C's library the one that waits in a futex has none, and is told by its address.
fn check_leaf(leaf: &str, call: &str, build: Build) {
    match call {
        "clock_nanosleep" => assert_eq!(leaf, in_libc("clock_nanosleep", build)),
        "nanosleep" if build.variant == "cgo-pie" => assert!(leaf.starts_with("runtime."), "{leaf}"),
        "nanosleep" => assert_eq!(leaf, format!("nap_by_itself {}", in_program(build))),
        _ => assert_eq!(leaf.split(' ').nth(1), in_libc("", build).split(' ').nth(1), "{leaf}"),
    }
}

/// As far as a stack goes: C code keeps no frame pointers, so where it called back into Go the stack ends.
fn caller_of(function: &str) -> &'static str {
    if function == "main.inside" { "main.backInGo" } else { "main.play.func1" }
}

/// The thread that only C knows slept, and no goroutine is made responsible.
fn check_foreign_threads(waits: &[RawWait], capture: &Capture, build: Build) {
    let naps = waits.iter().filter(|wait| wait.reason == "clock_nanosleep" && wait.goid == 0 && length(wait) >= NAP_NS);
    let naps: Vec<_> = naps.collect();
    // Three rounds of three.
    assert_eq!(naps.len(), 9, "{naps:#?}");
    assert!(naps.iter().all(|wait| wait.no_goroutine && !wait.unbound));
    let leaves: HashSet<String> = naps.iter().map(|wait| functions_of(capture, wait)[0].clone()).collect();
    assert_eq!(leaves, HashSet::from([in_libc("clock_nanosleep", build)]));
}

/// The function of C's library where it is: in a file of its own, or linked into the program, whose names may have been stripped.
fn in_libc(function: &str, build: Build) -> String {
    match build.variant {
        "cgo-static" => format!("{function} {}", in_program(build)),
        _ => format!("{function} (libc.so.6)"),
    }
}

fn in_program(build: Build) -> String {
    format!("({})", build.program("foreign").file_name().unwrap().to_string_lossy())
}

fn functions_of(capture: &Capture, wait: &RawWait) -> Vec<String> {
    let binary = &capture.process(wait.tgid).unwrap().binary;
    wait.stack
        .iter()
        .flat_map(|pc| capture.frames().symbolize(binary, *pc))
        .map(|frame| frame.function.into_owned())
        .collect()
}

fn length(wait: &RawWait) -> u64 {
    wait.run_mono_ns - wait.park_mono_ns
}

fn goid(report: &Value) -> u64 {
    report["goid"].as_u64().unwrap()
}

#[test]
fn what_is_left_out_is_not_seen() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&CGO.program("foreign"), &[]);
    let kinds = Kinds::without(&[CaptureKind::Syscall, CaptureKind::Cgo, CaptureKind::OffCpu]);
    let mut capture = Capture::start(CaptureConfig {
        kinds,
        threshold: Duration::ZERO,
        ..CaptureConfig::new(Target::Pid(program.pid()))
    })
    .unwrap();
    program.go();
    program.events_until_done();
    let mut waits = waits_until(&mut capture, |waits| !waits.is_empty());
    waits.extend(drain(&mut capture));
    assert!(waits.iter().all(|wait| wait.kind == Kind::Goroutine), "{waits:#?}");
    assert_eq!(capture.counters().thread_waits, 0);
    drop(capture);
    assert!(program.finish().success());
}
