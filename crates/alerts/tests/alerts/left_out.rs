//! What is worked on, or has limits of its own, is left out of what others have in common.

use syncline_alerts::round::{LinkSeen, Violation};
use syncline_alerts::{Interval, Matcher, Override, Pattern, Policy, Rule, Silence};

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

/// Nobody knows UTC, and links say that references are together.
fn linked() -> Fleet {
    let mut fleet = Fleet::of(&[("edge", 10), ("eu", 10)]);
    fleet.round.regions.clear();
    fleet.round.links = vec![LinkSeen {
        region: "edge".into(),
        run: 7,
        peer: "eu".into(),
        peer_run: 7,
        apart_ns: Interval::around(0, 1_000_000),
        false_by_ns: None,
    }];
    fleet
}

fn of_edge(rule: Rule, limit_ms: i64) -> Policy {
    let when = Matcher { region: pattern("edge"), rules: vec![rule], ..Matcher::default() };
    let limit = Some(limit_ms.unsigned_abs() * MS.unsigned_abs());
    Policy { overrides: vec![Override { when, limit }], ..Policy::default() }
}

#[test]
fn a_region_with_wider_limits_is_not_told_as_apart_from_others_within_them() {
    for (policy, told) in [(Policy::default(), 1), (of_edge(Rule::Offset, 400), 0)] {
        let mut fleet = linked().with(policy);
        (0..10).for_each(|number| fleet.skew(&format!("edge-{number}"), 300 * MS));
        assert_eq!(fleet.quiet(5).opened().len(), told);
        (0..10).for_each(|number| fleet.skew(&format!("edge-{number}"), 200 * MS));
        assert_eq!(fleet.quiet(5).opened().len(), 1 - told);
    }
}

#[test]
fn a_region_with_a_wider_limit_of_regions_has_it_with_each_other() {
    for (policy, told) in [(Policy::default(), 1), (of_edge(Rule::Regions, 5), 0)] {
        let mut fleet = linked().with(policy);
        fleet.round.links[0].false_by_ns = Some(3_000_000);
        assert_eq!(fleet.quiet(5).opened().len(), told);
        fleet.round.links[0].false_by_ns = Some(8_000_000);
        assert_eq!(fleet.quiet(5).opened().len(), 1 - told);
    }
}

#[test]
fn work_on_one_of_two_silences_what_is_said_of_both() {
    let regions = Matcher { region: pattern("eu"), ..Matcher::default() };
    for (when, told) in [(regions.clone(), 0), (Matcher { region: pattern("ap"), ..Matcher::default() }, 1)] {
        let mut fleet = linked();
        work(&mut fleet, when.clone(), 100);
        fleet.round.links[0].false_by_ns = Some(3_000_000);
        assert_eq!(fleet.quiet(5).opened().len(), told, "regions");
        let mut fleet = Fleet::of(&[("eu", 9), ("us", 9)]);
        work(&mut fleet, when, 100);
        (fleet.round.regions[0].false_by_ns, fleet.round.regions[0].is_doubted) = (Some(60_000_000), true);
        assert_eq!(fleet.quiet(5).opened().len(), told, "reference");
    }
    for (when, told) in [(nodes("eu-1"), 0), (nodes("eu-2"), 0), (nodes("eu-3"), 1)] {
        let mut fleet = fleet();
        work(&mut fleet, when, 100);
        let of = |node: &str| ("eu".to_owned(), node.to_owned());
        let violation = Violation { from: of("eu-1"), to: of("eu-2"), messages: 3, by_ns: 5_000_000 };
        let told_of = fleet.rounds(5, |fleet, _| fleet.round.violations = vec![violation.clone()]);
        assert_eq!(told_of.opened().len(), told, "causality");
    }
}
