//! A model that was kept across a restart goes on as if nothing had happened.
#![allow(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;
use syncline_clock::{NodeClock, SnapshotError, Tolerance};
use syncline_sim::profile::{Network, Profile, Record, Trace, generate};

fn trace() -> Trace {
    let profile = Profile { duration_s: 900.0, events: 300, ..Profile::new(Network::Lan, true, true) };
    let traces = (0..100).map(|seed| generate(&profile, seed));
    let mut broken = traces.filter(|trace| trace.steps.iter().any(|step| step.raw));
    broken.next().unwrap()
}

/// Feeds the records, restarting after each of `restarts`; gives every answer and what was observed, as text.
fn answers(trace: &Trace, restarts: &[usize]) -> Vec<String> {
    let mut clock = NodeClock::new(Tolerance { path_floor: trace.floor, ..Tolerance::default() });
    let mut told = Vec::new();
    for (n, record) in trace.records.iter().enumerate() {
        if restarts.contains(&n) {
            clock = NodeClock::restore(&clock.snapshot()).unwrap();
        }
        match record {
            Record::Knot(knot) => told.push(format!("{:?}", clock.observe(&[*knot], &[]))),
            Record::Probe { probe, .. } => told.push(format!("{:?}", clock.observe(&[], &[*probe]))),
            Record::Event { mono, .. } => told.push(format!("{:?} {:?}", clock.estimate(*mono), clock.bounds(*mono))),
        }
    }
    told
}

#[test]
fn restarts_change_no_answer() {
    let trace = trace();
    let restarts: Vec<usize> = (0..trace.records.len()).step_by(97).collect();
    assert!(restarts.len() > 50);
    assert_eq!(answers(&trace, &[]), answers(&trace, &restarts));
}

#[test]
fn two_runs_are_the_same_to_the_last_bit() {
    let trace = trace();
    assert_eq!(answers(&trace, &[]), answers(&trace, &[]));
}

#[test]
fn what_is_no_snapshot_is_refused_and_says_why() {
    let bytes = NodeClock::new(Tolerance::default()).snapshot();
    assert!(NodeClock::restore(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(matches!(NodeClock::restore(&bytes[..length]), Err(SnapshotError::Damaged { .. })), "{length}");
    }
    let mut other = bytes.clone();
    other[0] = 9;
    assert_eq!(NodeClock::restore(&other).unwrap_err(), SnapshotError::OtherVersion { found: 9 });
    assert!(NodeClock::restore(&other).unwrap_err().to_string().contains("begin anew"));
}

proptest! {
    #[test]
    fn a_flipped_bit_is_seen(place: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = NodeClock::new(Tolerance::default()).snapshot();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(NodeClock::restore(&bytes).is_err());
    }
}
