//! Frames outside of Go's code: the same on every run, of libraries that are gone, and in the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use support::go_program::{ANY, CGO, CGO_PIE, GoProgram};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, CaptureKind, Kinds, RawWait, Target};
use syncline_event::{Kind, Stack};
use syncline_gosym::Frame;

/// What the program's C functions nap at least.
const NAP_NS: u64 = 29_900_000;

#[test]
fn the_same_calls_are_the_same_stack_in_every_process() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let of_one = || {
        let mut program = GoProgram::start(&CGO_PIE.program("foreign"), &[]);
        let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
        let naps: Vec<RawWait> = play(&mut program, &mut capture).into_iter().filter(is_nap).collect();
        let ids: BTreeSet<u64> = naps.iter().map(|nap| Stack::id_of(nap.build_id, &nap.stack).0).collect();
        let load_bias = capture.process(program.pid()).unwrap().load_bias;
        assert!(program.finish().success());
        (ids, load_bias)
    };
    let (first, second) = (of_one(), of_one());
    assert_ne!(first.1, second.1, "they lie elsewhere in memory");
    assert!(!first.0.is_empty());
    assert_eq!(first.0, second.0);
}

/// The program naps by a function of a library that is deleted while it runs.
#[test]
fn functions_of_a_library_that_was_deleted_have_their_names() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let library = library_that_naps(dir.path());
    let mut program = GoProgram::start_by(Command::new(CGO.program("foreign")).env("LD_PRELOAD", &library));
    drop(dir);
    assert!(!library.exists());
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
    let waits = play(&mut program, &mut capture);
    let leaves: Vec<Frame> =
        waits.iter().filter(|wait| is_nap(wait)).map(|wait| frames_of(&capture, wait).remove(0)).collect();
    let of_library = leaves.iter().filter(|leaf| leaf.function == "usleep (libnap.so)");
    let places: BTreeSet<(&str, u32)> =
        of_library.map(|leaf| (leaf.file.rsplit('/').next().unwrap(), leaf.line)).collect();
    assert_eq!(places, BTreeSet::from([("nap.c", 5)]), "{leaves:#?}");
    assert!(program.finish().success());
}

#[test]
fn where_in_the_kernel_a_thread_waits_is_on_top_of_its_stack() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("blocking"), &[]);
    let kinds = Kinds::USUAL.and(Kinds::of(&[CaptureKind::KernelStacks]));
    let config = CaptureConfig { kinds, ..CaptureConfig::new(Target::Pid(program.pid())) };
    let mut capture = Capture::start(config).unwrap();
    program.go();
    let last = program.events_until_done().last().unwrap()["goid"].as_u64().unwrap();
    let mut waits = waits_until(&mut capture, |waits| {
        waits.iter().filter(|wait| wait.goid == last && wait.kind == Kind::Syscall && wait.fd != Some(1)).count() >= 3
    });
    waits.extend(drain(&mut capture));
    // One that slept already when the capture came left its CPU unseen.
    let is_read = |wait: &&RawWait| (wait.reason, wait.file_type) == ("read", Some("pipe")) && !wait.began_before;
    let reads: Vec<&RawWait> = waits.iter().filter(is_read).collect();
    assert!(reads.len() >= 3, "{waits:#?}");
    for read in reads {
        let functions: Vec<String> =
            frames_of(&capture, read).into_iter().map(|frame| frame.function.into_owned()).collect();
        // It has another name since Linux 6.15.
        assert!(["anon_pipe_read (kernel)", "pipe_read (kernel)"].contains(&functions[0].as_str()), "{functions:#?}");
        let first_of_go = functions.iter().position(|function| !function.ends_with(" (kernel)")).unwrap();
        assert!(functions[first_of_go].contains("yscall"), "{functions:#?}");
        assert!(functions[first_of_go..].iter().any(|function| function.starts_with("main.")), "{functions:#?}");
    }
    for wait in &waits {
        let mut functions = frames_of(&capture, wait).into_iter().map(|frame| frame.function);
        assert!(
            !functions.any(|function| function == "schedule (kernel)" || function == "__schedule (kernel)"),
            "{wait:?}"
        );
    }
    assert_eq!(capture.counters().kernel_stack_lost, 0);
    assert!(program.finish().success());
}

#[test]
fn nothing_of_the_kernel_is_on_a_stack_unless_it_is_asked_for() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&CGO.program("foreign"), &[]);
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
    let waits = play(&mut program, &mut capture);
    let mut functions = waits.iter().flat_map(|wait| frames_of(&capture, wait)).map(|frame| frame.function);
    assert!(functions.all(|function| !function.ends_with(" (kernel)")));
    // Nor one without a name.
    assert!(waits.iter().flat_map(|wait| &wait.stack).all(|address| address >> 62 != 0b11), "{waits:#?}");
    assert!(program.finish().success());
}

/// All that it does.
fn play(program: &mut GoProgram, capture: &mut Capture) -> Vec<RawWait> {
    program.go();
    let last = program.events_until_done().last().unwrap()["goid"].as_u64().unwrap();
    let mut waits = waits_until(capture, |waits| {
        waits.iter().filter(|wait| wait.kind == Kind::Cgo && wait.goid == last).count() >= 3
    });
    waits.extend(drain(capture));
    waits
}

fn is_nap(wait: &RawWait) -> bool {
    wait.kind == Kind::Syscall && wait.reason.ends_with("nanosleep") && wait.run_mono_ns - wait.park_mono_ns >= NAP_NS
}

fn frames_of<'a>(capture: &'a Capture, wait: &'a RawWait) -> Vec<Frame<'a>> {
    let binary = &capture.process_of(wait).unwrap().binary;
    wait.stack.iter().flat_map(|address| capture.frames().symbolize(binary, *address)).collect()
}

/// A library with a `usleep` of its own.
fn library_that_naps(dir: &Path) -> std::path::PathBuf {
    const SOURCE: &str = "#include <time.h>\n\nint usleep(unsigned us) {\n\tstruct timespec length = { us / 1000000, us % 1000000 * 1000 };\n\t\
        long result = 35; __asm__ volatile(\"syscall\" : \"+a\"(result) : \"D\"(&length), \"S\"(0) : \"rcx\", \"r11\", \"memory\");\n\treturn 0;\n}\n";
    let (source, library) = (dir.join("nap.c"), dir.join("libnap.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let built = Command::new("cc").args(["-g", "-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
    let built = built.expect("a C compiler is needed, as for cgo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}
