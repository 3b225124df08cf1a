//! The scenarios of the Go program `waits`: each wait, its reason, its times, its waker and its stack, as seen and as the program says.

use std::path::{Path, PathBuf};

use serde_json::Value;
use syncline_agent::capture::{Capture, CaptureConfig, RawWait, Target};
use syncline_event::Kind;

use super::go_program::GoProgram;
use super::observe::{drain, waits_until};

/// The program holds each waiter at least this long.
const HOLD_NS: u64 = 5_000_000;
/// The kernel's tracing clocks may differ from what the program reads by the step of a clock update.
const WALL_SLACK_NS: u64 = 2_000;

/// A program that plays scenarios, and what is said of it.
pub struct Playing {
    pub what: String,
    pub path: PathBuf,
    pub go_version: String,
}

/// Has the program play, observed, and compares what was seen with what it says.
pub fn check_scenarios(what: &str, program: &Path, go_version: &str) {
    let playing = Playing { what: what.to_owned(), path: program.to_owned(), go_version: go_version.to_owned() };
    check_all(&[playing], |pids| Target::Pid(pids[0]));
}

/// The same with several at once, in one capture.
pub fn check_all(all: &[Playing], target: impl Fn(&[u32]) -> Target) {
    let mut programs: Vec<GoProgram> =
        all.iter().map(|playing| GoProgram::start(&playing.path, &["scenarios"])).collect();
    let pids: Vec<u32> = programs.iter().map(GoProgram::pid).collect();
    let mut capture = Capture::start(CaptureConfig::new(target(&pids))).unwrap();
    programs.iter_mut().for_each(GoProgram::go);
    let reports: Vec<Vec<Value>> = programs.iter_mut().map(GoProgram::events_until_done).collect();
    let is_seen =
        |waits: &[RawWait], pid: u32, report: &Value| waits.iter().any(|wait| is_park_of(wait, pid, goid(report)));
    let mut waits = waits_until(&mut capture, |waits| {
        reports.iter().zip(&pids).all(|(reports, pid)| reports.iter().all(|report| is_seen(waits, *pid, report)))
    });
    waits.extend(drain(&mut capture));
    // Of several, it is Go programs of all kinds that are observed.
    assert!(all.len() > 1 || capture.counters().lost() == 0, "{:?}", capture.counters());
    let waits: Vec<RawWait> = waits.into_iter().filter(|wait| pids.contains(&wait.tgid)).collect();
    let stacks = waits.iter().map(|wait| visible_stack(&capture, wait)).collect();
    assert!(programs.into_iter().all(|program| program.finish().success()));
    let seen = (waits, stacks, capture);
    for ((playing, pid), reports) in all.iter().zip(&pids).zip(&reports) {
        let what = &playing.what;
        assert_eq!(reports.len(), 3 * 14, "{what}");
        assert_eq!(seen.2.process(*pid).unwrap().binary.go_version(), playing.go_version, "{what}");
        for report in reports {
            check_wait(&format!("{what} {}", report["scenario"]), *pid, report, &seen);
        }
    }
}

/// A stack as (function, file:line), leaf first.
pub type Stack = Vec<(String, String)>;

fn check_wait(what: &str, pid: u32, report: &Value, (waits, stacks, capture): &(Vec<RawWait>, Vec<Stack>, Capture)) {
    let of_goroutine: Vec<usize> = (0..waits.len()).filter(|&i| is_park_of(&waits[i], pid, goid(report))).collect();
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

pub fn is_park_of(wait: &RawWait, pid: u32, goid: u64) -> bool {
    wait.kind == Kind::Goroutine && wait.tgid == pid && wait.goid == goid
}

pub fn goid(report: &Value) -> u64 {
    report["goid"].as_u64().unwrap()
}

/// The state in `goroutine 7 [chan receive, 2 minutes]:`.
fn reason_in(trace: &str) -> &str {
    let state = trace.split_once('[').unwrap().1.split_once("]:").unwrap().0;
    state.split_once(',').map_or(state, |(reason, _)| reason)
}

/// The calls of a trace: pairs of a line with the function and one with its place, up to the goroutine's creator.
pub fn stack_in(trace: &str) -> Stack {
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
        .map(|frame| (frame.function.to_string(), format!("{}:{}", frame.file, frame.line)))
        .collect()
}

/// Unexported functions of package runtime.
fn is_inside_runtime(function: &str) -> bool {
    function.strip_prefix("runtime.").is_some_and(|name| !name.starts_with(|c: char| c.is_ascii_uppercase()))
}
