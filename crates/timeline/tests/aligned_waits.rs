//! Waits of a simulated node land where they were.

use syncline_clock::{NodeClock, Status, Tolerance};
use syncline_event::{Kind, StackId, Target, TraceContext, WaitFlags, Waits};
use syncline_sim::{NodeSettings, SimulatedNode};
use syncline_timebase::Offset;
use syncline_timeline::align;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

fn observed_for(node: &mut SimulatedNode, seconds: i64) -> NodeClock {
    let mut clock = NodeClock::new(Tolerance::default());
    for second in 0..seconds {
        let asked = second * SECOND + 950 * MS;
        let (probe, returned) = node.probe(asked);
        let mut at: Vec<i64> = (0..10).map(|tick| second * SECOND + tick * 100 * MS).collect();
        at.extend(probe.iter().flat_map(|_| [asked - 1_000, returned + 1_000]));
        let knots: Vec<_> = at.into_iter().map(|at| node.knot(at)).collect();
        clock.observe(&knots, probe.as_slice());
    }
    clock
}

fn push(waits: &mut Waits, node: &mut SimulatedNode, from: i64, to: i64) {
    let start = node.mono(from);
    waits.kind.push(Kind::Goroutine);
    waits.reason.push(0);
    waits.process.push(0);
    waits.tid.push(1);
    waits.goid.push(1);
    waits.start.push(start);
    waits.wall_offset.push(Offset::from_ns(0));
    waits.duration_ns.push((node.mono(to) - start).ns().unsigned_abs());
    waits.run_delay_ns.push(0);
    waits.stack.push(StackId::NONE);
    waits.waker_goid.push(0);
    waits.waker_stack.push(StackId::NONE);
    waits.target.push(Target::default());
    waits.flags.push(WaitFlags::default());
    waits.trace.push(TraceContext::NONE);
}

#[test]
fn both_ends_of_short_and_long_waits_are_inside_their_bounds() {
    let mut node = SimulatedNode::new(NodeSettings::default(), 5);
    let clock = observed_for(&mut node, 300);
    let truth = [(10 * SECOND, 10 * SECOND + 2 * MS), (20 * SECOND, 280 * SECOND), (200 * SECOND, 200 * SECOND + 1)];
    let mut waits = Waits::default();
    truth.iter().for_each(|(from, to)| push(&mut waits, &mut node, *from, *to));
    let aligned = align(&waits, &clock);
    for (row, (from, to)) in truth.into_iter().enumerate() {
        assert!(
            aligned.start.bracket(row, waits.start[row]).contains(SimulatedNode::reference(from)),
            "start of {row}"
        );
        assert!(aligned.end.bracket(row, waits.end(row)).contains(SimulatedNode::reference(to)), "end of {row}");
        assert_eq!(aligned.status[row], Status::Synchronized);
    }
    // 260 s at 20 ppm: one offset for both ends would be 5 ms off.
    assert!(aligned.start.offset[1].ns() - aligned.end.offset[1].ns() > 5 * MS - 20_000);
}

#[test]
fn before_any_probe_nothing_is_claimed() {
    let mut node = SimulatedNode::new(NodeSettings::default(), 6);
    let mut waits = Waits::default();
    push(&mut waits, &mut node, SECOND, 2 * SECOND);
    let aligned = align(&waits, &NodeClock::new(Tolerance::default()));
    assert!(!aligned.start.bound[0].is_bounded() && !aligned.end.bound[0].is_bounded());
    assert_eq!(aligned.status[0], Status::Unknown);
}
