//! Messages to checked types. What [`syncline_event::Batch::check`] can see is left to it; here is what only the wire
//! can get wrong: missing messages, columns of unlike length, numbers outside their type.

use std::borrow::Cow;

use syncline_event::{
    Batch, ClaimSource, ClockClaim, ClockDisruption, Container, DisruptionSign, Kind, Loss, ONCE_MILLI, Origin,
    ProbePath, Process, ShortWaits, Stack, StackId, Symbol, Target, TraceContext, WaitFlags, Waits,
};
use syncline_timebase::{BootId, Instant, Knot, NodeNameError, Offset, Probe, Span};

use crate::account;
use crate::columns::running_sums;
use crate::error::WireError;
use crate::v1;

impl TryFrom<v1::Batch> for Batch {
    type Error = WireError;
    fn try_from(message: v1::Batch) -> Result<Self, WireError> {
        let origin: Origin = message.origin.ok_or_else(|| field("origin", "missing"))?.try_into()?;
        let boot = origin.boot;
        Ok(Self {
            origin,
            number: message.number,
            first_seq: message.first_seq,
            sealed_at: Instant::from_ns(message.sealed_mono_ns),
            coarse_reference: Offset::from_ns(message.coarse_reference_offset_ns),
            wall_offset: Offset::from_ns(message.wall_offset_ns),
            reasons: message.reasons,
            processes: message.processes.into_iter().map(Into::into).collect(),
            waits: waits(message.waits.unwrap_or_default())?,
            open_waits: waits(message.open_waits.unwrap_or_default())?,
            file_types: message.file_types,
            short_waits: message.short_waits.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            observations: message.observations.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            process_states: message.process_states.into_iter().map(Into::into).collect(),
            goroutine_states: message.goroutine_states.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            stacks: message.stacks.into_iter().map(Into::into).collect(),
            symbols: message.symbols.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            losses: message.losses.into_iter().map(Into::into).collect(),
            knots: knots(&message.knots.unwrap_or_default())?,
            reference_run: message.probes.as_ref().map_or(0, |probes| probes.reference_run),
            probe_paths: probe_paths(message.probes.as_ref())?,
            claims: message.claims.iter().filter_map(claim).collect(),
            disruptions: message.disruptions.iter().map(disruption).collect(),
            probes: probes(&message.probes.unwrap_or_default())?,
            flows: message.flows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            messages: message.messages.unwrap_or_default().try_into()?,
            tcp_sessions: message.tcp_sessions.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            tcp_losses: message.tcp_losses.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            account: message.account.map(Into::into),
            dropped: message.dropped.iter().map(|one| account::from_message(one, boot)).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<v1::Origin> for Origin {
    type Error = WireError;
    fn try_from(message: v1::Origin) -> Result<Self, WireError> {
        if message.region.is_empty() {
            return Err(field("origin.region", "empty"));
        }
        Ok(Self {
            node: message.node.parse().map_err(|e: NodeNameError| field("origin.node", e.to_string()))?,
            region: message.region,
            boot: BootId(message.boot),
            run_first_seq: message.run_first_seq,
            agent_version: message.agent_version,
            kernel: message.kernel,
        })
    }
}

impl From<v1::Process> for Process {
    fn from(message: v1::Process) -> Self {
        Self {
            pid: message.pid,
            service: message.service,
            executable: message.executable,
            go_version: message.go_version,
            build_id: message.build_id,
            since_mono_ns: message.since_mono_ns,
            container: message.container.unwrap_or_default().into(),
        }
    }
}

impl From<v1::Container> for Container {
    fn from(message: v1::Container) -> Self {
        let v1::Container { runtime, id, name, pod_name, pod_uid, namespace } = message;
        Self { runtime, id, name, pod_name, pod_uid, namespace }
    }
}

fn waits(message: v1::Waits) -> Result<Waits, WireError> {
    let rows = message.start_mono_delta_ns.len();
    let trace = traces(&message)?;
    Ok(Waits {
        target: targets(&message, rows)?,
        waker_stack: stack_ids(&or_zeros(&message.waker_stack, rows), &message.stack_ids)?,
        kind: message.kind.iter().map(|number| kind(*number)).collect::<Result<_, _>>()?,
        reason: message.reason,
        process: message.process,
        tid: message.tid,
        goid: running_sums(&message.goid_delta).map(i64::cast_unsigned).collect(),
        start: running_sums(&message.start_mono_delta_ns).map(Instant::from_ns).collect(),
        wall_offset: running_sums(&message.wall_offset_delta_ns).map(Offset::from_ns).collect(),
        duration_ns: message.duration_ns,
        run_delay_ns: message.run_delay_ns,
        stack: stack_ids(&message.stack, &message.stack_ids)?,
        waker_goid: message.waker_goid,
        trace,
        weight_milli: if message.weight_milli.is_empty() { vec![ONCE_MILLI; rows] } else { message.weight_milli },
        flags: message.flags.iter().map(|bits| wait_flags(*bits)).collect::<Result<_, _>>()?,
    })
}

fn kind(number: i32) -> Result<Kind, WireError> {
    match v1::Kind::try_from(number) {
        Ok(v1::Kind::Goroutine) => Ok(Kind::Goroutine),
        Ok(v1::Kind::Syscall) => Ok(Kind::Syscall),
        Ok(v1::Kind::OffCpu) => Ok(Kind::OffCpu),
        Ok(v1::Kind::Cgo) => Ok(Kind::Cgo),
        _ => Err(field("waits.kind", format!("{number} is unknown to this version"))),
    }
}

/// A column that the agent does not know yet.
fn or_zeros<T: Clone + Default>(column: &[T], rows: usize) -> Cow<'_, [T]> {
    if column.is_empty() { Cow::Owned(vec![T::default(); rows]) } else { Cow::Borrowed(column) }
}

fn targets(message: &v1::Waits, rows: usize) -> Result<Vec<Target>, WireError> {
    let address = or_zeros(&message.address, rows);
    let result = or_zeros(&message.result, rows);
    let fd = or_zeros(&message.fd, rows);
    let file_type = or_zeros(&message.file_type, rows);
    let flow = or_zeros(&message.flow, rows);
    same_length("waits.address", address.len(), rows)?;
    same_length("waits.result", result.len(), rows)?;
    same_length("waits.fd", fd.len(), rows)?;
    same_length("waits.file_type", file_type.len(), rows)?;
    same_length("waits.flow", flow.len(), rows)?;
    let target = |row: usize| Target {
        address: address[row],
        result: result[row],
        fd: fd[row].checked_sub(1),
        file_type: file_type[row],
        flow: flow[row],
    };
    Ok((0..rows).map(target).collect())
}

fn wait_flags(bits: u32) -> Result<WaitFlags, WireError> {
    u16::try_from(bits).map(WaitFlags::from_bits).map_err(|_| field("waits.flags", format!("{bits:#x} is too wide")))
}

fn stack_ids(indices: &[u32], ids: &[u64]) -> Result<Vec<StackId>, WireError> {
    let ids: Vec<StackId> = ids.iter().copied().map(StackId).collect();
    resolved("waits.stack", indices, &ids, StackId::NONE)
}

/// Agents before traces have no such column.
fn traces(message: &v1::Waits) -> Result<Vec<TraceContext>, WireError> {
    let len = message.trace_id_high.len();
    same_length("waits.trace_id_low", message.trace_id_low.len(), len)?;
    same_length("waits.span_id", message.span_id.len(), len)?;
    if message.trace.is_empty() {
        return Ok(vec![TraceContext::NONE; message.start_mono_delta_ns.len()]);
    }
    let halves = message.trace_id_high.iter().zip(&message.trace_id_low);
    let trace = |((high, low), span_id): ((&u64, &u64), &u64)| TraceContext {
        trace_id: u128::from(*high) << 64 | u128::from(*low),
        span_id: *span_id,
    };
    let known: Vec<TraceContext> = halves.zip(&message.span_id).map(trace).collect();
    resolved("waits.trace", &message.trace, &known, TraceContext::NONE)
}

/// The values of indices into a dictionary, counted from 1; 0 stands for `none`.
fn resolved<T: Copy>(name: &'static str, indices: &[u32], known: &[T], none: T) -> Result<Vec<T>, WireError> {
    let outside = |index| field(name, format!("index {index} is outside a dictionary of {}", known.len()));
    let value = |index: &u32| match *index {
        0 => Ok(none),
        index => known.get(index as usize - 1).copied().ok_or_else(|| outside(index)),
    };
    indices.iter().map(value).collect()
}

impl TryFrom<v1::ShortWaits> for ShortWaits {
    type Error = WireError;
    fn try_from(message: v1::ShortWaits) -> Result<Self, WireError> {
        let is_of_old_agent = message.kind == i32::from(v1::Kind::Unspecified);
        Ok(Self {
            kind: if is_of_old_agent { Kind::Goroutine } else { kind(message.kind)? },
            process: message.process,
            reason: message.reason,
            count: message.count,
            total_ns: message.total_ns,
            histogram: message.histogram,
            weight_milli: if message.weight_milli == 0 { ONCE_MILLI } else { message.weight_milli },
            is_parts: message.is_parts,
        })
    }
}

impl From<v1::Stack> for Stack {
    fn from(message: v1::Stack) -> Self {
        let pcs = running_sums(&message.pc_delta).map(i64::cast_unsigned).collect();
        Self { id: StackId(message.id), build_id: message.build_id, pcs }
    }
}

impl TryFrom<v1::Symbol> for Symbol {
    type Error = WireError;
    fn try_from(message: v1::Symbol) -> Result<Self, WireError> {
        Ok(Self {
            build_id: message.build_id,
            pc: message.pc,
            depth: u8::try_from(message.depth).map_err(|_| field("symbols.depth", "above 255"))?,
            function: message.function,
            file: message.file,
            line: message.line,
        })
    }
}

impl From<v1::Loss> for Loss {
    fn from(message: v1::Loss) -> Self {
        Self { cause: account::cause(message.cause), count: message.count }
    }
}

fn knots(message: &v1::Knots) -> Result<Vec<Knot>, WireError> {
    let len = message.mono_delta_ns.len();
    same_length("knots.raw_minus_mono_delta_ns", message.raw_minus_mono_delta_ns.len(), len)?;
    same_length("knots.wall_minus_mono_delta_ns", message.wall_minus_mono_delta_ns.len(), len)?;
    same_length("knots.bracket_ns", message.bracket_ns.len(), len)?;
    let raw = running_sums(&message.raw_minus_mono_delta_ns);
    let wall = running_sums(&message.wall_minus_mono_delta_ns);
    let columns = running_sums(&message.mono_delta_ns).zip(raw).zip(wall).zip(&message.bracket_ns);
    let knot = |(((mono, raw), wall), bracket): (((i64, i64), i64), &u64)| Knot {
        mono: Instant::from_ns(mono),
        raw: Instant::from_ns(mono.wrapping_add(raw)),
        wall: Instant::from_ns(mono.wrapping_add(wall)),
        bracket: Span::from_ns(i64::try_from(*bracket).unwrap_or(i64::MAX)),
    };
    Ok(columns.map(knot).collect())
}

fn probes(message: &v1::Probes) -> Result<Vec<Probe>, WireError> {
    let len = message.sent_mono_delta_ns.len();
    same_length("probes.received_reference_delta_ns", message.received_reference_delta_ns.len(), len)?;
    same_length("probes.turnaround_ns", message.turnaround_ns.len(), len)?;
    same_length("probes.elapsed_mono_ns", message.elapsed_mono_ns.len(), len)?;
    let sent = running_sums(&message.sent_mono_delta_ns);
    let received = running_sums(&message.received_reference_delta_ns);
    let columns = sent.zip(received).zip(&message.turnaround_ns).zip(&message.elapsed_mono_ns);
    let probe = |(((sent, received), turnaround), elapsed): (((i64, i64), &i64), &u64)| Probe {
        sent: Instant::from_ns(sent),
        received: Instant::from_ns(received),
        replied: Instant::from_ns(received.wrapping_add(*turnaround)),
        returned: Instant::from_ns(sent) + Span::from_ns(i64::try_from(*elapsed).unwrap_or(i64::MAX)),
    };
    Ok(columns.map(probe).collect())
}

/// Agents before paths had only one. A path that this version does not know is taken for the worst.
fn probe_paths(message: Option<&v1::Probes>) -> Result<Vec<ProbePath>, WireError> {
    let Some(message) = message else { return Ok(Vec::new()) };
    let len = message.sent_mono_delta_ns.len();
    if message.path.is_empty() {
        return Ok(vec![ProbePath::Grpc; len]);
    }
    same_length("probes.path", message.path.len(), len)?;
    let path = |number: &i32| if *number == i32::from(v1::ProbePath::Udp) { ProbePath::Udp } else { ProbePath::Grpc };
    Ok(message.path.iter().map(path).collect())
}

/// Claims of somebody whom this version does not know are left out: they are held against probes, and nothing rests on them.
fn claim(message: &v1::ClockClaim) -> Option<ClockClaim> {
    let source = match v1::ClaimSource::try_from(message.source) {
        Ok(v1::ClaimSource::Kernel) => ClaimSource::Kernel,
        Ok(v1::ClaimSource::Chrony) => ClaimSource::Chrony,
        _ => return None,
    };
    let utc_minus_wall_ns = message.claimed.map(|claimed| (claimed.utc_minus_wall_ns, claimed.bound_ns));
    Some(ClockClaim { source, at: Instant::from_ns(message.mono_ns), utc_minus_wall_ns })
}

/// One whose sign this version does not know is one all the same.
fn disruption(message: &v1::ClockDisruption) -> ClockDisruption {
    let sign = match v1::DisruptionSign::try_from(message.sign) {
        Ok(v1::DisruptionSign::Hypervisor) => DisruptionSign::Hypervisor,
        _ => DisruptionSign::Other,
    };
    let since = Instant::from_ns(message.since_mono_ns);
    let within = Span::from_ns(i64::try_from(message.within_ns).unwrap_or(i64::MAX));
    ClockDisruption { since, until: since + within, sign }
}

pub(crate) fn same_length(name: &'static str, found: usize, expected: usize) -> Result<(), WireError> {
    if found == expected { Ok(()) } else { Err(field(name, format!("{found} rows where {expected} are expected"))) }
}

pub(crate) fn field(field: &'static str, why: impl Into<String>) -> WireError {
    WireError::Field { field, why: why.into() }
}
