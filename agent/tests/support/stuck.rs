//! The Go program `stuck` under capture: what is told of its goroutines while they hang, and when they end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use syncline_agent::capture::{Capture, CaptureConfig, OpenWait, RawWait, Target};
use syncline_event::{Kind, TraceContext};

use super::go_program::{Build, GoProgram};

const PATIENCE: Duration = Duration::from_secs(20);
/// That of all of them.
const TRACE: TraceContext =
    TraceContext { trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span_id: 0x00f0_67aa_0ba9_02b7 };
pub const AFTER: Duration = Duration::from_millis(200);

/// Reads until `enough` says so.
pub fn seen_until(
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

pub struct Stuck {
    pub program: GoProgram,
    pub capture: Capture,
    /// What the program says of its stuck goroutines, by their number.
    pub facts: HashMap<u64, Value>,
}

impl Stuck {
    /// Observed before its goroutines hang.
    pub fn start(build: Build) -> Self {
        let mut program = GoProgram::start(&build.program("stuck"), &[]);
        let config = CaptureConfig { open_after: AFTER, ..CaptureConfig::new(Target::Pid(program.pid())) };
        let mut capture = Capture::start(config).unwrap();
        capture.rescan();
        program.go();
        let facts = program.events_until_done();
        let facts = facts.into_iter().map(|facts| (facts["goid"].as_u64().unwrap(), facts)).collect();
        Self { program, capture, facts }
    }

    /// Hanging before it is observed.
    pub fn start_first(build: Build, adjust: impl Fn(&mut CaptureConfig)) -> Self {
        let mut program = GoProgram::start(&build.program("stuck"), &[]);
        program.go();
        let facts = program.events_until_done();
        let facts = facts.into_iter().map(|facts| (facts["goid"].as_u64().unwrap(), facts)).collect();
        let mut config = CaptureConfig { open_after: AFTER, ..CaptureConfig::new(Target::Pid(program.pid())) };
        adjust(&mut config);
        let capture = Capture::start(config).unwrap();
        Self { program, capture, facts }
    }

    /// The newest of each stuck goroutine, once all were told of; the one in C code is in a system call, too.
    pub fn open_waits(&mut self) -> HashMap<(u64, Kind), OpenWait> {
        let in_c = self.facts.values().filter(|facts| facts["name"] == "foreign").count();
        self.open_waits_of(self.facts.len() + in_c)
    }

    /// The newest of each stuck goroutine, once so many were told of.
    pub fn open_waits_of(&mut self, count: usize) -> HashMap<(u64, Kind), OpenWait> {
        let facts = &self.facts;
        let of_stuck = |open: &[OpenWait]| -> HashMap<(u64, Kind), OpenWait> {
            let stuck = open.iter().filter(|open| facts.contains_key(&open.wait.goid));
            stuck.map(|open| ((open.wait.goid, open.wait.kind), open.clone())).collect()
        };
        let (open, _) = seen_until(&mut self.capture, |open, _| of_stuck(open).len() >= count);
        of_stuck(&open)
    }

    fn functions(&self, wait: &RawWait) -> Vec<String> {
        let binary = &self.capture.process(wait.tgid).unwrap().binary;
        wait.stack.iter().flat_map(|pc| binary.symbolize(*pc, true)).map(|frame| frame.function.into_owned()).collect()
    }

    pub fn check(&self, open: &OpenWait) {
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
        assert_eq!(wait.trace, TRACE, "{name}: {wait:?}");
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
