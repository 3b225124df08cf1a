//! Waits that go on: told of before they end, and by the same identity when they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use support::go_program::{Build, CGO, PIE_STRIPPED, PLAIN};
use support::observe::rescan_reports_until;
use support::stuck::{AFTER, Stuck, seen_until};
use syncline_agent::capture::{OpenWait, RawWait};
use syncline_event::Kind;

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
