//! Traces of goroutines by their profiler labels: a map up to Go 1.23, a slice from 1.24 on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::collections::HashMap;

use support::go_program::{Build, GoProgram, PLAIN, STRIPPED};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, Counters, RawWait, Target};
use syncline_event::{Kind, TraceContext};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

const BUILDS: [Build; 3] = [
    Build { toolchain: "go1.21.13", variant: "plain", flags: PLAIN, cgo: false },
    Build { toolchain: "go1.24.11", variant: "stripped", flags: STRIPPED, cgo: false },
    Build { toolchain: "go1.27.3", variant: "plain", flags: PLAIN, cgo: false },
];

/// The waits by the name of their goroutine, and what was counted.
fn observed(build: Build) -> (HashMap<String, Vec<RawWait>>, Counters) {
    let mut program = GoProgram::start(&build.program("waits"), &["labels"]);
    let mut capture = Capture::start(CaptureConfig::new(Target::Pid(program.pid()))).unwrap();
    program.go();
    let names: HashMap<u64, String> = program
        .events_until_done()
        .iter()
        .map(|event| (event["goid"].as_u64().unwrap(), event["name"].as_str().unwrap().to_owned()))
        .collect();
    let has_waited = |waits: &[RawWait], goid: &u64| waits.iter().any(|wait| wait.goid == *goid);
    let mut waits = waits_until(&mut capture, |waits| names.keys().all(|goid| has_waited(waits, goid)));
    waits.extend(drain(&mut capture));
    let counters = capture.counters();
    drop(capture);
    assert!(program.finish().success());
    let mut by_name: HashMap<String, Vec<RawWait>> = HashMap::new();
    for wait in waits {
        let name = names.get(&wait.goid).map_or("other", String::as_str).to_owned();
        by_name.entry(name).or_default().push(wait);
    }
    (by_name, counters)
}

/// Whether the program waits there itself, within its labels. All else that a goroutine may wait for, such as a lock of the
/// runtime, can come before the labels are set or after they are taken away.
fn is_within_labels(wait: &RawWait) -> bool {
    wait.kind == Kind::Goroutine && wait.reason.starts_with("chan ")
}

#[test]
fn waits_of_goroutines_with_labels_carry_their_trace_and_others_do_not() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    for build in BUILDS {
        let (waits, counters) = observed(build);
        let of = |trace_id: u128, span_id: u64| TraceContext { trace_id, span_id };
        for (name, expected) in [
            ("plain", TraceContext::NONE),
            ("otel", of(TRACE, SPAN)),
            ("upper", of(TRACE, SPAN)),
            ("short", of(0xa3ce_929d_0e0e_4736, 0)),
            ("pyroscope", of(0, SPAN + 1)),
            ("datadog", of(0, 5_309_481_029_347_812_034)),
            ("beyond", TraceContext::NONE),
            ("malformed", TraceContext::NONE),
            ("long", TraceContext::NONE),
            ("others", TraceContext::NONE),
            ("many", TraceContext::NONE),
        ] {
            let found = &waits[name];
            assert!(found.iter().any(is_within_labels), "{build:?} {name}: {found:?}");
            for wait in found {
                let outside = !is_within_labels(wait) && wait.trace == TraceContext::NONE;
                assert!(wait.trace == expected || outside, "{build:?} {name}: {wait:?}");
            }
        }
        assert!(waits.get("other").is_none_or(|found| found.iter().all(|wait| wait.trace == TraceContext::NONE)));
        let within = |name: &str| waits[name].iter().filter(|wait| is_within_labels(wait)).count();
        let all = |name: &str| waits[name].len();
        // Two ids of the first.
        let malformed =
            |count: &dyn Fn(&str) -> usize| (2 * count("malformed") + count("long") + count("beyond")) as u64;
        let may_be = malformed(&within)..=malformed(&all);
        assert!(may_be.contains(&counters.labels_malformed), "{build:?} {may_be:?} {counters:?}");
        let may_be = within("many") as u64..=all("many") as u64;
        assert!(may_be.contains(&counters.labels_unread), "{build:?} {may_be:?} {counters:?}");
        assert_eq!((counters.labels_fault, counters.lost()), (0, 0), "{build:?} {counters:?}");
    }
}
