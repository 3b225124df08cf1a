//! `syncline-agent watch` on real programs under real BPF: what it shows and writes is what the programs know of themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};
use serde_json::Value;
use support::go_program::{ANY, GoProgram};
use support::terminal::Terminal;
use support::watching::{PATIENCE, Watching, last_table, pprof_top, row, watch};
use tempfile::TempDir;

/// Lets the program block in its places, and end: (function, count, ns of each, waker).
fn places(mut program: GoProgram) -> Vec<(String, u64, u64, u64)> {
    program.go();
    let reports = program.events_until_done();
    assert!(program.finish().success());
    let number = |report: &Value, name: &str| report[name].as_u64().unwrap();
    let place = |r: &Value| {
        (r["function"].as_str().unwrap().to_owned(), number(r, "count"), number(r, "each_ns"), number(r, "waker"))
    };
    reports.iter().filter(|report| report["event"] == "blocked").map(place).collect()
}

#[test]
fn table_and_files_have_the_sites_that_the_program_reports() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (pprof, svg, events) = (file("block.pb.gz"), file("block.svg"), file("events.jsonl"));
    let program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    let pid = program.pid();
    let watching = Watching::start(&[&pid.to_string(), "--stacks", "--out", &pprof, "--out", &svg, "--out", &events]);
    let places = places(program);
    assert_eq!(places.len(), 2);
    let text = watching.end();
    let table = last_table(&text);
    assert!(table.contains(&format!("(pid {pid}, ended)")), "{table}");
    let events: Vec<Value> =
        std::fs::read_to_string(&events).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (pprof_top, svg) = (pprof_top(Path::new(&pprof)), std::fs::read_to_string(&svg).unwrap());
    for (function, count, each_ns, waker) in &places {
        let cells = row(table, function);
        assert_eq!(cells[2], count.to_string(), "{table}");
        assert_eq!(*cells.last().unwrap(), format!("g{waker} 100.0 %"), "{table}");
        let here: Vec<&Value> = events.iter().filter(|event| event["site"]["function"] == **function).collect();
        assert_eq!(here.len() as u64, *count, "{function}");
        for event in &here {
            check_event(event, pid, *each_ns, *waker);
        }
        let total_ns: u64 = here.iter().map(|event| event["duration_ns"].as_u64().unwrap()).sum();
        assert_eq!(cells[0], syncline_insight::span(total_ns), "{function}: {table}");
        assert!(svg.contains(&format!("in {count} waits")) && svg.contains(function), "{svg}");
        let delay = pprof_top
            .lines()
            .find(|line| line.trim_end().ends_with(&**function))
            .unwrap_or_else(|| panic!("{pprof_top}"));
        assert_eq!(delay.split_whitespace().nth(3), Some(format!("{total_ns}ns").as_str()), "{pprof_top}");
        assert!(table.contains(&format!("    {function} ")), "the stacks below: {table}");
        assert!(table.contains(&format!(", {count} times of {count}\n")), "where they were woken: {table}");
    }
    // The main goroutine slept before it woke each of them.
    let woken: u64 = places.iter().map(|place| place.1).sum();
    assert_eq!(row(table, "main.blockOnce")[2], woken.to_string(), "{table}");
    // One that went on for long is told of before, too.
    let waits = events.iter().filter(|event| event["open"] == false).count();
    assert!(table.contains(&format!("{waits} waits of 1.00 ms and longer")), "{table}");
}

fn check_event(event: &Value, pid: u32, each_ns: u64, waker: u64) {
    assert_eq!((event["pid"].as_u64(), event["waker_goid"].as_u64()), (Some(pid.into()), Some(waker)), "{event}");
    let (duration, runnable) = (event["duration_ns"].as_u64().unwrap(), event["runnable_ns"].as_u64().unwrap());
    assert!(duration >= each_ns && runnable <= duration, "{event}");
    assert_eq!((&event["open"], &event["inside"]), (&false.into(), &false.into()), "{event}");
    let woken_in = event["waker_site"]["function"].as_str().unwrap();
    assert!(woken_in.starts_with("main.places.func"), "{event}");
    let start = event["start"].as_str().unwrap();
    let parsed = chrono::DateTime::parse_from_rfc3339(start).unwrap().timestamp_nanos_opt().unwrap();
    assert_eq!(Some(parsed.cast_unsigned()), event["start_wall_ns"].as_u64(), "{event}");
    assert!(start.ends_with('Z') && event["stack"].as_array().unwrap().len() >= 3, "{event}");
    let functions = event["stack"].as_array().unwrap().iter().rev().map(|call| call["function"].as_str().unwrap());
    assert!(functions.take(2).eq(["runtime.goexit", "main.blockOnce.func1"]), "{event}");
}

/// The program under a name of its own, for nobody else's tests run it meanwhile.
fn own_copy(dir: &TempDir) -> (PathBuf, String) {
    let name = format!(
        "watched-{}-{}",
        std::process::id(),
        dir.path().file_name().unwrap().to_string_lossy().trim_start_matches('.')
    );
    let path = dir.path().join(&name);
    std::fs::copy(ANY.program("waits"), &path).unwrap();
    (path, name)
}

#[test]
fn a_name_means_all_processes_that_run_it_and_the_watch_ends_with_the_last() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let (path, name) = own_copy(&dir);
    let programs = [0, 1].map(|_| GoProgram::start(&path, &["sites"]));
    let watching = Watching::start(&[&name, "--interval", "100ms"]);
    assert!(watching.text.contains(&format!("{name} (2 processes)")), "{}", watching.text);
    let counts: Vec<u64> = programs.map(places).iter().map(|places| places[0].1).collect();
    let text = watching.end();
    let table = last_table(&text);
    assert!(table.contains(&format!("{name} (2 processes, 2 ended)")), "{table}");
    assert_eq!(row(table, "main.receiveOften")[2], counts.iter().sum::<u64>().to_string(), "{table}");
}

#[test]
fn nobody_is_an_error_unless_waited_for() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let (path, name) = own_copy(&dir);
    fails(&[&name], 1, "no process runs an executable named watched-");
    fails(&[&path.to_string_lossy()], 1, "--wait");
    for who in [name.clone(), path.to_string_lossy().into_owned()] {
        let child = watch(&[&who, "--wait", "--interval", "100ms", "--for", "1s"]);
        let watching = Watching::of({ child }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        assert!(watching.text.contains("nobody yet"), "{}", watching.text);
        let program = GoProgram::start(&path, &["sites"]);
        let text = watching.end();
        assert!(last_table(&text).contains(&format!("{name} (pid {})", program.pid())), "{text}");
        assert!(last_table(&text).starts_with("== 1.0"), "--for begins with the first process: {text}");
    }
}

#[test]
fn signals_end_it_with_the_last_table() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let watching = Watching::start(&[&program.pid().to_string(), "--interval", "100ms"]);
        watching.signal(signal);
        let text = watching.end();
        assert!(last_table(&text).contains("lost: 0"), "{text}");
    }
}

#[test]
fn reasons_and_tops_are_kept_to() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    let watching = Watching::start(&[&program.pid().to_string(), "--reason", "MUTEX", "--top", "1", "--sort", "count"]);
    let places = places(program);
    let text = watching.end();
    let table = last_table(&text);
    assert_eq!(row(table, "main.lockSometimes")[2], places[1].1.to_string(), "{table}");
    assert!(!table.contains("main.receiveOften") && table.contains("for \"MUTEX\""), "{table}");
}

#[test]
fn on_a_terminal_it_draws_obeys_keys_and_leaves_the_terminal_as_it_was() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    let agent = env!("CARGO_BIN_EXE_syncline-agent");
    let mut terminal = Terminal::run(&format!("{agent} watch {} --interval 100ms", program.pid()));
    terminal.shows("q quit");
    program.go();
    program.events_until_done();
    terminal.shows("main.receiveOften");
    assert!(terminal.is_on_alternate_screen());
    terminal.press("c");
    terminal.shows("by count");
    terminal.press("/lockSome\r");
    terminal.shows("only \"lockSome\"");
    terminal.shows_no_more("main.receiveOften");
    terminal.press("\r");
    terminal.shows("stack 1 of 1");
    terminal.shows("main.lockSometimes");
    terminal.shows("woken by g1");
    terminal.press("\x1b");
    terminal.shows("enter stacks");
    terminal.press("p");
    terminal.shows("PAUSED");
    terminal.press("q");
    let (status, screen, is_alternate) = terminal.end();
    assert_eq!((status, is_alternate), (Some(0), false), "{screen}");
    assert!(last_table(&screen).contains("main.receiveOften"), "{screen}");
    assert!(program.is_running(), "the program goes on");
}

#[test]
fn control_c_on_a_terminal_ends_it_too() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    let mut terminal = Terminal::run(&format!("{} watch {}", env!("CARGO_BIN_EXE_syncline-agent"), program.pid()));
    terminal.shows("q quit");
    terminal.press("\x03");
    let (status, screen, is_alternate) = terminal.end();
    assert_eq!((status, is_alternate), (Some(0), false), "{screen}");
    assert!(screen.contains("== "), "{screen}");
}

#[test]
fn it_ends_with_its_terminal() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    let mut terminal = Terminal::run(&format!("{} watch {}", env!("CARGO_BIN_EXE_syncline-agent"), program.pid()));
    terminal.shows("q quit");
    let watch = Pid::from_raw(terminal.program().try_into().unwrap()).unwrap();
    let watch = rustix::process::pidfd_open(watch, PidfdFlags::empty()).unwrap();
    terminal.hang_up();
    // Readable once it has ended, also where whoever adopts it leaves it unreaped.
    let mut ended = [PollFd::new(&watch, PollFlags::IN)];
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ended, Some(&patience)).unwrap(), 1, "it goes on without a terminal");
}

fn fails(arguments: &[&str], code: i32, part: &str) {
    let Output { status, stderr, stdout } = watch(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), stdout.len()), (Some(code), 0), "{arguments:?}: {error}");
    assert!(error.contains(part), "{part:?} is not in: {error}");
    if code == 1 {
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    fails(&[], 2, "PID|NAME");
    fails(&["1", "--out", "block.txt"], 2, ".pb.gz (profile for go tool pprof), .svg (flame graph) or .jsonl");
    fails(&["1", "--sort", "size"], 2, "time, count, max");
    fails(&["1", "--for", "soon"], 2, "250us");
    fails(&["1", "--interval", "1ms"], 2, "100ms");
    fails(&["1", "--top", "0"], 2, "1..=10000");
}

#[test]
fn what_cannot_be_watched_or_written_ends_with_one() {
    if !support::bpf_usable() {
        return fails(&["1"], 1, "the kernel refused");
    }
    let _alone = support::alone();
    fails(&["4194304"], 1, "no process with pid 4194304");
    let dir = tempfile::tempdir().unwrap();
    let name = format!("slept-{}", std::process::id());
    std::fs::copy("/bin/sleep", dir.path().join(&name)).unwrap();
    let mut sleeper = Command::new(dir.path().join(&name)).arg("60").spawn().unwrap();
    fails(&[&sleeper.id().to_string()], 1, "not a Go binary");
    until(|| std::fs::read_link(format!("/proc/{}/exe", sleeper.id())).is_ok_and(|exe| exe.ends_with(&name)));
    fails(&[&name], 1, "not a Go binary");
    fails(&[&name, "--wait"], 1, "not a Go binary");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let program = GoProgram::start(&ANY.program("waits"), &["sites"]);
    for file in ["/nonexistent/block.svg", "/nonexistent/events.jsonl"] {
        fails(&[&program.pid().to_string(), "--out", file], 1, file);
    }
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
        std::thread::yield_now();
    }
}

#[test]
fn the_heading_splits_the_time_of_all_goroutines() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("states"), &[]);
    let watching = Watching::start(&[&program.pid().to_string()]);
    program.go();
    program.events_until_done();
    assert!(program.finish().success());
    let text = watching.end();
    let table = last_table(&text);
    let line = table
        .lines()
        .find(|line| line.starts_with("goroutines (0 live): running "))
        .unwrap_or_else(|| panic!("{table}"));
    // Of the reasons only those of most time are named, and by how much the others are short depends on the machine.
    for part in [", runnable ", ", in system calls ", ", blocked ", "sleep ", ", ...)", " handed off"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}
