//! Half of a region is not most of it: what it does is told of its nodes, and of nobody else.

use syncline_alerts::Subject;

use crate::fleet::{EVERY_NS, Fleet, MS, SECOND, Told};

/// Of so many nodes half: two are two causes, three are one.
const SIZES: [usize; 2] = [4, 6];

fn fleet(nodes: usize) -> Fleet {
    let mut fleet = Fleet::of(&[("eu", nodes)]);
    assert!(fleet.quiet(3).transitions.is_empty());
    fleet
}

fn half(nodes: usize) -> impl Iterator<Item = String> {
    (0..nodes / 2).map(|number| format!("eu-{number}"))
}

/// The nodes of the half were told by this rule first, and nothing of their region or of the other half.
fn is_told_of_the_half(told: &Told, rule: &str, nodes: usize) {
    let words = if nodes / 2 < 3 { nodes / 2 } else { 1 };
    let expected: Vec<String> = half(nodes).take(words).map(|node| format!("{rule} of eu/{node}")).collect();
    assert_eq!(told.opened(), expected, "half of {nodes}: {:?}", told.states());
    let is_of_half = |subject: &Subject| half(nodes).any(|node| subject.node() == Some(&node));
    assert!(told.transitions.iter().all(|one| is_of_half(&one.key.subject)), "half of {nodes}: {:?}", told.states());
}

#[test]
fn that_is_set() {
    for nodes in SIZES {
        let mut fleet = fleet(nodes);
        half(nodes).for_each(|node| fleet.step(&node, 300 * MS));
        is_told_of_the_half(&fleet.quiet(60), "step", nodes);
    }
}

#[test]
fn that_stands_still() {
    for nodes in SIZES {
        let mut fleet = fleet(nodes);
        for node in half(nodes) {
            fleet.skew(&node, -700 * MS);
            fleet.node(&node).epoch += 1;
        }
        is_told_of_the_half(&fleet.quiet(60), "pause", nodes);
    }
}

#[test]
fn that_is_silent() {
    for nodes in SIZES {
        let told = fleet(nodes).rounds(60, |fleet, _| {
            for node in half(nodes) {
                let node = fleet.node(&node);
                (node.skew_ns, node.frequency_ppb, node.round_trip_ns) = (None, None, None);
                node.silent_ns += EVERY_NS.unsigned_abs();
            }
        });
        is_told_of_the_half(&told, "silence", nodes);
    }
}

#[test]
fn whose_probes_are_not_answered() {
    for nodes in SIZES {
        let told = fleet(nodes).rounds(60, |fleet, _| {
            for node in half(nodes) {
                let node = fleet.node(&node);
                (node.skew_ns, node.frequency_ppb, node.round_trip_ns) = (None, None, None);
            }
        });
        is_told_of_the_half(&told, "bound", nodes);
    }
}

/// At once, and not after the ten minutes that something common would be waited for.
#[test]
fn that_is_slowly_off() {
    for nodes in SIZES {
        let mut fleet = fleet(nodes);
        half(nodes).for_each(|node| fleet.skew(&node, 90 * MS));
        is_told_of_the_half(&fleet.quiet(2), "offset", nodes);
        assert!(fleet.quiet(60).notifications.is_empty(), "half of {nodes}");
    }
}

#[test]
fn that_drifts() {
    for nodes in SIZES {
        let mut fleet = fleet(nodes);
        let told = fleet.rounds(50, |fleet, _| {
            half(nodes).for_each(|node| fleet.skew(&node, 20_000 * EVERY_NS / SECOND));
        });
        is_told_of_the_half(&told, "drift", nodes);
    }
}

#[test]
fn whose_oscillators_are_at_the_edge() {
    for nodes in SIZES {
        let mut fleet = fleet(nodes);
        half(nodes).for_each(|node| fleet.node(&node).frequency_ppb = Some(480_000));
        is_told_of_the_half(&fleet.quiet(60), "frequency", nodes);
    }
}

/// Nor are half of the regions the fleet.
#[test]
fn half_of_the_regions_are_told_each_by_itself() {
    let regions = || {
        let mut fleet = Fleet::of(&[("ap", 4), ("eu", 4), ("sa", 4), ("us", 4)]);
        fleet.quiet(3);
        fleet
    };
    let skew = |fleet: &mut Fleet, by_ns: i64| {
        (0..4)
            .for_each(|number| ["eu", "us"].iter().for_each(|region| fleet.skew(&format!("{region}-{number}"), by_ns)));
    };
    let mut fleet = regions();
    skew(&mut fleet, 90 * MS);
    assert_eq!(fleet.quiet(2).opened(), ["offset of eu", "offset of us"]);
    assert!(fleet.quiet(60).notifications.is_empty());
    let told = regions().rounds(60, |fleet, _| skew(fleet, 20_000 * EVERY_NS / SECOND));
    assert_eq!(told.opened(), ["drift of eu", "drift of us"]);
}
