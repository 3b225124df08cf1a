//! What is worked on, or has limits of its own, is left out of what others have in common.

use syncline_alerts::{Matcher, Override, Pattern, Policy, Rule, Silence};

use crate::fleet::{EVERY_NS, Fleet, MS};

const THREE: [(&str, usize); 3] = [("ap", 10), ("eu", 10), ("us", 10)];
/// Most of a region, and all of it, with how many those are.
const WORKED_ON: [(&str, usize); 2] = [("eu-[0-5]", 6), ("eu-.*", 10)];

fn fleet() -> Fleet {
    let mut fleet = Fleet::of(&THREE);
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

fn pattern(text: &str) -> Option<Pattern> {
    Some(Pattern::try_from(text.to_owned()).unwrap())
}

fn nodes(text: &str) -> Matcher {
    Matcher { node: pattern(text), ..Matcher::default() }
}

/// Work from now on, for so many rounds.
fn work(fleet: &mut Fleet, when: Matcher, rounds: i64) {
    let from_ns = fleet.round.at_ns;
    fleet.silences.push(Silence { when, from_ns, until_ns: from_ns + rounds * EVERY_NS, comment: "work".into() });
}

fn each(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("eu-{number}"))
}

#[test]
fn clocks_that_are_set_under_maintenance_are_not_told_as_their_region() {
    for (pattern, count) in WORKED_ON {
        let mut fleet = fleet();
        work(&mut fleet, nodes(pattern), 40);
        each(count).for_each(|name| fleet.step(&name, 300 * MS));
        let during = fleet.quiet(20);
        assert!(during.opened().is_empty() && !during.transitions.is_empty(), "{pattern}: {:?}", during.opened());
        each(count).for_each(|name| fleet.step(&name, -300 * MS));
        assert!(fleet.quiet(80).notifications.is_empty(), "{pattern}");
    }
}

#[test]
fn steps_that_come_as_maintenance_ends_are_of_it() {
    for ends in 1..4 {
        let mut fleet = fleet();
        work(&mut fleet, nodes("eu-.*"), ends);
        each(10).for_each(|name| fleet.step(&name, 30 * MS));
        let told = fleet.quiet(10);
        assert!(told.opened().is_empty(), "{ends}: {:?}", told.states());
    }
}

#[test]
fn machines_that_are_shut_down_under_maintenance_are_told_after_it() {
    for (pattern, count) in WORKED_ON {
        let mut fleet = fleet();
        work(&mut fleet, nodes(pattern), 40);
        let shut = |fleet: &mut Fleet, _| {
            for name in each(count) {
                let node = fleet.node(&name);
                (node.skew_ns, node.frequency_ppb, node.round_trip_ns) = (None, None, None);
                node.silent_ns += EVERY_NS.unsigned_abs();
            }
        };
        assert!(fleet.rounds(39, shut).opened().is_empty(), "{pattern}");
        assert_eq!(fleet.rounds(5, shut).opened(), ["silence of eu"], "{pattern}");
    }
}

#[test]
fn machines_that_are_moved_under_maintenance_are_no_bad_reference() {
    for (pattern, count) in WORKED_ON {
        for ends in [1, 2, 40] {
            let mut fleet = fleet();
            work(&mut fleet, nodes(pattern), ends);
            for name in each(count) {
                fleet.skew(&name, -40 * MS);
                fleet.node(&name).epoch += 1;
            }
            let told = fleet.quiet(10);
            assert!(told.opened().is_empty(), "{pattern} for {ends}: {:?}", told.states());
            assert!(told.states().contains(&"pause of eu/eu-0: firing".to_owned()), "{:?}", told.states());
        }
    }
}

#[test]
fn what_the_others_have_in_common_is_told_while_some_are_worked_on() {
    let mut fleet = fleet();
    work(&mut fleet, nodes("eu-[0-5]"), 100);
    each(10).for_each(|name| fleet.skew(&name, 300 * MS));
    let told = fleet.quiet(5);
    assert_eq!(told.opened(), ["offset of eu"], "{:?}", told.states());
    assert!(told.transitions.iter().all(|one| one.key.subject.node().is_none()), "{:?}", told.states());
}

#[test]
fn regions_that_are_worked_on_are_left_out_of_what_the_fleet_has_in_common() {
    let mut fleet = fleet();
    work(&mut fleet, Matcher { region: pattern("eu|us"), ..Matcher::default() }, 100);
    for region in ["eu", "us"] {
        (0..10).for_each(|number| fleet.skew(&format!("{region}-{number}"), 300 * MS));
    }
    let told = fleet.quiet(5);
    assert!(told.opened().is_empty(), "{:?}", told.opened());
    let states = ["offset of eu: pending", "offset of us: pending", "offset of eu: firing", "offset of us: firing"];
    assert_eq!(told.states(), states, "each is told of as a whole");
}

#[test]
fn without_utc_those_that_are_worked_on_make_no_other_wrong() {
    let mut fleet = fleet();
    fleet.round.regions.clear();
    work(&mut fleet, nodes("eu-[0-5]"), 100);
    each(6).for_each(|name| fleet.step(&name, 100 * MS));
    assert!(fleet.quiet(20).opened().is_empty());
}

#[test]
fn nodes_with_wider_limits_or_none_are_left_out_of_what_their_region_has_in_common() {
    let rules = vec![Rule::Offset];
    for limit in [None, Some(200 * MS.unsigned_abs())] {
        for (pattern, count) in WORKED_ON {
            let overrides = vec![Override { when: Matcher { rules: rules.clone(), ..nodes(pattern) }, limit }];
            let mut fleet = Fleet::of(&THREE).with(Policy { overrides, ..Policy::default() });
            each(count).for_each(|name| fleet.skew(&name, 100 * MS));
            let told = fleet.quiet(60);
            assert!(told.transitions.is_empty(), "{pattern} {limit:?}: {:?}", told.states());
            for name in each(count) {
                fleet.skew(&name, 150 * MS);
                fleet.node(&name).boot = 2;
            }
            assert_eq!(fleet.quiet(5).opened().len(), usize::from(limit.is_some()), "{pattern} {limit:?}");
        }
    }
}
