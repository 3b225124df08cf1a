//! What jumped: machines, or what they are measured against.

use crate::fleet::{Fleet, MS, Told};

fn fleet(nodes: usize) -> Fleet {
    let mut fleet = Fleet::of(&[("eu", nodes)]);
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

fn jump(fleet: &mut Fleet, number: usize, by_ns: i64) {
    let name = format!("eu-{number}");
    fleet.skew(&name, by_ns);
    fleet.node(&name).epoch += 1;
}

/// How many the first word is about.
fn nodes(told: &Told) -> usize {
    told.notifications[0].subjects.iter().filter(|subject| subject.node().is_some()).count()
}

#[test]
fn most_machines_of_a_region_that_stand_still_are_no_bad_reference() {
    let mut fleet = fleet(10);
    (0..7).for_each(|number| jump(&mut fleet, number, -700 * MS));
    let told = fleet.quiet(10);
    assert_eq!(told.opened(), ["pause of eu/eu-0"], "{:?}", told.states());
    assert_eq!(nodes(&told), 7);
}

#[test]
fn two_machines_of_three_that_stand_still_are_two() {
    let mut fleet = fleet(3);
    (0..2).for_each(|number| jump(&mut fleet, number, -700 * MS));
    assert_eq!(fleet.quiet(10).opened(), ["pause of eu/eu-0", "pause of eu/eu-1"], "the third has not jumped");
}

#[test]
fn machines_that_all_jump_by_other_amounts_are_no_bad_reference() {
    let mut fleet = fleet(6);
    (0..6).for_each(|number| jump(&mut fleet, number, -200 * MS * (number as i64 + 1)));
    let told = fleet.quiet(10);
    assert_eq!(told.opened(), ["pause of eu/eu-0"], "{:?}", told.states());
    assert_eq!(nodes(&told), 6);
}

#[test]
fn a_reference_that_jumps_is_told_though_a_machine_or_two_say_nothing_of_it() {
    let mut fleet = fleet(20);
    // One was started again, one is not known, one stood still besides.
    fleet.node("eu-17").boot = 2;
    fleet.node("eu-18").skew_ns = None;
    (0..20).filter(|number| *number != 17).for_each(|number| jump(&mut fleet, number, 900 * MS));
    fleet.skew("eu-19", -300 * MS);
    let told = fleet.quiet(10);
    assert_eq!(told.opened()[0], "reference of eu", "{:?}", told.states());
    assert!(!told.states().contains(&"pause of eu/eu-3: firing".to_owned()), "{:?}", told.states());
}

#[test]
fn of_very_many_the_first_thousand_are_listed() {
    let mut fleet = fleet(1_500);
    (0..1_300).for_each(|number| jump(&mut fleet, number, -40 * MS));
    let told = fleet.quiet(3);
    assert_eq!((told.opened().len(), nodes(&told)), (1, 1_000));
    assert!(told.notifications[0].text.starts_with("1300 nodes of eu together"), "{}", told.notifications[0].text);
}
