//! What others have in common explains a value only where it is told itself.

use proptest::prelude::*;
use syncline_alerts::{Interval, Key, Rule, State, Subject};

use crate::fleet::{EVERY_NS, Fleet, MS, SECOND};

/// As long as it takes until what is common and about to be told is not waited for any more.
const LONG: usize = 45;

#[test]
fn an_offset_that_is_far_off_is_told_where_what_its_region_has_in_common_is_not() {
    for common_ms in [13, 30, 49] {
        let mut fleet = Fleet::of(&[("eu", 9)]);
        (0..9).for_each(|number| fleet.skew(&format!("eu-{number}"), common_ms * MS));
        fleet.skew("eu-4", 49 * MS);
        assert_eq!(fleet.quiet(LONG).opened(), ["offset of eu/eu-4"], "{common_ms} ms in common");
    }
}

#[test]
fn a_region_that_is_far_off_is_told_where_what_the_fleet_has_in_common_is_not() {
    let mut fleet = Fleet::of(&[("ap", 9), ("eu", 9), ("us", 9)]);
    for (region, off_ms) in [("ap", 49), ("eu", 98), ("us", 49)] {
        (0..9).for_each(|number| fleet.skew(&format!("{region}-{number}"), off_ms * MS));
    }
    assert_eq!(fleet.quiet(LONG).opened(), ["offset of eu"]);
}

#[test]
fn a_region_that_is_behind_is_told_while_the_fleet_is_ahead() {
    let mut fleet = Fleet::of(&[("ap", 9), ("eu", 9), ("us", 9)]);
    for (region, off_ms) in [("ap", 90), ("eu", -90), ("us", 90)] {
        (0..9).for_each(|number| fleet.skew(&format!("{region}-{number}"), off_ms * MS));
    }
    assert_eq!(fleet.quiet(5).opened(), ["offset of fleet", "offset of eu"]);
}

#[test]
fn bounds_and_frequencies_are_told_likewise() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    for number in 0..9 {
        let node = fleet.node(&format!("eu-{number}"));
        (node.round_trip_ns, node.frequency_ppb) = (Some(48_000_000), Some(390_000));
    }
    fleet.node("eu-4").round_trip_ns = Some(90_000_000);
    fleet.node("eu-5").frequency_ppb = Some(480_000);
    let told = fleet.quiet(2 * LONG + 10);
    assert_eq!(told.opened(), ["bound of eu/eu-4", "frequency of eu/eu-5"]);
}

#[test]
fn a_drift_is_told_likewise() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    let told = fleet.rounds(3 * LONG, |fleet, _| {
        for number in 0..9 {
            let ppb = if number == 4 { 8_900 } else { 4_700 };
            fleet.skew(&format!("eu-{number}"), ppb * EVERY_NS / SECOND);
        }
    });
    assert_eq!(told.opened(), ["drift of eu/eu-4"]);
}

#[test]
fn the_first_over_a_limit_that_all_are_about_to_pass_is_not_blamed() {
    let mut fleet = Fleet::of(&[("ap", 9), ("eu", 9), ("us", 9)]);
    fleet.round.nodes.iter_mut().for_each(|node| node.skew_ns = Some(Interval::around(36 * MS, 100_000)));
    // A millisecond of one another, and 11.6 ms in 1,000 s.
    let told = fleet.rounds(110, |fleet, round| {
        for number in 0..27 {
            let name = fleet.round.nodes[number].node.clone();
            let by_ns = if round == 0 { number as i64 % 9 * MS / 8 } else { 11_574 * EVERY_NS / SECOND };
            fleet.skew(&name, by_ns);
        }
    });
    assert_eq!(told.opened(), ["drift of fleet"]);
    assert!(told.states().contains(&"offset of fleet: firing".to_owned()), "{:?}", told.states());
    assert!(told.transitions.iter().all(|one| one.key.subject == Subject::Fleet), "{:?}", told.states());
}

/// What most do is known later where their bounds are wider.
#[test]
fn clocks_that_are_known_better_than_most_are_not_blamed_for_what_all_do() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    for number in 3..9 {
        fleet.node(&format!("eu-{number}")).skew_ns = Some(Interval::around(0, 900_000));
    }
    fleet.quiet(LONG);
    let told = fleet.rounds(100, |fleet, _| {
        (0..9).for_each(|number| fleet.skew(&format!("eu-{number}"), 11_574 * EVERY_NS / SECOND));
    });
    assert_eq!(told.opened(), ["drift of eu"]);
    assert!(told.transitions.iter().all(|one| one.key.subject.node().is_none()), "{:?}", told.states());
}

/// What nodes of one region are off by, have for a bound, and run too fast by: in common, and each.
fn region() -> impl Strategy<Value = Vec<[i64; 3]>> {
    let one = |most: i64| prop_oneof![Just(0), -most..most];
    let values = move || (one(130 * MS), 1..60 * MS, one(700_000));
    (values(), prop::collection::vec((values(), 0..3_u8), 1..7)).prop_map(|(common, nodes)| {
        let value = |((off, bound, fast), share): ((i64, i64, i64), u8)| match share {
            0 => [common.0, common.1, common.2],
            1 => [common.0 + off / 4, common.1 + bound / 4, common.2 + fast / 4],
            _ => [off, bound, fast],
        };
        nodes.into_iter().map(value).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_beyond_its_limit_is_told_of_its_node_its_region_or_the_fleet(regions in prop::collection::vec(region(), 1..5)) {
        const NAMES: [&str; 4] = ["ap", "eu", "sa", "us"];
        let sizes: Vec<(&str, usize)> = NAMES.into_iter().zip(regions.iter().map(Vec::len)).collect();
        let mut fleet = Fleet::of(&sizes);
        for (node, [off_ns, bound_ns, fast_ppb]) in fleet.round.nodes.iter_mut().zip(regions.into_iter().flatten()) {
            node.skew_ns = Some(Interval::around(off_ns, 100_000));
            (node.round_trip_ns, node.frequency_ppb) = (Some(2 * bound_ns.unsigned_abs()), Some(fast_ppb));
        }
        fleet.quiet(2 * LONG + 10);
        let is_told = |rule: Rule, subject: Subject, value: i64| {
            let key = Key { rule, subject };
            let told = fleet.engine.alerts().find(|(known, alert)| **known == key && alert.state == State::Firing);
            told.is_some_and(|(_, alert)| alert.is_met() && alert.value.at_least().signum() == value.signum())
        };
        for node in &fleet.round.nodes {
            let (off_ns, bound_ns, fast_ppb) = (node.skew_ns.unwrap().middle(), node.round_trip_ns.unwrap() / 2, node.frequency_ppb.unwrap());
            let values = [
                (Rule::Offset, off_ns, off_ns.unsigned_abs() > 50_600_000),
                (Rule::Bound, bound_ns.cast_signed(), bound_ns > 25_000_000),
                (Rule::Frequency, fast_ppb, fast_ppb.unsigned_abs() > 401_000),
            ];
            for (rule, value, is_beyond) in values {
                let subjects = [Subject::Node(node.region.clone(), node.node.clone()), Subject::Region(node.region.clone()), Subject::Fleet];
                let is_told = subjects.into_iter().any(|subject| is_told(rule, subject, value));
                prop_assert!(!is_beyond || is_told, "{rule} of {}: {value}", node.node);
            }
        }
    }
}
