use super::*;
use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet, queueing_ns};

fn observe_noisy(peer: &mut NtpdRsLike, truth: Truth, range: std::ops::Range<i64>) {
    for second in range {
        peer.observe(&truth.exchange(second * SECOND_NS, queueing_ns(second), queueing_ns(second + 7)));
    }
}

#[test]
fn the_frequency_is_converged_to() {
    let mut peer = NtpdRsLike::default();
    observe_noisy(&mut peer, APART, 0..600);
    let off = peer.filter.as_ref().unwrap().frequency - APART.frequency;
    assert!(off.abs() < 0.5e-6, "{off:e}");
    assert!(APART.error_ns(&peer, 600 * SECOND_NS).abs() < 10_000);
}

#[test]
fn the_mean_stands_in_for_the_first_eight() {
    let still = Truth { frequency: 0.0, ..APART };
    let mut peer = NtpdRsLike::default();
    peer.observe(&still.exchange(0, 0, 0));
    peer.observe(&still.exchange(SECOND_NS, 400_000, 0));
    assert_eq!(still.error_ns(&peer, 2 * SECOND_NS), 100_000);
    assert_eq!(peer.answer(2 * SECOND_NS).unwrap().earliest_ns, None);
}

#[test]
fn one_delay_out_of_line_is_left_out_and_the_second_is_not() {
    let mut peer = NtpdRsLike::default();
    observe_noisy(&mut peer, APART, 0..200);
    let before = peer.filter.clone().unwrap();
    peer.observe(&APART.exchange(200 * SECOND_NS, 20_000_000, 0));
    assert_eq!(peer.filter.as_ref().unwrap().at_ns, before.at_ns);
    peer.observe(&APART.exchange(201 * SECOND_NS, 20_000_000, 0));
    assert_ne!(peer.filter.as_ref().unwrap().at_ns, before.at_ns);
}

#[test]
fn the_wander_grows_for_a_clock_that_does_and_shrinks_for_one_that_does_not() {
    let mut peer = NtpdRsLike::default();
    observe_noisy(&mut peer, APART, 0..400);
    let steady = peer.filter.as_ref().unwrap().wander;
    // Another 10 ppm every 20 s.
    let mut truth = APART;
    for stretch in 20..60 {
        let (start, change) = (stretch * 20, if stretch % 4 < 2 { 10e-6 } else { -10e-6 });
        truth.offset_ns -= (change * (start * SECOND_NS) as f64) as i64;
        truth.frequency += change;
        observe_noisy(&mut peer, truth, start..start + 20);
    }
    let unsteady = peer.filter.as_ref().unwrap().wander;
    assert!(unsteady >= 4.0 * steady, "{steady:e} {unsteady:e}");
}

#[test]
fn measurements_of_the_past_are_ignored() {
    let mut peer = NtpdRsLike::default();
    observe_quiet(&mut peer, APART, 0..20);
    let before = peer.answer(20 * SECOND_NS);
    observe_quiet(&mut peer, Truth { offset_ns: 0, ..APART }, 5..6);
    assert_eq!(peer.answer(20 * SECOND_NS), before);
}

#[test]
fn sixteen_innovations_too_small_quarter_the_wander_unless_measurements_are_all_noise() {
    let mut peer = NtpdRsLike::default();
    observe_quiet(&mut peer, APART, 0..8);
    let mut filter = peer.filter.unwrap();
    let mut after = |times: usize, deviations, weight| {
        (0..times).for_each(|_| filter.adapt_wander(deviations, weight));
        filter.wander
    };
    assert_eq!(after(100, 0.1, 0.05), INITIAL_WANDER);
    assert_eq!(after(15, 0.1, 0.5), INITIAL_WANDER);
    assert_eq!(after(1, 0.1, 0.5), INITIAL_WANDER / 4.0);
    assert_eq!(after(15, 2.0, 0.5), INITIAL_WANDER / 4.0);
    assert_eq!(after(1, 0.7, 0.5), INITIAL_WANDER / 4.0, "neither small nor large: one step toward zero");
    assert_eq!(after(2, 2.0, 0.05), INITIAL_WANDER);
}
