//! The capture against what Go programs say about themselves: each wait, its reason, its times, its waker and its stack.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::time::Duration;

use support::altered::Altered;
use support::go_program::{Build, GoProgram, PIE_STRIPPED, PLAIN, STRIPPED};
use support::observe::waits_until;
use support::scenarios::{Playing, check_all, check_scenarios, goid, is_park_of};
use syncline_agent::capture::{Capture, CaptureConfig, Target};
use syncline_event::Kind;

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

/// Debug information tells what is not known of a version: where its fields are, and what its reasons are called.
#[test]
fn waits_of_an_unknown_version_with_debug_information_are_seen_as_well() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for toolchain in ["go1.21.13", "go1.27.3"] {
        let build = Build { toolchain, variant: "plain", flags: PLAIN, cgo: false };
        let (program, version) = Altered::of_unknown_version(build, "waits");
        check_scenarios(&version, &program.path(), &version);
    }
}

/// Ways in which people build; `SYNCLINE_BUILDS_GO=go1.27.4,go1.22.10` has these toolchains do it, in all of the ways.
#[test]
fn waits_are_seen_however_the_program_is_built() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let chosen = std::env::var("SYNCLINE_BUILDS_GO").ok();
    for toolchain in chosen.as_deref().unwrap_or("go1.26.6").split(',').map(|name| name.to_owned().leak()) {
        let builds = builds(toolchain).into_iter().skip(if chosen.is_some() { 0 } else { 7 });
        for build in builds {
            check_scenarios(&format!("{toolchain} {}", build.variant), &build.program("waits"), toolchain);
        }
    }
}

/// Those that the other tests do not have come last.
fn builds(toolchain: &'static str) -> Vec<Build> {
    let build = |variant, cgo, flags| Build { toolchain, variant, flags, cgo };
    let mut builds = vec![
        build("plain", false, PLAIN),
        build("stripped", false, STRIPPED),
        build("pie", false, PIE_STRIPPED),
        build("trimpath", false, &["-trimpath"]),
        build("no-optimizing", false, &["-gcflags=all=-N -l"]),
        build("uncompressed", false, &["-ldflags=-compressdwarf=false"]),
        build("external", true, &["-ldflags=-linkmode=external"]),
        build("no-inlining", false, &["-gcflags=-l"]),
        build("race", true, &["-race"]),
        build("external-pie", true, &["-buildmode=pie", "-ldflags=-linkmode=external -s -w"]),
        build("static", true, &["-ldflags=-linkmode=external -extldflags=-static"]),
    ];
    let has_musl = std::process::Command::new("musl-gcc").arg("--version").output().is_ok();
    if has_musl {
        builds.push(build("musl", true, &["-ldflags=-linkmode=external -extld=musl-gcc -extldflags=-static"]));
    } else {
        println!("skipped: the build with musl, since there is no musl-gcc");
    }
    builds
}

#[test]
fn programs_of_all_versions_are_seen_at_once() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let builds = [("go1.21.13", PIE_STRIPPED), ("go1.24.11", PLAIN), ("go1.27.3", STRIPPED), ("go1.27.3", PLAIN)];
    let variants = [(PLAIN, "plain"), (STRIPPED, "stripped"), (PIE_STRIPPED, "pie")];
    let playing = builds.map(|(toolchain, flags)| {
        let (_, variant) = *variants.iter().find(|(of, _)| *of == flags).unwrap();
        let path = Build { toolchain, variant, flags, cgo: false }.program("waits");
        Playing { what: format!("{toolchain} {variant} of four"), path, go_version: toolchain.to_owned() }
    });
    check_all(&playing, |_| Target::AllGo);
}

fn compare_with_itself(toolchain: &'static str) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for (variant, flags) in [("plain", PLAIN), ("stripped", STRIPPED), ("pie", PIE_STRIPPED)] {
        let build = Build { toolchain, variant, flags, cgo: false };
        check_scenarios(&format!("{toolchain} {variant}"), &build.program("waits"), toolchain);
    }
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
    let waits = waits_until(&mut capture, |waits| waits.iter().any(|wait| is_park_of(wait, program.pid(), deep)));
    let cut = waits.iter().find(|wait| is_park_of(wait, program.pid(), deep)).unwrap();
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
    let waits =
        waits_until(&mut capture, |waits| waits.iter().any(|wait| is_park_of(wait, program.pid(), goid(&reports[0]))));
    let first = waits.iter().find(|wait| is_park_of(wait, program.pid(), goid(&reports[0]))).unwrap();
    let shifted = Duration::from_nanos(first.park_wall_ns - reports[0]["began_wall_ns"].as_u64().unwrap());
    assert!((1000..1060).contains(&shifted.as_secs()), "{shifted:?}");
    drop(capture);
    assert!(program.finish().success());
}
