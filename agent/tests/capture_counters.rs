//! Nothing is lost silently: every wait seen is in a record, in a sum, or counted with a cause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::time::Duration;

use support::go_program::{ANY, GoProgram};
use support::observe::drain;
use syncline_agent::capture::{Capture, CaptureConfig, Counters, ShortWait, Target};

const GOROUTINES: usize = 400;
const ROUNDS: usize = 5;

/// Runs a crowd of waiting goroutines to its end under capture.
fn observe_crowd(adjust: impl Fn(&mut CaptureConfig)) -> (Capture, GoProgram) {
    let mut program = GoProgram::start(&ANY.program("waits"), &["crowd", &GOROUTINES.to_string(), &ROUNDS.to_string()]);
    let mut config = CaptureConfig::new(Target::Pid(program.pid()));
    adjust(&mut config);
    let capture = Capture::start(config).unwrap();
    program.go();
    program.events_until_done();
    (capture, program)
}

/// The kernel's two sums. Goroutines of the runtime itself may park and run while we read, so reads until a reading is calm.
fn assert_conserved(capture: &Capture) -> Counters {
    let calm = || {
        let before = capture.counters();
        let parked = capture.parked_now() as u64;
        (before == capture.counters()).then_some((before, parked))
    };
    let (c, parked) = std::iter::repeat_with(calm).take(1000).find_map(|reading| reading).expect("never calm");
    let left = c.map_full + c.map_error + c.park_replaced + c.found_stale + parked + c.abandoned;
    assert_eq!(c.parks + c.found, c.finished + left, "{c:?}");
    let kept = c.emitted + c.aggregated + c.found_short;
    let lost = c.ring_full + c.aggregate_full + c.goid_mismatch + c.execute_fault + c.scratch_busy;
    assert_eq!(c.finished + c.thread_waits, kept + lost, "{c:?}");
    c
}

#[test]
fn short_waits_are_summed_and_the_sums_add_up() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (mut capture, program) = observe_crowd(|config| config.threshold = Duration::from_secs(3600));
    let counters = assert_conserved(&capture);
    assert_eq!(counters.emitted, 0);
    let taken = capture.take_short_waits();
    assert!(taken.iter().all(|sum| sum.tgid == program.pid() && sum.histogram.iter().sum::<u64>() == sum.count));
    assert!(taken.iter().all(lies_in_its_buckets), "{taken:?}");
    let receives: u64 = taken.iter().filter(|sum| sum.reason == "chan receive").map(|sum| sum.count).sum();
    // The last goroutines of a round may find the gate open already.
    assert!(receives > (GOROUTINES * ROUNDS / 2) as u64 && receives <= counters.aggregated, "{receives}");
    let counted = |sums: &[ShortWait]| sums.iter().map(|sum| sum.count).sum::<u64>();
    let total = counted(&taken) + counted(&capture.take_short_waits());
    assert!(total >= counters.aggregated && total <= capture.counters().aggregated, "{total} {counters:?}");
    drop(capture);
    assert!(program.finish().success());
}

/// Whether the total length is possible for these buckets.
fn lies_in_its_buckets(sum: &ShortWait) -> bool {
    let at_least: u64 = sum.histogram.iter().enumerate().map(|(i, n)| if i == 0 { 0 } else { n << i }).sum();
    let at_most: u64 = sum.histogram.iter().enumerate().map(|(i, n)| n << (i + 1)).sum();
    (at_least..=at_most).contains(&sum.total_ns)
}

#[test]
fn sums_of_a_process_that_ended_are_still_handed_out() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (mut capture, program) = observe_crowd(|config| config.threshold = Duration::from_secs(3600));
    let pid = program.pid();
    assert!(program.finish().success());
    assert_eq!(capture.rescan().ended, [pid]);
    let taken = capture.take_short_waits();
    assert_eq!(taken.iter().map(|sum| sum.count).sum::<u64>(), capture.counters().aggregated);
    assert!(taken.iter().all(|sum| sum.reason != "unknown"), "{taken:?}");
    assert!(capture.take_short_waits().is_empty());
    assert_eq!(capture.parked_now(), 0, "the goroutines of an ended process are forgotten");
    let counters = assert_conserved(&capture);
    assert!(counters.abandoned >= 1, "one goroutine was parked when the program ended: {counters:?}");
}

#[test]
fn long_waits_all_arrive_while_the_ring_has_room() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (mut capture, program) = observe_crowd(|config| config.threshold = Duration::ZERO);
    let waits = drain(&mut capture);
    let counters = assert_conserved(&capture);
    assert_eq!(counters.lost(), 0, "{counters:?}");
    assert_eq!(counters.aggregated, 0);
    let delivered = waits.len() as u64 + drain(&mut capture).len() as u64;
    assert_eq!(delivered, capture.counters().delivered);
    assert!(delivered + capture.counters().idle_threads >= counters.emitted);
    drop(capture);
    assert!(program.finish().success());
}

#[test]
fn a_ring_that_overflows_says_by_how_much() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let (mut capture, program) = observe_crowd(|config| {
        config.threshold = Duration::ZERO;
        config.ring_bytes = 4096;
    });
    let before = assert_conserved(&capture);
    assert!(before.ring_full > 0, "{before:?}");
    assert!(before.emitted > 0 && before.emitted < 64, "4 KiB hold at most 64 records: {before:?}");
    let waits = drain(&mut capture);
    assert!(waits.len() as u64 + capture.counters().idle_threads >= before.emitted);
    assert_eq!(capture.counters().delivered, waits.len() as u64);
    assert!(capture.counters().lost() >= before.ring_full);
    drop(capture);
    assert!(program.finish().success());
}
