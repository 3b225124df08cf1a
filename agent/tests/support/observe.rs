//! Reading a capture until something is there.

use std::time::{Duration, Instant};

use syncline_agent::capture::{Capture, RawWait, RescanReport};

const PATIENCE: Duration = Duration::from_secs(10);

/// Reads until `enough` says so.
pub fn waits_until(capture: &mut Capture, mut enough: impl FnMut(&[RawWait]) -> bool) -> Vec<RawWait> {
    let deadline = Instant::now() + PATIENCE;
    let mut waits = Vec::new();
    while !enough(&waits) {
        assert!(Instant::now() < deadline, "not seen in time; {} waits so far, {:?}", waits.len(), capture.counters());
        capture.poll(Duration::from_millis(20), &mut |wait| waits.push(wait)).unwrap();
    }
    waits
}

/// Reads what is in the ring now.
pub fn drain(capture: &mut Capture) -> Vec<RawWait> {
    let mut waits = Vec::new();
    while capture.poll(Duration::ZERO, &mut |wait| waits.push(wait)).unwrap() > 0 {}
    waits
}

/// Rescans until `enough` is satisfied with the capture.
pub fn rescan_until(capture: &mut Capture, mut enough: impl FnMut(&Capture) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !enough(capture) {
        assert!(Instant::now() < deadline, "not found in time");
        capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
        capture.rescan();
    }
}

/// Rescans until `enough` is satisfied with what a rescan reports.
pub fn rescan_reports_until(capture: &mut Capture, mut enough: impl FnMut(&RescanReport) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        capture.poll(Duration::from_millis(20), &mut |_| {}).unwrap();
        if enough(&capture.rescan()) {
            return;
        }
        assert!(Instant::now() < deadline, "not reported in time");
    }
}

/// CLOCK_MONOTONIC, as the kernel stamps with it.
pub fn mono_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
