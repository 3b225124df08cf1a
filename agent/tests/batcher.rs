//! The batcher: what is sealed when, what is told once, and that every wait is accounted for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::collections::HashMap;
use std::sync::Arc;

use syncline_agent::batch::{
    Batcher, Captured, ENOUGH_WAITS, FinishedWait, Sealing, ShortSum, ShortWhat, Symbolizer, Wanted,
};
use syncline_event::{
    Account, Batch, ClockDisruption, DisruptionSign, DroppedBatch, Kind, Loss, LossCause, Origin, ProbePath, Process,
    StackId, Symbol, Target, WaitFlags, limits,
};
use syncline_timebase::{BootId, Instant, Knot, Mono, Probe, Span};

const SECOND: i64 = 1_000_000_000;
/// The run starts here, so numbers and sequence numbers do, too.
const START_NS: i64 = 1_000 * SECOND;
const WALL_NS: i64 = 1_700_000_000 * SECOND;

struct Names;

impl Symbolizer for Names {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let symbol = |depth| Symbol {
            build_id: 7,
            pc,
            depth,
            function: format!("function_{pc}_{depth}"),
            file: "main.go".to_owned(),
            line: 1,
        };
        vec![symbol(0), symbol(1)]
    }
}

fn at(ms: i64) -> Instant<Mono> {
    Instant::from_ns(START_NS) + Span::from_ms(ms)
}

fn knot(ms: i64) -> Knot {
    let mono = at(ms);
    Knot {
        mono,
        raw: Instant::from_ns(mono.ns()),
        wall: Instant::from_ns(WALL_NS + mono.ns()),
        bracket: Span::from_ns(80),
    }
}

fn probe(sent_ms: i64) -> Probe {
    let reference = |ms: i64| Instant::from_ns(5 * SECOND + at(ms).ns());
    Probe {
        sent: at(sent_ms),
        received: reference(sent_ms),
        replied: reference(sent_ms),
        returned: at(sent_ms) + Span::from_ns(100_000),
    }
}

fn process() -> Arc<Process> {
    Arc::new(Process {
        pid: 42,
        service: "shop".to_owned(),
        executable: "/opt/shop".to_owned(),
        go_version: "go1.27.0".to_owned(),
        build_id: 7,
        ..Process::default()
    })
}

fn wait(process: &Arc<Process>, park_ms: i64, run_ms: i64) -> FinishedWait {
    let times = (at(park_ms), at(run_ms));
    let stack = vec![0x100, 0x200];
    FinishedWait {
        tid: 43,
        park_wall: Some(Instant::from_ns(WALL_NS + at(park_ms).ns() + 3)),
        ready: Some(at(run_ms) - Span::from_ns(500)),
        waker_goid: Some(45),
        ..FinishedWait::of_goroutine(Arc::clone(process), Arc::new(Names), times, (44, "chan receive"), stack)
    }
}

fn batcher() -> Batcher {
    batcher_with(Sealing::behind_probes(Span::from_s(1)))
}

fn batcher_with(sealing: Sealing) -> Batcher {
    let origin = Origin {
        node: "n1".parse().unwrap(),
        region: "eu".to_owned(),
        boot: BootId(9),
        run_first_seq: START_NS.unsigned_abs(),
        agent_version: "test".to_owned(),
        kernel: "6.18".to_owned(),
    };
    Batcher::new(origin, knot(0), sealing)
}

fn probed(batcher: &mut Batcher, sent_ms: i64) -> Option<Batch> {
    assert!(batcher.push_probe(probe(sent_ms), ProbePath::Udp, 1).is_none());
    batcher.push_knot(knot(sent_ms + 1));
    let batch = batcher.seal_if_due(at(sent_ms + 1));
    if let Some(batch) = &batch {
        batch.check().unwrap();
    }
    batch
}

#[test]
fn a_batch_holds_what_ended_before_the_probe_and_the_rest_comes_with_the_next() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 900));
    batcher.push_wait(wait(&process, 100, 1_000));
    batcher.push_wait(wait(&process, 100, 1_005));
    assert!(batcher.seal_if_due(at(999)).is_none(), "no probe has finished");
    let first = probed(&mut batcher, 1_000).unwrap();
    assert_eq!(first.waits.len(), 1);
    assert_eq!(first.waits.duration_ns, [800_000_000]);
    let second = probed(&mut batcher, 2_000).unwrap();
    assert_eq!(second.waits.len(), 2);
    assert_eq!(second.number, first.number + 1);
    assert_eq!(second.first_seq, first.first_seq + 1);
    assert_eq!(first.first_seq, START_NS.unsigned_abs());
}

#[test]
fn without_holding_the_waits_behind_the_last_probe_go_too() {
    let (mut batcher, process) = (batcher_with(Sealing::Every(Span::from_s(1))), process());
    batcher.push_wait(wait(&process, 100, 900));
    assert!(probed(&mut batcher, 901).is_none(), "a probe does not bring it forward");
    batcher.push_wait(wait(&process, 100, 990));
    let batch = batcher.seal_if_due(at(1_000)).unwrap();
    assert_eq!((batch.waits.len(), batch.probes.len()), (2, 1));
    batcher.push_wait(wait(&process, 1_000, 1_500));
    assert!(batcher.seal_if_due(at(1_999)).is_none());
    let batch = batcher.seal_if_due(at(2_000)).unwrap();
    assert_eq!((batch.waits.len(), batch.probes.len()), (1, 0), "no probe is waited for");
}

#[test]
fn waits_that_go_on_come_beside_the_finished_ones_and_take_no_numbers() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_open_wait(FinishedWait { ready: None, is_abandoned: true, ..wait(&process, 100, 900) });
    batcher.push_open_wait(FinishedWait { ready: None, ..wait(&process, 100, 1_005) });
    assert!(!batcher.has_waits(), "the clock need not be measured for them");
    let first = probed(&mut batcher, 1_000).unwrap();
    assert_eq!((first.waits.len(), first.open_waits.len(), first.stacks.len()), (0, 1, 1));
    assert_eq!(
        (&first.open_waits.duration_ns[..], &first.open_waits.flags[..]),
        (&[800_000_000][..], &[WaitFlags::ABANDONED][..])
    );
    let second = probed(&mut batcher, 2_000).unwrap();
    assert_eq!((second.open_waits.len(), second.first_seq), (1, first.first_seq));
    batcher.push_open_wait(FinishedWait { run: at(99), ready: None, ..wait(&process, 100, 900) });
    batcher.refused(&second);
    assert_eq!((batcher.totals().open_waits, batcher.totals().open_waits_untold), (2, 2));
    assert_eq!(batcher.totals().losses.total(), 0, "they come again, or end");
}

#[test]
fn more_waits_that_go_on_than_a_batch_holds_are_counted() {
    let (mut batcher, process) = (batcher(), process());
    for _ in 0..limits::OPEN_WAITS + 3 {
        batcher.push_open_wait(wait(&process, 100, 900));
    }
    let batch = probed(&mut batcher, 1_000).unwrap();
    assert_eq!((batch.open_waits.len(), batcher.totals().open_waits_untold), (limits::OPEN_WAITS, 3));
}

#[test]
fn the_columns_say_what_the_wait_was() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 900));
    batcher.push_wait(FinishedWait {
        ready: None,
        waker_goid: None,
        by_netpoll: true,
        stack_cut: true,
        stack_unreadable: true,
        park_wall: None,
        kind: Kind::Syscall,
        no_goroutine: true,
        stack: vec![],
        waker_stack: vec![0x300],
        wanted: Wanted { address: 7, fd: Some(0), file_type: Some("tcp"), ..Wanted::default() },
        ..wait(&process, 200, 950)
    });
    let batch = probed(&mut batcher, 1_000).unwrap();
    let waits = &batch.waits;
    assert_eq!(waits.run_delay_ns, [500, 0]);
    assert_eq!(waits.waker_goid, [45, 0]);
    assert_eq!(waits.wall_offset.iter().map(|offset| offset.ns()).collect::<Vec<_>>(), [WALL_NS + 3, WALL_NS]);
    assert_eq!(
        waits.flags,
        [
            WaitFlags::READY_SEEN,
            WaitFlags::BY_NETPOLL
                .with(WaitFlags::STACK_CUT)
                .with(WaitFlags::STACK_UNREADABLE)
                .with(WaitFlags::NO_GOROUTINE)
        ]
    );
    assert_eq!(waits.stack, [batch.stacks[0].id, StackId::NONE]);
    assert_eq!(waits.waker_stack, [StackId::NONE, batch.stacks[1].id]);
    assert_eq!(waits.kind, [Kind::Goroutine, Kind::Syscall]);
    assert_eq!(
        waits.target,
        [Target::default(), Target { address: 7, fd: Some(0), file_type: 1, ..Target::default() }]
    );
    assert_eq!(batch.file_types, ["tcp"]);
    assert_eq!(
        (batch.reasons.as_slice(), batch.processes.as_slice()),
        (&["chan receive".to_owned()][..], &[(*process).clone()][..])
    );
}

#[test]
fn the_probe_gives_the_coarse_reference_and_until_then_the_wall_clock() {
    let mut batcher = batcher();
    let early = batcher.seal_if_due(at(5_000)).unwrap();
    assert_eq!(early.coarse_reference.ns(), WALL_NS);
    assert_eq!(early.reference_run, 0);
    let later = probed(&mut batcher, 6_000).unwrap();
    assert_eq!(later.coarse_reference.ns(), 5 * SECOND - 50_000);
    assert_eq!((later.reference_run, later.probes.len()), (1, 1));
    assert_eq!(later.wall_offset.ns(), WALL_NS);
}

#[test]
fn a_wall_clock_that_is_set_moves_neither_the_coarse_reference_nor_the_numbers() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 900));
    let before = probed(&mut batcher, 1_000).unwrap();
    let hours = Span::from_s(5 * 3_600);
    batcher.push_wait(wait(&process, 1_100, 1_900));
    assert!(batcher.push_probe(probe(2_000), ProbePath::Udp, 1).is_none());
    batcher.push_knot(Knot { wall: knot(2_001).wall + hours, ..knot(2_001) });
    let after = batcher.seal_if_due(at(2_001)).unwrap();
    after.check().unwrap();
    assert_eq!(after.wall_offset.ns() - before.wall_offset.ns(), hours.ns());
    assert_eq!(after.coarse_reference, before.coarse_reference);
    assert_eq!((after.number, after.first_seq), (before.number + 1, before.first_seq + 1));
}

#[test]
fn without_a_probe_everything_goes_five_seconds_after_it_came() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 4_998));
    assert!(batcher.seal_if_due(at(5_000)).is_none());
    assert!(batcher.seal_if_due(at(9_999)).is_none());
    assert_eq!(batcher.seal_if_due(at(10_000)).unwrap().waits.len(), 1);
}

#[test]
fn many_waits_go_at_once() {
    let (mut batcher, process) = (batcher(), process());
    for _ in 0..ENOUGH_WAITS {
        assert!(batcher.seal_if_due(at(100)).is_none());
        batcher.push_wait(wait(&process, 1, 99));
    }
    assert_eq!(batcher.seal_if_due(at(100)).unwrap().waits.len(), ENOUGH_WAITS);
}

#[test]
fn with_a_probe_many_waits_go_but_for_those_that_ended_after_it() {
    let (mut batcher, process) = (batcher(), process());
    assert!(batcher.push_probe(probe(100), ProbePath::Udp, 1).is_none());
    for number in 0..ENOUGH_WAITS {
        assert!(batcher.seal_if_due(at(150)).is_none());
        batcher.push_wait(wait(&process, 1, if number < ENOUGH_WAITS / 2 { 99 } else { 101 }));
    }
    let first = batcher.seal_if_due(at(150)).unwrap();
    assert_eq!(first.waits.len(), ENOUGH_WAITS / 2);
    assert!((0..first.waits.len()).all(|row| first.waits.end(row) < at(100)));
    assert!(batcher.seal_if_due(at(151)).is_none(), "the others wait for the next probe");
    assert_eq!(probed(&mut batcher, 1_100).unwrap().waits.len(), ENOUGH_WAITS / 2);
}

#[test]
fn a_batch_of_enough_waits_can_travel() {
    let (mut batcher, process) = (batcher(), process());
    (0..ENOUGH_WAITS).for_each(|_| batcher.push_wait(wait(&process, 1, 99)));
    let batch = batcher.seal_if_due(at(100)).unwrap();
    batch.check().unwrap();
    let bytes = syncline_proto::encode(&batch).unwrap();
    assert_eq!(syncline_proto::decode(&bytes).unwrap(), batch);
}

#[test]
fn knots_are_put_in_order_and_one_older_than_what_was_told_is_left_out() {
    let mut batcher = batcher();
    for ms in [100, 200, 150, 300, 200] {
        batcher.push_knot(knot(ms));
    }
    let batch = probed(&mut batcher, 1_000).unwrap();
    let monos = |batch: &Batch| batch.knots.iter().map(|knot| knot.mono).collect::<Vec<_>>();
    assert_eq!(monos(&batch), [at(0), at(100), at(150), at(200), at(300), at(1_001)]);
    batcher.push_knot(knot(1_000));
    batcher.push_knot(knot(1_001));
    assert_eq!(monos(&probed(&mut batcher, 2_000).unwrap()), [at(2_001)]);
}

#[test]
fn probes_against_two_runs_are_in_two_batches() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 1, 99));
    batcher.push_wait(wait(&process, 1, 150));
    assert!(batcher.push_probe(probe(100), ProbePath::Udp, 1).is_none());
    let of_the_first = batcher.push_probe(probe(200), ProbePath::Udp, 2).unwrap();
    assert_eq!((of_the_first.probes.as_slice(), of_the_first.reference_run), (&[probe(100)][..], 1));
    assert_eq!(of_the_first.waits.len(), 1);
    let of_the_second = batcher.seal_if_due(at(701)).unwrap();
    assert_eq!((of_the_second.probes.as_slice(), of_the_second.reference_run), (&[probe(200)][..], 2));
    assert_eq!(of_the_second.waits.len(), 1);
    of_the_first.check().unwrap();
    of_the_second.check().unwrap();
}

#[test]
fn a_batch_that_cannot_travel_is_counted_with_all_that_it_held() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 900));
    batcher.push_short(
        Arc::clone(&process),
        ShortWhat::new(Kind::Goroutine, "select"),
        &ShortSum { count: 5, total_ns: 50, histogram: vec![0, 5] },
    );
    batcher.lose(LossCause::RingBufferFull, 3);
    let unfit = probed(&mut batcher, 1_000).unwrap();
    batcher.unfit(&unfit);
    batcher.push_wait(wait(&process, 100, 1_900));
    let next = probed(&mut batcher, 2_000).unwrap();
    let losses: HashMap<_, _> = next.all_losses().map(|loss| (loss.cause, loss.count)).collect();
    assert_eq!(losses, HashMap::from([(LossCause::RingBufferFull, 3), (LossCause::RecordGarbled, 6)]));
    assert_eq!((next.stacks, next.symbols), (unfit.stacks, unfit.symbols), "told again with their next use");
}

#[test]
fn stacks_and_symbols_are_told_once_a_connection() {
    let (mut batcher, process) = (batcher(), process());
    let mut told = Vec::new();
    for second in 1..=4 {
        batcher.push_wait(wait(&process, second * 1_000 - 500, second * 1_000 - 400));
        if second == 3 {
            batcher.tell_dictionaries_again();
            batcher.push_wait(wait(&process, second * 1_000 - 500, second * 1_000 - 400));
        }
        let batch = probed(&mut batcher, second * 1_000).unwrap();
        told.push((batch.stacks.len(), batch.symbols.len()));
    }
    assert_eq!(told, [(1, 4), (0, 0), (1, 4), (0, 0)]);
}

#[test]
fn a_dropped_batch_is_counted_and_what_it_told_is_told_again() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 900));
    batcher.push_short(
        Arc::clone(&process),
        ShortWhat::new(Kind::Goroutine, "select"),
        &ShortSum { count: 5, total_ns: 50, histogram: vec![0, 5] },
    );
    batcher.lose(LossCause::RingBufferFull, 3);
    let dropped = probed(&mut batcher, 1_000).unwrap();
    assert_eq!(dropped.short_waits[0].count, 5);
    let (stacks, symbols) = (dropped.stacks.clone(), dropped.symbols.clone());
    let number = dropped.number;
    batcher.dropped(dropped);
    let next = probed(&mut batcher, 2_000).unwrap();
    assert_eq!((next.stacks.clone(), next.symbols.clone()), (stacks, symbols));
    let told = DroppedBatch {
        boot: next.origin.boot,
        number,
        run_first_seq: next.origin.run_first_seq,
        cause: LossCause::QueueFull,
        events: 1,
        summed: 5,
        losses: vec![Loss { cause: LossCause::RingBufferFull, count: 3 }],
    };
    assert_eq!((next.losses.as_slice(), next.dropped.as_slice()), ([].as_slice(), [told.clone()].as_slice()));
    assert_eq!(batcher.totals().losses.total(), 9, "the losses of the dropped batch are not counted twice");
    batcher.dropped(next);
    let last = probed(&mut batcher, 3_000).unwrap();
    assert_eq!(last.dropped[0], told, "whoever told of it was dropped, too");
    assert_eq!(last.dropped.len(), 2);
}

#[test]
fn a_refused_batch_is_told_again_only_where_it_is_used_again() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(wait(&process, 100, 900));
    let refused = probed(&mut batcher, 1_000).unwrap();
    batcher.refused(&refused);
    let after = probed(&mut batcher, 2_000).unwrap();
    assert_eq!(after.stacks, []);
    assert_eq!(after.all_losses().collect::<Vec<_>>(), [Loss { cause: LossCause::BatchRefused, count: 1 }]);
    batcher.push_wait(wait(&process, 100, 2_900));
    let next = probed(&mut batcher, 3_000).unwrap();
    assert_eq!((next.stacks, next.symbols), (refused.stacks, refused.symbols));
}

#[test]
fn a_wait_that_contradicts_itself_is_counted_and_not_sent() {
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(FinishedWait { ready: None, ..wait(&process, 900, 100) });
    batcher.push_wait(FinishedWait { ready: Some(at(2_000)), ..wait(&process, 100, 900) });
    batcher.push_wait(FinishedWait { park: Instant::from_ns(-1), ..wait(&process, 100, 900) });
    let batch = probed(&mut batcher, 1_000).unwrap();
    assert!(batch.waits.is_empty());
    assert_eq!(batch.losses[0], Loss { cause: LossCause::RecordGarbled, count: 3 });
}

#[test]
fn names_too_long_for_the_wire_are_cut() {
    struct LongNames;
    impl Symbolizer for LongNames {
        fn symbols(&self, pc: u64) -> Vec<Symbol> {
            vec![Symbol { build_id: 7, pc, depth: 0, function: "é".repeat(5_000), file: String::new(), line: 0 }]
        }
    }
    let (mut batcher, process) = (batcher(), process());
    batcher.push_wait(FinishedWait { symbolizer: Arc::new(LongNames), ..wait(&process, 100, 900) });
    assert_eq!(probed(&mut batcher, 1_000).unwrap().symbols[0].function.len(), 4_096);
}

#[test]
fn every_wait_is_stored_or_counted_whatever_is_dropped() {
    let (mut batcher, process) = (batcher(), process());
    let (mut stored, mut lost, mut pushed, mut last) = (0, 0, 0, None);
    const ON_THEIR_WAY: u64 = 7;
    let mut keep = |batch: &Batch| {
        stored += batch.waits.len() as u64 + batch.short_waits.iter().map(|short| short.count).sum::<u64>();
        lost += batch.all_losses().map(|loss| loss.count).sum::<u64>();
        last = batch.account;
    };
    for second in 1..=50 {
        for wait_ms in [-500, -100, 20] {
            pushed += 1;
            let run = second * 1_000 + wait_ms;
            batcher.push_wait(wait(&process, run - 50, run));
        }
        pushed += 2;
        batcher.push_short(
            Arc::clone(&process),
            ShortWhat::new(Kind::Goroutine, "select"),
            &ShortSum { count: 2, total_ns: 9, histogram: vec![2] },
        );
        if second == 40 {
            batcher.set_captured(Captured { waits: pushed + ON_THEIR_WAY + 4, left_out: 4, open: None });
        }
        let batch = probed(&mut batcher, second * 1_000).unwrap();
        if second % 3 == 0 { batcher.dropped(batch) } else { keep(&batch) }
    }
    keep(&batcher.seal_rest(at(60_000)).unwrap());
    assert!(batcher.seal_rest(at(60_000)).is_none());
    assert_eq!(stored + lost, pushed);
    let account: Account = last.unwrap();
    let expected = Account {
        captured: stored + lost + 4 + ON_THEIR_WAY,
        left_out: 4,
        waiting: ON_THEIR_WAY.cast_signed(),
        open: None,
    };
    assert_eq!(account, expected);
    batcher.set_captured(Captured { waits: pushed + 4, left_out: 4, open: Some(0) });
    let end = batcher.seal_rest(at(61_000)).unwrap().account.unwrap();
    assert_eq!((end.captured, end.waiting, end.open), (pushed + 4, 0, Some(0)));
    assert!(batcher.seal_rest(at(62_000)).is_none(), "the end is told once");
    assert!(lost > 0);
    assert_eq!(batcher.totals().waits + batcher.totals().short_waits, pushed);
}

#[test]
fn a_disruption_is_told_with_the_next_batch_and_again_if_that_is_dropped() {
    let mut batcher = batcher();
    let disruption = ClockDisruption { since: at(500), until: at(601), sign: DisruptionSign::Hypervisor };
    batcher.push_disruption(disruption);
    let dropped = probed(&mut batcher, 1_000).unwrap();
    assert_eq!(dropped.disruptions, [disruption]);
    let of_another_boot = Batch { origin: Origin { boot: BootId(8), ..dropped.origin.clone() }, ..dropped.clone() };
    batcher.dropped(of_another_boot);
    assert!(probed(&mut batcher, 2_000).unwrap().disruptions.is_empty(), "its times are no times of this boot");
    batcher.dropped(dropped);
    assert_eq!(probed(&mut batcher, 3_000).unwrap().disruptions, [disruption]);
    assert!(probed(&mut batcher, 4_000).unwrap().disruptions.is_empty());
}
