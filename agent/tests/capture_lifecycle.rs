//! Processes come, go and replace their programs; the observed program must never notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::go_program::{ANY, Build, GoProgram, PIE_STRIPPED, PLAIN};
use support::observe::{rescan_reports_until, rescan_until, waits_until};
use support::settings::without;
use syncline_agent::capture::{Capture, CaptureConfig, CaptureError, CaptureKind, RawWait, Target};
use syncline_agent::choice::{Rules, Selector};
use syncline_event::Kind;

fn start(target: Target) -> Result<Capture, CaptureError> {
    Capture::start(CaptureConfig::new(target))
}

fn refusal(target: Target) -> String {
    let message = start(target).map(drop).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "one line: {message}");
    message
}

#[test]
fn what_cannot_be_observed_is_refused_with_one_clear_line() {
    if !support::bpf_usable() {
        return;
    }
    let own = refusal(Target::Pid(std::process::id()));
    assert!(own.contains("not a Go binary") && own.contains(&std::process::id().to_string()), "{own}");

    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let gone = refusal(Target::Pid(ended.id()));
    assert!(gone.contains("no process with pid"), "{gone}");

    let missing = refusal(Target::Executable("/no/such/program".into()));
    assert!(missing.contains("/no/such/program") && missing.contains("No such file"), "{missing}");

    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), "#!/bin/sh\n").unwrap();
    let text = refusal(Target::Executable(script.path().into()));
    assert!(text.contains("not an ELF file") && text.contains(script.path().to_str().unwrap()), "{text}");

    let other = refusal(Target::Executable(ANY.program_for("arm64", "waits")));
    assert!(other.contains("is built for arm64, and this agent is not"), "{other}");
}

#[test]
fn settings_outside_of_what_the_kernel_can_do_are_refused() {
    let config = CaptureConfig::new(Target::AllGo);
    for wrong in [
        CaptureConfig { ring_bytes: 5000, ..config.clone() },
        CaptureConfig { ring_bytes: 2048, ..config.clone() },
        CaptureConfig { max_stack_depth: 0, ..config.clone() },
        CaptureConfig { max_stack_depth: 128, ..config.clone() },
    ] {
        assert!(matches!(Capture::start(wrong), Err(CaptureError::Setting { .. })));
    }
}

#[test]
fn a_process_that_starts_later_is_found_by_its_exec_and_its_end_is_noticed() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = ANY.program("waits");
    for target in [Target::AllGo, Target::Executable(path.clone())] {
        let mut capture = start(target).unwrap();
        capture.rescan();
        let mut program = GoProgram::start(&path, &["scenarios"]);
        let pid = program.pid();
        // No rescan: the notice of its execve alone makes poll attach.
        let _ = waits_until_attached(&mut capture, pid);
        assert!(capture.rescan_wanted());
        assert!(capture.rescan().attached.iter().any(|attached| attached.pid == pid));
        program.go();
        let reports = program.events_until_done();
        let first = reports[0]["goid"].as_u64().unwrap();
        waits_until(&mut capture, |waits| waits.iter().any(|wait| wait.tgid == pid && wait.goid == first));
        assert!(program.finish().success());
        assert!(capture.rescan().ended.contains(&pid));
        assert!(capture.process(pid).is_some(), "remembered for records that are still under way");
    }
}

fn waits_until_attached(capture: &mut Capture, pid: u32) -> usize {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let mut polls = 0;
    while capture.process(pid).is_none() {
        assert!(std::time::Instant::now() < deadline, "the exec of {pid} was not noticed");
        capture.poll(Duration::from_millis(50), &mut |_| {}).unwrap();
        polls += 1;
    }
    polls
}

#[test]
fn a_process_that_was_there_before_is_found_with_what_it_is() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = ANY.program("waits");
    let program = GoProgram::start(&path, &["pingpong"]);
    let mut capture = start(Target::AllGo).unwrap();
    let report = capture.rescan();
    assert!(report.attached.iter().any(|attached| attached.pid == program.pid()), "{report:?}");
    assert!(report.attached.iter().all(|attached| attached.pid != std::process::id()));
    let process = capture.process(program.pid()).unwrap();
    assert_eq!(process.exe, path.canonicalize().unwrap());
    assert_eq!(process.cmdline[1..], ["pingpong"]);
    assert_eq!(process.binary.module_path(), Some("example.com/waits"));
    assert_eq!(process.load_bias, 0, "not position-independent");
    assert!(process.start_time > 0);
    drop(capture);
    assert!(program.finish().success());
}

#[test]
fn of_two_processes_with_one_binary_only_the_wanted_one_is_observed() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = ANY.program("waits");
    let (mut wanted, mut other) = (GoProgram::start(&path, &["scenarios"]), GoProgram::start(&path, &["scenarios"]));
    let mut capture = start(Target::Pid(wanted.pid())).unwrap();
    wanted.go();
    other.go();
    let reports = wanted.events_until_done();
    other.events_until_done();
    let last = reports[reports.len() - 1]["goid"].as_u64().unwrap();
    let waits = waits_until(&mut capture, |waits| waits.iter().any(|wait| wait.goid == last));
    assert!(waits.iter().all(|wait| wait.tgid == wanted.pid()));
    assert!(capture.take_short_waits().iter().all(|sum| sum.tgid == wanted.pid()));
    drop(capture);
    assert!(wanted.finish().success() && other.finish().success());
}

#[test]
fn a_deleted_executable_is_observed_all_the_same() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waits");
    std::fs::copy(ANY.program("waits"), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut program = GoProgram::start(&path, &["scenarios"]);
    std::fs::remove_file(&path).unwrap();
    let mut capture = start(Target::Pid(program.pid())).unwrap();
    program.go();
    let reports = program.events_until_done();
    let first = reports[0]["goid"].as_u64().unwrap();
    waits_until(&mut capture, |waits| waits.iter().any(|wait| wait.goid == first));
    assert!(program.finish().success());
}

/// What cannot be read at all is told once, with the reason, also where the kernel runs it.
#[test]
fn a_running_program_that_cannot_be_read_is_skipped_with_the_reason_and_reported_once() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged");
    let mut damaged = std::fs::read(ANY.program("waits")).unwrap();
    // Where the section headers are, which the kernel does not look at.
    damaged[40..48].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    std::fs::write(&path, damaged).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = GoProgram::start(&path, &["pingpong"]);
    let mut capture = start(Target::AllGo).unwrap();
    let skipped = capture.rescan().skipped;
    let found: Vec<_> = skipped.iter().filter(|skipped| skipped.pid == program.pid()).collect();
    assert_eq!(found.len(), 1, "{skipped:?}");
    assert!(found[0].why.contains("section headers") && found[0].exe == path, "{found:?}");
    assert!(capture.process(program.pid()).is_none());
    assert!(capture.rescan().skipped.iter().all(|skipped| skipped.pid != program.pid()), "only once");
    assert!(program.finish().success());
}

/// As a deployment does it: the new version lies under the old name while the old one still runs, and each is what it is.
#[test]
fn an_executable_that_is_replaced_while_it_runs_is_two() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("waits");
    let put = |toolchain| {
        let build = Build { toolchain, variant: "plain", flags: PLAIN, cgo: false };
        let new = dir.path().join("new");
        std::fs::copy(build.program("waits"), &new).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    put("go1.24.11");
    let mut old = GoProgram::start(&path, &["scenarios"]);
    let mut capture = start(Target::Executable(path.clone())).unwrap();
    put("go1.27.3");
    let mut new = GoProgram::start(&path, &["scenarios"]);
    rescan_until(&mut capture, |capture| capture.process(new.pid()).is_some());
    for (program, version) in [(&mut old, "go1.24.11"), (&mut new, "go1.27.3")] {
        let pid = program.pid();
        assert_eq!(capture.process(pid).unwrap().binary.go_version(), version);
        program.go();
        let reports = program.events_until_done();
        let goid = reports[0]["goid"].as_u64().unwrap();
        let is_it = |wait: &RawWait| wait.tgid == pid && wait.goid == goid && wait.kind == Kind::Goroutine;
        let waits = waits_until(&mut capture, |waits| waits.iter().any(is_it));
        let wait = waits.iter().find(|wait| is_it(wait)).unwrap();
        let binary = &capture.process_of(wait).unwrap().binary;
        let frames: Vec<_> = wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).collect();
        assert!(frames.iter().any(|frame| frame.function == "main.play.func1"), "{version}: {frames:?}");
        assert_eq!(frames[0].function, "runtime.gopark", "{version}: {frames:?}");
    }
    drop(capture);
    assert!(old.finish().success() && new.finish().success());
}

#[test]
fn a_program_whose_path_is_no_text_is_observed_all_the_same() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(OsStr::from_bytes(b"waits-\xff\xfe"));
    std::fs::copy(ANY.program("waits"), &path).unwrap();
    let program = GoProgram::start(&path, &["pingpong"]);
    let capture = start(Target::Pid(program.pid())).unwrap();
    assert_eq!(capture.process(program.pid()).unwrap().exe, path.canonicalize().unwrap());
    drop(capture);
    assert!(program.finish().success());
}

#[test]
fn a_process_that_execs_another_program_is_seen_anew() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut capture = start(Target::AllGo).unwrap();
    // The shell keeps its pid when it becomes the Go program, at the moment we choose.
    let mut shell = Command::new("sh")
        .args(["-c", r#"read line; exec "$0" pingpong"#])
        .arg(ANY.program("waits"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = shell.id();
    capture.rescan();
    assert!(capture.process(pid).is_none(), "a shell is not Go");
    std::io::Write::write_all(&mut shell.stdin.as_ref().unwrap(), b"go\n").unwrap();
    rescan_until(&mut capture, |capture| capture.process(pid).is_some());
    drop(shell.stdin.take());
    assert!(shell.wait().unwrap().success());
}

/// A Go program that becomes another one, or itself anew at another address, with goroutines parked.
#[test]
fn a_go_program_that_execs_a_go_program_is_seen_anew_and_nothing_is_mixed_up() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let pie = Build { toolchain: "go1.24.11", variant: "pie", flags: PIE_STRIPPED, cgo: false }.program("waits");
    let newer = Build { toolchain: "go1.27.3", variant: "plain", flags: PLAIN, cgo: false }.program("waits");
    for (former, next) in [(&pie, &pie), (&pie, &newer)] {
        let mut program = GoProgram::start(former, &["become", next.to_str().unwrap(), "scenarios"]);
        let pid = program.pid();
        let mut capture = start(Target::Pid(pid)).unwrap();
        capture.rescan();
        program.go();
        assert_eq!(program.next_event()["event"], "started");
        let mut seen_anew = false;
        rescan_reports_until(&mut capture, |report| {
            seen_anew |= report.attached.iter().any(|attached| attached.pid == pid);
            seen_anew
        });
        let taken_over = capture.counters();
        // Cleared away, or found out by a goroutine of the next program at the same address: as it parked, as it ran with the
        // same number, or with another.
        let found_out = taken_over.park_replaced + taken_over.unknown_process + taken_over.goid_mismatch;
        assert!(taken_over.abandoned + found_out >= 3, "{taken_over:?}");
        assert_eq!(capture.process(pid).unwrap().exe, next.canonicalize().unwrap());
        if former == next {
            // Go's own goroutines parked as it started, seen by the probes that were there already.
            assert!(capture.parked_now() > 0, "the next program's parks went with the former's");
        }
        program.go();
        let reports = program.events_until_done();
        let goids: Vec<u64> = reports.iter().map(|report| report["goid"].as_u64().unwrap()).collect();
        let of_program = |wait: &RawWait| goids.contains(&wait.goid);
        let waits = waits_until(&mut capture, |waits| goids.iter().all(|id| waits.iter().any(|w| w.goid == *id)));
        for wait in waits.iter().filter(|wait| of_program(wait)) {
            assert!(wait.run_mono_ns - wait.park_mono_ns < 5_000_000_000, "from one program into the next: {wait:?}");
            let frames = wait.stack.iter().flat_map(|pc| capture.process(pid).unwrap().binary.symbolize(*pc, true));
            assert!(frames.into_iter().any(|frame| frame.function.starts_with("main.")), "{wait:?}");
        }
        assert_eq!(capture.counters().park_replaced, taken_over.park_replaced, "{:?}", capture.counters());
        assert!(program.finish().success());
    }
}

#[test]
fn the_program_outlives_the_capture_and_ends_well() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("waits"), &["pingpong"]);
    program.go();
    let mut capture = start(Target::Pid(program.pid())).unwrap();
    assert!(parks_after(&mut capture, 1000) >= 1000);
    drop(capture);
    assert!(program.is_running());
    program.go();
    assert!(program.next_event()["count"].as_u64().unwrap() > 500);
    assert!(program.finish().success());
}

fn parks_after(capture: &mut Capture, wanted: u64) -> u64 {
    rescan_until(capture, |capture| capture.counters().parks >= wanted);
    capture.counters().parks
}

#[test]
fn a_panic_while_capturing_detaches_too() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("waits"), &["pingpong"]);
    let pid = program.pid();
    program.go();
    let panicked = std::thread::spawn(move || {
        let _capture = start(Target::Pid(pid)).unwrap();
        panic!("on purpose");
    })
    .join();
    assert!(panicked.is_err());
    assert!(program.is_running());
    program.go();
    program.next_event();
    assert!(program.finish().success());
}

#[test]
fn fifty_captures_come_and_go_under_load() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for toolchain in soaked_toolchains() {
        let build = Build { toolchain, variant: "plain", flags: PLAIN, cgo: false };
        let mut program = GoProgram::start(&build.program("waits"), &["pingpong"]);
        program.go();
        for _ in 0..25 {
            let mut capture = start(Target::Pid(program.pid())).unwrap();
            assert!(parks_after(&mut capture, 100) >= 100);
            drop(capture);
            assert!(program.is_running());
        }
        program.go();
        assert!(program.next_event()["count"].as_u64().unwrap() > 25 * 50);
        assert!(program.finish().success());
    }
}

/// Goroutines, system calls, TCP, coroutines, C code and its threads, all at once: whatever comes and goes, each of it goes right.
#[test]
fn captures_come_and_go_under_a_mixed_load_and_nothing_goes_wrong() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for toolchain in soaked_toolchains() {
        let build = Build { toolchain, variant: "cgo", flags: PLAIN, cgo: true };
        let mut program = GoProgram::start(&build.program("mixed"), &[]);
        program.go();
        for _ in 0..8 {
            let mut capture = start(Target::Pid(program.pid())).unwrap();
            parks_after(&mut capture, 100);
            let mut set = Rules::default();
            set.set(Selector::default(), &without(&CaptureKind::ALL));
            capture.set_rules(set);
            let before = capture.counters().parks;
            capture.set_rules(Rules::default());
            parks_after(&mut capture, before + 100);
            drop(capture);
            assert!(program.is_running());
        }
        program.go();
        let counted = program.next_event();
        assert_eq!(counted["wrong"], serde_json::json!({}), "{toolchain}: {counted}");
        let counts = counted["counts"].as_object().unwrap();
        assert!(counts.len() >= 10 && counts.values().all(|count| count.as_u64() > Some(0)), "{toolchain}: {counted}");
        assert!(program.finish().success(), "{toolchain}");
    }
}

/// The oldest and the newest; `SYNCLINE_SOAK_GO=go1.22.10,go1.23.9` takes others.
fn soaked_toolchains() -> Vec<&'static str> {
    let wanted = std::env::var("SYNCLINE_SOAK_GO").unwrap_or_else(|_| "go1.21.13,go1.27.3".to_owned());
    wanted.leak().split(',').collect()
}
