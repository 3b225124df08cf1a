//! A restart neither tells again nor forgets.

use proptest::prelude::*;
use syncline_alerts::round::{ClaimSeen, Contradiction, Step, Violation};
use syncline_alerts::{Against, Engine, Interval, Policy, SnapshotError};

use crate::fleet::{Fleet, MS};

/// A state with something of everything in it, as version 2 writes it.
const GOLDEN: &str = include_str!("golden/state-v2.json");

fn busy() -> Fleet {
    let mut fleet = Fleet::of(&[("eu", 4), ("us", 3)]);
    fleet.rounds(6, |fleet, round| {
        match round {
            2 => fleet.step("eu-1", 300 * MS),
            3 => fleet.node("eu-2").silent_ns = 500_000_000_000,
            4 => {
                fleet.skew("us-0", -700 * MS);
                fleet.node("us-0").epoch += 1;
            }
            _ => {}
        }
        let contradiction =
            Contradiction { claimed_ns: Interval::exactly(0), measured_ns: Interval::around(-300 * MS, 100_000) };
        fleet.node("eu-1").claims = vec![ClaimSeen { source: "chrony".into(), contradiction: Some(contradiction) }];
    });
    fleet
}

#[test]
fn what_version_2_wrote_is_read() {
    let fleet = busy();
    if std::env::var_os("SYNCLINE_WRITE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alerts/golden/state-v2.json");
        std::fs::write(path, fleet.engine.snapshot().unwrap() + "\n").unwrap();
    }
    // A change of what is written needs another VERSION.
    assert_eq!(fleet.engine.snapshot().unwrap(), GOLDEN.trim_end());
    // Of before steps had instants.
    let before = GOLDEN.replace(",\"happened_ns\":1790000030000000000", "");
    assert!(before != GOLDEN && Engine::restore(&before, Policy::default()).is_ok());
    let restored = Engine::restore(GOLDEN, Policy::default()).unwrap();
    assert_eq!(restored, fleet.engine);
    assert!(restored.incidents().count() >= 2 && restored.alerts().count() > restored.incidents().count());
}

#[test]
fn what_an_alert_is_against_is_kept() {
    let mut fleet = Fleet::of(&[("eu", 9)]);
    fleet.round.regions.clear();
    fleet.skew("eu-4", 90 * MS);
    fleet.quiet(3);
    let restored = Engine::restore(&fleet.engine.snapshot().unwrap(), Policy::default()).unwrap();
    let against: Vec<Against> = restored.alerts().map(|(_, alert)| alert.against).collect();
    assert_eq!(against, [Against::Region]);
}

#[test]
fn what_is_no_state_is_refused_with_why() {
    let refused = |text: &str| Engine::restore(text, Policy::default()).unwrap_err();
    let other = GOLDEN.replacen("\"version\":2", "\"version\":7", 1);
    assert!(matches!(refused(&other), SnapshotError::OtherVersion { found: 7 }));
    for bad in ["", "{}", "[1]", &GOLDEN[..GOLDEN.len() / 2], "{\"version\":2}"] {
        assert!(refused(bad).to_string().contains("begin anew"), "{bad}");
    }
}

#[derive(Clone, Debug)]
enum Event {
    Skew(usize, i64),
    Step(usize, i64),
    Jump(usize, i64),
    Unknown(usize),
    Silent(usize, u64),
    Violated(usize, usize),
    RegionFalse(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (node, size) = (0_usize..8, -200 * MS..200 * MS);
    prop_oneof![
        (node.clone(), size.clone()).prop_map(|(node, size)| Event::Skew(node, size)),
        (node.clone(), size.clone()).prop_map(|(node, size)| Event::Step(node, size)),
        (node.clone(), size).prop_map(|(node, size)| Event::Jump(node, size)),
        node.clone().prop_map(Event::Unknown),
        (node.clone(), 0..1_000_000_000_000_u64).prop_map(|(node, silent)| Event::Silent(node, silent)),
        (node.clone(), node).prop_map(|(one, other)| Event::Violated(one, other)),
        (0_usize..2).prop_map(Event::RegionFalse),
    ]
}

fn happen(fleet: &mut Fleet, event: &Event) {
    let nodes = &mut fleet.round.nodes;
    match *event {
        Event::Skew(node, size) | Event::Step(node, size) | Event::Jump(node, size) => {
            let seen = &mut nodes[node];
            let skew = seen.skew_ns.unwrap_or(Interval::around(0, 100_000));
            seen.skew_ns = Some(skew.against(-size));
            seen.epoch += u32::from(matches!(event, Event::Jump(..)));
            seen.steps.extend(matches!(event, Event::Step(..)).then_some(Step { size_ns: size, ..Step::default() }));
        }
        Event::Unknown(node) => nodes[node].skew_ns = None,
        Event::Silent(node, silent_ns) => nodes[node].silent_ns = silent_ns,
        Event::Violated(one, other) => {
            let of = |node: usize| (nodes[node].region.clone(), nodes[node].node.clone());
            let (from, to) = (of(one), of(other));
            fleet.round.violations.push(Violation { from, to, messages: 1, by_ns: 1 });
        }
        Event::RegionFalse(region) => {
            let seen = &mut fleet.round.regions[region];
            seen.false_by_ns = seen.false_by_ns.map_or(Some(90_000_000), |_| None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn with_a_restart_after_each_round_all_is_told_as_without(events in prop::collection::vec((0_usize..120, event()), 0..60)) {
        let (mut steady, mut restarted) = (Fleet::of(&[("eu", 5), ("us", 3)]), Fleet::of(&[("eu", 5), ("us", 3)]));
        for round in 0..120 {
            for (_, event) in events.iter().filter(|(at, _)| *at == round) {
                happen(&mut steady, event);
                happen(&mut restarted, event);
            }
            let (told, again) = (steady.next(), restarted.next());
            prop_assert_eq!(told.transitions, again.transitions);
            prop_assert_eq!(told.notifications, again.notifications);
            let snapshot = restarted.engine.snapshot().unwrap();
            restarted.engine = Engine::restore(&snapshot, Policy::default()).unwrap();
            prop_assert_eq!(&restarted.engine, &steady.engine);
        }
    }

    #[test]
    fn an_alert_goes_from_state_to_state_as_is_drawn_and_an_incident_is_told_once(
        events in prop::collection::vec((0_usize..120, event()), 0..60),
    ) {
        use std::collections::BTreeMap;
        use syncline_alerts::{Kind, State};
        let mut fleet = Fleet::of(&[("eu", 5), ("us", 3)]);
        let (mut states, mut opened) = (BTreeMap::new(), BTreeMap::new());
        let told = fleet.rounds(300, |fleet, round| {
            events.iter().filter(|(at, _)| *at == round).for_each(|(_, event)| happen(fleet, event));
        });
        for one in &told.transitions {
            prop_assert_eq!(states.insert(one.key.clone(), one.to).filter(|state| *state != State::Resolved), one.from);
            prop_assert!(one.from != Some(one.to) && one.from != Some(State::Resolved));
            prop_assert_eq!(one.incident.is_some(), one.to == State::Firing || one.from == Some(State::Firing));
        }
        for one in &told.notifications {
            let before = opened.insert(one.incident, one.kind);
            prop_assert_eq!(before, (one.kind == Kind::Resolved).then_some(Kind::Opened));
        }
    }
}
