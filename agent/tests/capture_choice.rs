//! What holds for each process, and changing that while real programs run: which waits become events, which parts of sums, and which
//! probes are there at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::go_program::{ANY, Build, CGO, GoProgram};
use support::observe::{drain, mono_ns, rescan_until, waits_until};
use support::settings::{altered_bytes, linked_tracepoints, observe, rules, service, threshold, without};
use syncline_agent::capture::{Capture, CaptureConfig, CaptureKind, Kinds, RawWait, Target};
use syncline_agent::choice::{Rules, Selector};
use syncline_event::Kind;

/// Waits of each kind in a round, and how long each lasts at least.
const EACH: usize = 5;
const HOLD_NS: u64 = 20_000_000;
/// All kinds but that of parked goroutines.
const BUT_PARKS: [CaptureKind; 5] =
    [CaptureKind::Syscall, CaptureKind::Cgo, CaptureKind::OffCpu, CaptureKind::States, CaptureKind::Tcp];
/// Probes of parks, and of calls of C and its calls back.
const WITH_CGO: usize = 4 + 4;
/// Nobody else is asked for.
const EVERYBODY: fn() -> Selector = Selector::default;

/// Two processes of one binary, of the services `a` and `b`.
struct Pair {
    path: PathBuf,
    a: GoProgram,
    b: GoProgram,
}

impl Pair {
    fn of(build: Build) -> Self {
        let path = build.program("rounds");
        let start = |service| GoProgram::start_by(Command::new(&path).env("SYNCLINE_SERVICE", service));
        let (a, b) = (start("a"), start("b"));
        Self { path: path.canonicalize().unwrap(), a, b }
    }

    fn capture(&self, rules: Rules) -> Capture {
        let target = Target::Executable(self.path.clone());
        let kinds = Kinds::without(&[CaptureKind::States, CaptureKind::Tcp]);
        Capture::start(CaptureConfig { rules, kinds, ..CaptureConfig::new(target) }).unwrap()
    }

    /// A round of both, and what was captured of the goroutines that waited in it.
    fn round(&mut self, capture: &mut Capture) -> (Round, Round) {
        let before = drain(capture);
        assert!(!before.iter().any(is_of_a_round), "of an earlier round: {before:#?}");
        let _ = capture.take_short_waits();
        let goids = [&mut self.a, &mut self.b].map(|program| {
            program.go();
            program.next_event()["goid"].as_u64().unwrap()
        });
        // Everything of a round is in the ring, or in a sum, once the round is over: the report came after it.
        let (waits, sums) = (drain(capture), capture.take_short_waits());
        let of = |program: &GoProgram, goid| Round {
            waits: waits
                .iter()
                .filter(|wait| wait.tgid == program.pid() && wait.goid == goid)
                .filter(|wait| is_of_a_round(wait))
                .cloned()
                .collect(),
            slept_in_sums: sums
                .iter()
                .filter(|sum| sum.tgid == program.pid() && sum.reason == "sleep")
                .map(|sum| sum.count)
                .sum(),
            in_sums: sums.iter().filter(|sum| sum.tgid == program.pid()).map(|sum| sum.count).sum(),
        };
        (of(&self.a, goids[0]), of(&self.b, goids[1]))
    }

    fn finish(self, capture: Capture) {
        let counters = capture.counters();
        assert_eq!((counters.lost(), counters.abandoned), (0, 0), "{counters:?}");
        drop(capture);
        assert!(self.a.finish().success() && self.b.finish().success());
    }
}

/// What a round itself waits for; between rounds the goroutine waits for the next one.
fn is_of_a_round(wait: &RawWait) -> bool {
    let lasted_ns = wait.run_mono_ns - wait.park_mono_ns;
    // A thread may be made to give up its processor after the timer of its sleep was started: then it is off it twice, and the second time
    // for less than the sleep.
    let least_ns = if wait.kind == Kind::OffCpu { HOLD_NS / 2 } else { HOLD_NS - 1_000_000 };
    lasted_ns >= least_ns
        && match wait.kind {
            Kind::Goroutine => wait.reason == "sleep",
            Kind::Syscall => wait.reason == "nanosleep" || wait.reason == "clock_nanosleep",
            Kind::OffCpu => wait.reason == "interruptible",
            Kind::Cgo => true,
        }
}

/// What was captured of one program in a round.
#[derive(Debug)]
struct Round {
    waits: Vec<RawWait>,
    slept_in_sums: u64,
    in_sums: u64,
}

impl Round {
    fn of(&self, kind: Kind) -> usize {
        self.waits.iter().filter(|wait| wait.kind == kind).count()
    }

    /// Sleeps that are events, and those that are in a sum.
    fn sleeps(&self) -> (usize, u64) {
        (self.of(Kind::Goroutine), self.slept_in_sums)
    }
}

const EVENTS: (usize, u64) = (EACH, 0);
const SUMS: (usize, u64) = (0, EACH as u64);

#[test]
fn thresholds_hold_by_service_and_follow_what_is_set() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut pair = Pair::of(ANY);
    let mut capture = pair.capture(rules(&[(service("a"), threshold(1)), (service("*"), threshold(1_000))]));
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), (EVENTS, SUMS), "{a:#?} {b:#?}");
    assert_eq!((a.of(Kind::Syscall), b.of(Kind::Syscall)), (EACH, 0));

    let mut set = capture.rules().clone();
    set.set(service("a"), &threshold(1_000));
    set.set(Selector { exe: Some("rounds*".parse().unwrap()), ..service("b") }, &threshold(1));
    capture.set_rules(set.clone());
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), (SUMS, EVENTS), "{a:#?} {b:#?}");

    set.reset();
    capture.set_rules(set);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), (EVENTS, SUMS));
    pair.finish(capture);
}

#[test]
fn a_kind_is_left_out_of_one_service_only_and_its_time_is_told_by_another() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut pair = Pair::of(CGO);
    let mut capture = pair.capture(Rules::default());
    let all = |round: &Round| [Kind::Goroutine, Kind::Syscall, Kind::Cgo].map(|kind| round.of(kind));
    let (a, b) = pair.round(&mut capture);
    // usleep is a call of the system, too.
    assert_eq!((all(&a), all(&b)), ([EACH, 2 * EACH, EACH], [EACH, 2 * EACH, EACH]), "{a:#?} {b:#?}");
    assert_eq!((a.of(Kind::OffCpu), b.of(Kind::OffCpu)), (0, 0), "its call tells it");
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), WITH_CGO);

    let mut set = Rules::default();
    set.set(service("b"), &without(&[CaptureKind::Syscall, CaptureKind::Cgo]));
    capture.set_rules(set.clone());
    let (a, b) = pair.round(&mut capture);
    assert_eq!((all(&a), all(&b)), ([EACH, 2 * EACH, EACH], [EACH, 0, 0]), "{a:#?} {b:#?}");
    assert_eq!((a.of(Kind::OffCpu), b.of(Kind::OffCpu)), (0, 2 * EACH), "no call tells it");
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), WITH_CGO, "the probes sit on the file of both");

    set.set(service("a"), &without(&[CaptureKind::Cgo]));
    capture.set_rules(set.clone());
    rescan_until(&mut capture, |_| altered_bytes(pair.a.pid(), &pair.path) == 4);
    let (a, _) = pair.round(&mut capture);
    assert_eq!(all(&a), [EACH, 2 * EACH, 0], "{a:#?}");

    set.reset();
    capture.set_rules(set);
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), WITH_CGO);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((all(&a), all(&b)), ([EACH, 2 * EACH, EACH], [EACH, 2 * EACH, EACH]), "{a:#?} {b:#?}");
    pair.finish(capture);
}

#[test]
fn who_is_left_out_is_not_observed_and_costs_no_probe() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut pair = Pair::of(ANY);
    let mut capture = pair.capture(rules(&[(service("b"), observe(false))]));
    assert_eq!((capture.observed_pids(), capture.left_out_pids()), (vec![pair.a.pid()], vec![pair.b.pid()]));
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps(), b.in_sums), (EVENTS, (0, 0), 0), "{b:#?}");

    // Live the other way round: what the one had under way is no loss, and nothing of the other's past is told.
    let mut set = capture.rules().clone();
    set.set(service("a"), &observe(false));
    set.set(service("b"), &observe(true));
    capture.set_rules(set.clone());
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), a.in_sums, b.sleeps()), ((0, 0), 0, EVENTS), "{a:#?}");

    set.set(service("b"), &observe(false));
    capture.set_rules(set.clone());
    assert_eq!((capture.observed_pids().len(), capture.left_out_pids().len()), (0, 2));
    rescan_until(&mut capture, |_| altered_bytes(pair.a.pid(), &pair.path) == 0);
    pair.round(&mut capture);

    set.reset();
    set.file.rules.clear();
    capture.set_rules(set);
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), 4);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), (EVENTS, EVENTS));
    let counters = capture.counters();
    assert!(counters.parks_left_out > 0, "{counters:?}");
    pair.finish(capture);
}

#[test]
fn a_binary_of_which_all_processes_are_left_out_is_not_probed_at_all() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let pair = Pair::of(ANY);
    let by_name = Selector { exe: Some("rounds-*".parse().unwrap()), ..EVERYBODY() };
    let config =
        CaptureConfig { rules: rules(&[(by_name, observe(false))]), ..CaptureConfig::new(Target::Pid(pair.a.pid())) };
    let mut capture = Capture::start(config).unwrap();
    assert_eq!((capture.left_out_pids(), altered_bytes(pair.a.pid(), &pair.path)), (vec![pair.a.pid()], 0));
    let pid = pair.a.pid();
    assert!(pair.a.finish().success());
    rescan_until(&mut capture, |capture| !capture.left_out_pids().contains(&pid));
}

#[test]
fn kinds_that_nobody_wants_have_no_tracepoint_in_the_kernel() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut pair = Pair::of(ANY);
    let mut capture = pair.capture(Rules::default());
    let linked = || linked_tracepoints(std::process::id());
    let all = ["sched_process_exec", "sched_process_exit", "sched_switch", "sched_wakeup", "sys_enter", "sys_exit"];
    assert_eq!(linked(), all);

    let mut set = Rules::default();
    set.set(service("a"), &without(&BUT_PARKS));
    capture.set_rules(set.clone());
    assert_eq!(linked(), all, "b wants them");
    set.set(EVERYBODY(), &without(&[CaptureKind::OffCpu]));
    capture.set_rules(set.clone());
    assert_eq!(linked(), ["sched_process_exec", "sched_process_exit", "sys_enter", "sys_exit"]);
    set.set(EVERYBODY(), &without(&BUT_PARKS));
    capture.set_rules(set.clone());
    assert_eq!(linked(), ["sched_process_exec", "sched_process_exit"]);
    let before = capture.counters().thread_waits;
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.waits.len(), b.waits.len()), (EACH, EACH), "goroutines' waits only: {a:#?} {b:#?}");
    assert_eq!(capture.counters().thread_waits, before);

    // One service has them, though nobody else has.
    let with = syncline_agent::choice::Change::new(None, None, None, (&[], &[CaptureKind::Syscall])).unwrap();
    set.set(service("b"), &with);
    capture.set_rules(set.clone());
    assert_eq!(linked(), ["sched_process_exec", "sched_process_exit", "sys_enter", "sys_exit"]);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.of(Kind::Syscall), b.of(Kind::Syscall)), (0, EACH), "{a:#?} {b:#?}");

    set.reset();
    capture.set_rules(set);
    assert_eq!(linked(), all);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.of(Kind::Syscall), b.of(Kind::Syscall)), (EACH, EACH), "{a:#?} {b:#?}");
    // What was in a call as its tracepoint went would have been told now, with a length of rounds.
    let longest = a.waits.iter().chain(&b.waits).map(|wait| wait.run_mono_ns - wait.park_mono_ns).max();
    assert!(longest < Some(10 * HOLD_NS), "{longest:?}");
    pair.finish(capture);
}

#[test]
fn goroutines_that_park_are_left_out_of_one_service_only_and_of_all() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut pair = Pair::of(ANY);
    let mut capture = pair.capture(Rules::default());
    pair.round(&mut capture);
    assert!(capture.parked_now() > 0);

    let mut set = Rules::default();
    set.set(service("a"), &without(&[CaptureKind::Park]));
    capture.set_rules(set.clone());
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), ((0, 0), EVENTS), "{a:#?}");
    assert_eq!((a.of(Kind::Syscall), b.of(Kind::Syscall)), (EACH, EACH), "its calls are bound all the same");
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), 4, "b wants them");

    set.set(service("b"), &without(&[CaptureKind::Park]));
    capture.set_rules(set.clone());
    // Who runs on which thread is still to be known.
    rescan_until(&mut capture, |capture| altered_bytes(pair.a.pid(), &pair.path) == 1 && capture.parked_now() == 0);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.of(Kind::Syscall), b.of(Kind::Syscall)), (EACH, EACH));
    assert_eq!((a.sleeps(), b.sleeps()), ((0, 0), (0, 0)));

    set.set(EVERYBODY(), &without(&CaptureKind::ALL));
    capture.set_rules(set.clone());
    rescan_until(&mut capture, |_| altered_bytes(pair.a.pid(), &pair.path) == 0);
    assert_eq!(linked_tracepoints(std::process::id()), ["sched_process_exec", "sched_process_exit"]);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.waits.len(), a.in_sums, b.waits.len(), b.in_sums), (0, 0, 0, 0), "{a:#?} {b:#?}");

    // What has waited meanwhile is found, once more.
    set.reset();
    capture.set_rules(set);
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), 4);
    rescan_until(&mut capture, |capture| capture.parked_now() > 0);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), (EVENTS, EVENTS));
    assert_eq!((a.of(Kind::Syscall), b.of(Kind::Syscall)), (EACH, EACH));
    let counters = capture.counters();
    assert!(counters.parks_left_out > 0, "{counters:?}");
    pair.finish(capture);
}

/// The newest moment up to which each program's time by state was told, once `enough` says so of it.
fn told_states(capture: &mut Capture, pair: &Pair, enough: impl Fn([u64; 2]) -> bool) -> [u64; 2] {
    let mut told_ns = [0, 0];
    rescan_until(capture, |_| true);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !enough(told_ns) {
        assert!(Instant::now() < deadline, "not told in time: {told_ns:?}");
        capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
        for times in capture.take_states().unwrap().processes {
            let which = usize::from(times.tgid == pair.b.pid());
            told_ns[which] = told_ns[which].max(times.to_mono_ns);
        }
    }
    told_ns
}

#[test]
fn states_are_followed_where_that_is_wanted_and_told_up_to_the_moment_at_which_it_is_not() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut pair = Pair::of(ANY);
    let target = Target::Executable(pair.path.clone());
    let states_every = Duration::from_millis(50);
    let kinds = Kinds::without(&[CaptureKind::Tcp]);
    let mut capture = Capture::start(CaptureConfig { states_every, kinds, ..CaptureConfig::new(target) }).unwrap();
    let with_states = altered_bytes(pair.a.pid(), &pair.path);
    assert!(with_states > 4, "{with_states}");
    pair.round(&mut capture);
    told_states(&mut capture, &pair, |[a, b]| a > 0 && b > 0);

    let mut set = Rules::default();
    set.set(service("a"), &without(&[CaptureKind::States]));
    let before_ns = mono_ns();
    capture.set_rules(set.clone());
    let after_ns = mono_ns();
    pair.round(&mut capture);
    let [a, _] = told_states(&mut capture, &pair, |[_, b]| b > after_ns);
    assert!((before_ns..=after_ns).contains(&a), "{a} is not in {before_ns}..={after_ns}");
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), with_states, "b wants them");

    set.set(service("b"), &observe(false));
    capture.set_rules(set.clone());
    rescan_until(&mut capture, |_| altered_bytes(pair.a.pid(), &pair.path) == 4);
    let (a, b) = pair.round(&mut capture);
    assert_eq!((a.sleeps(), b.sleeps()), (EVENTS, (0, 0)));

    set.reset();
    capture.set_rules(set);
    assert_eq!(altered_bytes(pair.a.pid(), &pair.path), with_states);
    let again_ns = mono_ns();
    pair.round(&mut capture);
    told_states(&mut capture, &pair, |[a, b]| a > again_ns && b > again_ns);
    let counters = capture.state_counters();
    assert_eq!((counters.not_followed, counters.lost_ends, counters.replaced), (0, 0, 0), "{counters:?}");
    pair.finish(capture);
}

#[test]
fn whatever_is_set_meanwhile_each_wait_is_an_event_or_part_of_a_sum() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut program = GoProgram::start(&ANY.program("waits"), &["pingpong"]);
    let config = CaptureConfig::new(Target::Pid(program.pid()));
    let mut capture = Capture::start(config).unwrap();
    program.go();
    waits_until(&mut capture, |_| true);
    for change in 0..200 {
        let mut set = Rules::default();
        set.set(EVERYBODY(), &threshold(if change % 2 == 0 { 0 } else { 1_000 }));
        if change % 3 == 0 {
            set.set(EVERYBODY(), &without(&[CaptureKind::Syscall, CaptureKind::OffCpu]));
        }
        capture.set_rules(set);
        capture.poll(Duration::from_millis(1), &mut |_| {}).unwrap();
    }
    program.go();
    assert!(program.next_event()["count"].as_u64().unwrap() > 1_000);
    assert!(program.finish().success());
    drain(&mut capture);
    let counters = capture.counters();
    // One that was found going on, and ended before the threshold, is in no sum: nobody knows its length.
    let told = counters.emitted + counters.aggregated + counters.found_short;
    let lost = counters.ring_full
        + counters.aggregate_full
        + counters.goid_mismatch
        + counters.execute_fault
        + counters.scratch_busy;
    assert_eq!(counters.finished + counters.thread_waits, told + lost, "{counters:?}");
    assert!(counters.emitted > 1_000 && counters.aggregated > 1_000, "{counters:?}");
    assert_eq!(counters.emitted, counters.delivered + counters.idle_threads + counters.unknown_process, "{counters:?}");
}
