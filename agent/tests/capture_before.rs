//! Goroutines that were parked before their process was observed: told of as what began before, and by the same identity when they end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use support::go_program::{ANY, Build, CGO, GoProgram, PIE_STRIPPED, PLAIN};
use support::observe::{drain, rescan_reports_until};
use support::stuck::{AFTER, Stuck, seen_until};
use syncline_agent::capture::{Capture, CaptureConfig, OpenWait, RawWait, Target};
use syncline_event::{GoroutineState, Kind};

/// In so many ways a goroutine is parked; in the others it keeps a thread.
const PARKED: u64 = 5;

/// How often a busy program is observed anew at most.
const ATTACHES: usize = 40;
/// More to look at between a look at one that is busy and its way into the map, so that it is likely to run meanwhile.
const IDLE: &str = "3000";
/// A goroutine that is busy parks and runs much more often.
const BUSY_NO_LONGER: Duration = Duration::from_secs(2);

#[test]
fn goroutines_that_hung_before_are_told_of_and_end_by_the_same_identity() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for build in [
        Build { toolchain: "go1.21.13", variant: "pie", flags: PIE_STRIPPED, cgo: false },
        CGO,
        Build { toolchain: "go1.27.3", variant: "plain", flags: PLAIN, cgo: false },
    ] {
        let mut stuck = Stuck::start_first(build, |_| {});
        let open = stuck.open_waits();
        assert_eq!(open.len(), if build.cgo { 8 } else { 6 }, "{build:?}: {open:#?}");
        for open in open.values() {
            stuck.check(open);
            assert!(open.wait.began_before, "{open:?}");
        }
        let counters = stuck.capture.counters();
        assert!(counters.found >= PARKED, "{counters:?}");
        assert_eq!((counters.found_passed_over, counters.found_refused), (0, 0), "{counters:?}");

        stuck.program.go();
        stuck.program.events_until_done();
        let same = |open: &RawWait, ended: &RawWait| {
            let identity = |wait: &RawWait| (wait.tgid, wait.kind, wait.goid, wait.tid, wait.park_mono_ns);
            identity(open) == identity(ended)
        };
        let ended =
            |finished: &[RawWait]| open.values().all(|open| finished.iter().any(|ended| same(&open.wait, ended)));
        let (_, finished) = seen_until(&mut stuck.capture, |_, finished| ended(finished));
        for open in open.values().map(|open| &open.wait) {
            let ended = finished.iter().find(|ended| same(open, ended)).unwrap();
            assert!(ended.began_before && ended.run_mono_ns > open.run_mono_ns, "{ended:?}");
            assert_eq!((open.reason, open.park_wall_ns), (ended.reason, ended.park_wall_ns));
            if open.kind == Kind::Goroutine {
                assert_eq!(open.stack, ended.stack, "{ended:?}");
            }
            // The socket may be without its own address by then.
            let of = |wait: &RawWait| (wait.fd, wait.flow.map(|flow| flow.remote));
            assert_eq!(of(open), of(ended), "{ended:?}");
        }
        assert_eq!(stuck.capture.counters().lost(), 0, "{:?}", stuck.capture.counters());
        assert!(stuck.program.finish().success());
    }
}

#[test]
fn those_that_hang_already_are_among_the_times_by_state() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for build in [Build { toolchain: "go1.21.13", variant: "plain", flags: PLAIN, cgo: false }, CGO] {
        let mut stuck = Stuck::start_first(build, |config| config.states_every = Duration::from_millis(50));
        let deadline = Instant::now() + BUSY_NO_LONGER * 5;
        let mut told = HashMap::new();
        while stuck.facts.keys().any(|goid| !told.contains_key(goid)) {
            assert!(Instant::now() < deadline, "not told in time: {told:#?}");
            stuck.capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
            let taken = stuck.capture.take_states().unwrap();
            told.extend(taken.goroutines.into_iter().map(|split| (split.goid, split)));
        }
        for (goid, facts) in &stuck.facts {
            let split = &told[goid];
            let expected = match facts["name"].as_str().unwrap() {
                "call" => (GoroutineState::Syscall, None),
                "foreign" => (GoroutineState::Cgo, None),
                "receive" => (GoroutineState::Blocked, Some("chan receive")),
                "choose" => (GoroutineState::Blocked, Some("select")),
                "lock" => (GoroutineState::Blocked, Some("sync.Mutex.Lock")),
                "read" | "write" => (GoroutineState::Blocked, Some("IO wait")),
                other => panic!("{other}"),
            };
            assert_eq!((split.state, split.reason), expected, "{build:?} {facts}: {split:#?}");
            let times = &split.times;
            let blocked: u64 = times.blocked.iter().map(|blocked| blocked.total_ns).sum();
            let waited = blocked + times.syscall_ns + times.cgo_ns;
            assert_eq!((waited, split.start_seen), (split.at_mono_ns - split.first_mono_ns, false), "{split:#?}");
        }
        assert!(stuck.program.finish().success());
    }
}

#[test]
fn what_its_process_takes_with_it_is_told_of_as_abandoned() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut stuck = Stuck::start_first(ANY, |_| {});
    stuck.facts.retain(|_, facts| facts["name"] == "receive");
    let open = stuck.open_waits_of(1).into_values().next().unwrap();
    let pid = stuck.program.pid();
    drop(stuck.program);
    rescan_reports_until(&mut stuck.capture, |report| report.ended.contains(&pid));
    let is_end = |end: &&OpenWait| end.is_abandoned && end.wait.goid == open.wait.goid;
    let (told, _) = seen_until(&mut stuck.capture, |told, _| told.iter().any(|end| is_end(&end)));
    let end = &told.iter().find(is_end).unwrap().wait;
    assert!(end.began_before && end.park_mono_ns == open.wait.park_mono_ns && end.run_mono_ns > open.wait.run_mono_ns);
    let counters = stuck.capture.counters();
    assert_eq!(counters.parks + counters.found, counters.finished + counters.found_stale + counters.abandoned);
}

/// Between a look at a goroutine and its way into the kernel's map, it may run, park anew, or be made to yield.
#[test]
fn what_runs_while_it_is_looked_at_is_not_taken_for_stuck() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("waits"), &["churn", "8", IDLE]);
    program.go();
    let hung = program.next_event()["hung"].as_u64().unwrap();
    let mut stale = 0;
    for attach in 0..ATTACHES {
        let open_after = if attach == 0 { BUSY_NO_LONGER } else { AFTER };
        let config = CaptureConfig { open_after, ..CaptureConfig::new(Target::Pid(program.pid())) };
        let mut capture = Capture::start(config).unwrap();
        let (open, finished) = seen_until(&mut capture, |open, _| {
            open.iter().any(|open| open.wait.goid == hung && open.wait.began_before)
        });
        if attach == 0 {
            // The first one reads the next line.
            let stuck = |open: &&OpenWait| open.wait.goid != hung && open.wait.goid != 1;
            let is_busy = |open: &&OpenWait| {
                is_of(&capture, &open.wait, "main.") && !is_of(&capture, &open.wait, "main.hangIdly")
            };
            let stuck: Vec<_> = open.iter().filter(stuck).filter(is_busy).collect();
            assert!(stuck.is_empty(), "{stuck:#?}");
        }
        // Whoever was made to yield instead goes on elsewhere.
        let in_park = |wait: &RawWait| functions(&capture, wait).first().is_some_and(|name| name == "runtime.gopark");
        let found: Vec<_> = finished.iter().filter(|wait| wait.began_before).collect();
        assert!(found.iter().all(|wait| in_park(wait)), "{found:#?}");
        let counters = capture.counters();
        assert_eq!((counters.park_replaced, counters.goid_mismatch), (0, 0), "{counters:?}");
        stale += counters.found_stale;
        if attach > 0 && stale > 0 {
            break;
        }
    }
    assert!(stale > 0, "no goroutine ran while it was looked at, in {ATTACHES} times");
    program.go();
    program.events_until_done();
    assert!(program.finish().success());
}

/// Found parked, run and ended, or still there: each is in one of the numbers.
#[test]
fn those_found_are_all_accounted_for_when_a_busy_program_comes_to_rest() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("waits"), &["churn", "8", "0"]);
    program.go();
    program.next_event();
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
    program.go();
    program.events_until_done();
    drain(&mut capture);
    let calm = || {
        let before = capture.counters();
        let parked = capture.parked_now() as u64;
        (before == capture.counters()).then_some((before, parked))
    };
    let (c, parked) = std::iter::repeat_with(calm).take(1000).find_map(|reading| reading).expect("never calm");
    assert!(c.found > 0 && parked > 0, "{c:?}");
    let left = c.map_full + c.map_error + c.park_replaced + c.found_stale + parked + c.abandoned;
    assert_eq!(c.parks + c.found, c.finished + left, "{c:?} {parked}");
    let lost = c.ring_full + c.aggregate_full + c.goid_mismatch + c.execute_fault + c.scratch_busy;
    assert_eq!(c.finished + c.thread_waits, c.emitted + c.aggregated + lost + c.found_short, "{c:?}");
    assert_eq!((c.park_replaced, c.goid_mismatch), (0, 0), "{c:?}");
    assert!(program.finish().success());
}

fn functions(capture: &Capture, wait: &RawWait) -> Vec<String> {
    let binary = &capture.process(wait.tgid).unwrap().binary;
    wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).map(|frame| frame.function.into_owned()).collect()
}

fn is_of(capture: &Capture, wait: &RawWait, package: &str) -> bool {
    functions(capture, wait).iter().any(|function| function.starts_with(package))
}

#[test]
fn without_open_waits_nobody_looks() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut stuck = Stuck::start_first(ANY, |config| config.open_after = Duration::ZERO);
    stuck.program.go();
    stuck.program.events_until_done();
    let waits = drain(&mut stuck.capture);
    assert!(waits.iter().all(|wait| !wait.began_before), "{waits:#?}");
    let counters = stuck.capture.counters();
    assert_eq!((counters.found, counters.found_stale, stuck.capture.take_open_waits().waits.len()), (0, 0, 0));
    assert!(AFTER > Duration::ZERO && stuck.program.finish().success());
}
