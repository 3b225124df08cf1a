//! Rows from a batch, a table each. Pure: the same batch under the same model gives the same rows.

mod clock;
mod ends;
mod ledger;
mod observations;
mod processes;
mod states;
mod tcp;

use syncline_event::{Batch, Flow, Kind, Stack, Symbol, Target, Waits};
use syncline_store::rows::{
    EventKind, EventRows, NodeRows, OpenWaitRows, ShortWaitRows, StackRows, SymbolRows, UNBOUNDED_NS,
};
use syncline_store::{Arrays, LowCardinality};
use syncline_timebase::{ErrorBound, Instant, Mono, Offset, Reference};
use syncline_timeline::{Aligned, Moments};

use super::bucket;
use crate::segment::{bound_class, clock_status};

use ends::Ends;

pub(crate) use clock::{claims, disruptions, probes, segments, settlement, state, steps};
pub(crate) use ledger::{dropped_batches, ledger, ledger_key, losses};
pub(crate) use observations::observations;
pub(crate) use processes::{processes, processes_key};
pub(crate) use states::{goroutine_states, process_states};
pub(crate) use tcp::{messages, tcp_losses, tcp_sessions};

/// Revision of alignment at ingest.
pub(crate) const ONLINE_REVISION: u32 = 1;
/// Revision of what is known once more probes have come.
pub(crate) const SETTLED_REVISION: u32 = 2;

/// The columns that say whose rows they are.
struct Whose {
    region: LowCardinality,
    node: LowCardinality,
    boot: Vec<u64>,
}

impl Whose {
    fn of(batch: &Batch, rows: usize) -> Self {
        Self {
            region: LowCardinality::constant(&batch.origin.region, rows),
            node: LowCardinality::constant(batch.origin.node.as_str(), rows),
            boot: vec![batch.origin.boot.0; rows],
        }
    }
}

/// The waits, aligned to `run` of the reference. Without an estimate a row gets the batch's coarse offset, so that it can be found near its time,
/// and no bound.
pub(crate) fn events(batch: &Batch, aligned: &Aligned, run: u64) -> EventRows {
    let rows = batch.waits.len();
    EventRows {
        bucket: batch.waits.start.iter().map(|start| bucket::of_event(batch, *start)).collect(),
        seq: (batch.first_seq..).take(rows).collect(),
        ..of_waits(batch, &batch.waits, aligned, run)
    }
}

/// The waits that go on, likewise.
pub(crate) fn open_waits(batch: &Batch, aligned: &Aligned, run: u64) -> OpenWaitRows {
    let waits = &batch.open_waits;
    let rows = of_waits(batch, waits, aligned, run);
    OpenWaitRows {
        bucket: (0..waits.len()).map(|row| bucket::of_event(batch, waits.end(row))).collect(),
        region: rows.region,
        service: rows.service,
        node: rows.node,
        boot: rows.boot,
        pid: rows.pid,
        tid: rows.tid,
        goid: rows.goid,
        kind: rows.kind,
        reason: rows.reason,
        mono_ns: rows.mono_ns,
        wall_off: rows.wall_off,
        dur_ns: rows.dur_ns,
        run_delay_ns: rows.run_delay_ns,
        flags: rows.flags,
        stack_id: rows.stack_id,
        waker_goid: rows.waker_goid,
        address: rows.address,
        fd: rows.fd,
        fd_type: rows.fd_type,
        local_address: rows.local_address,
        local_port: rows.local_port,
        peer_address: rows.peer_address,
        peer_port: rows.peer_port,
        ref_run: rows.ref_run,
        al_off: rows.al_off,
        al_end_off: rows.al_end_off,
        err_ns: rows.err_ns,
        err_end_ns: rows.err_end_ns,
        trace_id: rows.trace_id,
        span_id: rows.span_id,
    }
}

/// All of their rows but the bucket and the number.
fn of_waits(batch: &Batch, waits: &Waits, aligned: &Aligned, run: u64) -> EventRows {
    let rows = waits.len();
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let process = |row: usize| batch.processes.get(waits.process[row] as usize);
    let bound = |row: usize| aligned.start.bound[row].max(aligned.end.bound[row]);
    let Ends { local_address, local_port, peer_address, peer_port, .. } =
        Ends::of(waits.target.iter().map(|target| flow_of(batch, target)));
    EventRows {
        bucket: Vec::new(),
        region,
        service: texts((0..rows).map(|row| process(row).map_or("", |process| &process.service))),
        node,
        boot,
        seq: Vec::new(),
        pid: (0..rows).map(|row| process(row).map_or(0, |process| process.pid)).collect(),
        tid: waits.tid.clone(),
        goid: waits.goid.clone(),
        kind: waits.kind.iter().map(|kind| event_kind(*kind)).collect(),
        reason: texts(waits.reason.iter().map(|reason| reason_text(batch, *reason))),
        mono_ns: waits.start.iter().map(|start| mono_ns(*start)).collect(),
        wall_off: waits.wall_offset.iter().map(|offset| offset.ns()).collect(),
        dur_ns: waits.duration_ns.clone(),
        run_delay_ns: waits.run_delay_ns.clone(),
        flags: waits.flags.iter().map(|flags| flags.bits()).collect(),
        stack_id: waits.stack.iter().map(|stack| stack.0).collect(),
        waker_goid: waits.waker_goid.clone(),
        waker_stack_id: waits.waker_stack.iter().map(|stack| stack.0).collect(),
        address: waits.target.iter().map(|target| target.address).collect(),
        result: waits.target.iter().map(|target| target.result).collect(),
        fd: waits.target.iter().map(|target| target.fd.and_then(|fd| i32::try_from(fd).ok()).unwrap_or(-1)).collect(),
        fd_type: texts(waits.target.iter().map(|target| file_type(batch, target.file_type))),
        local_address,
        local_port,
        peer_address,
        peer_port,
        ref_run: vec![run; rows],
        al_off: offsets(batch, &aligned.start),
        al_end_off: offsets(batch, &aligned.end),
        err_ns: bounds(&aligned.start.bound),
        err_end_ns: bounds(&aligned.end.bound),
        bound_class: (0..rows).map(|row| bound_class(bound(row))).collect(),
        clock_status: aligned.status.iter().map(|status| clock_status(*status)).collect(),
        epoch: aligned.epoch.clone(),
        model_rev: vec![ONLINE_REVISION; rows],
        trace_id: waits.trace.iter().map(|trace| trace.trace_id.to_be_bytes()).collect(),
        span_id: waits.trace.iter().map(|trace| trace.span_id).collect(),
        weight_milli: waits.weight_milli.clone(),
    }
}

/// Short waits.
pub(crate) fn short_waits(batch: &Batch) -> ShortWaitRows {
    let (short, rows) = (&batch.short_waits, batch.short_waits.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let process = |index: u32| batch.processes.get(index as usize);
    let mut hist = Arrays::default();
    short.iter().for_each(|short| hist.push(&short.histogram));
    ShortWaitRows {
        bucket: vec![bucket::of_batch(batch); rows],
        region,
        service: texts(short.iter().map(|short| process(short.process).map_or("", |process| &process.service))),
        node,
        boot,
        pid: short.iter().map(|short| process(short.process).map_or(0, |process| process.pid)).collect(),
        kind: short.iter().map(|short| event_kind(short.kind)).collect(),
        reason: texts(short.iter().map(|short| reason_text(batch, short.reason))),
        count: short.iter().map(|short| short.count).collect(),
        total_ns: short.iter().map(|short| short.total_ns).collect(),
        hist,
        weight_milli: short.iter().map(|short| short.weight_milli).collect(),
        is_parts: short.iter().map(|short| short.is_parts.into()).collect(),
        batch: vec![batch.number; rows],
    }
}

/// Stacks, those given.
pub(crate) fn stacks<'a>(stacks: impl Iterator<Item = &'a Stack>, now: Instant<Reference>) -> StackRows {
    let mut rows = StackRows::default();
    let seconds = u32::try_from(now.ns() / 1_000_000_000).unwrap_or(u32::MAX);
    for stack in stacks {
        rows.stack_id.push(stack.id.0);
        rows.build_id.push(stack.build_id);
        rows.pcs.push(&stack.pcs);
        rows.last_seen.push(seconds);
    }
    rows
}

/// Symbols, those given.
pub(crate) fn symbols<'a>(symbols: impl Iterator<Item = &'a Symbol>) -> SymbolRows {
    let mut rows = SymbolRows::default();
    for symbol in symbols {
        rows.build_id.push(symbol.build_id);
        rows.pc.push(symbol.pc);
        rows.depth.push(symbol.depth);
        rows.func.push(symbol.function.clone());
        rows.file.push(&symbol.file);
        rows.line.push(symbol.line);
    }
    rows
}

/// The node itself.
pub(crate) fn node(batch: &Batch, now: Instant<Reference>) -> NodeRows {
    let Whose { region, node, boot } = Whose::of(batch, 1);
    NodeRows {
        region,
        node,
        boot,
        kernel: vec![batch.origin.kernel.clone()],
        agent_version: vec![batch.origin.agent_version.clone()],
        first_seen: vec![now.ns()],
        last_seen: vec![now.ns()],
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> LowCardinality {
    let mut column = LowCardinality::default();
    values.for_each(|value| column.push(value));
    column
}

fn reason_text(batch: &Batch, index: u32) -> &str {
    batch.reasons.get(index as usize).map_or("", String::as_str)
}

/// The text of 1 + index.
fn file_type(batch: &Batch, index: u32) -> &str {
    let index = index.checked_sub(1).and_then(|index| usize::try_from(index).ok());
    index.and_then(|index| batch.file_types.get(index)).map_or("", String::as_str)
}

fn flow_of<'a>(batch: &'a Batch, target: &Target) -> Option<&'a Flow> {
    batch.flows.get(usize::try_from(target.flow).ok()?.checked_sub(1)?)
}

fn event_kind(kind: Kind) -> EventKind {
    match kind {
        Kind::Goroutine => EventKind::Goroutine,
        Kind::Syscall => EventKind::Syscall,
        Kind::OffCpu => EventKind::OffCpu,
        Kind::Cgo => EventKind::Cgo,
    }
}

/// MONO counts from boot; a checked batch has no negative one.
fn mono_ns(instant: Instant<Mono>) -> u64 {
    u64::try_from(instant.ns()).unwrap_or(0)
}

fn offsets(batch: &Batch, moments: &Moments) -> Vec<i64> {
    let known = |(offset, bound): (&Offset<Mono, Reference>, &ErrorBound)| {
        if bound.is_bounded() { offset.ns() } else { batch.coarse_reference.ns() }
    };
    moments.offset.iter().zip(&moments.bound).map(known).collect()
}

fn bounds(bounds: &[ErrorBound]) -> Vec<u64> {
    bounds.iter().map(|bound| bound_ns(*bound)).collect()
}

fn bound_ns(bound: ErrorBound) -> u64 {
    if bound.is_bounded() { bound.ns() } else { UNBOUNDED_NS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::revision::Pending;
    use crate::pipeline::samples::{self, OFFSET, SECOND};
    use crate::pipeline::sighting::Sighting;
    use syncline_clock::{NodeClock, Tolerance};
    use syncline_event::{ClockDisruption, DisruptionSign, WaitFlags};
    use syncline_store::rows::{BoundClass, ClockStatus, FLAG_ABANDONED, FLAG_BEGAN_BEFORE};
    use syncline_timebase::Span;
    use syncline_timeline::align;

    fn text(column: &LowCardinality) -> String {
        format!("{column:?}")
    }

    fn seen(batch: &Batch) -> (NodeClock, Sighting) {
        let mut clock = NodeClock::new(Tolerance::default());
        let sighting = Sighting::take(&mut clock, &mut None, &mut Pending::default(), batch);
        (clock, sighting)
    }

    #[test]
    fn a_wait_keeps_its_raw_stamps_and_gets_its_place_with_a_bound() {
        let batch = samples::batch("n", 5);
        let (clock, _) = seen(&batch);
        let rows = events(&batch, &align(&batch.waits, &clock), 7);
        assert_eq!((rows.mono_ns[0], rows.wall_off[0], rows.dur_ns[0]), (5_500_000_000, OFFSET + 5, 2_000_000));
        assert_eq!((rows.seq[0], rows.pid[0], rows.tid[0], rows.goid[0]), (1_005, 42, 43, 18));
        assert!(text(&rows.reason).contains("chan receive") && text(&rows.service).contains("orders"));
        assert!(rows.al_off[0].abs_diff(OFFSET) <= rows.err_ns[0] && rows.err_ns[0] < 1_000_000, "{rows:?}");
        assert_eq!((rows.bound_class[0], rows.clock_status[0]), (BoundClass::Hard, ClockStatus::Synchronized));
        assert_eq!((rows.trace_id[0][..2].to_vec(), rows.span_id[0]), (vec![0x4b, 0xf9], 0x00f0_67aa_0ba9_02b7));
        assert_eq!(rows.into_block().unwrap().rows(), 1);
    }

    #[test]
    fn a_wait_that_goes_on_is_of_the_minute_of_the_look_and_keeps_its_identity() {
        let mut batch = samples::batch("n", 400);
        let (clock, _) = seen(&batch);
        batch.waits.start[0] = batch.waits.start[0] - Span::from_s(300);
        batch.open_waits = batch.waits.clone();
        batch.open_waits.duration_ns[0] = u64::try_from(300 * SECOND).unwrap();
        batch.open_waits.flags[0] = WaitFlags::ABANDONED.with(WaitFlags::BEGAN_BEFORE);
        batch.check().unwrap();
        let ended = events(&batch, &align(&batch.waits, &clock), 7);
        let rows = open_waits(&batch, &align(&batch.open_waits, &clock), 7);
        assert_eq!(rows.bucket[0], ended.bucket[0] + 300);
        let identity = (rows.boot[0], rows.pid[0], rows.kind[0], rows.goid[0], rows.tid[0], rows.mono_ns[0]);
        let of_event = (ended.boot[0], ended.pid[0], ended.kind[0], ended.goid[0], ended.tid[0], ended.mono_ns[0]);
        assert_eq!(identity, of_event);
        assert_eq!(rows.flags[0], FLAG_ABANDONED | FLAG_BEGAN_BEFORE);
        assert_eq!((rows.al_off[0], rows.err_ns[0]), (ended.al_off[0], ended.err_ns[0]));
        assert_eq!((text(&rows.reason), rows.stack_id[0]), (text(&ended.reason), ended.stack_id[0]));
        assert_eq!(rows.into_block().unwrap().rows(), 1);
    }

    #[test]
    fn a_wait_says_what_it_was_for() {
        let mut batch = samples::batch("n", 5);
        let flow =
            |local: &str| Flow { local: local.parse().unwrap(), remote: "10.0.0.2:5".parse().unwrap(), netns: 7 };
        batch.flows = vec![flow("10.0.0.1:1"), flow("10.0.0.1:443")];
        batch.waits.target[0] = Target { address: 0xc000, result: -104, fd: Some(9), file_type: 1, flow: 2 };
        batch.waits.waker_stack[0] = batch.stacks[0].id;
        batch.check().unwrap();
        let of = |batch: &Batch| events(batch, &align(&batch.waits, &NodeClock::new(Tolerance::default())), 7);
        let rows = of(&batch);
        assert_eq!((rows.address[0], rows.result[0], rows.fd[0]), (0xc000, -104, 9));
        assert_eq!((rows.local_port[0], rows.peer_port[0], rows.waker_stack_id[0]), (443, 5, batch.stacks[0].id.0));
        assert!(text(&rows.fd_type).contains("tcp"));
        batch.waits.target[0] = Target::default();
        let rows = of(&batch);
        assert_eq!((rows.fd[0], rows.local_port[0], rows.local_address[0]), (-1, 0, [0; 16]));
    }

    #[test]
    fn without_an_estimate_a_row_is_placed_coarsely_and_claims_nothing() {
        let batch = samples::batch("n", 5);
        let rows = events(&batch, &align(&batch.waits, &NodeClock::new(Tolerance::default())), 7);
        assert_eq!((rows.al_off[0], rows.al_end_off[0]), (OFFSET + 777, OFFSET + 777));
        assert_eq!((rows.err_ns[0], rows.bound_class[0]), (UNBOUNDED_NS, BoundClass::Unknown));
        assert_eq!(rows.clock_status[0], ClockStatus::Unknown);
    }

    #[test]
    fn the_bucket_does_not_depend_on_the_model() {
        let batch = samples::batch("n", 5);
        let (clock, _) = seen(&batch);
        let with = events(&batch, &align(&batch.waits, &clock), 7);
        let without = events(&batch, &align(&batch.waits, &NodeClock::new(Tolerance::default())), 7);
        assert_ne!(with.al_off, without.al_off);
        assert_eq!(with.bucket, without.bucket);
        assert_eq!(with.bucket, [1_790_000_005 / 60 * 60]);
    }

    #[test]
    fn every_table_gets_columns_of_one_length() {
        let batch = samples::batch("n", 5);
        let (clock, sighting) = seen(&batch);
        let steps = Sighting {
            wall_steps: vec![syncline_clock::WallStep { at: Instant::from_ns(5 * SECOND), size: Span::from_ms(-30) }],
            ..sighting.clone()
        };
        let told = ClockDisruption {
            since: Instant::from_ns(5 * SECOND),
            until: Instant::from_ns(6 * SECOND),
            sign: DisruptionSign::Hypervisor,
        };
        let disrupted = Sighting { told: vec![told], ..sighting.clone() };
        let now = Instant::from_ns(OFFSET);
        let blocks = [
            events(&batch, &align(&batch.waits, &clock), 7).into_block(),
            short_waits(&batch).into_block(),
            observations(&batch, &clock, 7).into_block(),
            losses(&batch).into_block(),
            stacks(batch.stacks.iter(), now).into_block(),
            symbols(batch.symbols.iter()).into_block(),
            node(&batch, now).into_block(),
            probes(&batch, &sighting).into_block(),
            segments(&batch, &sighting).into_block(),
            super::steps(&batch, &steps, |_| Offset::from_ns(OFFSET)).into_block(),
            disruptions(&batch, &disrupted, |_| Offset::from_ns(OFFSET)).into_block(),
        ];
        for block in blocks {
            assert_eq!(block.unwrap().rows(), 1);
        }
    }
}
