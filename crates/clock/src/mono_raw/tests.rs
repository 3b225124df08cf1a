//! The map over simulated nodes whose truth is known, and over anything at all.

use proptest::collection::vec;
use proptest::prelude::*;
use syncline_sim::{CounterJump, NodeSettings, SimulatedNode};
use syncline_timebase::{Instant, Knot, Mono, Span};

use super::track::CAPACITY;
use super::{Heard, KnotVerdict, MonoToRaw};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

fn slewing_node() -> SimulatedNode {
    let steering =
        vec![(0, 0.0), (30 * SECOND, 500_000.0), (31 * SECOND + 40_000_000, -500_000.0), (60 * SECOND, 12_000.0)];
    SimulatedNode::new(NodeSettings { steering, ..NodeSettings::default() }, 3)
}

fn map_of(node: &mut SimulatedNode, seconds: i64) -> MonoToRaw {
    let mut map = MonoToRaw::default();
    for tick in 0..seconds * 10 {
        assert_eq!(map.observe(&node.knot(tick * SECOND / 10)).verdict, KnotVerdict::Taken);
    }
    map
}

fn assert_inside(map: &MonoToRaw, node: &mut SimulatedNode, ms: impl Iterator<Item = i64>) {
    for millisecond in ms {
        let now = millisecond * MS;
        let point = map.at(node.mono(now)).unwrap();
        let error = (point.raw - node.raw(now)).abs();
        assert!(error <= point.slack, "at {millisecond} ms: off by {error:?}, slack {:?}", point.slack);
    }
}

#[test]
fn the_truth_is_within_the_slack_through_slews_and_thinning() {
    let mut node = slewing_node();
    let map = map_of(&mut node, 600);
    assert!(map.track.points().len() <= CAPACITY);
    assert_inside(&map, &mut node, (0..600_000).step_by(7));
}

#[test]
fn a_whole_map_places_all_of_its_past_as_well_as_the_end() {
    let mut node = slewing_node();
    let mut map = MonoToRaw::whole();
    (0..600 * 10).for_each(|tick| assert_eq!(map.observe(&node.knot(tick * SECOND / 10)).verdict, KnotVerdict::Taken));
    assert_inside(&map, &mut node, (0..600_000).step_by(7));
    // Steering has changed for the last time after a minute.
    let later = (62_000..599_000).step_by(1_003);
    let worst = later.filter_map(|ms| map.at(node.mono(ms * MS))).map(|point| point.slack).max();
    assert!(worst <= Some(Span::from_ns(1_000)), "{worst:?}");
}

#[test]
fn recent_stamps_are_placed_within_a_microsecond() {
    let mut node = slewing_node();
    let map = map_of(&mut node, 100);
    let slack = map.at(node.mono(98 * SECOND)).unwrap().slack;
    assert!(slack <= Span::from_ns(1_000), "{slack:?}");
}

#[test]
fn wide_knots_say_little_and_harm_nobody() {
    let mut node = slewing_node();
    let mut map = MonoToRaw::default();
    for tick in 0..1_000 {
        let wide = tick % 5 == 2 || tick % 15 == 3;
        let (at, bracket) = (tick * SECOND / 10, if wide { 1 + tick * 7_919 % (2 * MS) } else { 150 });
        assert_eq!(map.observe(&node.knot_within(at, bracket)).verdict, KnotVerdict::Taken, "{tick}");
    }
    assert_inside(&map, &mut node, (0..99_900).step_by(7));
    let worst = |ms: std::ops::Range<i64>, node: &mut SimulatedNode| {
        ms.map(|ms| map.at(node.mono(ms * MS)).unwrap().slack).max().unwrap()
    };
    assert!(worst(97_000..99_000, &mut node) < Span::from_ns(1_000), "{:?}", worst(97_000..99_000, &mut node));
    assert!(worst(70_000..99_000, &mut node) < Span::from_ns(100_000), "{:?}", worst(70_000..99_000, &mut node));
}

#[test]
fn rare_knots_are_taken_through_slews_and_gaps() {
    for every in [SECOND, 10 * SECOND, 600 * SECOND, 7_200 * SECOND] {
        let mut node = slewing_node();
        let mut map = MonoToRaw::default();
        let heard: Vec<Heard> = (0..20).map(|tick| map.observe(&node.knot(tick * every))).collect();
        let doubted = heard.iter().filter(|heard| heard.verdict != KnotVerdict::Taken || heard.given_up > 0).count();
        assert!(if every < 3_600 * SECOND { doubted == 0 } else { doubted == 19 }, "{every}: {heard:?}");
        let known = if every < 3_600 * SECOND { 19 * every } else { 0 };
        assert_inside(&map, &mut node, (0..=known / MS).step_by(usize::try_from(every / MS / 40).unwrap()));
    }
}

fn jumping_node(raw_ns: i64) -> SimulatedNode {
    let jumps = vec![CounterJump { at_ns: 10 * SECOND + 33 * MS, raw_ns, ..CounterJump::default() }];
    SimulatedNode::new(NodeSettings { jumps, ..NodeSettings::default() }, 3)
}

#[test]
fn a_jump_of_one_clock_is_seen_once_and_raw_is_counted_on() {
    for raw_ns in [5 * MS, -5 * MS, -7_000 * SECOND, 1 << 50] {
        let (mut node, mut straight) = (jumping_node(raw_ns), jumping_node(0));
        let mut map = MonoToRaw::default();
        let verdicts: Vec<KnotVerdict> =
            (0..300).map(|tick| map.observe(&node.knot(tick * 100 * MS)).verdict).collect();
        let others: Vec<(usize, &KnotVerdict)> =
            verdicts.iter().enumerate().filter(|(_, verdict)| **verdict != KnotVerdict::Taken).collect();
        assert!(
            matches!(others.as_slice(), [(101, KnotVerdict::Doubted), (102, KnotVerdict::Jumped { .. })]),
            "{others:?}"
        );
        // The jump was of RAW alone, so that nothing is left of it but the doubt of one interval.
        let error = |ms: i64, map: &MonoToRaw| {
            let (point, truth) = (map.at(straight.mono(ms * MS)).unwrap(), straight.raw(ms * MS));
            ((point.raw - truth).abs(), point.slack)
        };
        let errors: Vec<(Span, Span)> = (0..29_000).step_by(7).scan(error, |error, ms| Some(error(ms, &map))).collect();
        assert!(errors.iter().all(|(error, _)| *error < Span::from_ns(1_000)), "{raw_ns}");
        assert!(errors.iter().all(|(_, slack)| *slack < Span::from_ns(250_000)), "{raw_ns}");
        assert!(map.is_broken(node.mono(10_010 * MS), node.mono(10_020 * MS)));
        assert!(!map.is_broken(node.mono(9_000 * MS), node.mono(9_950 * MS)));
    }
}

#[test]
fn where_the_clocks_may_have_jumped_nothing_is_placed_until_it_is_clear() {
    let mut node = jumping_node(5 * MS);
    let mut map = map_of(&mut node, 10);
    map.observe(&node.knot(10 * SECOND));
    assert_eq!(map.observe(&node.knot(10_100 * MS)).verdict, KnotVerdict::Doubted);
    assert!(map.at(node.mono(10_050 * MS)).is_none() && map.at(node.mono(9_950 * MS)).is_some());
    let honest = Knot { raw: node.raw(10_200 * MS) - Span::from_ms(5), ..node.knot(10_200 * MS) };
    assert_eq!(map.observe(&honest), Heard { verdict: KnotVerdict::Taken, given_up: 1 });
    assert!(map.at(node.mono(10_050 * MS)).is_some());
}

#[test]
fn the_tick_bends_mono_and_nothing_jumps() {
    let steering = vec![(0, 0.0), (10 * SECOND + 41 * MS, 83_333_000.0), (16 * SECOND + 77 * MS, 0.0)];
    let mut node = SimulatedNode::new(NodeSettings { steering, ..NodeSettings::default() }, 5);
    let mut map = MonoToRaw::default();
    for tick in 0..300 {
        let verdict = map.observe(&node.knot(tick * 100 * MS)).verdict;
        assert!(matches!(verdict, KnotVerdict::Taken | KnotVerdict::Doubted), "{tick}: {verdict:?}");
    }
    assert_inside(&map, &mut node, (0..29_900).step_by(3));
}

#[test]
fn what_was_leapt_to_is_forgotten_when_knots_go_on_in_the_past() {
    use KnotVerdict::{Doubted, OutOfOrder, Returned, Taken};
    let day = Span::from_s(86_400);
    let mut node = slewing_node();
    let mut map = map_of(&mut node, 100);
    let ahead = |node: &mut SimulatedNode, tick: i64| {
        let knot = node.knot(tick * 100 * MS);
        Knot { mono: knot.mono + day, raw: knot.raw + day + Span::from_s(3), ..knot }
    };
    let verdicts = [1_000, 1_001, 1_002].map(|tick| map.observe(&ahead(&mut node, tick)).verdict);
    assert!(matches!(verdicts, [Doubted, Taken, Taken]), "{verdicts:?}");
    let verdicts = [1_600, 1_601, 1_602, 1_603].map(|tick| map.observe(&node.knot(tick * 100 * MS)).verdict);
    assert!(matches!(verdicts, [OutOfOrder, OutOfOrder, Returned(_), Taken]), "{verdicts:?}");
    assert_inside(&map, &mut node, (0..160_300).step_by(70));
    assert!(map.at(node.mono(50 * SECOND)).unwrap().slack < Span::from_ns(100_000), "what was before is still known");
}

#[test]
fn nobody_is_locked_out_for_more_than_a_minute() {
    let mut node = slewing_node();
    let mut map = map_of(&mut node, 100);
    // Half a day of lies with knots all the way: no single leap to return from.
    for tick in 0..1_440 {
        map.observe(&node.knot((100 + tick * 30) * SECOND));
    }
    let back = (1_100..2_000).map(|tick| map.observe(&node.knot(tick * 100 * MS)).verdict);
    let returned = back.enumerate().find(|(_, verdict)| matches!(verdict, KnotVerdict::Returned(_)));
    assert!(returned.is_some_and(|(place, _)| place <= 601), "{returned:?}");
}

fn any_ns() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..100 * SECOND, 2 => any::<i64>(), 1 => i64::MAX - 10..=i64::MAX, 1 => i64::MIN..i64::MIN + 10]
}

fn any_knot() -> impl Strategy<Value = Knot> {
    let near = (any_ns(), -10_000_000..10_000_000i64).prop_map(|(mono, off)| (mono, mono.saturating_add(off)));
    let clocks = prop_oneof![2 => near, 1 => (any_ns(), any_ns())];
    (clocks, any_ns(), prop_oneof![4 => 0..2_000_000i64, 1 => any_ns()]).prop_map(|((mono, raw), wall, bracket)| Knot {
        mono: Instant::from_ns(mono),
        raw: Instant::from_ns(raw),
        wall: Instant::from_ns(wall),
        bracket: Span::from_ns(bracket),
    })
}

proptest! {
    #[test]
    fn points_stay_in_order_and_ends_within_64_bits(
        mut knots in vec(any_knot(), 0..400), sorted: bool, asked in vec(any_ns(), 1..40),
    ) {
        if sorted {
            knots.sort_by_key(|knot| knot.mono);
        }
        let mut map = MonoToRaw::default();
        for knot in &knots {
            map.observe(knot);
        }
        prop_assert!(map.track.points().is_sorted_by(|a, b| a.mono < b.mono));
        prop_assert!(map.track.points().len() <= CAPACITY);
        for mono in asked.into_iter().map(Instant::<Mono>::from_ns) {
            let Some(point) = map.at(mono) else { continue };
            prop_assert!(point.slack >= Span::ZERO);
            let (early, late) = (point.raw - point.slack, point.raw + point.slack);
            prop_assert_eq!((point.raw - early, late - point.raw), (point.slack, point.slack));
        }
    }

    /// Slews by NTP, one in half a second at most, and knots read at any time and in any length. Those by the tick are more
    /// than is assumed, but show where knots are read well.
    #[test]
    fn the_truth_is_within_the_slack_however_mono_is_steered(
        seed: u64,
        by_tick: bool,
        slews in vec((500 * MS..4 * SECOND, -1.0..1.0f64), 1..12),
        knots in vec((1..200 * MS, prop_oneof![4 => 40..200i64, 1 => 200..3 * MS]), 40..400),
    ) {
        let most_ppb = if by_tick { 9e7 } else { 5e5 };
        let later = |at: &mut i64, (after, share): (i64, f64)| {
            *at += if by_tick { after + SECOND } else { after };
            Some((*at, share * most_ppb))
        };
        let steering = [(0, 0.0)].into_iter().chain(slews.into_iter().scan(0, later)).collect();
        let mut node = SimulatedNode::new(NodeSettings { steering, ..NodeSettings::default() }, seed);
        let mut map = MonoToRaw::default();
        let (mut now, mut asked) = (0, Vec::new());
        for (after, bracket) in knots {
            let (after, bracket) = if by_tick { (after / 2, bracket.min(200)) } else { (after, bracket) };
            asked.extend([now + after / 3, now + after * 4 / 5]);
            now += after + bracket;
            map.observe(&node.knot_within(now, bracket));
        }
        let (_, newest) = map.span().unwrap();
        for at in asked {
            let (mono, raw) = (node.mono(at), node.raw(at));
            let Some(point) = map.at(mono).filter(|_| mono <= newest && map.broken.is_none()) else { continue };
            let error = (point.raw - raw).abs();
            prop_assert!(error <= point.slack, "at {} ns: off by {:?}, slack {:?}", at, error, point.slack);
        }
        prop_assert!(by_tick || map.broken.is_none());
    }

    /// Whatever comes, an honest node is heard again soon after.
    #[test]
    fn honest_knots_are_taken_again_after_anything(garbage in vec(any_knot(), 0..200)) {
        let mut map = MonoToRaw::default();
        let knot = |tick: i64| Knot {
            mono: Instant::from_ns(1_000 * SECOND + tick * 100 * MS),
            raw: Instant::from_ns(2_000 * SECOND + tick * 100 * MS),
            wall: Instant::from_ns(0),
            bracket: Span::from_ns(100),
        };
        (0..100).for_each(|tick| { map.observe(&knot(tick)); });
        garbage.iter().for_each(|knot| { map.observe(knot); });
        (100..710).for_each(|tick| { map.observe(&knot(tick)); });
        prop_assert_eq!(map.observe(&knot(710)).verdict, KnotVerdict::Taken);
        let point = map.at(knot(705).mono).unwrap();
        prop_assert!(point.slack < Span::from_ns(1_000));
    }
}
