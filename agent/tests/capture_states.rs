//! How goroutines split their time: the parts are what the program knows that it did, and sum up to the whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::go_program::{Build, CGO, GoProgram, PIE_STRIPPED, PLAIN};
use support::observe::mono_ns;
use syncline_agent::capture::{
    Capture, CaptureConfig, CaptureKind, GoroutineSplit, Kinds, ProcessTimes, StateCounters, StateTimes, StatesTaken,
    Target,
};
use syncline_event::{GoroutineFate, GoroutineState};

const PATIENCE: Duration = Duration::from_secs(20);
/// What the program sleeps or calls at a time, and how often.
const NAP_NS: u64 = 20_000_000;
const NAP: Duration = Duration::from_nanos(NAP_NS);
const ROUNDS: u64 = 3;
/// For how long goroutines compete for one processor.
const BURN_NS: u64 = 300_000_000;
/// Goroutines that live for some microseconds.
const SHORT: u64 = 2_000;

#[test]
fn the_parts_are_what_the_program_did_go_1_21_pie_stripped() {
    compare_with_itself(Build { toolchain: "go1.21.13", variant: "pie-stripped", flags: PIE_STRIPPED, cgo: false });
}

#[test]
fn the_parts_are_what_the_program_did_go_1_24_cgo() {
    compare_with_itself(CGO);
}

#[test]
fn the_parts_are_what_the_program_did_go_1_27() {
    compare_with_itself(Build { toolchain: "go1.27.3", variant: "plain", flags: PLAIN, cgo: false });
}

/// All that was told of a program's states.
#[derive(Default)]
struct Seen {
    processes: Vec<ProcessTimes>,
    /// The newest of each goroutine.
    goroutines: HashMap<(u64, u64), GoroutineSplit>,
    passed_over: u64,
}

impl Seen {
    fn add(&mut self, taken: StatesTaken) {
        self.processes.extend(taken.processes);
        self.passed_over += taken.passed_over;
        for split in taken.goroutines {
            let key = (split.goid, split.first_mono_ns);
            if self.goroutines.get(&key).is_none_or(|known| known.at_mono_ns <= split.at_mono_ns) {
                self.goroutines.insert(key, split);
            }
        }
    }

    fn of(&self, report: &Value) -> &GoroutineSplit {
        let goid = report["goid"].as_u64().unwrap();
        let of_goid: Vec<_> = self.goroutines.values().filter(|split| split.goid == goid).collect();
        assert_eq!(of_goid.len(), 1, "{report}: {of_goid:#?}");
        of_goid[0]
    }
}

fn read(capture: &mut Capture, seen: &mut Seen) {
    capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
    capture.rescan();
    seen.add(capture.take_states().unwrap());
}

fn read_until(capture: &mut Capture, seen: &mut Seen, enough: impl Fn(&Seen) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !enough(seen) {
        assert!(Instant::now() < deadline, "not told in time: {:#?}", seen.processes);
        read(capture, seen);
    }
}

fn compare_with_itself(build: Build) {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&build.program("states"), &[]);
    let states_every = Duration::from_millis(50);
    let config = CaptureConfig { states_every, ..CaptureConfig::new(Target::Pid(program.pid())) };
    let mut capture = Capture::start(config).unwrap();
    program.go();
    let reports = program.events_until_done();
    let mut seen = Seen::default();
    let last = reports.last().unwrap()["goid"].as_u64().unwrap();
    let ended = |seen: &Seen, goid| {
        seen.goroutines.values().any(|split| split.goid == goid && split.fate == GoroutineFate::Finished)
    };
    read_until(&mut capture, &mut seen, |seen| ended(seen, last));
    // Its main goroutine reads its input now: it is in a system call that goes on.
    read_until(&mut capture, &mut seen, |seen| {
        let calls = |row: &ProcessTimes| row.times.syscall_ns > NAP_NS && row.times.running_ns < NAP_NS / 10;
        seen.processes.iter().any(calls)
    });
    assert!(program.finish().success());
    let gone_ns = mono_ns();
    read_until(&mut capture, &mut seen, |seen| {
        seen.goroutines.values().any(|split| split.fate == GoroutineFate::ProcessEnded)
    });
    let ended_with_it = seen.goroutines.values().filter(|split| split.fate == GoroutineFate::ProcessEnded);
    assert!(
        ended_with_it.map(|split| split.at_mono_ns).all(|end_ns| end_ns <= gone_ns),
        "by when, not when it was noticed"
    );
    for report in &reports {
        check(&format!("{} {}", build.toolchain, build.variant), report, seen.of(report));
    }
    check_competition(&reports, &seen);
    seen.goroutines.values().for_each(check_whole);
    check_processes(&seen);
    assert_eq!(capture.state_counters(), StateCounters::default());
    assert_eq!(seen.passed_over, 0);
    assert_eq!(capture.counters().lost(), 0, "{:?}", capture.counters());
}

fn blocked_ns(times: &StateTimes, reason: &str) -> u64 {
    times.blocked.iter().filter(|blocked| blocked.reason == Some(reason)).map(|blocked| blocked.total_ns).sum()
}

fn sum_ns(times: &StateTimes) -> u64 {
    let blocked: u64 = times.blocked.iter().map(|blocked| blocked.total_ns).sum();
    times.running_ns + times.runnable_ns + times.syscall_ns + times.cgo_ns + blocked
}

/// The goroutine spent the named part of its time as it says, and the rest of it running, or being able to.
fn check(what: &str, report: &Value, split: &GoroutineSplit) {
    let name = report["name"].as_str().unwrap();
    let what = format!("{what} {name}: {split:#?}");
    let times = &split.times;
    if name == "thread of C" {
        return check_thread_of_c(&what, split);
    }
    let part = match name {
        "sleep" | "last" => blocked_ns(times, "sleep"),
        "spin" | "spin alone" => times.running_ns + times.runnable_ns,
        "share" => times.running_ns + times.runnable_ns,
        "call" | "hand off" => times.syscall_ns,
        "in C" | "joins" => times.cgo_ns,
        // Half of it, each.
        "called back" => times.cgo_ns.min(blocked_ns(times, "sleep")),
        "coroutine" => blocked_ns(times, "coroutine"),
        "woken" => blocked_ns(times, "chan receive"),
        "waker" => blocked_ns(times, "sleep"),
        "polled" => blocked_ns(times, "IO wait"),
        "lock" => blocked_ns(times, "sync.Mutex.Lock") + blocked_ns(times, "semacquire"),
        _ => sum_ns(times),
    };
    let took_ns = report["took_ns"].as_u64().unwrap();
    assert!(
        split.start_seen && split.fate == GoroutineFate::Finished && split.state == GoroutineState::Running,
        "{what}"
    );
    if matches!(name, "spin" | "spin alone" | "share") {
        // It could run before it first did, too; and a busy machine may take the CPU from its thread before and after what it reports.
        assert!(part >= took_ns && times.running_ns <= took_ns + BURN_NS / 5, "{part} of {took_ns} ns: {what}");
    } else {
        let least_ns = if matches!(name, "woken" | "waker" | "polled") { NAP_NS } else { ROUNDS * NAP_NS };
        assert!(part >= least_ns && part <= took_ns, "{part} of {took_ns} ns: {what}");
    }
    // What it says that it took is in between its first run and its end; before, it could run, and after, it reports.
    assert!(sum_ns(times) >= took_ns, "{what}");
    match name {
        "sleep" | "last" | "lock" => assert!(times.blocked.iter().any(|blocked| blocked.count >= ROUNDS), "{what}"),
        // Its waker keeps the processor, until Go's monitor takes it away after ten milliseconds or the waker has done.
        "woken" | "polled" => assert!(times.runnable_ns > 5_000_000, "{what}"),
        // Its processor went to the other one, which gives it back when it has had its time.
        "hand off" => {
            // On a busy machine Go's monitor may come late to a call, or in time to the one that reports; and its signals cut calls in two.
            assert!((ROUNDS - 1..=3 * ROUNDS).contains(&split.handoffs), "{what}");
            assert!(times.runnable_ns > 1_000_000, "{what}");
        }
        _ => {}
    }
}

/// It slept once in Go, was in C for longer then, and ended with its thread.
fn check_thread_of_c(what: &str, split: &GoroutineSplit) {
    let times = &split.times;
    assert!(!split.start_seen && split.fate == GoroutineFate::Finished && split.state == GoroutineState::Cgo, "{what}");
    assert!(blocked_ns(times, "sleep") >= NAP_NS && times.cgo_ns >= ROUNDS * NAP_NS, "{what}");
    assert!(times.running_ns < NAP_NS && times.syscall_ns < NAP_NS, "{what}");
}

/// Three goroutines that never stop by themselves have one processor.
fn check_competition(reports: &[Value], seen: &Seen) {
    let all: Vec<_> = reports.iter().filter(|report| report["name"] == "share").map(|report| seen.of(report)).collect();
    assert_eq!(all.len(), 3);
    let (running, runnable) = (
        all.iter().map(|split| split.times.running_ns).sum::<u64>(),
        all.iter().map(|split| split.times.runnable_ns).sum::<u64>(),
    );
    assert!(
        running > BURN_NS / 2 && running < BURN_NS + BURN_NS / 5,
        "{running} running, {runnable} runnable: {all:#?}"
    );
    assert!(runnable > BURN_NS && runnable < 3 * BURN_NS, "{running} running, {runnable} runnable: {all:#?}");
    assert!(all.iter().all(|split| split.runs >= 2), "{all:#?}");
}

fn check_whole(split: &GoroutineSplit) {
    assert_eq!(sum_ns(&split.times), split.at_mono_ns - split.first_mono_ns, "{split:#?}");
    assert!(split.in_state_ns <= split.at_mono_ns - split.first_mono_ns, "{split:#?}");
}

/// The sums of the process are those of its goroutines, those that lived too shortly to be told of included.
fn check_processes(seen: &Seen) {
    let total = |part: fn(&StateTimes) -> u64| seen.processes.iter().map(|process| part(&process.times)).sum::<u64>();
    let of_goroutines =
        |part: fn(&StateTimes) -> u64| seen.goroutines.values().map(|split| part(&split.times)).sum::<u64>();
    for part in [
        (|times| times.running_ns) as fn(&StateTimes) -> u64,
        |times| times.runnable_ns,
        |times| times.syscall_ns,
        |times| times.cgo_ns,
        |times| blocked_ns(times, "sleep"),
    ] {
        // The short ones run, and wait to.
        let (whole, told) = (total(part), of_goroutines(part));
        assert!(whole + 100_000 >= told && whole <= told + SHORT * 100_000, "{whole} {told}: {:#?}", seen.processes);
    }
    let started: u64 = seen.processes.iter().map(|process| process.started).sum();
    let ended: u64 = seen.processes.iter().map(|process| process.ended).sum();
    assert!(started >= SHORT, "{started}");
    // Those that were there before.
    assert!(ended > started && ended < started + 30, "{ended} of {started}");
    for pair in seen.processes.windows(2) {
        assert_eq!(pair[1].from_mono_ns, pair[0].to_mono_ns, "{pair:#?}");
    }
}

/// Where nothing lives as long as the threshold, some are told of, those that lived from one look to another, and each moment counts once.
#[test]
fn what_a_look_has_read_is_in_no_sum_of_short_lives() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&support::go_program::ANY.program("states"), &[]);
    let config = CaptureConfig {
        states_every: NAP / 4,
        threshold: Duration::from_secs(100),
        ..CaptureConfig::new(Target::Pid(program.pid()))
    };
    let mut capture = Capture::start(config).unwrap();
    program.go();
    let mut seen = Seen::default();
    let mut reports = Vec::new();
    loop {
        match program.event_now() {
            Some(event) if event["event"] == "done" => break,
            Some(event) => reports.push(event),
            None => read(&mut capture, &mut seen),
        }
    }
    assert!(program.finish().success());
    read_until(&mut capture, &mut seen, |seen| {
        seen.goroutines.values().any(|split| split.fate == GoroutineFate::ProcessEnded)
    });
    let whole = seen.processes.iter().map(|row| blocked_ns(&row.times, "sleep")).sum::<u64>();
    // Those that say so, the one that is waited for by a coroutine's loop, and the waker, which sleeps once.
    let is_sleeper = |name: &Value| ["sleep", "last", "coroutine"].iter().any(|sleeper| name == sleeper);
    let sleepers = reports.iter().filter(|report| is_sleeper(&report["name"])).count() as u64;
    let naps_ns = (ROUNDS * sleepers + 1) * NAP_NS;
    assert!(whole >= naps_ns && whole <= naps_ns + NAP_NS, "{whole} of {naps_ns}: {:#?}", seen.processes);
    assert_eq!(capture.state_counters(), StateCounters::default());
}

/// A process that ends before it is looked at leaves its goroutines in the kernel's maps, and nobody tells of its end.
#[test]
fn what_a_process_left_that_nobody_looked_at_is_cleared_away() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = support::go_program::ANY.program("states");
    let mut capture = Capture::start(CaptureConfig::new(Target::Executable(path.clone()))).unwrap();
    let mut program = GoProgram::start(&path, &[]);
    program.go();
    program.events_until_done();
    assert!(program.finish().success());
    capture.poll(Duration::ZERO, &mut |_| {}).unwrap();
    assert!(capture.parked_now() > 0 && capture.observed_pids().is_empty());
    // They are looked for every ten seconds, and are none of a newcomer's when they are met twice.
    let deadline = Instant::now() + 3 * PATIENCE;
    while capture.parked_now() > 0 {
        assert!(Instant::now() < deadline, "{} are still there", capture.parked_now());
        read(&mut capture, &mut Seen::default());
    }
    assert!(capture.counters().abandoned > 0, "they are counted: {:?}", capture.counters());
}

#[test]
fn what_is_left_out_is_not_told() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&support::go_program::ANY.program("states"), &[]);
    let config = CaptureConfig::new(Target::Pid(program.pid()));
    let mut capture =
        Capture::start(CaptureConfig { kinds: Kinds::without(&[CaptureKind::States]), ..config }).unwrap();
    program.go();
    program.events_until_done();
    capture.tell_states();
    capture.poll(Duration::ZERO, &mut |_| {}).unwrap();
    let taken = capture.take_states().unwrap();
    assert!(taken.processes.is_empty() && taken.goroutines.is_empty(), "{taken:#?}");
    assert!(program.finish().success());
}
