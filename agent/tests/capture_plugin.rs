//! Go programs that load plugins: goroutines that wait in a plugin's code, with the plugin's names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::go_program::{Build, GoProgram, STRIPPED};
use support::observe::{rescan_reports_until, waits_until};
use support::scenarios::{is_park_of, stack_in};
use syncline_agent::capture::{Capture, CaptureConfig, RawWait, RescanReport, Target};

#[test]
fn frames_of_a_plugin_have_its_names() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for (toolchain, variant, flags) in [("go1.21.13", "plain", &[][..]), ("go1.27.3", "stripped", STRIPPED)] {
        let build = Build { toolchain, variant, flags, cgo: true };
        let (host, plugin) = (build.program("plugin"), plugin(build));
        let mut program = GoProgram::start(&host, &[plugin.to_str().unwrap()]);
        let pid = program.pid();
        let mut capture = Capture::start(CaptureConfig::new(Target::Pid(pid))).unwrap();
        program.go();
        assert_eq!(program.next_event()["event"], "loaded");
        rescan_reports_until(&mut capture, |report| {
            report.plugins.iter().any(|loaded| loaded.pid == pid && loaded.path == plugin)
        });
        program.go();
        let reports = program.events_until_done();
        assert_eq!(reports.len(), 3);
        let is_seen = |waits: &[RawWait]| reports.iter().all(|report| !waits_of(pid, report, waits).is_empty());
        let waits = waits_until(&mut capture, is_seen);
        for report in &reports {
            check(pid, report, &waits, &capture);
        }
        assert_eq!(capture.counters().lost(), 0, "{:?}", capture.counters());
        drop(capture);
        assert!(program.finish().success());
    }
}

/// Probes must not stay where a new plugin has other instructions, nor is the program given up for that.
#[test]
fn a_plugin_that_is_overwritten_in_place_is_observed_anew() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let build = Build { toolchain: "go1.27.3", variant: "stripped", flags: STRIPPED, cgo: true };
    let dir = tempfile::tempdir().unwrap();
    let plugin_file = dir.path().join("work.so");
    std::fs::copy(plugin(build), &plugin_file).unwrap();
    let mut program = GoProgram::start(&build.program("plugin"), &[plugin_file.to_str().unwrap()]);
    let pid = program.pid();
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(pid))).unwrap();
    program.go();
    assert_eq!(program.next_event()["event"], "loaded");
    let is_loaded = |report: &RescanReport| report.plugins.iter().any(|loaded| loaded.pid == pid);
    rescan_reports_until(&mut capture, is_loaded);
    // The same code, so that the program can go on.
    OpenOptions::new().append(true).open(&plugin_file).unwrap().write_all(b"more").unwrap();
    rescan_reports_until(&mut capture, |report| report.ended.contains(&pid));
    rescan_reports_until(&mut capture, is_loaded);
    assert!(capture.rescan().ended.is_empty(), "it is let go of again");
    program.go();
    let reports = program.events_until_done();
    let is_seen = |waits: &[RawWait]| reports.iter().all(|report| !waits_of(pid, report, waits).is_empty());
    let waits = waits_until(&mut capture, is_seen);
    for report in &reports {
        check(pid, report, &waits, &capture);
    }
    drop(capture);
    assert!(program.finish().success());
}

/// Host and plugin have to be of one toolchain, and built in one way.
fn plugin(build: Build) -> PathBuf {
    let output =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plugin-{}-{}.so", build.toolchain, build.variant));
    let built = Command::new("go")
        .args(["build", "-buildmode=plugin", "-o"])
        .arg(&output)
        .args(build.flags)
        .arg("./work")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/plugin"))
        .envs([("GOTOOLCHAIN", build.toolchain), ("CGO_ENABLED", "1"), ("GOFLAGS", "-buildvcs=false")])
        .output()
        .expect("the go command is needed to build the plugin");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    output
}

fn trace(report: &Value) -> &str {
    report["trace"].as_str().unwrap()
}

fn waits_of<'a>(pid: u32, report: &Value, waits: &'a [RawWait]) -> Vec<&'a RawWait> {
    let goid = trace(report).split(' ').nth(1).unwrap().parse().unwrap();
    waits.iter().filter(|wait| is_park_of(wait, pid, goid) && wait.reason == "chan receive").collect()
}

/// From the function that waits on, the stack is the one that the program tells of itself.
fn check(pid: u32, report: &Value, waits: &[RawWait], capture: &Capture) {
    let waits = waits_of(pid, report, waits);
    let binary = &capture.process(pid).unwrap().binary;
    let frames = |wait: &RawWait| -> Vec<(String, String)> {
        let frames = wait.stack.iter().flat_map(|address| capture.frames().symbolize(binary, *address));
        frames.map(|frame| (frame.function.to_string(), format!("{}:{}", frame.file, frame.line))).collect()
    };
    let told: Vec<_> =
        stack_in(trace(report)).into_iter().skip_while(|(function, _)| !function.ends_with(".inner")).collect();
    assert!(told.len() >= 3 && told[1].0.ends_with(".Wait"), "{told:#?}");
    // The last one is the function that the runtime starts goroutines in, which its own traces leave out.
    let is_it = |wait: &&&RawWait| {
        let frames: Vec<_> =
            frames(wait).into_iter().skip_while(|(function, _)| !function.ends_with(".inner")).collect();
        frames.starts_with(&told)
    };
    assert_eq!(
        waits.iter().filter(is_it).count(),
        1,
        "{told:#?}\n{:#?}",
        waits.iter().map(|wait| frames(wait)).collect::<Vec<_>>()
    );
}
