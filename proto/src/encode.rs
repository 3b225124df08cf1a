//! Checked types to messages.

use std::collections::HashMap;
use std::hash::Hash;

use syncline_event::{
    Batch, ClaimSource, ClockClaim, ClockDisruption, Container, DisruptionSign, Kind, Loss, ONCE_MILLI, Origin,
    ProbePath, Process, ShortWaits, Stack, StackId, Symbol, TraceContext, Waits,
};
use syncline_timebase::Knot;

use crate::account::{self, number_of};
use crate::columns::deltas;
use crate::prescan::FORMAT;
use crate::v1;

impl From<&Batch> for v1::Batch {
    fn from(batch: &Batch) -> Self {
        Self {
            origin: Some((&batch.origin).into()),
            number: batch.number,
            first_seq: batch.first_seq,
            sealed_mono_ns: batch.sealed_at.ns(),
            coarse_reference_offset_ns: batch.coarse_reference.ns(),
            wall_offset_ns: batch.wall_offset.ns(),
            reasons: batch.reasons.clone(),
            processes: batch.processes.iter().map(Into::into).collect(),
            waits: Some((&batch.waits).into()),
            open_waits: (!batch.open_waits.is_empty()).then(|| (&batch.open_waits).into()),
            short_waits: batch.short_waits.iter().map(Into::into).collect(),
            observations: batch.observations.iter().map(Into::into).collect(),
            process_states: batch.process_states.iter().map(Into::into).collect(),
            goroutine_states: batch.goroutine_states.iter().map(Into::into).collect(),
            stacks: batch.stacks.iter().map(Into::into).collect(),
            symbols: batch.symbols.iter().map(Into::into).collect(),
            losses: batch.losses.iter().map(Into::into).collect(),
            knots: Some(knots(&batch.knots)),
            probes: Some(probes(batch)),
            claims: batch.claims.iter().map(claim).collect(),
            disruptions: batch.disruptions.iter().map(disruption).collect(),
            file_types: batch.file_types.clone(),
            flows: batch.flows.iter().map(Into::into).collect(),
            messages: (!batch.messages.is_empty()).then(|| (&batch.messages).into()),
            tcp_sessions: batch.tcp_sessions.iter().map(Into::into).collect(),
            tcp_losses: batch.tcp_losses.iter().map(Into::into).collect(),
            account: batch.account.as_ref().map(Into::into),
            dropped: batch.dropped.iter().map(|one| account::to_message(one, batch.origin.boot)).collect(),
            format: FORMAT,
        }
    }
}

impl From<&Origin> for v1::Origin {
    fn from(origin: &Origin) -> Self {
        Self {
            node: origin.node.to_string(),
            region: origin.region.clone(),
            boot: origin.boot.0,
            run_first_seq: origin.run_first_seq,
            agent_version: origin.agent_version.clone(),
            kernel: origin.kernel.clone(),
        }
    }
}

impl From<&Process> for v1::Process {
    fn from(process: &Process) -> Self {
        Self {
            pid: process.pid,
            service: process.service.clone(),
            executable: process.executable.clone(),
            go_version: process.go_version.clone(),
            build_id: process.build_id,
            since_mono_ns: process.since_mono_ns,
            container: (!process.container.is_none()).then(|| (&process.container).into()),
        }
    }
}

impl From<&Container> for v1::Container {
    fn from(container: &Container) -> Self {
        let Container { runtime, id, name, pod_name, pod_uid, namespace } = container.clone();
        Self { runtime, id, name, pod_name, pod_uid, namespace }
    }
}

impl From<&Waits> for v1::Waits {
    fn from(waits: &Waits) -> Self {
        let (mut stacks, mut traces) = (Dictionary::new(StackId::NONE), Dictionary::new(TraceContext::NONE));
        let trace = waits.trace.iter().map(|trace| traces.index(*trace)).collect();
        let traces = traces.distinct;
        let target = &waits.target;
        Self {
            stack: waits.stack.iter().map(|id| stacks.index(*id)).collect(),
            waker_stack: waits.waker_stack.iter().map(|id| stacks.index(*id)).collect(),
            stack_ids: stacks.distinct.into_iter().map(|id| id.0).collect(),
            address: target.iter().map(|target| target.address).collect(),
            result: target.iter().map(|target| target.result).collect(),
            fd: target.iter().map(|target| target.fd.map_or(0, |fd| fd.saturating_add(1))).collect(),
            file_type: target.iter().map(|target| target.file_type).collect(),
            flow: target.iter().map(|target| target.flow).collect(),
            kind: waits.kind.iter().map(|kind| kind_number(*kind)).collect(),
            reason: waits.reason.clone(),
            process: waits.process.clone(),
            tid: waits.tid.clone(),
            goid_delta: deltas(waits.goid.iter().map(|goid| goid.cast_signed())),
            start_mono_delta_ns: deltas(waits.start.iter().map(|start| start.ns())),
            wall_offset_delta_ns: deltas(waits.wall_offset.iter().map(|offset| offset.ns())),
            duration_ns: waits.duration_ns.clone(),
            run_delay_ns: waits.run_delay_ns.clone(),
            waker_goid: waits.waker_goid.clone(),
            flags: waits.flags.iter().map(|flags| u32::from(flags.bits())).collect(),
            weight_milli: if waits.weight_milli.iter().all(|weight| *weight == ONCE_MILLI) {
                Vec::new()
            } else {
                waits.weight_milli.clone()
            },
            trace: if traces.is_empty() { Vec::new() } else { trace },
            trace_id_high: traces.iter().map(|trace| (trace.trace_id >> 64) as u64).collect(),
            trace_id_low: traces.iter().map(|trace| trace.trace_id as u64).collect(),
            span_id: traces.iter().map(|trace| trace.span_id).collect(),
        }
    }
}

/// The distinct values of a column, and 1 + index of each row's; 0 for `none`.
struct Dictionary<T> {
    none: T,
    distinct: Vec<T>,
    index_of: HashMap<T, u32>,
}

impl<T: Copy + Eq + Hash> Dictionary<T> {
    fn new(none: T) -> Self {
        Self { none, distinct: Vec::new(), index_of: HashMap::new() }
    }

    fn index(&mut self, value: T) -> u32 {
        if value == self.none {
            return 0;
        }
        *self.index_of.entry(value).or_insert_with(|| {
            self.distinct.push(value);
            u32::try_from(self.distinct.len()).unwrap_or(u32::MAX)
        })
    }
}

fn kind_number(kind: Kind) -> i32 {
    match kind {
        Kind::Goroutine => v1::Kind::Goroutine.into(),
        Kind::Syscall => v1::Kind::Syscall.into(),
        Kind::OffCpu => v1::Kind::OffCpu.into(),
        Kind::Cgo => v1::Kind::Cgo.into(),
    }
}

impl From<&ShortWaits> for v1::ShortWaits {
    fn from(short: &ShortWaits) -> Self {
        Self {
            process: short.process,
            reason: short.reason,
            count: short.count,
            total_ns: short.total_ns,
            histogram: short.histogram.clone(),
            kind: kind_number(short.kind),
            weight_milli: if short.weight_milli == ONCE_MILLI { 0 } else { short.weight_milli },
            is_parts: short.is_parts,
        }
    }
}

impl From<&Stack> for v1::Stack {
    fn from(stack: &Stack) -> Self {
        let pc_delta = deltas(stack.pcs.iter().map(|pc| pc.cast_signed()));
        Self { id: stack.id.0, build_id: stack.build_id, pc_delta }
    }
}

impl From<&Symbol> for v1::Symbol {
    fn from(symbol: &Symbol) -> Self {
        Self {
            build_id: symbol.build_id,
            pc: symbol.pc,
            depth: u32::from(symbol.depth),
            function: symbol.function.clone(),
            file: symbol.file.clone(),
            line: symbol.line,
        }
    }
}

impl From<&Loss> for v1::Loss {
    fn from(loss: &Loss) -> Self {
        Self { cause: number_of(loss.cause), count: loss.count }
    }
}

fn knots(knots: &[Knot]) -> v1::Knots {
    v1::Knots {
        mono_delta_ns: deltas(knots.iter().map(|k| k.mono.ns())),
        raw_minus_mono_delta_ns: deltas(knots.iter().map(|k| k.raw.ns().wrapping_sub(k.mono.ns()))),
        wall_minus_mono_delta_ns: deltas(knots.iter().map(|k| k.wall.ns().wrapping_sub(k.mono.ns()))),
        bracket_ns: knots.iter().map(|k| k.bracket.ns().unsigned_abs()).collect(),
    }
}

fn probes(batch: &Batch) -> v1::Probes {
    let probes = &batch.probes;
    v1::Probes {
        sent_mono_delta_ns: deltas(probes.iter().map(|p| p.sent.ns())),
        received_reference_delta_ns: deltas(probes.iter().map(|p| p.received.ns())),
        turnaround_ns: probes.iter().map(|p| p.replied.ns().wrapping_sub(p.received.ns())).collect(),
        elapsed_mono_ns: probes.iter().map(|p| (p.returned - p.sent).ns().unsigned_abs()).collect(),
        reference_run: batch.reference_run,
        path: batch.probe_paths.iter().map(|path| path_number(*path)).collect(),
    }
}

fn path_number(path: ProbePath) -> i32 {
    let path = match path {
        ProbePath::Grpc => v1::ProbePath::Grpc,
        ProbePath::Udp => v1::ProbePath::Udp,
    };
    path.into()
}

fn claim(claim: &ClockClaim) -> v1::ClockClaim {
    let source = match claim.source {
        ClaimSource::Kernel => v1::ClaimSource::Kernel,
        ClaimSource::Chrony => v1::ClaimSource::Chrony,
    };
    let claimed =
        claim.utc_minus_wall_ns.map(|(utc_minus_wall_ns, bound_ns)| v1::UtcOffset { utc_minus_wall_ns, bound_ns });
    v1::ClockClaim { source: source.into(), mono_ns: claim.at.ns(), claimed }
}

fn disruption(disruption: &ClockDisruption) -> v1::ClockDisruption {
    let sign = match disruption.sign {
        DisruptionSign::Hypervisor => v1::DisruptionSign::Hypervisor,
        DisruptionSign::Other => v1::DisruptionSign::Unspecified,
    };
    let within_ns = (disruption.until - disruption.since).ns().unsigned_abs();
    v1::ClockDisruption { sign: sign.into(), since_mono_ns: disruption.since.ns(), within_ns }
}
