//! An alert ends by what is known, and not because nothing is.

use std::ops::Range;

use syncline_alerts::Interval;
use syncline_alerts::round::LinkSeen;

use crate::fleet::{EVERY_NS, Fleet, MS};

const THREE: [(&str, usize); 3] = [("ap", 9), ("eu", 9), ("us", 9)];
/// So that what is over ends: ten minutes, and some.
const LONG: usize = 60;

fn fleet() -> Fleet {
    let mut fleet = Fleet::of(&THREE);
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

fn skew(fleet: &mut Fleet, region: &str, nodes: Range<usize>, by_ns: i64) {
    nodes.for_each(|number| fleet.skew(&format!("{region}-{number}"), by_ns));
}

/// Nothing comes from these in a round.
fn hush(fleet: &mut Fleet, region: &str, nodes: Range<usize>) {
    for number in nodes {
        let node = fleet.node(&format!("{region}-{number}"));
        (node.skew_ns, node.frequency_ppb, node.round_trip_ns) = (None, None, None);
        node.silent_ns += EVERY_NS.unsigned_abs();
    }
}

/// They are back, and right.
fn back(fleet: &mut Fleet, region: &str, nodes: Range<usize>) {
    for number in nodes {
        let node = fleet.node(&format!("{region}-{number}"));
        (node.skew_ns, node.silent_ns) = (Some(Interval::around(0, 100_000)), 0);
    }
}

#[test]
fn what_a_region_has_in_common_is_over_when_most_of_its_clocks_are_known_to_be_right() {
    let mut fleet = fleet();
    skew(&mut fleet, "eu", 0..9, 300 * MS);
    assert_eq!(fleet.quiet(5).opened(), ["offset of eu"]);
    let silent = fleet.rounds(LONG, |fleet, _| hush(fleet, "eu", 0..9));
    assert!(silent.notifications.is_empty(), "{:?}", silent.states());
    back(&mut fleet, "eu", 0..4);
    let some = fleet.rounds(LONG, |fleet, _| hush(fleet, "eu", 4..9));
    assert!(!some.states().contains(&"offset of eu: resolved".to_owned()), "{:?}", some.states());
    back(&mut fleet, "eu", 4..6);
    let most = fleet.rounds(LONG, |fleet, _| hush(fleet, "eu", 6..9));
    assert!(most.resolved().contains(&"offset of eu".to_owned()), "{:?}", most.states());
}

#[test]
fn without_utc_nothing_is_known_of_what_a_region_has_in_common() {
    let mut fleet = fleet();
    skew(&mut fleet, "eu", 0..9, 300 * MS);
    assert_eq!(fleet.quiet(5).opened(), ["offset of eu"]);
    let regions = std::mem::take(&mut fleet.round.regions);
    assert!(fleet.quiet(LONG).notifications.is_empty());
    fleet.round.regions = regions;
    assert!(fleet.quiet(LONG).notifications.is_empty(), "it still is so");
    skew(&mut fleet, "eu", 0..9, -300 * MS);
    assert_eq!(fleet.quiet(LONG).resolved(), ["offset of eu"]);
}

#[test]
fn what_the_fleet_has_in_common_is_not_over_while_most_regions_are_not_known() {
    let mut fleet = fleet();
    ["ap", "eu", "us"].into_iter().for_each(|region| skew(&mut fleet, region, 0..9, 300 * MS));
    assert_eq!(fleet.quiet(5).opened(), ["offset of fleet"]);
    skew(&mut fleet, "eu", 0..9, -300 * MS);
    let silent = fleet.rounds(LONG, |fleet, _| ["ap", "us"].into_iter().for_each(|region| hush(fleet, region, 0..9)));
    assert!(!silent.states().contains(&"offset of fleet: resolved".to_owned()), "{:?}", silent.states());
    ["ap", "us"].into_iter().for_each(|region| back(&mut fleet, region, 0..9));
    assert_eq!(fleet.quiet(LONG).resolved(), ["offset of fleet"]);
}

#[test]
fn a_region_whose_word_was_false_and_is_not_heard_is_not_mended() {
    let mut fleet = fleet();
    fleet.round.regions[1].false_by_ns = Some(60_000_000);
    assert_eq!(fleet.quiet(3).opened(), ["reference of eu"]);
    let mut eu = fleet.round.regions.remove(1);
    assert!(fleet.quiet(LONG).notifications.is_empty());
    eu.false_by_ns = None;
    fleet.round.regions.push(eu);
    assert_eq!(fleet.quiet(LONG).resolved(), ["reference of eu"]);
}

#[test]
fn a_reference_that_jumped_is_over_where_nobody_knows_utc_too() {
    let mut fleet = fleet();
    fleet.round.regions.clear();
    fleet.quiet(3);
    skew(&mut fleet, "eu", 0..9, 900 * MS);
    (0..9).for_each(|number| fleet.node(&format!("eu-{number}")).epoch += 1);
    assert_eq!(fleet.quiet(3).opened(), ["reference of eu"]);
    assert_eq!(fleet.quiet(LONG).resolved(), ["reference of eu"]);
}

#[test]
fn a_link_that_nothing_is_said_of_is_not_mended_and_one_of_another_run_does_not_speak_for_it() {
    let mut fleet = fleet();
    let link = |false_by_ns| LinkSeen {
        region: "ap".into(),
        peer: "us".into(),
        apart_ns: Interval::around(0, 1_000_000),
        false_by_ns,
        ..LinkSeen::default()
    };
    // Two runs of a region at once, as two aggregators have.
    fleet.round.links = vec![link(Some(3_000_000)), link(None), link(Some(5))];
    let told = fleet.quiet(5);
    assert_eq!(told.opened(), ["regions of ap and us"]);
    assert!(told.notifications[0].text.contains("by 3.00 ms at least"), "{}", told.notifications[0].text);
    fleet.round.links.clear();
    assert!(fleet.quiet(LONG).notifications.is_empty());
    fleet.round.links = vec![link(None)];
    assert_eq!(fleet.quiet(LONG).resolved(), ["regions of ap and us"]);
}

#[test]
fn what_nothing_is_known_of_for_a_day_is_forgotten() {
    let mut fleet = Fleet::of(&[("eu", 1)]);
    let apart_ns = Interval::around(0, 1_000_000);
    fleet.round.links = vec![LinkSeen {
        region: "ap".into(),
        peer: "us".into(),
        apart_ns,
        false_by_ns: Some(3_000_000),
        ..LinkSeen::default()
    }];
    assert_eq!(fleet.quiet(5).opened(), ["regions of ap and us"]);
    fleet.round.links.clear();
    assert!(fleet.quiet(24 * 240).notifications.is_empty());
    assert_eq!(fleet.quiet(3).resolved(), ["regions of ap and us"]);
}

#[test]
fn a_clock_that_does_not_become_known_while_its_node_is_heard_is_told_after_ten_minutes() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    for name in ["eu-1", "eu-2"] {
        let node = fleet.node(name);
        (node.skew_ns, node.frequency_ppb, node.round_trip_ns) = (None, None, None);
    }
    let begun = fleet.rounds(40, |fleet, _| fleet.node("eu-2").silent_ns += EVERY_NS.unsigned_abs());
    assert_eq!(begun.opened(), ["silence of eu/eu-2"], "of what is not heard nothing need be known");
    let told = fleet.quiet(3);
    assert_eq!(told.opened(), ["bound of eu/eu-1"]);
    let text = &told.notifications[0].text;
    assert!(text.contains("nothing has been known of the clock for ten minutes"), "{text}");
    back(&mut fleet, "eu", 1..2);
    assert_eq!(fleet.quiet(LONG).resolved(), ["bound of eu/eu-1"]);
}
