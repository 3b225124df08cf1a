//! The capture against what Go programs say about themselves: each wait, its reason, its times, its waker and its stack.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::time::Duration;

use serde_json::Value;
use support::go_program::{Build, GoProgram, PIE_STRIPPED, PLAIN, STRIPPED};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, RawWait, Target};
use syncline_event::Kind;

/// The program holds each waiter at least this long.
const HOLD_NS: u64 = 5_000_000;
/// The kernel's tracing clocks may differ from what the program reads by the step of a clock update.
const WALL_SLACK_NS: u64 = 2_000;

#[test]
fn waits_are_seen_as_the_program_reports_them_go_1_21() {
    compare_with_itself("go1.21.13");
}

#[test]
fn waits_are_seen_as_the_program_reports_them_go_1_24() {
    compare_with_itself("go1.24.11");
}

#[test]
fn waits_are_seen_as_the_program_reports_them_go_1_27() {
    compare_with_itself("go1.27.3");
}

fn compare_with_itself(toolchain: &'static str) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for (variant, flags) in [("plain", PLAIN), ("stripped", STRIPPED), ("pie", PIE_STRIPPED)] {
        let build = Build { toolchain, variant, flags, cgo: false };
        let (reports, seen) = observe_scenarios(build);
        assert_eq!(reports.len(), 3 * 14, "{build:?}");
        for report in &reports {
            check_wait(&format!("{toolchain} {variant} {}", report["scenario"]), report, &seen);
        }
    }
}

/// A stack as (function, file:line), leaf first.
type Stack = Vec<(String, String)>;

fn observe_scenarios(build: Build) -> (Vec<Value>, (Vec<RawWait>, Vec<Stack>, Capture)) {
    let mut program = GoProgram::start(&build.program("waits"), &["scenarios"]);
    let pid = program.pid();
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(pid))).unwrap();
    program.go();
    let reports = program.events_until_done();
    let mut waits =
        waits_until(&mut capture, |waits| reports.iter().all(|r| waits.iter().any(|w| is_park_of(w, goid(r)))));
    waits.extend(drain(&mut capture));
    let stacks = waits.iter().map(|wait| visible_stack(&capture, wait)).collect();
    assert_eq!(capture.process(pid).unwrap().binary.go_version(), build.toolchain);
    assert_eq!(capture.counters().lost(), 0, "{:?}", capture.counters());
    assert!(program.finish().success());
    (reports, (waits, stacks, capture))
}

fn check_wait(what: &str, report: &Value, (waits, stacks, capture): &(Vec<RawWait>, Vec<Stack>, Capture)) {
    let of_goroutine: Vec<usize> = (0..waits.len()).filter(|&i| is_park_of(&waits[i], goid(report))).collect();
    assert_eq!(of_goroutine.len(), 1, "{what}: exactly one wait; found {of_goroutine:?}");
    let wait = &waits[of_goroutine[0]];
    let trace = report["trace"].as_str().unwrap();
    assert_eq!(wait.reason, reason_in(trace), "{what}");
    check_times(what, report, wait);
    check_waker(what, report, wait, capture);
    assert!(stack_in(trace).len() >= 2, "{what}: the program's trace is not understood:\n{trace}");
    assert_eq!(stacks[of_goroutine[0]], stack_in(trace), "{what}: stack of\n{trace}");
}

fn check_times(what: &str, report: &Value, wait: &RawWait) {
    let ready = wait.ready_mono_ns.unwrap_or_else(|| panic!("{what}: ready was not seen"));
    assert!(wait.park_mono_ns <= ready && ready <= wait.run_mono_ns, "{what}: {wait:?}");
    assert!(ready - wait.park_mono_ns >= HOLD_NS, "{what}: parked for {} ns only", ready - wait.park_mono_ns);
    let took = report["took_ns"].as_u64().unwrap();
    assert!(wait.run_mono_ns - wait.park_mono_ns <= took, "{what}: longer than the whole scenario, {took} ns");
    let (began, parked) = (report["began_wall_ns"].as_u64().unwrap(), report["parked_wall_ns"].as_u64().unwrap());
    let possible = began - WALL_SLACK_NS..=parked + WALL_SLACK_NS;
    assert!(possible.contains(&wait.park_wall_ns), "{what}: parked at {}, not in {possible:?}", wait.park_wall_ns);
}

/// The goroutine that wakes the waiters does so in `main.play`, through a function of the scenario.
fn check_wakers_stack(what: &str, wait: &RawWait, is_woken: bool, capture: &Capture) {
    let binary = &capture.process(wait.tgid).unwrap().binary;
    let functions =
        wait.waker_stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).map(|frame| frame.function.into_owned());
    let functions: Vec<String> = functions.filter(|function| function.starts_with("main.")).collect();
    if !is_woken {
        assert_eq!(functions, [""; 0], "{what}");
        return;
    }
    let [of_scenario, play, run, main] = functions.as_slice() else { panic!("{what}: woken in {functions:?}") };
    assert!(of_scenario.contains(".func"), "{what}: woken in {functions:?}");
    assert_eq!([play, run, main], ["main.play", "main.runScenarios", "main.main"], "{what}");
}

fn check_waker(what: &str, report: &Value, wait: &RawWait, capture: &Capture) {
    let by_network = matches!(report["scenario"].as_str().unwrap(), "tcp read" | "pipe read");
    assert_eq!(wait.by_netpoll, by_network, "{what}");
    check_wakers_stack(what, wait, report["woken"] == true && !by_network, capture);
    let ends = wait.flow.map(|flow| (flow.local.to_string(), flow.remote.to_string()));
    let expected = |key: &str| report[key].as_str().unwrap().to_owned();
    assert_eq!(ends.unwrap_or_default(), (expected("local"), expected("peer")), "{what}");
    assert_eq!(wait.file_type.unwrap_or_default(), expected("file_type"), "{what}");
    assert_eq!(wait.fd.is_some(), by_network, "{what}");
    let by_goroutine = report["woken"] == true && !by_network;
    assert_eq!(wait.waker_goid, by_goroutine.then(|| report["waker"].as_u64().unwrap()), "{what}");
}

fn is_park_of(wait: &RawWait, goid: u64) -> bool {
    wait.kind == Kind::Goroutine && wait.goid == goid
}

fn goid(report: &Value) -> u64 {
    report["goid"].as_u64().unwrap()
}

/// The state in `goroutine 7 [chan receive, 2 minutes]:`.
fn reason_in(trace: &str) -> &str {
    let state = trace.split_once('[').unwrap().1.split_once("]:").unwrap().0;
    state.split_once(',').map_or(state, |(reason, _)| reason)
}

/// The calls of a trace: pairs of a line with the function and one with its place, up to the goroutine's creator.
fn stack_in(trace: &str) -> Stack {
    let lines: Vec<&str> = trace.lines().skip(1).take_while(|line| !line.starts_with("created by ")).collect();
    lines.chunks(2).map(|call| (function_in(call[0]), place_in(call[1]))).collect()
}

fn function_in(line: &str) -> String {
    line.rsplit_once('(').unwrap().0.to_owned()
}

fn place_in(line: &str) -> String {
    line.trim().split(" +0x").next().unwrap().to_owned()
}

/// The captured stack without what Go leaves out of its traces: calls inside the runtime and generated wrappers.
fn visible_stack(capture: &Capture, wait: &RawWait) -> Stack {
    let binary = &capture.process(wait.tgid).unwrap().binary;
    let frames = wait.stack.iter().flat_map(|&address| binary.symbolize(address, true));
    frames
        .filter(|frame| !is_inside_runtime(&frame.function) && frame.file != "<autogenerated>")
        .map(|frame| (frame.function.into_owned(), format!("{}:{}", frame.file, frame.line)))
        .collect()
}

/// Unexported functions of package runtime.
fn is_inside_runtime(function: &str) -> bool {
    function.strip_prefix("runtime.").is_some_and(|name| !name.starts_with(|c: char| c.is_ascii_uppercase()))
}

#[test]
fn a_stack_deeper_than_allowed_is_cut_and_marked() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&support::go_program::ANY.program("waits"), &["scenarios"]);
    let config = CaptureConfig { max_stack_depth: 10, ..CaptureConfig::new(Target::Pid(program.pid())) };
    let mut capture = Capture::start(config).unwrap();
    program.go();
    let reports = program.events_until_done();
    let deep = reports.iter().find(|report| report["scenario"] == "deep").map(goid).unwrap();
    let waits = waits_until(&mut capture, |waits| waits.iter().any(|wait| is_park_of(wait, deep)));
    let cut = waits.iter().find(|wait| is_park_of(wait, deep)).unwrap();
    assert_eq!((cut.stack.len(), cut.stack_truncated), (10, true));
    // Of a system call, the word on top of the stack may turn out to be none of its frames.
    let mut parks = waits.iter().filter(|wait| wait.kind == Kind::Goroutine);
    assert!(parks.all(|wait| wait.stack.len() == 10 || !wait.stack_truncated && wait.stack.len() < 10));
    assert!(capture.counters().stack_truncated >= 3);
    drop(capture);
    assert!(program.finish().success());
}

#[test]
fn the_wall_stamp_follows_the_tai_offset_it_is_told() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&support::go_program::ANY.program("waits"), &["scenarios"]);
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
    let true_offset = syncline_claims::kernel_tai_offset_seconds().unwrap();
    capture.set_tai_offset(true_offset - 1000).unwrap();
    program.go();
    let reports = program.events_until_done();
    let waits = waits_until(&mut capture, |waits| waits.iter().any(|wait| is_park_of(wait, goid(&reports[0]))));
    let first = waits.iter().find(|wait| is_park_of(wait, goid(&reports[0]))).unwrap();
    let shifted = Duration::from_nanos(first.park_wall_ns - reports[0]["began_wall_ns"].as_u64().unwrap());
    assert!((1000..1060).contains(&shifted.as_secs()), "{shifted:?}");
    drop(capture);
    assert!(program.finish().success());
}
