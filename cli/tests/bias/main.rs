//! `syncline bias` on a real Go program of known blocks, under real eBPF; and what it says where it cannot work.

// clippy.toml lets tests unwrap and panic, but knows only the functions marked as tests, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod figures;
mod fixture;

use std::process::Command;

use figures::{band, capture, is_measured, median, reported_of, sums};
use fixture::{
    Build, Fifo, NEWEST, OLDEST, WITH_C, alone, bias, bias_by, can_capture, copied, free_address, program, refusal,
    report, running,
};

/// An agent that opens its file, says that it captures, and fails.
const SHORT_LIVED: &str = "#!/bin/sh
while [ \"$1\" != --out ]; do shift; done
: >\"$2\"
echo 'lost: 0'
echo 'the ring is gone' >&2
exit 3
";
const QUICK: [&str; 3] = ["--runs", "1", "--without-cost"];
/// Runs on a busy machine, until one measures what is asked of it.
const ATTEMPTS: usize = 5;
const CHANNEL_AND_LOCK: [&str; 3] = ["chan receive", "sync.Mutex.Lock", "select"];

#[test]
fn each_rate_records_what_its_rule_says_and_never_the_network() {
    if !can_capture() {
        return;
    }
    let _alone = alone();
    let program = program(NEWEST);
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("bias.svg");
    let options = ["--runs", "1", "--svg", svg.to_str().unwrap()];
    // Some 2,000 blocks of 40 us in a channel, 100 of 4 ms for a lock, 100 of 15 ms in a select. On a busy machine too many of the lock's take
    // longer than 10 ms for its stack to measure a band; it is held against its reason below.
    let bands_ns = [10_000, 10_000_000];
    // At times also the others' are stretched beyond their bands.
    let (text, document) = (0..ATTEMPTS)
        .map(|_| report(&options, &[program.to_str().unwrap(), "work", "100"]))
        .find(|(_, document)| bands_ns.into_iter().all(|from_ns| is_measured(document, from_ns)))
        .expect("a run in which the blocks are as long as they should be");
    for from_ns in bands_ns {
        let share = median(&band(&document, 1, from_ns)["recorded_share"]);
        assert!((0.99..1.01).contains(&share), "rate 1 records all: {share} from {from_ns} ns\n{text}");
    }
    let short = |rate_ns| median(&band(&document, rate_ns, 10_000)["recorded_share"]);
    let expected = |rate_ns| median(&band(&document, rate_ns, 10_000)["expected_of_measurable"]);
    assert!(short(10_000) > 0.98, "{text}");
    assert!((short(100_000) - expected(100_000)).abs() < 0.1, "{text}");
    assert!(short(1_000_000) < 0.15 && expected(1_000_000) < 0.15, "the rate of 1 ms records few of 40 us\n{text}");
    assert!((0.98..1.02).contains(&median(&band(&document, 1_000_000, 10_000_000)["recorded_share"])), "{text}");

    let seen = capture(&document, 1);
    for reasons in [&CHANNEL_AND_LOCK[..], &["sync.Mutex.Lock"]] {
        assert!((0.98..1.02).contains(&reported_of(seen, reasons)), "{reasons:?}\n{text}");
    }
    for unseen in ["IO wait", "sleep", "syscall write"] {
        assert_eq!(reported_of(seen, &[unseen]), 0.0, "{unseen}\n{text}");
    }
    assert!(sums(seen, &["IO wait"], "happened", "ns") > 200e6, "{text}");
    assert_eq!((&seen["lost"], &seen["stacks"]), (&0.into(), &seen["stacks_reported"]), "{text}");
    assert!(text.contains("IO wait") && text.contains("never, by the rule"), "{text}");
    // Four rates, captured and alone; captured without a profile; and neither.
    assert_eq!(document["runs"].as_array().unwrap().len(), 10);
    assert!(document["runs"].as_array().unwrap().iter().all(|run| run["wall_ns"].as_u64().unwrap() > 1_000_000_000));
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.contains("rate 1.00 ms: ") && svg.contains(">IO wait</text>"), "{svg}");
}

#[test]
fn stacks_are_the_same_in_profiles_of_old_and_of_stripped_programs_and_of_those_with_c() {
    if !can_capture() {
        return;
    }
    let _alone = alone();
    for build in [OLDEST, WITH_C] {
        let Build { go, .. } = build;
        let options = [&QUICK[..], &["--rates", "1ns"]].concat();
        let (text, document) = report(&options, &[program(build).to_str().unwrap(), "work", "20"]);
        let seen = capture(&document, 1);
        assert_eq!(seen["unmatched"]["blocks"], 0.0, "{go}\n{text}");
        assert_eq!(seen["stacks"], seen["stacks_reported"], "{go}\n{text}");
        assert!((0.97..1.03).contains(&reported_of(seen, &CHANNEL_AND_LOCK)), "{go}\n{text}");
    }
}

#[test]
fn a_program_is_told_by_arguments_by_http_or_ended_by_a_signal() {
    if !can_capture() {
        return;
    }
    let _alone = alone();
    let program = program(NEWEST);
    let program = program.to_str().unwrap();
    let rate_1 = [&QUICK[..], &["--rates", "1ns"]].concat();
    let all_of = |what: &str, (text, document): (String, serde_json::Value)| {
        let share = reported_of(capture(&document, 1), &CHANNEL_AND_LOCK);
        assert!((0.97..1.03).contains(&share), "{what}: {share}\n{text}");
    };
    all_of("arguments", report(&rate_1, &[program, "args", "{rate}", "{profile}", "20"]));
    all_of("SIGTERM", report(&[&rate_1[..], &["--duration", "1s"]].concat(), &[program, "until-term"]));
    let address = free_address();
    let (rate, server) = (format!("http://{address}/rate?ns={{rate}}"), format!("http://{address}"));
    let load = format!("curl -sf {server}/work");
    let by_http = [&rate_1[..], &["--rate-url", &rate, "--pprof-url", &server, "--load", &load]].concat();
    all_of("HTTP", report(&by_http, &[program, "serve", &address]));
}

#[test]
fn what_programs_do_wrong_is_told_with_what_to_do() {
    if !can_capture() {
        return;
    }
    let program = program(NEWEST);
    let error = |options: &[&str], command: &[&str]| {
        let arguments = [&QUICK[..], options, &["--", program.to_str().unwrap()], command].concat();
        refusal(&bias(&arguments), 1)
    };
    let deaf = error(&[], &["deaf"]);
    assert!(deaf.contains("wrote no profile") && deaf.contains("$SYNCLINE_BLOCK_PROFILE"), "{deaf}");
    let unset = error(&["--rate-env", "RATE"], &["unset"]);
    assert!(
        unset.contains("the profile is empty") && unset.contains("SetBlockProfileRate with the number in $RATE"),
        "{unset}"
    );
    assert!(error(&["--rates", "1ms"], &["headstrong"]).contains("set another rate than it was told"));
    assert!(error(&[], &["fail"]).contains("failed (exit code 3): the disk is on fire"));
    assert!(error(&["--timeout", "300ms"], &["until-term"]).contains("still running after 300 ms: give --duration"));
    assert!(error(&["--load", "exit 4"], &["until-term"]).contains("load failed (exit code 4)"));
    let server = format!("http://{}", free_address());
    let gone = error(&["--pprof-url", &server, "--duration", "1s"], &["work", "1"]);
    assert!(gone.contains("the program ended before http://"), "{gone}");
}

#[test]
fn an_interruption_ends_the_program_and_leaves_nothing_behind() {
    if !can_capture() {
        return;
    }
    let program = program(NEWEST);
    let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let svg = dir.path().join("bias.svg");
    let running = Fifo::create(&dir.path().join("running"));
    let load = format!("echo >{} && exec sleep 1000", running.path.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
    command.args(["bias", "--svg", svg.to_str().unwrap(), "--load", &load, "--", program.to_str().unwrap()]);
    command.arg("until-term").env("TMPDIR", temporary.path()).stderr(std::process::Stdio::piped());
    let started = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&started);
    running.written_before_the_end_of(pid);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = started.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.ends_with("interrupted\n"), "{error}");
    assert!(!svg.exists());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_program_that_cannot_be_observed_is_not_left_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let program = copied(&program(NEWEST), dir.path());
    let run = |agent: &str| refusal(&bias(&["--agent", agent, "--", program.to_str().unwrap(), "until-term"]), 1);
    assert!(run("/bin/false").contains("the agent cannot capture (exit code 1)"));
    // It has ended before the program is to go on.
    assert!(run("/bin/true").contains("the agent cannot capture (exit code 0)"));
    // It says that it captures, and then ends.
    let agent = dir.path().join("agent");
    std::fs::write(&agent, SHORT_LIVED).unwrap();
    std::fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = run(agent.to_str().unwrap());
    assert!(error.contains("syncline-agent failed (exit code 3): the ring is gone"), "{error}");
    assert_eq!(running(&program), Vec::<String>::new());
}

#[test]
fn blocks_take_no_more_of_the_disk_than_they_may() {
    if !can_capture() {
        return;
    }
    let program = program(NEWEST);
    let command = ["--", program.to_str().unwrap(), "work", "100"];
    let error = refusal(&bias(&[&QUICK[..], &["--events-bytes", "1MiB"], &command].concat()), 1);
    assert!(error.contains("fill the 1 MiB that they may take") && error.contains("--events-bytes"), "{error}");
}

#[test]
fn whoever_may_not_capture_is_told_so() {
    if !can_capture() || !rustix::process::geteuid().is_root() {
        return;
    }
    let program = program(NEWEST);
    // Where others may execute them.
    let dir = tempfile::Builder::new().prefix("syncline-").tempdir().unwrap();
    let syncline = std::path::Path::new(env!("CARGO_BIN_EXE_syncline"));
    let agent = syncline.with_file_name("syncline-agent");
    let [syncline, program, agent] = [syncline, &program, &agent].map(|file| copied(file, dir.path()));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
    nobody.arg(&syncline).current_dir("/");
    let arguments = ["--agent", agent.to_str().unwrap(), "--", program.to_str().unwrap(), "work", "1"];
    let error = refusal(&bias_by(&mut nobody, &arguments), 1);
    assert!(error.contains("the agent cannot capture") && error.contains("syncline doctor"), "{error}");
}

#[test]
fn wrong_questions_are_refused_before_anything_runs() {
    let error = |arguments: &[&str]| refusal(&bias(arguments), 2);
    assert!(error(&["--", "/bin/sh"]).contains("not a Go binary"));
    assert!(error(&["--", "no-such-program"]).contains("write ./NAME"));
    let program = program(NEWEST);
    let program = program.to_str().unwrap();
    assert!(
        error(&["--agent", "/nowhere/agent", "--", program]).contains("--agent: /nowhere/agent is no executable file")
    );
    let outputs = |outputs: &[&str]| error(&[&["--agent", "/bin/true"], outputs, &["--", program]].concat());
    assert!(outputs(&["--svg", "/nowhere/a.svg"]).contains("--svg /nowhere/a.svg: there is no directory /nowhere"));
    assert!(outputs(&["--svg", "-", "--json", "-"]).contains("only one output can go to standard output"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one");
    let file = file.to_str().unwrap();
    assert!(outputs(&["--svg", file, "--json", file]).contains("are one file: name two"));
    assert!(error(&["--pprof-url", "http://h:1", "--", program]).contains("needs --duration or --load"));
    for arguments in [
        &["--rates", "0"][..],
        &["--rates", "fast"],
        &["--runs", "0"],
        &["--pprof-url", "https://h"],
        &["--rate-env", "A=B"],
        &["--events-bytes", "4GB"],
    ] {
        let output = bias(&[arguments, &["--", program]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
