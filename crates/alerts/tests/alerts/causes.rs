//! What many have in common is told once, by its name.

use syncline_alerts::round::{ClaimSeen, Contradiction, LinkSeen, Violation};
use syncline_alerts::{Interval, Subject};

use crate::fleet::{EVERY_NS, Fleet, MS, SECOND};

const THREE: [(&str, usize); 3] = [("ap", 40), ("eu", 40), ("us", 40)];

fn fleet() -> Fleet {
    let mut fleet = Fleet::of(&THREE);
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

/// The clocks of a node, or its region's reference, jump: the wall clock is ahead by so much more.
fn jump(fleet: &mut Fleet, name: &str, by_ns: i64) {
    fleet.skew(name, by_ns);
    fleet.node(name).epoch += 1;
}

#[test]
fn a_reference_that_jumps_is_one_alert_and_no_node_is_blamed() {
    let mut fleet = fleet();
    (0..40).for_each(|number| jump(&mut fleet, &format!("eu-{number}"), 900 * MS));
    fleet.round.regions[1].utc_ns = Some(Interval::around(-900 * MS, 20_000_000));
    let told = fleet.quiet(100);
    assert_eq!(told.opened(), ["reference of eu"]);
    assert!(told.transitions.iter().all(|one| one.key.subject == Subject::Region("eu".into())), "{:?}", told.states());
}

#[test]
fn one_that_is_seen_by_some_nodes_a_round_before_the_others_is_still_one() {
    for first in 1..40 {
        let mut fleet = fleet();
        fleet.round.regions[1].utc_ns = Some(Interval::around(-450 * MS, 480_000_000));
        let told = fleet.rounds(100, |fleet, round| match round {
            0 => (0..first).for_each(|number| jump(fleet, &format!("eu-{number}"), 900 * MS)),
            1 => (first..40).for_each(|number| jump(fleet, &format!("eu-{number}"), 900 * MS)),
            _ => {}
        });
        assert_eq!(told.opened(), ["reference of eu"], "{first} of 40 in the first round: {:?}", told.states());
    }
}

#[test]
fn a_false_claim_of_a_region_speaks_for_all_that_is_held_against_it() {
    let mut fleet = fleet();
    let contradiction =
        Contradiction { claimed_ns: Interval::around(80 * MS, 2_000_000), measured_ns: Interval::around(0, 100_000) };
    let claim = ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) };
    let told = fleet.rounds(50, |fleet, round| {
        // Claims come each 16 s: a part of the nodes has not said anything again in the first round.
        let claiming = if round == 0 { 15 } else { 40 };
        (0..claiming).for_each(|number| fleet.node(&format!("eu-{number}")).claims.push(claim.clone()));
        // It is mended within a round whose claims were made before, and some come after it.
        fleet.round.regions[1].false_by_ns = (1..20).contains(&round).then_some(60_000_000);
        if round > 21 {
            fleet.round.nodes.iter_mut().for_each(|node| node.claims.clear());
        }
    });
    assert_eq!(told.opened(), ["reference of eu"]);
}

/// By less than what is told of it.
#[test]
fn a_claim_of_a_region_that_is_proved_to_be_false_by_little_blames_no_node() {
    let contradiction =
        Contradiction { claimed_ns: Interval::around(7 * MS, 2_000_000), measured_ns: Interval::around(0, 100_000) };
    let claim = ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) };
    for (false_by_ns, is_doubted, told) in [(5_000_000, false, 0), (1, false, 0), (5_000_000, true, 1)] {
        let mut fleet = fleet();
        (fleet.round.regions[1].false_by_ns, fleet.round.regions[1].is_doubted) = (Some(false_by_ns), is_doubted);
        let told_of = fleet.rounds(10, |fleet, _| {
            (0..40).for_each(|number| fleet.node(&format!("eu-{number}")).claims.push(claim.clone()));
        });
        assert_eq!(told_of.opened().len(), told, "{false_by_ns} {is_doubted}: {:?}", told_of.states());
    }
}

#[test]
fn where_there_is_no_other_region_the_aggregators_claim_may_be_the_false_one() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    fleet.quiet(3);
    let contradiction =
        Contradiction { claimed_ns: Interval::around(100 * MS, 2_000_000), measured_ns: Interval::around(0, 100_000) };
    let claim = ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) };
    fleet.round.regions[0].utc_ns = Some(Interval::around(100 * MS, 1_000_000));
    let told = fleet.rounds(5, |fleet, _| {
        (0..9).for_each(|number| fleet.node(&format!("eu-{number}")).claims.push(claim.clone()));
    });
    assert_eq!(told.opened(), ["claim of eu"]);
    let text = &told.notifications[0].text;
    assert!(
        text.contains("more than the claim allows, or what its aggregator claims of UTC is false; also offset"),
        "{text}"
    );
    // Of a node alone it is the node's.
    let mut fleet = Fleet::of(&[("eu", 9)]);
    let told = fleet.rounds(5, |fleet, _| fleet.node("eu-1").claims.push(claim.clone()));
    assert!(told.notifications[0].text.ends_with("more than the claim allows"), "{}", told.notifications[0].text);
}

#[test]
fn a_false_claim_of_a_node_is_not_over_while_that_of_its_region_is_false_too() {
    let mut fleet = fleet();
    let contradiction =
        Contradiction { claimed_ns: Interval::around(30 * MS, 2_000_000), measured_ns: Interval::around(0, 100_000) };
    let claim = ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) };
    let told = fleet.rounds(200, |fleet, round| {
        fleet.node("eu-3").claims.push(claim.clone());
        fleet.round.regions[1].false_by_ns = (50..150).contains(&round).then_some(60_000_000);
    });
    assert_eq!(told.opened(), ["claim of eu/eu-3", "reference of eu"]);
}

#[test]
fn a_leap_smear_is_one_alert_of_the_fleet_whatever_it_trips_first() {
    let mut fleet = fleet();
    // Each node's daemon is somewhat late, its claim somewhat good.
    let late = |number: usize| 1.0 + 0.1 * (number % 7) as f64;
    let told = fleet.rounds(600, |fleet, round| {
        for place in 0..fleet.round.nodes.len() {
            let lag = if round < 2 { late(place) } else { 1.0 };
            let by = (11_574.0 * (EVERY_NS / SECOND) as f64 / lag) as i64;
            let node = &mut fleet.round.nodes[place];
            node.skew_ns = node.skew_ns.map(|skew| skew.against(-by));
            let measured_ns = node.skew_ns.map(|skew| Interval { low: -skew.high, high: -skew.low }).unwrap();
            let claimed_ns = Interval::around(0, 1_000_000 + 200_000 * (place as u64 % 9));
            let contradiction = Contradiction { claimed_ns, measured_ns };
            let contradiction = (contradiction.gap_ns() != 0).then_some(contradiction);
            node.claims = vec![ClaimSeen { source: "chrony".into(), contradiction }];
        }
    });
    let subjects: Vec<&Subject> = told.notifications.iter().map(|told| &told.cause.subject).collect();
    assert_eq!(subjects, [&Subject::Fleet]);
    assert!(told.notifications[0].text.contains("a leap smear"), "{}", told.notifications[0].text);
    let fired = |rule: &str| told.states().contains(&format!("{rule} of fleet: firing"));
    assert!(fired("claim") && fired("drift") && fired("offset"), "{:?}", told.states());
    assert!(told.transitions.iter().all(|one| one.key.subject == Subject::Fleet), "{:?}", told.states());
}

#[test]
fn one_bad_clock_is_told_during_what_all_have_in_common() {
    let mut fleet = fleet();
    let told = fleet.rounds(200, |fleet, round| {
        for place in 0..fleet.round.nodes.len() {
            let node = &mut fleet.round.nodes[place];
            node.skew_ns = node.skew_ns.map(|skew| skew.against(-11_574 * EVERY_NS / SECOND));
        }
        if round == 100 {
            fleet.step("us-7", -120 * MS);
        }
    });
    assert_eq!(told.opened(), ["drift of fleet", "step of us/us-7"]);
}

#[test]
fn a_host_that_stands_still_is_one_alert_for_all_its_machines_and_all_its_pauses() {
    let mut fleet = fleet();
    let told = fleet.rounds(20, |fleet, round| {
        for number in 0..12 {
            let is_hit = match round {
                0 => number < 5,
                1 => number >= 5,
                6 | 11 => true,
                _ => false,
            };
            if is_hit {
                jump(fleet, &format!("eu-{number}"), -700 * MS);
            }
        }
    });
    assert_eq!(told.opened(), ["pause of eu/eu-0"]);
    let told = &told.notifications[0];
    assert_eq!(told.subjects.len(), 12);
    assert!(
        told.text.starts_with("12 nodes of eu together (eu-0, eu-1, eu-10 and 9 more): stood still"),
        "{}",
        told.text
    );
}

#[test]
fn a_region_that_nothing_comes_from_is_one_alert() {
    let mut fleet = fleet();
    let told = fleet.rounds(30, |fleet, _| {
        for (number, node) in fleet.round.nodes.iter_mut().filter(|node| node.region == "ap").enumerate() {
            // Each was last heard at another time.
            node.silent_ns = node.silent_ns.max(8_000_000_000 * (number as u64 % 4) / 4) + EVERY_NS.unsigned_abs();
        }
    });
    assert_eq!(told.opened(), ["silence of ap"]);
}

#[test]
fn with_two_regions_what_both_do_is_of_the_fleet_and_what_one_does_is_its_own() {
    let mut fleet = Fleet::of(&[("eu", 9), ("us", 9)]);
    fleet.quiet(3);
    (0..9).for_each(|number| fleet.skew(&format!("eu-{number}"), 300 * MS));
    assert_eq!(fleet.quiet(5).opened(), ["offset of eu"]);
    (0..9).for_each(|number| fleet.skew(&format!("us-{number}"), 300 * MS));
    let both = fleet.quiet(5);
    assert!(both.opened().is_empty() && both.states().contains(&"offset of fleet: firing".to_owned()), "{both:?}");
}

#[test]
fn without_utc_a_clock_is_held_against_most_of_its_region() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    fleet.round.regions.clear();
    let told = fleet.rounds(200, |fleet, round| {
        // The reference runs 30 ppm fast: all drift against it, and none against another.
        for node in &mut fleet.round.nodes {
            node.skew_ns = node.skew_ns.map(|skew| skew.against(30_000 * EVERY_NS / SECOND));
        }
        if round == 100 {
            fleet.step("eu-4", -70 * MS);
        }
    });
    assert_eq!(told.opened(), ["step of eu/eu-4"]);
    assert!(told.states().contains(&"offset of eu/eu-4: firing".to_owned()));
}

#[test]
fn what_is_told_without_utc_does_not_speak_of_utc() {
    for (is_known, told) in [(true, "ahead of UTC by"), (false, "ahead of most wall clocks of the region by")] {
        let mut fleet = Fleet::of(&[("eu", 9)]);
        if !is_known {
            fleet.round.regions.clear();
        }
        fleet.quiet(3);
        fleet.skew("eu-4", 90 * MS);
        let text = fleet.quiet(3).notifications.remove(0).text;
        assert!(text.starts_with(&format!("eu/eu-4: the wall clock is {told}")), "{text}");
    }
}

/// Without UTC nodes are compared with those that are measured against the same reference.
#[test]
fn two_aggregators_of_a_region_whose_references_are_apart_make_no_node_wrong() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    fleet.round.regions.clear();
    for node in ["eu-1", "eu-2", "eu-3"] {
        fleet.skew(node, 20_000 * MS);
        fleet.node(node).run += 1;
    }
    assert!(fleet.quiet(5).opened().is_empty());
    fleet.skew("eu-2", 20_090 * MS);
    assert_eq!(fleet.quiet(3).opened(), ["offset of eu/eu-2"]);
}

fn violation(from: &str, to: &str) -> Violation {
    let of = |node: &str| ("eu".to_owned(), node.to_owned());
    Violation { from: of(from), to: of(to), messages: 3, by_ns: 5_000_000 }
}

#[test]
fn the_node_that_several_others_contradict_is_the_one_that_is_wrong() {
    let mut fleet = fleet();
    let told = fleet.rounds(5, |fleet, _| {
        let pairs = [("eu-1", "eu-5"), ("eu-5", "eu-2"), ("eu-5", "eu-3"), ("eu-7", "eu-8")];
        fleet.round.violations = pairs.map(|(from, to)| violation(from, to)).to_vec();
    });
    assert_eq!(told.opened(), ["causality of eu/eu-5", "causality of eu/eu-7 to eu/eu-8"]);
}

/// The messages of a minute are checked at its end, and once more.
#[test]
fn messages_that_are_checked_in_one_round_are_told_of() {
    let mut fleet = fleet();
    let told = fleet.rounds(4, |fleet, round| {
        fleet.round.violations = if round == 1 { vec![violation("eu-7", "eu-8")] } else { Vec::new() };
    });
    assert_eq!(told.opened(), ["causality of eu/eu-7 to eu/eu-8"]);
}

#[test]
fn messages_that_contradict_a_clock_that_is_known_to_be_wrong_are_told_with_it() {
    let mut fleet = fleet();
    fleet.skew("eu-5", 90 * MS);
    assert_eq!(fleet.quiet(2).opened(), ["offset of eu/eu-5"]);
    let more = fleet.rounds(5, |fleet, _| fleet.round.violations = vec![violation("eu-5", "eu-2")]);
    assert!(more.opened().is_empty() && !more.transitions.is_empty());
}

#[test]
fn a_new_cause_on_a_node_with_an_open_incident_is_told_and_what_follows_from_it_is_part_of_it() {
    let mut fleet = fleet();
    fleet.node("eu-1").round_trip_ns = Some(130_000_000);
    assert_eq!(fleet.quiet(400).opened(), ["bound of eu/eu-1"]);
    fleet.step("eu-1", 5 * SECOND);
    let told = fleet.quiet(60);
    assert_eq!(told.opened(), ["step of eu/eu-1"]);
    assert!(told.notifications[0].text.contains("also offset"), "{}", told.notifications[0].text);
    // The machine stands still besides: another cause. The clock is put right: one of them is over, and the bound lasts.
    jump(&mut fleet, "eu-1", -700 * MS);
    assert_eq!(fleet.quiet(60).opened(), ["pause of eu/eu-1"]);
    fleet.step("eu-1", -4_300 * MS);
    let over = fleet.quiet(60);
    assert_eq!((over.opened().len(), over.resolved()), (0, vec!["step of eu/eu-1".to_owned()]), "{:?}", over.states());
    fleet.node("eu-1").round_trip_ns = Some(200_000);
    assert_eq!(fleet.quiet(60).resolved(), ["bound of eu/eu-1"]);
}

#[test]
fn sides_of_the_same_thing_are_told_once_in_whatever_order_they_show() {
    let mut fleet = fleet();
    let contradiction =
        Contradiction { claimed_ns: Interval::around(90 * MS, 1_000_000), measured_ns: Interval::around(0, 100_000) };
    let claim = ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) };
    fleet.skew("eu-5", 90 * MS);
    assert_eq!(fleet.quiet(100).opened(), ["offset of eu/eu-5"]);
    let more = fleet.rounds(5, |fleet, _| fleet.node("eu-5").claims.push(claim.clone()));
    assert!(more.opened().is_empty() && more.states().contains(&"claim of eu/eu-5: firing".to_owned()));
}

#[test]
fn regions_whose_link_cannot_be_true_are_told() {
    let mut fleet = fleet();
    let apart_ns = Interval::around(0, 1_000_000);
    fleet.round.links = vec![LinkSeen {
        region: "ap".into(),
        peer: "us".into(),
        apart_ns,
        false_by_ns: Some(3_000_000),
        ..LinkSeen::default()
    }];
    assert_eq!(fleet.quiet(5).opened(), ["regions of ap and us"]);
}
