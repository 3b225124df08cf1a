//! System calls against what Go programs say about themselves: each one bound to its goroutine, with its name, its times, its stack, and
//! what it waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::HashSet;
use std::process::Command;

use serde_json::Value;
use support::go_program::{ANY, Build, GoProgram, PIE_STRIPPED, PLAIN};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, RawWait, Target};
use syncline_event::Kind;

/// The kernel's tracing clocks may differ from what the program reads by the step of a clock update.
const WALL_SLACK_NS: u64 = 2_000;

#[test]
fn calls_are_seen_as_the_program_reports_them_go_1_21() {
    compare_with_itself("go1.21.13", 36);
}

#[test]
fn calls_are_seen_as_the_program_reports_them_go_1_24() {
    compare_with_itself("go1.24.11", 39);
}

#[test]
fn calls_are_seen_as_the_program_reports_them_go_1_27() {
    compare_with_itself("go1.27.3", 39);
}

fn compare_with_itself(toolchain: &'static str, calls: usize) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for (variant, flags) in [("plain", PLAIN), ("pie", PIE_STRIPPED)] {
        let build = Build { toolchain, variant, flags, cgo: false };
        let program = GoProgram::start(&build.program("blocking"), &[]);
        let pid = program.pid();
        compare(&format!("{toolchain} {variant}"), program, pid, calls);
    }
}

/// The threads of a container have other numbers there than the kernel tells.
#[test]
fn calls_in_a_pid_namespace_of_its_own_are_bound_as_well() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(ANY.program("blocking"));
    let program = GoProgram::start_by(&mut command);
    let outside = program.pid();
    let children = std::fs::read_to_string(format!("/proc/{outside}/task/{outside}/children")).unwrap();
    let pid = children.trim().parse().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.lines().any(|line| line == format!("NSpid:\t{pid}\t1")), "{status}");
    compare("in a namespace", program, pid, 39);
}

/// A thread that has ended leaves its number to another one.
#[test]
fn calls_of_threads_that_have_the_number_of_an_earlier_one_are_bound_to_their_own_goroutine() {
    if !support::bpf_usable() {
        return;
    }
    if !std::path::Path::new("/proc/sys/kernel/ns_last_pid").exists() {
        println!(
            "skipped: this kernel does not let the number of the next thread be chosen (CONFIG_CHECKPOINT_RESTORE)"
        );
        return;
    }
    let _alone = support::alone();
    for toolchain in ["go1.21.13", "go1.27.3"] {
        let build = Build { toolchain, variant: "plain", flags: PLAIN, cgo: false };
        let mut program = GoProgram::start(&build.program("blocking"), &["40"]);
        let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
        program.go();
        let slept: Vec<(u64, u64)> =
            program.events_until_done().iter().map(|report| (goid(report), report["tid"].as_u64().unwrap())).collect();
        let tids: HashSet<u64> = slept.iter().map(|(_, tid)| *tid).collect();
        assert!(tids.len() < slept.len(), "no number was used again: {slept:?}");
        let of_one = |waits: &[RawWait], goid: u64| -> Vec<u64> {
            let is_its = |wait: &&RawWait| wait.goid == goid && wait.reason == "nanosleep";
            waits.iter().filter(is_its).map(|wait| wait.tid.into()).collect()
        };
        let mut waits =
            waits_until(&mut capture, |waits| slept.iter().all(|(goid, _)| !of_one(waits, *goid).is_empty()));
        waits.extend(drain(&mut capture));
        for (goid, tid) in &slept {
            assert_eq!(of_one(&waits, *goid), [*tid], "{toolchain} g{goid}: {slept:?}");
        }
        assert_eq!(capture.bindings(program.pid()).unbound(), 0);
        assert!(program.finish().success());
    }
}

fn compare(what: &str, mut program: GoProgram, pid: u32, calls: usize) {
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(pid))).unwrap();
    program.go();
    let reports = program.events_until_done();
    let last = goid(reports.last().unwrap());
    let mut waits = waits_until(&mut capture, |waits| of_goroutine(waits, last).len() >= 3);
    waits.extend(drain(&mut capture));
    assert_eq!(reports.len(), calls);
    let tried: Vec<_> = reports.iter().map(|report| check_call(what, report, &waits, &capture)).collect();
    assert_eq!(tried.len(), calls);
    check_sums(&capture, pid, &waits);
    drop(capture);
    assert!(program.finish().success());
}

/// The waits of a goroutine in system calls, in their order. The program's output goes through calls, too, which may take long.
fn of_goroutine(waits: &[RawWait], goid: u64) -> Vec<&RawWait> {
    let is_call = |wait: &&RawWait| wait.kind == Kind::Syscall && wait.goid == goid && wait.fd != Some(1);
    let mut waits: Vec<&RawWait> = waits.iter().filter(is_call).collect();
    waits.sort_by_key(|wait| wait.park_mono_ns);
    waits
}

fn check_call(what: &str, report: &Value, waits: &[RawWait], capture: &Capture) {
    let text = |key: &str| report[key].as_str().unwrap();
    let what = format!("{what}: {} of round {}", text("call"), report["round"]);
    let began = report["began_wall_ns"].as_u64().unwrap();
    let took = report["took_ns"].as_u64().unwrap();
    let within = |wait: &&&RawWait| {
        (began - WALL_SLACK_NS..=began + took).contains(&wait.park_wall_ns) && wait.reason == text("call")
    };
    let of_goroutine = of_goroutine(waits, goid(report));
    let found: Vec<_> = of_goroutine.iter().filter(within).collect();
    assert_eq!(found.len(), 1, "{what}: exactly one of {of_goroutine:#?}");
    let wait = found[0];
    let blocked = wait.run_mono_ns - wait.park_mono_ns;
    let ends_by_itself = ["nanosleep", "epoll_wait", "futex"].contains(&text("call"));
    let at_least = if ends_by_itself { 19_900_000 } else { 1_000_000 };
    assert!(blocked <= took && blocked >= at_least, "{what}: {blocked} ns of {took} ns");
    assert_eq!(wait.fd.map_or(-1, i64::from), report["fd"].as_i64().unwrap(), "{what}");
    assert_eq!(wait.file_type.unwrap_or_default(), text("file_type"), "{what}");
    assert_eq!(wait.address.unwrap_or_default(), report["address"].as_u64().unwrap(), "{what}");
    let ends = wait.flow.map(|flow| (flow.local.to_string(), flow.remote.to_string()));
    assert_eq!(ends.unwrap_or_default(), (text("local").to_owned(), text("peer").to_owned()), "{what}");
    assert!(!wait.no_goroutine && !wait.unbound, "{what}: {wait:?}");
    check_stack(&what, text("trace"), wait, capture);
}

/// The functions of the program that the trace names, from the one that made the call on; the captured stack has them at the same
/// lines, below what makes system calls for all.
fn check_stack(what: &str, trace: &str, wait: &RawWait, capture: &Capture) {
    let lines: Vec<&str> = trace.lines().skip(1).take_while(|line| !line.starts_with("created by ")).collect();
    let calls =
        lines.chunks(2).map(|call| (call[0].rsplit_once('(').unwrap().0, call[1].trim().split(" +0x").next().unwrap()));
    // The first is the function that takes the trace.
    let expected: Vec<(String, String)> = calls
        .filter(|(function, _)| function.starts_with("main."))
        .skip(1)
        .map(|(f, place)| (f.to_owned(), place.to_owned()))
        .collect();
    let binary = &capture.process(wait.tgid).unwrap().binary;
    let frames: Vec<_> = wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).collect();
    let of_program: Vec<(String, String)> = frames
        .iter()
        .filter(|frame| frame.function.starts_with("main."))
        .map(|frame| (frame.function.to_string(), format!("{}:{}", frame.file, frame.line)))
        .collect();
    assert!(expected.len() >= 2 && of_program.ends_with(&expected), "{what}: {frames:#?}\n{trace}");
    let leaf = &frames[0].function;
    assert!(leaf.ends_with("Syscall6") || leaf.starts_with("syscall."), "{what}: the leaf is {leaf}");
    // Nothing is left out in between: the caller of the leaf is one that makes system calls, and so on down to the program.
    let between = frames.iter().take_while(|frame| !frame.function.starts_with("main."));
    assert!(between.clone().all(|frame| frame.function.contains("yscall")), "{what}: {frames:#?}");
}

fn check_sums(capture: &Capture, pid: u32, waits: &[RawWait]) {
    let (counters, bindings) = (capture.counters(), capture.bindings(pid));
    assert_eq!(counters.lost(), 0, "{counters:?}");
    let ended = counters.finished + counters.thread_waits;
    assert!(ended >= counters.emitted + counters.aggregated, "{counters:?}");
    // Every call that became a record was bound, or counted by why it was not.
    let calls = waits.iter().filter(|wait| wait.kind == Kind::Syscall);
    let (bound, others): (Vec<_>, Vec<_>) = calls.partition(|wait| wait.goid != 0);
    assert_eq!(bindings.unbound(), 0, "{bindings:?}");
    assert!(bindings.bound >= bound.len() as u64 && bound.len() >= 36, "{bindings:?}");
    assert!(others.iter().all(|wait| wait.no_goroutine), "{others:?}");
    assert!(bindings.scheduler >= others.len() as u64, "{bindings:?}");
}

fn goid(report: &Value) -> u64 {
    report["goid"].as_u64().unwrap()
}
