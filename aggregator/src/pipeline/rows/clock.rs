//! Rows of what a batch says of its node's clock, and of what became of it.

use syncline_clock::{ClaimVerdict, Segment};
use syncline_event::{Batch, BatchId, ClaimSource, ClockClaim, DisruptionSign, ProbePath};
use syncline_store::rows::{
    self, ClockClaimRows, ClockDisruptionRows, ClockProbeRows, ClockScale, ClockSegmentRows, ClockStateRows,
    ClockStepRows, ProbeKind,
};
use syncline_store::{ClockState, LowCardinality, SettledPiece, Settlement};
use syncline_timebase::{Instant, Knot, Mono, Offset, Reference, Span, Wall};

use super::{ONLINE_REVISION, SETTLED_REVISION, Whose, bound_ns, mono_ns};
use crate::pipeline::revision::Revised;
use crate::pipeline::sighting::{Sighting, wall_offset};
use crate::segment::{bound_class, clock_status, rate_ppb};

/// Probes.
pub(crate) fn probes(batch: &Batch, sighting: &Sighting) -> ClockProbeRows {
    let (probes, rows) = (&batch.probes, batch.probes.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let before = probes.iter().map(|probe| batch.knots.iter().rfind(|knot| knot.mono <= probe.sent));
    let after = probes.iter().map(|probe| batch.knots.iter().find(|knot| knot.mono >= probe.returned));
    let (before, after) = (Beside::of(before), Beside::of(after));
    ClockProbeRows {
        region,
        node,
        boot,
        t1: probes.iter().map(|probe| probe.sent.ns()).collect(),
        t2: probes.iter().map(|probe| probe.received.ns()).collect(),
        t3: probes.iter().map(|probe| probe.replied.ns()).collect(),
        t4: probes.iter().map(|probe| probe.returned.ns()).collect(),
        rtt_ns: probes.iter().map(|probe| u64::try_from(probe.round_trip().ns()).unwrap_or(0)).collect(),
        kind: batch.probe_paths.iter().map(|path| probe_kind(*path)).collect(),
        used: (0..rows).map(|row| u8::from(sighting.used.get(row).copied().unwrap_or(false))).collect(),
        before_mono: before.mono,
        before_raw_off: before.raw_off,
        before_wall_off: before.wall_off,
        before_bracket_ns: before.bracket_ns,
        after_mono: after.mono,
        after_raw_off: after.raw_off,
        after_wall_off: after.wall_off,
        after_bracket_ns: after.bracket_ns,
        ref_run: vec![batch.reference_run; rows],
    }
}

/// Knots beside probes, a column each; zeros where there is none.
#[derive(Default)]
struct Beside {
    mono: Vec<i64>,
    raw_off: Vec<i64>,
    wall_off: Vec<i64>,
    bracket_ns: Vec<u64>,
}

impl Beside {
    fn of<'a>(knots: impl Iterator<Item = Option<&'a Knot>>) -> Self {
        let mut columns = Self::default();
        for knot in knots {
            columns.mono.push(knot.map_or(0, |knot| knot.mono.ns()));
            columns.raw_off.push(knot.map_or(0, |knot| knot.mono.offset_to(knot.raw).ns()));
            columns.wall_off.push(knot.map_or(0, |knot| knot.mono.offset_to(knot.wall).ns()));
            columns.bracket_ns.push(knot.map_or(0, |knot| knot.bracket.ns().unsigned_abs()));
        }
        columns
    }
}

/// The piece of the node's clock model that the batch brought, and those of earlier batches that are known otherwise by
/// now.
pub(crate) fn segments(batch: &Batch, sighting: &Sighting) -> ClockSegmentRows {
    let online = sighting.segment.iter().map(|segment| (segment, wall_offset(batch), ONLINE_REVISION));
    let settled = sighting.revised.iter().map(|revised| (&revised.segment, revised.wall, SETTLED_REVISION));
    let told: Vec<(&Segment, Offset<Mono, Wall>, u32)> = online.chain(settled).collect();
    let Whose { region, node, boot } = Whose::of(batch, told.len());
    let each = || told.iter().map(|(segment, ..)| segment);
    let last = || each().map(|segment| &segment.at_to);
    ClockSegmentRows {
        region,
        node,
        boot,
        ref_run: vec![sighting.run; told.len()],
        epoch: last().map(|last| last.epoch).collect(),
        mono_from: each().map(|segment| mono_ns(segment.from)).collect(),
        mono_to: each().map(|segment| mono_ns(segment.to)).collect(),
        ref_off: each().map(|segment| segment.at_from.offset.ns()).collect(),
        ref_off_to: last().map(|last| last.offset.ns()).collect(),
        rate_ppb: last().map(rate_ppb).collect(),
        err_from_ns: each().map(|segment| bound_ns(segment.at_from.hard)).collect(),
        err_to_ns: last().map(|last| bound_ns(last.hard)).collect(),
        bound_class: last().map(|last| bound_class(last.hard)).collect(),
        wall_off: told.iter().map(|(_, wall, _)| wall.ns()).collect(),
        status: last().map(|last| clock_status(last.status)).collect(),
        rev: told.iter().map(|(.., revision)| *revision).collect(),
    }
}

/// The clock model of a node as it is after batch `id`.
pub(crate) fn state(region: &str, id: &BatchId, state: ClockState) -> ClockStateRows {
    ClockStateRows {
        region: LowCardinality::constant(region, 1),
        node: LowCardinality::constant(id.node.as_str(), 1),
        boot: vec![id.boot.0],
        ref_run: vec![state.ref_run],
        batch: vec![state.batch],
        segment_end: vec![state.segment_end],
        state: vec![state.state],
    }
}

/// Claims about the node's wall clock, with what became of them. `reference` leads from the node's MONO to REF, as well as it is
/// known.
pub(crate) fn claims(
    batch: &Batch,
    judged: &[(&ClockClaim, ClaimVerdict)],
    reference: impl Fn(Instant<Mono>) -> Offset<Mono, Reference>,
) -> ClockClaimRows {
    let Whose { region, node, boot } = Whose::of(batch, judged.len());
    let mut rows = ClockClaimRows { region, node, boot, ..ClockClaimRows::default() };
    for (claim, verdict) in judged {
        let (utc_wall_ns, bound_ns) = claim.utc_minus_wall_ns.unwrap_or_default();
        let (verdict, claimed, measured) = match verdict {
            ClaimVerdict::Unknown => (rows::ClaimVerdict::Unknown, (0, 0), (0, 0)),
            ClaimVerdict::Consistent => (rows::ClaimVerdict::Consistent, (0, 0), (0, 0)),
            ClaimVerdict::Contradicted { claimed_ns, measured_ns } => {
                (rows::ClaimVerdict::Contradicted, *claimed_ns, *measured_ns)
            }
        };
        rows.mono_ns.push(mono_ns(claim.at));
        rows.at.push((claim.at + reference(claim.at)).ns());
        rows.source.push(match claim.source {
            ClaimSource::Kernel => rows::ClaimSource::Kernel,
            ClaimSource::Chrony => rows::ClaimSource::Chrony,
        });
        rows.synchronized.push(u8::from(claim.utc_minus_wall_ns.is_some()));
        rows.utc_wall_ns.push(utc_wall_ns);
        rows.bound_ns.push(bound_ns);
        rows.verdict.push(verdict);
        rows.claimed_low_ns.push(claimed.0);
        rows.claimed_high_ns.push(claimed.1);
        rows.measured_low_ns.push(measured.0);
        rows.measured_high_ns.push(measured.1);
    }
    rows
}

/// Steps of the node's wall clock. `reference` leads from the node's MONO to REF, as well as it is known.
pub(crate) fn steps(
    batch: &Batch,
    sighting: &Sighting,
    reference: impl Fn(Instant<Mono>) -> Offset<Mono, Reference>,
) -> ClockStepRows {
    let (steps, rows) = (&sighting.wall_steps, sighting.wall_steps.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    ClockStepRows {
        region,
        node,
        boot,
        mono_ns: steps.iter().map(|step| mono_ns(step.at)).collect(),
        at: steps.iter().map(|step| (step.at + reference(step.at)).ns()).collect(),
        size_ns: steps.iter().map(|step| Span::ns(step.size)).collect(),
        scale: vec![ClockScale::Wall; rows],
    }
}

/// Disruptions that the agent told of. `reference` leads from the node's MONO to REF, as well as it is known.
pub(crate) fn disruptions(
    batch: &Batch,
    sighting: &Sighting,
    reference: impl Fn(Instant<Mono>) -> Offset<Mono, Reference>,
) -> ClockDisruptionRows {
    let (told, rows) = (&sighting.told, sighting.told.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let sign = |sign: DisruptionSign| match sign {
        DisruptionSign::Hypervisor => rows::DisruptionSign::Hypervisor,
        DisruptionSign::Other => rows::DisruptionSign::Other,
    };
    ClockDisruptionRows {
        region,
        node,
        boot,
        peer: LowCardinality::constant("", rows),
        ref_run: vec![sighting.run; rows],
        mono_from: told.iter().map(|told| mono_ns(told.since)).collect(),
        mono_to: told.iter().map(|told| mono_ns(told.until)).collect(),
        at: told.iter().map(|told| (told.until + reference(told.until)).ns()).collect(),
        batch: vec![batch.number; rows],
        sign: told.iter().map(|told| sign(told.sign)).collect(),
    }
}

/// Where rows that are stored already lie by now.
pub(crate) fn settlement(batch: &Batch, sighting: &Sighting) -> Settlement {
    let piece = |revised: &Revised| {
        let Segment { from, to, at_from, at_to, .. } = &revised.segment;
        SettledPiece {
            mono: [mono_ns(*from), mono_ns(*to)],
            ref_off: [at_from.offset.ns(), at_to.offset.ns()],
            err_ns: bound_ns(at_from.hard.max(at_to.hard)),
            status: clock_status(at_to.status),
            epoch: at_to.epoch,
        }
    };
    Settlement {
        region: batch.origin.region.clone(),
        node: batch.origin.node.to_string(),
        boot: batch.origin.boot.0,
        ref_run: sighting.run,
        revision: SETTLED_REVISION,
        pieces: sighting.revised.iter().map(piece).collect(),
    }
}

fn probe_kind(path: ProbePath) -> ProbeKind {
    match path {
        ProbePath::Grpc => ProbeKind::Grpc,
        ProbePath::Udp => ProbeKind::Udp,
    }
}
