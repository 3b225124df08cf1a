//! Waits that go on: told of before they end, and by the same identity when they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::go_program::{Build, CGO, GoProgram, PIE_STRIPPED, PLAIN};
use support::observe::rescan_reports_until;
use syncline_agent::capture::{Capture, CaptureConfig, OpenWait, RawWait, Target};
use syncline_event::Kind;

const PATIENCE: Duration = Duration::from_secs(20);
const AFTER: Duration = Duration::from_millis(200);

/// Reads until `enough` says so.
fn seen_until(
    capture: &mut Capture,
    enough: impl Fn(&[OpenWait], &[RawWait]) -> bool,
) -> (Vec<OpenWait>, Vec<RawWait>) {
    let deadline = Instant::now() + PATIENCE;
    let (mut open, mut finished) = (Vec::new(), Vec::new());
    while !enough(&open, &finished) {
        assert!(Instant::now() < deadline, "not seen in time: {open:#?}");
        capture.poll(Duration::from_millis(20), &mut |wait| finished.push(wait)).unwrap();
        open.extend(capture.take_open_waits().waits);
    }
    (open, finished)
}

struct Stuck {
    program: GoProgram,
    capture: Capture,
    /// What the program says of its stuck goroutines, by their number.
    facts: HashMap<u64, Value>,
}

impl Stuck {
    fn start(build: Build) -> Self {
        let mut program = GoProgram::start(&build.program("stuck"), &[]);
        let config = CaptureConfig { open_after: AFTER, ..CaptureConfig::new(Target::Pid(program.pid())) };
        let mut capture = Capture::start(config).unwrap();
        capture.rescan();
        program.go();
        let facts = program.events_until_done();
        let facts = facts.into_iter().map(|facts| (facts["goid"].as_u64().unwrap(), facts)).collect();
        Self { program, capture, facts }
    }

    /// The newest of each stuck goroutine, once all were told of; the one in C code is in a system call, too.
    fn open_waits(&mut self) -> HashMap<(u64, Kind), OpenWait> {
        let facts = &self.facts;
        let of_stuck = |open: &[OpenWait]| -> HashMap<(u64, Kind), OpenWait> {
            let stuck = open.iter().filter(|open| facts.contains_key(&open.wait.goid));
            stuck.map(|open| ((open.wait.goid, open.wait.kind), open.clone())).collect()
        };
        let in_c = facts.values().filter(|facts| facts["name"] == "foreign").count();
        let (open, _) = seen_until(&mut self.capture, |open, _| of_stuck(open).len() >= facts.len() + in_c);
        of_stuck(&open)
    }

    fn functions(&self, wait: &RawWait) -> Vec<String> {
        let binary = &self.capture.process(wait.tgid).unwrap().binary;
        wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).map(|frame| frame.function).collect()
    }

    fn check(&self, open: &OpenWait) {
        let (wait, facts) = (&open.wait, &self.facts[&open.wait.goid]);
        let name = facts["name"].as_str().unwrap();
        let (kind, reason, function) = match name {
            "receive" => (Kind::Goroutine, "chan receive", "main.receive"),
            "choose" => (Kind::Goroutine, "select", "main.choose"),
            "lock" => (Kind::Goroutine, "sync.Mutex.Lock", "main.lock"),
            "read" => (Kind::Goroutine, "IO wait", "main.read"),
            "write" => (Kind::Goroutine, "IO wait", "main.write"),
            "call" => (Kind::Syscall, "read", "main.call"),
            "foreign" if wait.kind == Kind::Cgo => (Kind::Cgo, "cgo call", "main.callC"),
            "foreign" => (Kind::Syscall, "read", "main.callC"),
            other => panic!("{other}"),
        };
        assert_eq!((wait.kind, wait.reason), (kind, reason), "{name}: {wait:?}");
        assert!(!open.is_abandoned && !wait.stack_unreadable && !wait.stack_truncated, "{name}: {wait:?}");
        let functions = self.functions(wait);
        assert!(functions.iter().any(|of| of == function), "{name}: {functions:?}");
        assert_eq!(functions.last().map(String::as_str), Some("runtime.goexit"), "{name}: {functions:?}");
        let age_ns = wait.run_mono_ns - wait.park_mono_ns;
        assert!(u128::from(age_ns) >= AFTER.as_nanos(), "{name}: told of after {age_ns} ns");
        assert_eq!(wait.ready_mono_ns, None, "{name}: {wait:?}");
        if let Some(fd) = facts["fd"].as_u64() {
            assert_eq!(wait.fd.map(u64::from), Some(fd), "{name}: {wait:?}");
            let expected = if facts["local"].is_string() { "tcp" } else { "pipe" };
            assert_eq!(wait.file_type, Some(expected), "{name}: {wait:?}");
        }
        let ends = wait.flow.map(|flow| (flow.local.to_string(), flow.remote.to_string()));
        let text = |fact: &str| facts[fact].as_str().map(str::to_owned);
        assert_eq!(ends, text("local").zip(text("remote")), "{name}: {wait:?}");
        if ends.is_some() {
            assert!(wait.flow.unwrap().netns > 0);
        }
    }
}

#[test]
fn stuck_goroutines_are_told_of_and_end_by_the_same_identity() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for build in [
        Build { toolchain: "go1.21.13", variant: "pie", flags: PIE_STRIPPED, cgo: false },
        CGO,
        Build { toolchain: "go1.27.3", variant: "plain", flags: PLAIN, cgo: false },
    ] {
        let mut stuck = Stuck::start(build);
        let open = stuck.open_waits();
        assert_eq!(open.len(), if build.cgo { 8 } else { 6 }, "{build:?}: {open:#?}");
        open.values().for_each(|open| stuck.check(open));

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
            assert!(ended.run_mono_ns > open.run_mono_ns, "it ended after it was said to go on: {ended:?}");
            assert_eq!((open.reason, open.park_wall_ns), (ended.reason, ended.park_wall_ns));
            if open.kind == Kind::Goroutine {
                assert_eq!((&open.stack, open.address), (&ended.stack, ended.address), "{open:?}");
            }
        }
        assert!(stuck.program.finish().success());
    }
}

#[test]
fn a_wait_is_told_of_again_when_its_age_has_quadrupled() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut stuck = Stuck::start(CGO);
    let goid = *stuck.facts.iter().find(|(_, facts)| facts["name"] == "receive").unwrap().0;
    let of_receiver = |open: &OpenWait| open.wait.goid == goid;
    let (open, _) = seen_until(&mut stuck.capture, |open, _| open.iter().filter(|open| of_receiver(open)).count() >= 3);
    let ages_ns: Vec<u64> = open
        .iter()
        .filter(|open| of_receiver(open))
        .map(|open| open.wait.run_mono_ns - open.wait.park_mono_ns)
        .collect();
    let after_ns = u64::try_from(AFTER.as_nanos()).unwrap();
    let times: Vec<u32> = ages_ns.iter().map(|age_ns| (age_ns / after_ns).ilog2() / 2).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{ages_ns:?}");
    assert!(stuck.program.finish().success());
}

#[test]
fn what_its_process_takes_with_it_is_told_of_as_abandoned() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut stuck = Stuck::start(CGO);
    let open = stuck.open_waits();
    let pid = stuck.program.pid();
    drop(stuck.program);
    rescan_reports_until(&mut stuck.capture, |report| report.ended.contains(&pid));
    // Threads in system calls come out of them; the others never do.
    let others: Vec<&OpenWait> = open.values().filter(|open| open.wait.kind != Kind::Syscall).collect();
    let is_end_of = |end: &OpenWait, open: &OpenWait| {
        let identity = |open: &OpenWait| (open.wait.tgid, open.wait.kind, open.wait.goid, open.wait.park_mono_ns);
        end.is_abandoned && identity(end) == identity(open) && end.wait.run_mono_ns > open.wait.run_mono_ns
    };
    let (told, _) =
        seen_until(&mut stuck.capture, |told, _| others.iter().all(|open| told.iter().any(|end| is_end_of(end, open))));
    assert!(told.iter().all(|open| open.is_abandoned), "a process that has ended goes on waiting: {told:#?}");
}
