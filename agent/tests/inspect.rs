//! `syncline-agent inspect` on real programs: what it says is in their files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::go_program::{ANY, Build, CGO, GoProgram, PIE_STRIPPED, PLAIN, library_host};

fn inspect(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-agent"));
    command.arg("inspect").args(arguments).env_remove("RUST_LOG").output().unwrap()
}

fn found(subject: &str) -> Value {
    let Output { status, stdout, stderr } = inspect(&[subject, "--json"]);
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

fn left_out(found: &Value) -> Vec<&str> {
    let kinds = found["kinds"].as_array().unwrap();
    let such = kinds.iter().filter(|kind| kind["captured"] == false);
    such.inspect(|kind| assert!(kind["why"].is_string(), "{kind}")).map(|kind| kind["kind"].as_str().unwrap()).collect()
}

/// The bytes of each probe are those of the file.
fn check_probes(found: &Value, program: &Path) -> usize {
    let file = std::fs::read(program).unwrap();
    let probes = found["probes"].as_array().unwrap();
    for probe in probes {
        let at = usize::try_from(probe["file_offset"].as_u64().unwrap()).unwrap();
        let bytes: Vec<String> = file[at..at + 16].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(probe["bytes"], bytes.join(" "), "{probe}");
        assert!(probe["function"].as_str().unwrap().starts_with("runtime."), "{probe}");
    }
    probes.len()
}

#[test]
fn what_is_said_of_a_file_is_in_it() {
    let old = Build { toolchain: "go1.21.13", variant: "pie", flags: PIE_STRIPPED, cgo: false };
    let new = Build { toolchain: "go1.27.3", variant: "plain", flags: PLAIN, cgo: false };
    for (build, is_bare) in [(old, true), (new, false), (CGO, false)] {
        let program = build.program("rounds");
        let found = found(program.to_str().unwrap());
        assert_eq!(
            (&found["go_version"], &found["module"]),
            (&build.toolchain.into(), &"example.com/rounds".into()),
            "{build:?}"
        );
        assert_eq!(
            (&found["stripped"], &found["position_independent"]),
            (&is_bare.into(), &is_bare.into()),
            "{build:?}"
        );
        let without_c: &[&str] = if build.cgo { &[] } else { &["cgo"] };
        assert_eq!(left_out(&found), without_c, "{build:?}");
        let settings = found["settings"].as_array().unwrap();
        let cgo = settings.iter().find(|setting| setting["name"] == "CGO_ENABLED").unwrap();
        assert_eq!(cgo["value"], if build.cgo { "1" } else { "0" });
        let probes = check_probes(&found, &program);
        assert!(probes >= if build.cgo { 17 } else { 12 }, "{build:?}: {probes}");
        let (version, _) = build.toolchain.trim_start_matches("go").rsplit_once('.').unwrap();
        let table = format!("the table of Go {version}, ");
        let source = if is_bare { table.as_str() } else { "the program's debug information" };
        assert!(found["offsets_from"].as_str().unwrap().starts_with(source), "{}", found["offsets_from"]);
        assert!(found["limited"].is_null() && found["nameless"].is_null(), "{found}");
    }
}

/// Its probes are known, but the agent's programs in the kernel read the registers of another processor.
#[test]
fn of_a_program_for_another_processor_nothing_would_be_captured() {
    let program = ANY.program_for("arm64", "rounds");
    let Output { status, stdout, stderr } = inspect(&[program.to_str().unwrap(), "--json"]);
    let error = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(1) && error.contains("nothing of it would be captured"), "{error}");
    let found: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(found["machine"], "arm64");
    assert!(check_probes(&found, &program) >= 12);
    for kind in found["kinds"].as_array().unwrap() {
        assert_eq!(kind["why"], "it is built for arm64, and this agent is not");
    }
    let text = String::from_utf8(inspect(&[program.to_str().unwrap()]).stdout).unwrap();
    assert!(text.contains("go1.24.11, arm64, example.com/rounds"), "{text}");
}

#[test]
fn a_process_is_looked_at_as_its_file_also_if_that_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rounds");
    std::fs::copy(ANY.program("rounds"), &path).unwrap();
    let of_file = found(path.to_str().unwrap());
    let program = GoProgram::start(&path, &[]);
    std::fs::remove_file(&path).unwrap();
    let of_process = found(&program.pid().to_string());
    assert_eq!((&of_process["build_id"], &of_process["probes"]), (&of_file["build_id"], &of_file["probes"]));
    let Output { status, stdout, .. } = inspect(&[&program.pid().to_string()]);
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success() && text.contains("captured\n  park          yes\n"), "{text}");
    assert!(text.contains("runtime.gopark") && text.contains("g.goid 1"), "{text}");
    assert!(program.finish().success());
}

/// Of a program that is no Go program, the library that is one.
#[test]
fn the_library_of_a_process_is_looked_at_where_its_executable_is_not_go() {
    let build = Build { toolchain: "go1.27.3", variant: "c-shared", flags: &["-buildmode=c-shared"], cgo: true };
    let library = build.program("library");
    let mut host = GoProgram::start(&library_host(), &[library.to_str().unwrap()]);
    host.go();
    assert_eq!(host.next_event()["event"], "loaded");
    let found = found(&host.pid().to_string());
    assert_eq!((&found["executable"], &found["go_version"]), (&library.to_str().unwrap().into(), &"go1.27.3".into()));
    assert!(check_probes(&found, &library) >= 12);
    host.go();
    assert!(host.finish().success());
}

#[test]
fn what_cannot_be_looked_at_is_said_in_one_line() {
    for (subject, part) in [
        ("/nonexistent/cart", "cannot open /nonexistent/cart: No such file"),
        ("/bin/sh", "not a Go binary"),
        ("/tmp", "not a regular file"),
        ("4194304", "no process with pid 4194304"),
    ] {
        let Output { status, stdout, stderr } = inspect(&[subject]);
        let error = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len(), error.lines().count()), (Some(1), 0, 1), "{subject}: {error}");
        assert!(error.contains(part), "{subject}: {error}");
    }
}
