//! What the first sight of a batch's clock samples told.

use syncline_clock::{NodeClock, Segment, ToldDisruption, WallStep};
use syncline_event::{Batch, ClockDisruption};
use syncline_timebase::{Instant, Mono, Offset, Span, Wall};

use super::revision::{Pending, Revised};

/// A disruption that an agent tells of so much later is none of the model's any more, which has forgotten the knots of then, unless no probe
/// came since; and no later than the newest sample by so much can one have been noticed.
const TOLD_WITHIN: Span = Span::from_s(3_600);
const BEYOND_SAMPLES: Span = Span::from_s(1);

/// What became of a model as its node's probes began to speak of another reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReferenceChange {
    /// They did not.
    #[default]
    None,
    /// It went on along what is known of the two references.
    HandedOver,
    /// It began anew.
    Anew,
}

/// Kept until the batch is in the store, because a second sight of the same samples tells nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    /// For each probe of the batch, whether the model used it.
    pub(crate) used: Vec<bool>,
    /// Steps of the node's wall clock.
    pub(crate) wall_steps: Vec<WallStep>,
    /// Disruptions of its oscillator, those among them that the agent told of.
    pub(crate) disruptions: usize,
    /// What the agent told of disruptions and was heeded.
    pub(crate) told: Vec<ClockDisruption>,
    /// What it told and cannot have noticed.
    pub(crate) untrue: usize,
    /// Samples refused.
    pub(crate) refused: u64,
    /// The piece of the model up to the end of the batch.
    pub(crate) segment: Option<Segment>,
    /// The run of the reference that the pieces lead to; 0 without any.
    pub(crate) run: u64,
    /// Whether that is another than before.
    pub(crate) reference: ReferenceChange,
    /// Pieces of earlier batches that are known otherwise by now.
    pub(crate) revised: Vec<Revised>,
    /// How many were given up before it was known whether they are.
    pub(crate) unrevised: usize,
}

impl Sighting {
    /// Shows `clock` the samples of `batch`. `segment_end` is where the last segment ended, and moves on; `pending` is what may
    /// be told again.
    pub(crate) fn take(
        clock: &mut NodeClock,
        segment_end: &mut Option<Instant<Mono>>,
        pending: &mut Pending,
        batch: &Batch,
    ) -> Self {
        let told: Vec<ClockDisruption> =
            batch.disruptions.iter().filter(|one| may_be(one, batch, clock)).copied().collect();
        let of_model = |told: &ClockDisruption| ToldDisruption { since: told.since, until: told.until };
        let of_model: Vec<ToldDisruption> = told.iter().map(of_model).collect();
        let observed = clock.observe_told(&batch.knots, &batch.probes, &of_model);
        for disruption in &observed.disruptions {
            tracing::info!(node = %batch.origin.node, boot = %batch.origin.boot, ?disruption, "clock disrupted");
        }
        let revised = pending.revised(clock);
        let segment = segment(clock, segment_end, batch, &told);
        let ends = match (&segment, batch.knots.first(), batch.knots.last()) {
            (Some(told), ..) => Some([told.from, told.to]),
            // Nothing is known yet, but may be of now one day.
            (None, Some(first), Some(last)) if first.mono < last.mono => Some([first.mono, last.mono]),
            _ => None,
        };
        let unrevised = ends.map_or(0, |ends| {
            let placement = clock.placement(ends, batch.knots.iter().map(|knot| knot.mono));
            pending.push(ends, wall_offset(batch), segment.as_ref(), placement)
        });
        Self {
            segment,
            revised,
            unrevised,
            run: 0,
            reference: ReferenceChange::None,
            used: observed.used,
            wall_steps: observed.wall_steps,
            disruptions: observed.disruptions.len(),
            untrue: batch.disruptions.len() - told.len(),
            told,
            refused: observed.refused.values().sum(),
        }
    }
}

/// Whether an agent can have noticed it and told of it in `batch`, or in one before it that was dropped.
fn may_be(told: &ClockDisruption, batch: &Batch, clock: &NodeClock) -> bool {
    let samples = batch.knots.iter().map(|knot| knot.mono).chain(batch.probes.iter().map(|probe| probe.returned));
    let newest = samples.max().map_or(batch.sealed_at, |newest| newest + BEYOND_SAMPLES);
    let is_of_now = || newest - told.until <= TOLD_WITHIN || clock.last_probe().is_some_and(|last| last <= told.until);
    told.until <= newest && is_of_now()
}

/// WALL - MONO at the newest knot of the batch.
pub(crate) fn wall_offset(batch: &Batch) -> Offset<Mono, Wall> {
    batch.knots.last().map_or(batch.wall_offset, |knot| knot.mono.offset_to(knot.wall))
}

/// From the end of the last one to the end of the batch's knots, so that every bend of MONO is looked at; over a
/// disruption it would not be linear, so there it starts anew with the batch, and where nothing is known behind one that was told it ends before it.
fn segment(
    clock: &NodeClock,
    segment_end: &mut Option<Instant<Mono>>,
    batch: &Batch,
    told: &[ClockDisruption],
) -> Option<Segment> {
    clock.last_probe()?;
    let is_known = |at: &Instant<Mono>| clock.estimate(*at).hard.is_bounded();
    let probed = batch.probes.iter().map(|probe| probe.returned);
    let samples = batch.knots.iter().map(|knot| knot.mono).chain(probed);
    let before_all = |at: &Instant<Mono>| told.iter().all(|told| *at < told.since);
    let (first, last) = (samples.clone().min()?, samples.clone().max()?);
    let to = Some(last).filter(is_known).or_else(|| samples.filter(before_all).max().filter(is_known))?;
    let follows = |end: &Instant<Mono>| *end < to && clock.estimate(*end).epoch == clock.estimate(to).epoch;
    let from = segment_end.filter(follows).unwrap_or(first);
    if from >= to {
        return None;
    }
    *segment_end = Some(to);
    Some(clock.segment([from, to], batch.knots.iter().map(|knot| knot.mono)))
}
