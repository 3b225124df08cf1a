//! One of the three clocks is disrupted around the change.

use proptest::prelude::*;
use syncline_clock::{Status, ToldDisruption};
use syncline_sim::{CounterJump, NodeSettings, PathSettings, SimulatedNode};

use super::run::{MS, Of, Run, SECOND, lan_with};

#[test]
fn what_the_link_says_of_before_its_own_disruption_is_not_used() {
    // The second reference's machine is suspended, and its clock with it.
    let pauses = vec![(100 * SECOND, 30 * SECOND)];
    let mut run = Run::new(lan_with(20_000.0, 0.0), NodeSettings { pauses, ..lan_with(-3_000.0, 0.0) }, 7);
    run.observe(Of::First, 0..99);
    let left = run.clock.clone();
    run.observe(Of::First, 99..200);
    run.link(0..100);
    run.link(130..200);
    // Where it left before the disruption, the link of then leads there.
    if let Some(handed) = left.handed_over(&run.link) {
        let now = std::mem::replace(&mut run.clock, handed);
        run.bound(Of::Second, 98 * SECOND);
        run.clock = now;
    }
    run.clock = run.clock.handed_over(&run.link).unwrap();
    for second in (1..100).chain(135..200) {
        run.bound(Of::Second, second * SECOND);
    }
}

#[test]
fn where_a_moment_may_lie_on_either_side_of_a_disruption_nothing_is_said_of_it() {
    // Over a quarter of an hour the references go some 0.4 s apart.
    for (at_ms, frequency_ppb) in (0..40).flat_map(|step| [(step * 25, -450_000.0), (step * 25, 430_000.0)]) {
        let at_ns = 100 * SECOND + at_ms * MS;
        let jumps = vec![CounterJump { at_ns, all_ns: 7 * SECOND, ..CounterJump::default() }];
        let second = NodeSettings { jumps, ..lan_with(frequency_ppb, 0.0) };
        let mut run = Run::new(lan_with(-5_000.0, 0.0), second, 9);
        run.link(0..1_000);
        run.observe(Of::First, 0..100);
        let left = run.clock.clone();
        run.observe(Of::First, 100..1_000);
        if let Some(handed) = left.handed_over(&run.link) {
            let now = std::mem::replace(&mut run.clock, handed);
            run.bound(Of::Second, 100 * SECOND - 20 * MS);
            run.clock = now;
        }
        let Some(handed) = run.clock.handed_over(&run.link) else { panic!("nothing is in doubt now") };
        run.clock = handed;
        for at in (90 * SECOND..120 * SECOND).step_by(50_000_000) {
            run.bound(Of::Second, at);
        }
    }
}

#[test]
fn a_disruption_that_the_link_did_not_see_any_more_is_found_after_it() {
    let pauses = vec![(60 * SECOND, SECOND)];
    let mut run = Run::new(lan_with(20_000.0, 0.0), NodeSettings { pauses, ..lan_with(-3_000.0, 0.0) }, 10);
    run.link(0..50);
    run.observe(Of::First, 0..100);
    run.clock = run.clock.handed_over(&run.link).unwrap();
    let (before, after) = (run.node.mono(30 * SECOND), run.node.mono(100 * SECOND));
    assert_eq!(run.clock.estimate(after).status, Status::Synchronized, "nobody can know yet");
    run.observe_all(Of::Second, 100..110);
    for at in (SECOND..110 * SECOND).step_by(170_000_000) {
        run.bound(Of::Second, at);
    }
    assert_eq!(run.clock.estimate(before).status, Status::Synchronized);
    assert_eq!(run.clock.estimate(run.node.mono(70 * SECOND)).status, Status::Disrupted);
}

#[test]
fn what_one_of_the_three_saw_and_the_others_did_not_leads_nowhere() {
    let pauses = vec![(60 * SECOND, SECOND)];
    // The reference so far stood still after the link's last probe, and the node saw it.
    let mut run = Run::new(lan_with(20_000.0, 0.0), lan_with(-3_000.0, 0.0), 11);
    run.first = SimulatedNode::new(NodeSettings { pauses: pauses.clone(), ..NodeSettings::default() }, 12);
    run.link(0..50);
    run.observe_all(Of::First, 0..60);
    run.observe_all(Of::First, 62..100);
    assert!(run.clock.handed_over(&run.link).is_none());
    run.link(100..103);
    run.observe(Of::First, 100..103);
    assert!(run.clock.handed_over(&run.link).is_some(), "now the link has seen it too");
    // The other one stood still after the node's last probe, and the link saw it.
    let mut run = Run::new(lan_with(20_000.0, 0.0), NodeSettings { pauses, ..lan_with(-3_000.0, 0.0) }, 13);
    run.observe(Of::First, 0..55);
    run.link(0..60);
    assert!(run.clock.handed_over(&run.link).is_some());
    let mut told = run.link.clone();
    let last = told.last_probe().unwrap();
    told.observe_told(&[], &[], &[ToldDisruption { since: last, until: last }]);
    assert!(run.clock.handed_over(&told).is_none(), "something happened to the other one since");
    run.link(62..100);
    assert!(run.clock.handed_over(&run.link).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whichever of the three clocks is disrupted, before, between and after what was saved, the link's end and the change,
    /// by more than bounds grow to meanwhile.
    #[test]
    fn the_truth_stays_inside_whatever_is_disrupted(
        seed: u64,
        ppb in prop::array::uniform3(-50_000.0..50_000.0f64),
        there_us in 5.0..500.0f64,
        seconds in 20i64..200,
        link_ends_before in 0i64..60,
        late in 0i64..12,
        gap in 0i64..30,
        (which, is_jump, at_s, log_length) in (0usize..3, any::<bool>(), -45.0..15.0f64, 8.3..10.5f64),
    ) {
        let path = PathSettings { forward_floor_ns: there_us * 1e3, ..PathSettings::lan() };
        let at = ((seconds as f64 + at_s).max(6.5) * 1e9) as i64;
        let length = 10f64.powf(log_length) as i64;
        let with = |place: usize| {
            let pauses = if place == which && !is_jump { vec![(at, length)] } else { Vec::new() };
            let jump = CounterJump { at_ns: at, all_ns: length, ..CounterJump::default() };
            let jumps = if place == which && is_jump { vec![jump] } else { Vec::new() };
            NodeSettings { path, pauses, jumps, ..lan_with(ppb[place], 0.0) }
        };
        let mut run = Run::new(with(0), with(1), seed);
        run.first = SimulatedNode::new(with(2), seed ^ 1);
        run.link(0..(seconds - link_ends_before).max(10));
        run.observe_all(Of::First, 0..seconds - late);
        let Some(handed) = run.clock.handed_over(&run.link) else { return Ok(()) };
        run.clock = handed;
        run.observe_knots(seconds..seconds + gap);
        run.observe_all(Of::Second, seconds + gap..seconds + gap + 60);
        for at in (0..(seconds + gap + 60) * SECOND).step_by(137_000_000) {
            run.bound(Of::Second, at);
        }
    }
}
