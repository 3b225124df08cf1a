//! One alert from its beginning to its end.

use syncline_alerts::round::{ClaimSeen, Contradiction};
use syncline_alerts::{Interval, Matcher, Override, Pattern, Policy, Rule, Severity, Silence};

use crate::fleet::{EVERY_NS, Fleet, MS, SECOND};

fn fleet() -> Fleet {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

#[test]
fn a_step_is_told_in_the_second_round_once_with_all_that_follows_from_it() {
    let mut fleet = fleet();
    fleet.step("eu-1", 300 * MS);
    let first = fleet.next();
    assert_eq!(first.states(), ["step of eu/eu-1: pending", "offset of eu/eu-1: pending"]);
    let second = fleet.next();
    assert_eq!(second.states(), ["step of eu/eu-1: firing", "offset of eu/eu-1: firing"]);
    assert_eq!(second.opened(), ["step of eu/eu-1"]);
    let told = &second.notifications[0];
    assert_eq!(
        told.text,
        "eu/eu-1: the wall clock was set forward by 300 ms at 2026-09-21T14:14:05Z (limit 10.0 ms); also offset"
    );
    let contradiction =
        Contradiction { claimed_ns: Interval::around(0, 1_000_000), measured_ns: Interval::around(-300 * MS, 100_000) };
    let claim = ClaimSeen { source: "kernel".into(), contradiction: Some(contradiction) };
    let claimed = fleet.rounds(2, |fleet, _| fleet.node("eu-1").claims.push(claim.clone()));
    assert_eq!(claimed.states(), ["claim of eu/eu-1: pending", "claim of eu/eu-1: firing"]);
    assert!(claimed.notifications.is_empty());
    // The step is over after its quiet time, the offset lasts; a step back ends it and is none.
    let later = fleet.quiet(60);
    assert!(later.notifications.is_empty() && later.states().contains(&"step of eu/eu-1: resolved".to_owned()));
    fleet.step("eu-1", -300 * MS);
    let end = fleet.quiet(60);
    assert_eq!((end.opened(), end.resolved()), (vec![], vec!["step of eu/eu-1".to_owned()]), "{:?}", end.states());
    assert_eq!((fleet.engine.alerts().count(), fleet.engine.incidents().count()), (0, 0));
}

#[test]
fn only_a_whole_interval_beyond_the_limit_is_told() {
    let mut fleet = fleet();
    // 50 ms, and 0.6 ms that bounds may take.
    fleet.skew("eu-1", 50 * MS + 600_000);
    assert!(fleet.quiet(10).transitions.iter().all(|one| one.key.rule != Rule::Offset));
    fleet.skew("eu-1", 1);
    assert_eq!(fleet.quiet(2).opened(), ["offset of eu/eu-1"]);
}

#[test]
fn an_offset_about_its_limit_is_told_once_and_ends_below_four_fifths_of_it() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    fleet.skew("eu-1", 52 * MS);
    let flapping = fleet.rounds(400, |fleet, number| {
        let by = if number == 0 {
            0
        } else if number % 2 == 0 {
            3 * MS
        } else {
            -3 * MS
        };
        fleet.skew("eu-1", by);
    });
    let told: Vec<String> = flapping.opened().into_iter().chain(flapping.resolved()).collect();
    assert!(told.is_empty(), "it never broke in two rounds on end: {told:?}");
    fleet.skew("eu-1", 3 * MS);
    let begun = fleet.quiet(2);
    assert_eq!(begun.opened(), ["offset of eu/eu-1"]);
    let holding = fleet.rounds(400, |fleet, number| fleet.skew("eu-1", if number % 2 == 0 { -3 * MS } else { 3 * MS }));
    assert!(holding.transitions.is_empty(), "{:?}", holding.states());
    fleet.skew("eu-1", -30 * MS);
    let (before, after) = (fleet.quiet(40), fleet.quiet(1));
    assert!(before.transitions.is_empty(), "quiet for ten minutes first: {:?}", before.states());
    assert_eq!(after.resolved(), ["offset of eu/eu-1"]);
}

#[test]
fn what_is_met_for_one_round_is_never_told() {
    let mut fleet = fleet();
    fleet.skew("eu-1", 80 * MS);
    let once = fleet.next();
    assert_eq!(once.states(), ["offset of eu/eu-1: pending"]);
    fleet.skew("eu-1", -80 * MS);
    let after = fleet.next();
    assert_eq!((after.states(), after.notifications.len()), (vec!["offset of eu/eu-1: resolved".to_owned()], 0));
}

#[test]
fn drift_away_from_utc_is_told_and_towards_it_is_not() {
    let mut fleet = fleet();
    let away = fleet.rounds(50, |fleet, _| fleet.skew("eu-1", 20_000 * EVERY_NS / SECOND));
    assert_eq!(away.opened(), ["drift of eu/eu-1"]);
    let mut fleet = Fleet::of(&[("eu", 5)]);
    fleet.skew("eu-1", -40 * MS);
    fleet.quiet(3);
    let towards = fleet.rounds(100, |fleet, _| fleet.skew("eu-1", 20_000 * EVERY_NS / SECOND));
    assert!(towards.transitions.is_empty(), "{:?}", towards.states());
}

#[test]
fn what_cannot_be_told_for_a_while_is_not_over() {
    let mut fleet = fleet();
    let away = |fleet: &mut Fleet, _| fleet.skew("eu-1", 20_000 * EVERY_NS / SECOND);
    assert_eq!(fleet.rounds(50, away).opened(), ["drift of eu/eu-1"]);
    // A disruption: drift is measured anew, which takes as long as it takes an alert to end.
    fleet.node("eu-1").epoch += 1;
    assert!(fleet.rounds(80, away).transitions.iter().all(|one| one.key.rule != Rule::Drift));
}

#[test]
fn what_is_known_far_worse_for_a_while_is_not_over() {
    let mut fleet = fleet();
    let away = |fleet: &mut Fleet, _| fleet.skew("eu-1", 15_000 * EVERY_NS / SECOND);
    assert_eq!(fleet.rounds(100, away).opened(), ["drift of eu/eu-1"]);
    // UTC by links alone for an hour, which tells no drift.
    fleet.round.regions[0].utc_ns = Some(Interval::around(9 * MS, 30_000_000));
    let worse = fleet.rounds(240, away);
    fleet.round.regions[0].utc_ns = Some(Interval::around(0, 500_000));
    let after = fleet.rounds(100, away);
    assert!(worse.notifications.is_empty() && after.notifications.is_empty(), "{worse:?} {after:?}");
    // It is steered again, and put right: over.
    fleet.step("eu-1", -15_000 * EVERY_NS / SECOND * 440);
    assert_eq!(fleet.quiet(120).resolved(), ["drift of eu/eu-1"]);
}

#[test]
fn a_node_that_is_silent_is_told_and_nothing_else_of_it_is_over_meanwhile() {
    let mut fleet = fleet();
    fleet.skew("eu-1", -80 * MS);
    assert_eq!(fleet.quiet(2).opened(), ["offset of eu/eu-1"]);
    let silent = fleet.rounds(100, |fleet, _| {
        let node = fleet.node("eu-1");
        (node.skew_ns, node.frequency_ppb, node.round_trip_ns) = (None, None, None);
        node.silent_ns += EVERY_NS.unsigned_abs();
    });
    assert_eq!(silent.states(), ["silence of eu/eu-1: pending", "silence of eu/eu-1: firing"]);
    assert!(silent.notifications.is_empty(), "it is told of already");
    fleet.round.nodes.retain(|node| node.node != "eu-1");
    let gone = fleet.quiet(24 * 3_600 / 15 + 2);
    assert_eq!((gone.opened(), gone.resolved()), (vec![], vec!["offset of eu/eu-1".to_owned()]));
    assert_eq!(gone.states(), ["offset of eu/eu-1: resolved", "silence of eu/eu-1: resolved"]);
    assert_eq!((fleet.engine.alerts().count(), fleet.engine.incidents().count()), (0, 0), "it is forgotten in a day");
}

#[test]
fn a_path_too_long_for_a_useful_bound_is_told_before_the_bound_has_grown() {
    let mut fleet = fleet();
    fleet.node("eu-1").round_trip_ns = Some(130_000_000);
    let told = fleet.quiet(2);
    assert_eq!(told.opened(), ["bound of eu/eu-1"]);
    assert!(told.notifications[0].text.contains("65.0 ms either way"), "{}", told.notifications[0].text);
}

#[test]
fn an_oscillator_at_the_edge_of_what_can_be_steered_is_told_once_its_estimate_has_stood() {
    let mut fleet = fleet();
    fleet.node("eu-1").frequency_ppb = Some(-460_000);
    assert!(fleet.quiet(20).transitions.is_empty(), "a model may say so for a moment");
    fleet.node("eu-2").frequency_ppb = Some(-400_900);
    let told = fleet.quiet(100);
    assert_eq!(told.opened(), ["frequency of eu/eu-1"]);
    fleet.node("eu-1").boot = 2;
    fleet.node("eu-1").frequency_ppb = Some(30_000);
    assert_eq!(fleet.quiet(90).resolved(), ["frequency of eu/eu-1"]);
}

#[test]
fn a_wall_clock_that_comes_up_otherwise_after_a_boot_was_not_set() {
    let mut fleet = fleet();
    fleet.skew("eu-1", -40 * MS);
    (fleet.node("eu-1").boot, fleet.node("eu-1").epoch) = (2, 1);
    assert!(fleet.quiet(100).transitions.is_empty());
}

/// The agent runs before the daemon has set the clock.
#[test]
fn a_daemon_that_sets_the_clock_right_after_a_boot_is_told_of_by_nobody() {
    let mut fleet = fleet();
    fleet.step("eu-1", 2 * SECOND);
    fleet.skew("eu-1", -2 * SECOND);
    (fleet.node("eu-1").boot, fleet.node("eu-1").epoch) = (2, 0);
    assert!(fleet.quiet(100).transitions.is_empty());
    // One that sets it wrong is.
    fleet.node("eu-1").boot = 3;
    fleet.step("eu-1", 2 * SECOND);
    assert_eq!(fleet.quiet(3).opened(), ["step of eu/eu-1"]);
}

#[test]
fn far_off_is_critical() {
    let mut fleet = fleet();
    fleet.skew("eu-1", 60 * MS);
    fleet.skew("eu-2", 600 * MS);
    let severities: Vec<Severity> = fleet.quiet(2).notifications.iter().map(|told| told.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Critical]);
}

fn nodes(pattern: &str) -> Matcher {
    Matcher { node: Some(Pattern::try_from(pattern.to_owned()).unwrap()), ..Matcher::default() }
}

#[test]
fn what_happened_under_a_silence_is_not_told_after_it_and_what_lasts_is() {
    let mut fleet = fleet();
    let from_ns = fleet.round.at_ns;
    let silence =
        Silence { when: nodes("eu-[12]"), from_ns, until_ns: from_ns + 10 * EVERY_NS, comment: "work".into() };
    fleet.silences.push(silence);
    fleet.step("eu-1", 20 * MS);
    fleet.step("eu-2", 20 * MS);
    fleet.skew("eu-2", 60 * MS);
    let during = fleet.rounds(9, |fleet, round| {
        if round == 6 {
            fleet.step("eu-3", 20 * MS);
        }
    });
    assert_eq!(during.opened(), ["step of eu/eu-3"]);
    assert_eq!(during.transitions.iter().filter(|one| one.is_silenced).count(), 6, "{:?}", during.states());
    assert_eq!(fleet.quiet(20).opened(), ["step of eu/eu-2"], "its offset lasts");
}

#[test]
fn some_nodes_may_have_other_limits_or_none() {
    let rules = vec![Rule::Offset];
    let wide = Override { when: Matcher { rules: rules.clone(), ..nodes("eu-1") }, limit: Some(200_000_000) };
    let off = Override { when: Matcher { rules, ..nodes("eu-2") }, limit: None };
    let mut fleet = fleet().with(Policy { overrides: vec![wide, off], ..Policy::default() });
    (1..4).for_each(|number| fleet.skew(&format!("eu-{number}"), if number == 2 { -90 * MS } else { 90 * MS }));
    assert_eq!(fleet.quiet(5).opened(), ["offset of eu/eu-3"]);
    fleet.skew("eu-1", 120 * MS);
    assert_eq!(fleet.quiet(5).opened(), ["offset of eu/eu-1"]);
}

#[test]
fn rounds_are_evaluated_in_order_each_once() {
    let mut fleet = fleet();
    let refused = fleet.engine.clone().evaluate(&fleet.round, &[]).unwrap_err().to_string();
    assert!(refused.contains("not after the one before"), "{refused}");
    assert!(fleet.quiet(1).transitions.is_empty());
}
