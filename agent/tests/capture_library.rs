//! Go code in programs that are not Go: shared libraries with a Go runtime of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::go_program::{Build, GoProgram, LIBRARY_HOST, library_host};
use support::observe::{drain, rescan_reports_until, rescan_until, waits_until};
use support::scenarios::is_park_of;
use syncline_agent::capture::{Capture, CaptureConfig, RawWait, Target};
use syncline_event::Kind;

const HOLD_NS: u64 = 300_000_000;

#[test]
fn goroutines_of_a_library_that_is_loaded_later_are_observed_go_1_21() {
    observe("go1.21.13", "c-shared", &["-buildmode=c-shared"]);
}

#[test]
fn goroutines_of_a_library_that_is_loaded_later_are_observed_go_1_24() {
    observe("go1.24.11", "c-shared", &["-buildmode=c-shared"]);
}

#[test]
fn goroutines_of_a_library_that_is_loaded_later_are_observed_go_1_27() {
    observe("go1.27.3", "c-shared-stripped", &["-buildmode=c-shared", "-ldflags=-s -w"]);
}

fn observe(toolchain: &'static str, variant: &'static str, flags: &'static [&'static str]) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let library = Build { toolchain, variant, flags, cgo: true }.program("library");
    let mut host = GoProgram::start(&library_host(), &[library.to_str().unwrap()]);
    let pid = host.pid();
    let mut capture = Capture::start(CaptureConfig::new(Target::AllGo)).unwrap();
    capture.rescan();
    assert!(capture.process(pid).is_none(), "it is not Go yet");
    host.go();
    assert_eq!(host.next_event()["event"], "loaded");
    rescan_until(&mut capture, |capture| capture.process(pid).is_some());
    let process = capture.process(pid).unwrap();
    assert_eq!((process.binary.go_version(), process.binary.path()), (toolchain, library.as_path()));
    assert!(process.limited().is_none() && process.exe.ends_with(LIBRARY_HOST), "{process:?}");
    host.go();
    let reports = host.events_until_done();
    assert_eq!(reports.len(), 3 * 4);
    // The host's own threads run no goroutine: that can be told of a library's threads, too.
    let is_of_host = |wait: &RawWait| wait.tgid == pid && wait.kind == Kind::Syscall && wait.no_goroutine;
    let is_seen = |waits: &[RawWait]| {
        waits.iter().any(is_of_host) && reports.iter().all(|report| !waits_of(pid, report, waits).is_empty())
    };
    let mut waits = waits_until(&mut capture, is_seen);
    waits.extend(drain(&mut capture));
    for report in &reports {
        check(pid, report, &waits, &capture);
    }
    assert_eq!(capture.bindings(pid).unbound(), 0, "{:?}", capture.bindings(pid));
    drop(capture);
    assert!(host.finish().success());
}

/// The library by the newest Go.
fn library() -> PathBuf {
    let flags = &["-buildmode=c-shared"];
    Build { toolchain: "go1.27.3", variant: "c-shared", flags, cgo: true }.program("library")
}

/// A host that has loaded the library.
fn start_loaded(library: &Path) -> GoProgram {
    let mut host = GoProgram::start(&library_host(), &[library.to_str().unwrap()]);
    host.go();
    assert_eq!(host.next_event()["event"], "loaded");
    host
}

/// As servers do that fork before they begin: the child has no program of its own, and no exec tells of it.
#[test]
fn goroutines_of_a_child_that_was_forked_are_observed() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let library = library();
    let mut parent = GoProgram::start(&library_host(), &[library.to_str().unwrap(), "fork"]);
    let mut capture = Capture::start(CaptureConfig::new(Target::AllGo)).unwrap();
    parent.go();
    let child = u32::try_from(parent.next_event()["pid"].as_u64().unwrap()).unwrap();
    assert_ne!(child, parent.pid());
    rescan_until(&mut capture, |capture| capture.process(child).is_some());
    parent.go();
    let reports = parent.events_until_done();
    let waits = waits_of_all(child, &reports, &mut capture);
    for report in &reports {
        check(child, report, &waits, &capture);
    }
    assert!(capture.process(parent.pid()).is_none(), "it has not loaded it");
    drop(capture);
    assert!(parent.finish().success());
}

/// A second process with a library that is probed already loses nothing of its first moments.
#[test]
fn a_library_that_is_probed_is_observed_at_once_in_another_process() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let library = library();
    let first = start_loaded(&library);
    let mut capture = Capture::start(CaptureConfig::new(Target::AllGo)).unwrap();
    rescan_until(&mut capture, |capture| capture.process(first.pid()).is_some());
    let mut second = start_loaded(&library);
    second.go();
    waits_of_all(second.pid(), &second.events_until_done(), &mut capture);
    drop(capture);
    assert!(first.finish().success() && second.finish().success());
}

/// Probes must not stay where a new library has other instructions.
#[test]
fn a_library_that_is_overwritten_in_place_is_observed_anew() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library.so");
    std::fs::copy(self::library(), &library).unwrap();
    let first = start_loaded(&library);
    let mut capture = Capture::start(CaptureConfig::new(Target::AllGo)).unwrap();
    rescan_until(&mut capture, |capture| capture.process(first.pid()).is_some());
    // The same code, so that the first one can go on; nobody who has read the old one can know that.
    OpenOptions::new().append(true).open(&library).unwrap().write_all(b"more").unwrap();
    let mut second = start_loaded(&library);
    rescan_reports_until(&mut capture, |report| report.ended.contains(&first.pid()));
    rescan_until(&mut capture, |capture| capture.process(second.pid()).is_some());
    second.go();
    waits_of_all(second.pid(), &second.events_until_done(), &mut capture);
    drop(capture);
    assert!(first.finish().success() && second.finish().success());
}

/// Once there is one of each that the program has told of.
fn waits_of_all(pid: u32, reports: &[Value], capture: &mut Capture) -> Vec<RawWait> {
    waits_until(capture, |waits| reports.iter().all(|report| !waits_of(pid, report, waits).is_empty()))
}

fn waits_of<'a>(pid: u32, report: &Value, waits: &'a [RawWait]) -> Vec<&'a RawWait> {
    let goid = report["goid"].as_u64().unwrap();
    let way = report["way"].as_str().unwrap();
    waits.iter().filter(|wait| is_park_of(wait, pid, goid) && wait.reason == way).collect()
}

fn check(pid: u32, report: &Value, waits: &[RawWait], capture: &Capture) {
    let waits = waits_of(pid, report, waits);
    let [wait] = waits.as_slice() else { panic!("{report}: exactly one of {waits:#?}") };
    let lasted = wait.run_mono_ns - wait.park_mono_ns;
    assert!(lasted >= HOLD_NS / 2 && lasted <= report["took_ns"].as_u64().unwrap(), "{report}: {lasted} ns");
    let binary = &capture.process(wait.tgid).unwrap().binary;
    let frames: Vec<_> =
        wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).map(|frame| frame.function.into_owned()).collect();
    assert_eq!(frames.first().map(String::as_str), Some("runtime.gopark"), "{report}: {frames:?}");
    assert!(frames.iter().any(|frame| frame == "main.waitOnce"), "{report}: {frames:?}");
}
