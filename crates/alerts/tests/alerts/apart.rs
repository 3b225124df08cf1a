//! Regions against one another, where nobody claims to know UTC; and words of UTC of which one is false.

use std::ops::Range;

use syncline_alerts::round::{ClaimSeen, Contradiction, LinkSeen};
use syncline_alerts::{Interval, Severity};

use crate::fleet::{EVERY_NS, Fleet, MS, SECOND};

/// What links tell of two references, either way.
const LINK_NS: u64 = 30_000_000;

/// Nobody knows UTC; the reference of each region is 7 s ahead of that of the one before, and all wall clocks are right.
fn fleet(sizes: &[(&str, usize)]) -> Fleet {
    let mut fleet = Fleet::of(sizes);
    fleet.round.regions.clear();
    for (place, (region, _)) in sizes.iter().enumerate() {
        let off_ns = 7 * SECOND * place as i64;
        let of_region = fleet.round.nodes.iter_mut().filter(|node| node.region == *region);
        of_region.for_each(|node| node.skew_ns = node.skew_ns.map(|skew| skew.against(off_ns)));
        for (before, (peer, _)) in sizes.iter().enumerate().take(place) {
            let apart_ns = Interval::around(7 * SECOND * (place - before) as i64, LINK_NS);
            let (region, peer) = ((*peer).to_owned(), (*region).to_owned());
            fleet.round.links.push(LinkSeen { region, run: 7, peer, peer_run: 7, apart_ns, false_by_ns: None });
        }
    }
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

fn skew(fleet: &mut Fleet, region: &str, nodes: Range<usize>, by_ns: i64) {
    nodes.for_each(|number| fleet.skew(&format!("{region}-{number}"), by_ns));
}

#[test]
fn without_utc_regions_whose_wall_clocks_are_apart_are_told() {
    for (eu, us) in [(9, 9), (2, 9), (1, 1)] {
        let mut fleet = fleet(&[("eu", eu), ("us", us)]);
        skew(&mut fleet, "us", 0..us, 5 * SECOND);
        let told = fleet.quiet(5);
        assert_eq!(told.opened(), ["regions of eu and us"], "{eu} and {us} nodes: {:?}", told.states());
        let told = &told.notifications[0];
        let text = "eu and us: most wall clocks of eu are behind those of us by 4.97 s at least (limit 50.0 ms)";
        assert!(told.text.starts_with(text), "{}", told.text);
        assert_eq!(told.severity, Severity::Critical);
        skew(&mut fleet, "us", 0..us, -5 * SECOND);
        assert_eq!(fleet.quiet(60).resolved(), ["regions of eu and us"]);
    }
}

#[test]
fn only_what_links_cannot_explain_is_told_of_regions() {
    let mut fleet = fleet(&[("eu", 9), ("us", 9)]);
    skew(&mut fleet, "us", 0..9, 80 * MS);
    assert!(fleet.quiet(20).transitions.is_empty());
    skew(&mut fleet, "us", 0..9, MS);
    assert_eq!(fleet.quiet(3).opened(), ["regions of eu and us"]);
}

#[test]
fn a_region_that_two_others_are_apart_from_is_the_one_that_is_wrong() {
    let mut fleet = fleet(&[("ap", 9), ("eu", 9), ("us", 2)]);
    skew(&mut fleet, "eu", 0..9, -400 * MS);
    let told = fleet.quiet(5);
    assert_eq!(told.opened(), ["regions of eu"], "{:?}", told.states());
    let text = "eu: most wall clocks are behind those of other regions, of one by 370 ms at least (limit 50.0 ms)";
    assert!(told.notifications[0].text.starts_with(text), "{}", told.notifications[0].text);
    // What is not known of is not mended.
    let links = std::mem::take(&mut fleet.round.links);
    assert!(fleet.quiet(60).notifications.is_empty());
    fleet.round.links = links;
    skew(&mut fleet, "eu", 0..9, 400 * MS);
    assert_eq!(fleet.quiet(60).resolved(), ["regions of eu"]);
}

#[test]
fn a_link_of_another_run_says_nothing_of_wall_clocks() {
    let mut fleet = fleet(&[("eu", 9), ("us", 9)]);
    fleet.round.links[0].peer_run = 8;
    skew(&mut fleet, "us", 0..9, 5 * SECOND);
    assert!(fleet.quiet(20).transitions.is_empty());
}

#[test]
fn clocks_that_are_worked_on_do_not_set_their_region_apart() {
    let mut fleet = fleet(&[("eu", 9), ("us", 9)]);
    let (from_ns, until_ns) = (fleet.round.at_ns, fleet.round.at_ns + 100 * EVERY_NS);
    let silence = syncline_alerts::Silence::declared(("", "us-[0-5]", ""), (from_ns, until_ns), "work").unwrap();
    fleet.silences.push(silence);
    skew(&mut fleet, "us", 0..6, 5 * SECOND);
    assert!(fleet.quiet(20).opened().is_empty());
}

#[test]
fn of_two_words_of_utc_none_is_accused_where_bounds_do_not_tell() {
    let mut fleet = Fleet::of(&[("eu", 9), ("us", 9)]);
    fleet.quiet(3);
    let contradiction =
        Contradiction { claimed_ns: Interval::around(60 * MS, 2_000_000), measured_ns: Interval::around(0, 100_000) };
    let claim = ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) };
    let told = fleet.rounds(20, |fleet, round| {
        // Now the one is the less likely, now the other.
        for (place, seen) in fleet.round.regions.iter_mut().enumerate() {
            seen.is_doubted = true;
            seen.false_by_ns = (place == round % 2).then_some(60_000_000);
        }
        (0..9).for_each(|number| fleet.node(&format!("us-{number}")).claims.push(claim.clone()));
    });
    assert_eq!(told.opened(), ["reference of eu and us"], "{:?}", told.states());
    let text = &told.notifications[0].text;
    assert!(text.contains("one of the two claims UTC falsely, by 60.0 ms at least"), "{text}");
    // It is proved: the same incident says so.
    fleet.round.regions[0].false_by_ns = None;
    (fleet.round.regions[1].false_by_ns, fleet.round.regions[1].is_doubted) = (Some(60_000_000), false);
    let proved = fleet.quiet(5);
    assert!(proved.opened().is_empty() && proved.states().contains(&"reference of us: firing".to_owned()));
    fleet.round.regions.iter_mut().for_each(|seen| seen.false_by_ns = None);
    assert_eq!(fleet.quiet(60).resolved(), ["reference of eu and us"]);
}

#[test]
fn of_three_words_the_less_likely_one_is_named_as_such() {
    let mut fleet = Fleet::of(&[("ap", 9), ("eu", 9), ("us", 9)]);
    (fleet.round.regions[1].false_by_ns, fleet.round.regions[1].is_doubted) = (Some(60_000_000), true);
    let told = fleet.quiet(5);
    assert_eq!(told.opened(), ["reference of eu"]);
    let text = &told.notifications[0].text;
    assert!(text.contains("or another's is, which bounds do not tell"), "{text}");
}
