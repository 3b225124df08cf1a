//! What happened counts by when it happened, and not by when it comes.

use syncline_alerts::round::Step;
use syncline_alerts::{Matcher, Silence};

use crate::fleet::{EVERY_NS, Fleet, MS, SECOND};

fn fleet() -> Fleet {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    assert!(fleet.quiet(20).transitions.is_empty());
    fleet
}

/// Work on all from so many rounds after the newest one until so many.
fn work(fleet: &mut Fleet, from: i64, until: i64) {
    let at = |rounds: i64| fleet.round.at_ns + rounds * EVERY_NS;
    let silence = Silence { when: Matcher::default(), from_ns: at(from), until_ns: at(until), comment: "work".into() };
    fleet.silences.push(silence);
}

/// A step of `eu-1` that comes in the next round, and was so long before its end.
fn step(fleet: &mut Fleet, ago_ns: i64) {
    let step = Step { size_ns: 20 * MS, ago_ns: ago_ns.unsigned_abs(), ..Step::default() };
    fleet.skew("eu-1", step.size_ns);
    fleet.node("eu-1").steps.push(step);
}

#[test]
fn a_step_during_work_is_not_told_when_it_comes_after_it() {
    for (ago_ns, told) in [(3 * EVERY_NS, 0), (SECOND, 1)] {
        let mut fleet = fleet();
        work(&mut fleet, -5, -1);
        step(&mut fleet, ago_ns);
        assert_eq!(fleet.quiet(5).opened().len(), told, "{ago_ns} ns before the end of its round");
    }
}

#[test]
fn a_step_before_work_is_told_when_it_comes_in_it() {
    let mut fleet = fleet();
    work(&mut fleet, 0, 100);
    step(&mut fleet, 2 * EVERY_NS);
    assert_eq!(fleet.quiet(5).opened(), ["step of eu/eu-1"]);
}

#[test]
fn a_step_after_work_is_told_while_the_one_in_it_lasts() {
    let mut fleet = fleet();
    work(&mut fleet, 0, 3);
    step(&mut fleet, SECOND);
    assert!(fleet.quiet(10).opened().is_empty());
    step(&mut fleet, SECOND);
    assert_eq!(fleet.quiet(3).opened(), ["step of eu/eu-1"]);
}

#[test]
fn a_pause_whose_end_is_seen_after_work_may_have_been_in_it() {
    for is_work in [true, false] {
        let mut fleet = fleet();
        if is_work {
            work(&mut fleet, 0, 2);
        }
        // Nothing is known of it for a while, and then that it jumped.
        let skew_ns = fleet.node("eu-1").skew_ns.take();
        fleet.quiet(3);
        fleet.node("eu-1").skew_ns = skew_ns;
        fleet.skew("eu-1", -45 * MS);
        fleet.node("eu-1").epoch += 1;
        let told = fleet.quiet(3);
        assert!(told.states().contains(&"pause of eu/eu-1: firing".to_owned()), "{:?}", told.states());
        assert_eq!(told.opened().is_empty(), is_work, "{:?}", told.states());
    }
}

#[test]
fn a_node_is_forgotten_a_day_after_it_was_last_heard() {
    let mut fleet = fleet();
    let day_ns = 86_400 * SECOND.unsigned_abs();
    fleet.node("eu-1").silent_ns = day_ns - 2 * EVERY_NS.unsigned_abs();
    let gone = fleet.rounds(4, |fleet, _| fleet.node("eu-1").silent_ns += EVERY_NS.unsigned_abs());
    assert_eq!(
        (gone.opened(), gone.resolved()),
        (vec!["silence of eu/eu-1".to_owned()], vec!["silence of eu/eu-1".to_owned()])
    );
    assert_eq!(fleet.engine.alerts().count(), 0, "and does not come back: {:?}", gone.states());
}

#[test]
fn a_clock_of_rounds_that_is_set_back_changes_nothing_else() {
    let hour_ns = 3_600 * SECOND;
    let (mut steady, mut set_back) = (fleet(), fleet());
    let (mut opened, mut resolved) = (Vec::new(), Vec::new());
    for round in 0..300 {
        if round == 45 {
            set_back.engine.set_back(hour_ns.unsigned_abs());
            set_back.round.at_ns -= hour_ns;
        }
        for fleet in [&mut steady, &mut set_back] {
            fleet.skew("eu-2", if (30..90).contains(&round) { 20_000 * EVERY_NS / SECOND } else { 0 });
            match round {
                30 => fleet.skew("eu-4", 90 * MS),
                44 => step(fleet, SECOND),
                70 => fleet.skew("eu-4", -90 * MS),
                _ => {}
            }
        }
        let (one, other) = (steady.next(), set_back.next());
        assert_eq!(
            (one.states(), one.opened(), one.resolved()),
            (other.states(), other.opened(), other.resolved()),
            "{round}"
        );
        opened.extend(one.opened());
        resolved.extend(one.resolved());
    }
    opened.sort();
    resolved.sort();
    assert_eq!(opened, ["drift of eu/eu-2", "drift of eu/eu-4", "step of eu/eu-1"]);
    assert_eq!(resolved, opened);
}

#[test]
fn steps_that_undo_one_another_within_a_round_are_told() {
    for utc_is_known in [true, false] {
        let mut fleet = Fleet::of(&[("eu", 2)]);
        if !utc_is_known {
            fleet.round.regions.clear();
        }
        fleet.quiet(3);
        let steps = [5_000 * MS, -5_000 * MS].map(|size_ns| Step { size_ns, ..Step::default() });
        fleet.node("eu-1").steps.extend(steps);
        let told = fleet.quiet(3);
        assert_eq!(told.opened(), ["step of eu/eu-1"]);
        assert!(told.notifications[0].text.contains("by 5.00 s"), "{}", told.notifications[0].text);
    }
}

#[test]
fn several_small_steps_one_way_are_told_together() {
    let mut fleet = fleet();
    for _ in 0..2 {
        step(&mut fleet, SECOND);
    }
    fleet.node("eu-1").steps.iter_mut().for_each(|step| step.size_ns = 6 * MS);
    let told = fleet.quiet(3);
    assert!(told.states().contains(&"step of eu/eu-1: firing".to_owned()), "{:?}", told.states());
}
