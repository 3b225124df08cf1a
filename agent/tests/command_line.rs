//! Bad input to the real program: one clear line, and the right exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use support::go_program::ANY;
use syncline_agent::spooling::Opened;
use syncline_spool::Config;

/// Nobody listens there: the discard port, which needs root to be bound.
const NOBODY: &str = "http://127.0.0.1:9";

fn agent(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-agent"));
    command.env("SYNCLINE_AGENT_SPOOL", "none").env_remove("SYNCLINE_REGION");
    command.args(arguments).env("RUST_LOG", "error").output().unwrap()
}

fn fails(arguments: &[&str], code: i32, part: &str) {
    let output = agent(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    if code == 1 {
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn usage_errors_end_with_two() {
    fails(&["--region", "eu", "--threshold", "soon"], 2, "250us");
    fails(&["--region", "eu", "--aggregator", "localhost:1"], 2, "http://");
    fails(&["--pid", "1"], 2, "--region");
    fails(&["replay"], 2, "FILE");
    fails(&["--nonsense"], 2, "--nonsense");
    fails(&["--region", "eu", "--spool-bytes", "1MiB"], 2, "64MiB to 1024GiB");
    fails(&["set"], 2, "--threshold");
    fails(&["set", "--threshold", "5"], 2, "250us");
    fails(&["set", "--service", "", "--observe", "false"], 2, "fits nothing");
    fails(&["set", "--without", "disk"], 2, "off-cpu");
    fails(&["set", "--reset", "--pid", "1"], 2, "cannot be used");
}

#[test]
fn what_is_typed_goes_before_the_environment_and_that_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    std::fs::write(
        &path,
        "region = \"eu\"\naggregator = [\"http://127.0.0.1:8\"]\nrecord = \"/nonexistent/of-file\"\n",
    )
    .unwrap();
    // What is recorded to is opened before anything else is done, and named where that cannot be.
    let recorded_to = |variables: &[(&str, &str)], typed: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-agent"));
        command.env("SYNCLINE_AGENT_CONFIG", &path).env("RUST_LOG", "error").env_remove("SYNCLINE_REGION");
        command.env("SYNCLINE_AGENT_SPOOL", "none");
        let output = command.envs(variables.iter().copied()).args(typed).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let set = [("SYNCLINE_AGENT_RECORD", "/nonexistent/of-variable")];
    for (variables, typed, part) in [
        (&[][..], &[][..], "/nonexistent/of-file"),
        (&set, &[], "/nonexistent/of-variable"),
        (&set, &["--record", "/nonexistent/typed"], "/nonexistent/typed"),
        (&[("SYNCLINE_AGENT_RECORD", "")], &[], "/nonexistent/of-file"),
    ] {
        let (code, stderr) = recorded_to(variables, typed);
        assert!(code == Some(1) && stderr.contains(part), "{variables:?} {typed:?}: {stderr}");
    }
    let (code, stderr) = recorded_to(&[("SYNCLINE_AGENT_QUEUE_BYTES", "1")], &[]);
    assert!(code == Some(78) && stderr.contains("SYNCLINE_AGENT_QUEUE_BYTES: must be 1MiB to 64GiB"), "{stderr}");
    for (name, value, told) in [
        ("SYNCLINE_AGENT_REGON", "eu", "did you mean `SYNCLINE_AGENT_REGION`?"),
        ("SYNCLINE_AGENT_OBSERVE", "maybe", "invalid value 'maybe'"),
        ("SYNCLINE_AGENT_WITH", "disk", "invalid value 'disk'"),
    ] {
        let (code, stderr) = recorded_to(&[(name, value)], &[]);
        assert!(code == Some(78) && stderr.contains(&format!("{name}: ")) && stderr.contains(told), "{stderr}");
    }
    // What others set.
    for (name, value) in [
        ("SYNCLINE_AGENT_SERVICE_HOST", "10.0.0.1"),
        ("SYNCLINE_AGENT_PORT_9465_TCP", "tcp://10.0.0.1:9465"),
        ("SYNCLINE_AGGREGATOR_REGON", "eu"),
        ("SYNCLINE_AGENT_WITH", "kernel-stacks"),
        ("SYNCLINE_AGENT_OBSERVE", "false"),
    ] {
        let (code, stderr) = recorded_to(&[(name, value)], &[]);
        assert!(code == Some(1) && stderr.contains("/nonexistent/of-file"), "{name}: {stderr}");
    }
    // The file has an uplink that is right: it is not to blame for another one.
    std::fs::write(&path, "region = \"eu\"\nuplink = \"grpc\"\n").unwrap();
    for (variables, typed, expected, part) in [
        (&[][..], &["--uplink", "kafka"][..], 1, "error: --uplink kafka needs"),
        (&[("SYNCLINE_AGENT_UPLINK", "kafka")], &[], 78, "error: SYNCLINE_AGENT_UPLINK: --uplink kafka needs"),
    ] {
        let (code, stderr) = recorded_to(variables, typed);
        assert!(code == Some(expected) && stderr.contains(part) && !stderr.contains(".toml"), "{code:?} {stderr}");
    }
}

#[test]
fn the_shipped_file_is_right() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/agent.toml");
    let output = agent(&["validate", file]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_is_off_excludes_nothing_and_what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    let file = path.to_str().unwrap();
    let validate = |text: &str| {
        std::fs::write(&path, text).unwrap();
        agent(&["validate", file])
    };
    for text in
        ["region = \"eu\"\nkeep_trying = false\nrequire_aggregator = \"5s\"", "region = \"eu\"\nall = false\npid = 7"]
    {
        let output = validate(text);
        assert!(output.status.success(), "{text}: {output:?}");
    }
    let output = validate("probe_interval = \"1s\"");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(78) && stderr.contains("--region"), "{stderr}");
    std::fs::write(
        &path,
        "region = \"eu\"\nuplink = \"kafka\"\nkafka_brokers = \"k:1\"\nkafka_config = \"no.such=hunter2\"",
    )
    .unwrap();
    let output = agent(&["validate", file]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{output:?}");
    // A name that the node has no file of is opened before anything else: so far it gets, with a flag that is typed off.
    std::fs::write(&path, "region = \"eu\"\nkeep_trying = true\nrecord = \"/nonexistent/x\"\nspool = \"none\"")
        .unwrap();
    fails(&["--config", file, "--keep-trying=false", "--require-aggregator", "1s"], 1, "/nonexistent/x");
}

#[test]
fn help_teaches_and_ends_well() {
    let output = agent(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for part in ["run", "replay", "Examples", "CAP_BPF", "ready"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn a_recording_that_is_none_ends_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("garbled");
    std::fs::write(&path, b"not a recording").unwrap();
    fails(&["replay", &path.to_string_lossy(), "--aggregator", NOBODY], 1, "at byte 0");
    fails(&["replay", "/nonexistent/run.syncrec"], 1, "/nonexistent/run.syncrec");
}

#[test]
fn a_file_of_settings_that_is_wrong_ends_with_78_and_a_caret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    let file = path.to_str().unwrap();
    let run = |part: &str| {
        fails(&["--region", "eu", "--aggregator", NOBODY, "--config", file], 78, part);
        fails(&["validate", file], 78, part);
    };
    run("agent.toml: cannot be read");
    for (text, part) in [
        (
            "threshold = \"5ms\"\n\n[[rule]]\nservice = \"a\"\nwithout = [\"disk\"]\n",
            "agent.toml:5:12: unknown value `disk`, expected one of `park`, `syscall`, `cgo`, `off-cpu`",
        ),
        (
            "probe_intervall = \"1s\"",
            "agent.toml:1:1: unknown key `probe_intervall`; did you mean `probe_interval`?\n  |\n1 | probe_intervall = \"1s\"\n  | \
             ^^^^^^^^^^^^^^^\n",
        ),
        (
            "region = \"eu\"\nprobe_interval = \"1h\"",
            "agent.toml:2:18: must be 25ms to 60s: an aggregator answers 50 probes of a node in a second, and refuses more",
        ),
        ("pid = 1\nexe = \"/x\"", "agent.toml:2:1: `pid` is given, too"),
        ("region = \"eu\"\nuplink = \"kafka\"", "agent.toml:2:1: --uplink kafka needs --kafka-brokers HOST:PORT"),
        (
            "region = \"eu\"\nkafka_brokers = \"a:1\"",
            "agent.toml:2:1: --kafka-brokers and --kafka-config are for --uplink kafka",
        ),
        (
            "region = \"eu\"\nuplink = \"kafka\"\nkafka_brokers = \"a:1\"\nkafka_config = \"no.such=1\"",
            "agent.toml:4:1: --kafka-config: librdkafka does not take",
        ),
        ("keep_trying = true\nrequire_aggregator = \"5s\"", "agent.toml:2:1: `keep_trying` is given, too"),
        ("with = [\"cgo\"]\nwithout = [\"cgo\"]", "both"),
        ("record = true", "agent.toml:1:10: a text or a number is wanted here"),
        ("observe = \"no\"", "agent.toml:1:11: true or false is wanted here"),
        ("with = [\"disk\"]", "agent.toml:1:8: invalid value 'disk'"),
        ("[[rule]]\nservice = \"a\"", "agent.toml:1:1: this rule says nothing"),
    ] {
        std::fs::write(&path, text).unwrap();
        run(part);
    }
    fails(&["show", "--control", path.to_str().unwrap()], 1, "no agent is there");
    fails(&["set", "--control", "/nonexistent/agent.sock", "--reset"], 1, "no agent is there");
}

/// A FIFO that nobody else opens.
fn fifo(dir: &tempfile::TempDir) -> String {
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_fifo_is_refused_instead_of_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = fifo(&dir);
    fails(&["replay", &fifo], 1, "not a regular file");
    fails(&["--region", "eu", "--aggregator", NOBODY, "--record", &fifo], 1, "it is a FIFO");
    if support::bpf_usable() {
        fails(&["--region", "eu", "--aggregator", NOBODY, "--exe", &fifo], 1, "not a regular file");
    }
}

#[test]
fn a_process_that_is_none_or_not_go_ends_with_one() {
    if !support::bpf_usable() {
        return fails(&["--region", "eu", "--aggregator", NOBODY, "--all"], 1, "the kernel refused");
    }
    fails(&["--region", "eu", "--aggregator", NOBODY, "--pid", "4194304"], 1, "4194304");
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = sleeper.id().to_string();
    fails(&["--region", "eu", "--aggregator", NOBODY, "--pid", &pid], 1, "Go");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn a_pid_namespace_of_its_own_ends_with_one() {
    let own_namespace = ["--pid", "--fork", "--mount-proc"];
    let can = Command::new("unshare").args(own_namespace).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        let _ = writeln!(std::io::stderr(), "skipped: no PID namespace can be made here");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(own_namespace).arg(env!("CARGO_BIN_EXE_syncline-agent"));
    let command = command.args(["--region", "eu", "--aggregator", NOBODY, "--spool", "none"]);
    let output = command.env("RUST_LOG", "error").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("hostPID"), "{stderr}");
}

#[test]
fn an_executable_that_is_missing_or_garbled_ends_with_one() {
    if !support::bpf_usable() {
        return fails(&["--region", "eu", "--aggregator", NOBODY, "--all"], 1, "the kernel refused");
    }
    fails(&["--region", "eu", "--aggregator", NOBODY, "--exe", "/nonexistent/app"], 1, "/nonexistent/app");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("garbled");
    std::fs::write(&path, b"\x7fELF but then nonsense").unwrap();
    let name = path.to_string_lossy();
    fails(&["--region", "eu", "--aggregator", NOBODY, "--exe", &name], 1, &name);
}

#[test]
fn a_required_aggregator_that_is_not_there_ends_with_one() {
    if !support::bpf_usable() {
        return;
    }
    // Not every program of the machine: others may be measuring theirs.
    let program = ANY.program("waits");
    let arguments = ["--region", "eu", "--aggregator", NOBODY, "--require-aggregator", "300ms", "--exe"];
    fails(&[&arguments[..], &[&program.to_string_lossy()]].concat(), 1, "did not answer within 0.3 s");
}

#[test]
fn a_recording_that_cannot_be_written_ends_with_one() {
    assert!(!Path::new("/nonexistent").exists());
    fails(&["--region", "eu", "--aggregator", NOBODY, "--record", "/nonexistent/x"], 1, "/nonexistent/x");
}

#[test]
fn a_spool_that_cannot_be_had_ends_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let _mine = Opened::open(&path, Config::default(), 1 << 20).unwrap();
    let run = |path: &Path, part: &str| {
        fails(&["--region", "eu", "--aggregator", NOBODY, "--spool", path.to_str().unwrap()], 1, part);
    };
    run(&path, "another agent keeps its batches in");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    run(&file, "name another directory with --spool");
    run(&file.join("below"), "no batches can be kept in");
}
