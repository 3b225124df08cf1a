//! A model that goes on against another reference: the truth stays inside, and what was known is not lost.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod disruptions;
mod run;

use proptest::prelude::*;
use syncline_clock::{NodeClock, Status, ToldDisruption, Tolerance};
use syncline_sim::{NodeSettings, PathSettings};
use syncline_timebase::{Instant, Probe, Span};

use run::{MS, Of, Run, SECOND, lan_with};

#[test]
fn a_node_that_changes_keeps_its_bounds_and_its_rate() {
    let mut run = Run::new(lan_with(20_000.0, 0.001), lan_with(-3_000.0, 0.001), 5);
    run.link(0..300);
    run.observe(Of::First, 0..300);
    let before = run.bound(Of::First, 300 * SECOND);
    let handed = run.clock.handed_over(&run.link).unwrap();
    run.clock = handed;
    let after = run.bound(Of::Second, 300 * SECOND);
    let link = run.link.estimate(Instant::from_ns(run.second.raw(300 * SECOND).ns())).hard.ns();
    assert!((before..before + link + 2_000).contains(&after), "{before} and {link} ns make {after} ns");
    // Nothing but the oscillators carries it on: the rate is known, which a new model takes minutes to learn.
    run.observe_knots(300..311);
    let later = run.bound(Of::Second, 310 * SECOND);
    assert!(later < after + 30_000, "{after} ns, and {later} ns ten seconds later");
    let at = run.node.mono(300 * SECOND);
    assert_eq!(run.clock.estimate(at).status, Status::Synchronized);
    // What came before is told of by the new reference, too.
    for second in 120..300 {
        assert!(run.bound(Of::Second, second * SECOND) < 2 * (before + link));
    }
    run.observe(Of::Second, 311..320);
    assert!(run.bound(Of::Second, 319 * SECOND) < 80_000);
}

/// A doubt stands in the way now and then, no more.
#[test]
fn most_nodes_are_handed_over() {
    let handed = (0..200).filter(|seed| {
        let mut run = Run::new(lan_with(20_000.0, 0.01), lan_with(-3_000.0, 0.01), *seed);
        run.link(0..60);
        run.observe(Of::First, 0..60);
        run.clock.handed_over(&run.link).is_some()
    });
    assert!(handed.count() > 190);
}

#[test]
fn nothing_is_handed_over_where_nothing_leads_there() {
    let mut run = Run::new(lan_with(20_000.0, 0.0), lan_with(-3_000.0, 0.0), 6);
    assert!(run.clock.handed_over(&run.link).is_none(), "nothing is known at all");
    run.observe(Of::First, 0..20);
    assert!(run.clock.handed_over(&run.link).is_none(), "the references do not know of one another");
    run.link(0..20);
    assert!(run.clock.handed_over(&run.link).is_some());
    let now = run.node.mono(20 * SECOND);
    run.clock.observe_told(&[], &[], &[ToldDisruption { since: now, until: now }]);
    assert!(run.clock.handed_over(&run.link).is_none(), "where the node's clocks are now nobody knows");
}

#[test]
fn links_that_make_no_sense_do_no_harm() {
    let mut run = Run::new(lan_with(20_000.0, 0.0), lan_with(-3_000.0, 0.0), 8);
    run.observe(Of::First, 0..20);
    for (sent, received) in [(i64::MIN + 10, i64::MAX - 10), (0, i64::MAX / 2), (i64::MAX / 2, 0), (0, i64::MIN / 2)] {
        let mut link = NodeClock::of_oscillator(Tolerance::default());
        let [sent, returned] = [sent, sent.saturating_add(1_000)].map(Instant::from_ns);
        let received = Instant::from_ns(received);
        link.observe(&[], &[Probe { sent, received, replied: received + Span::from_ns(1), returned }]);
        if let Some(handed) = run.clock.handed_over(&link) {
            handed.estimate(run.node.mono(21 * SECOND));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever the oscillators and the paths are, and however long nobody probes in between.
    #[test]
    fn the_truth_stays_inside(
        seed: u64,
        node_ppb in -200_000.0..200_000.0f64,
        second_ppb in -200_000.0..200_000.0f64,
        there_us in 5.0..5_000.0f64,
        back_us in 5.0..5_000.0f64,
        loss in 0.0..0.3f64,
        seconds in 5i64..200,
        link_ends_before in 0i64..20,
        gap in 0i64..60,
    ) {
        let path = PathSettings {
            forward_floor_ns: there_us * 1e3, backward_floor_ns: back_us * 1e3, loss, ..PathSettings::lan()
        };
        let with = |ppb| NodeSettings { path, ..lan_with(ppb, loss) };
        let mut run = Run::new(with(node_ppb), with(second_ppb), seed);
        run.link(0..(seconds - link_ends_before).max(3));
        run.observe(Of::First, 0..seconds);
        let Some(handed) = run.clock.handed_over(&run.link) else { return Ok(()) };
        run.clock = handed;
        for at in (seconds / 2..=seconds).map(|second| second * SECOND - 123 * MS) {
            run.bound(Of::Second, at);
        }
        run.observe_knots(seconds..seconds + gap);
        run.bound(Of::Second, (seconds + gap) * SECOND);
        run.observe(Of::Second, seconds + gap..seconds + gap + 20);
        for at in (seconds..seconds + gap + 20).map(|second| second * SECOND + 77 * MS) {
            run.bound(Of::Second, at);
        }
    }
}
