//! What the first sight of a batch's clock samples told.

use syncline_clock::{NodeClock, Segment, WallStep};
use syncline_event::Batch;
use syncline_timebase::{Instant, Mono, Offset, Wall};

use super::revision::{Pending, Revised};

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
    /// Disruptions of its oscillator.
    pub(crate) disruptions: usize,
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
        let observed = clock.observe(&batch.knots, &batch.probes);
        for disruption in &observed.disruptions {
            tracing::info!(node = %batch.origin.node, boot = %batch.origin.boot, ?disruption, "clock disrupted");
        }
        let revised = pending.revised(clock);
        let segment = segment(clock, segment_end, batch);
        let ends = match (&segment, batch.knots.first(), batch.knots.last()) {
            (Some(told), ..) => Some([told.from, told.to]),
            // Nothing is known yet, but may be of now one day.
            (None, Some(first), Some(last)) if first.mono < last.mono => Some([first.mono, last.mono]),
            _ => None,
        };
        if let Some(ends) = ends {
            let placement = clock.placement(ends, batch.knots.iter().map(|knot| knot.mono));
            pending.push(ends, wall_offset(batch), segment.as_ref(), placement);
        }
        Self {
            segment,
            revised,
            run: 0,
            reference: ReferenceChange::None,
            used: observed.used,
            wall_steps: observed.wall_steps,
            disruptions: observed.disruptions.len(),
            refused: observed.refused.values().sum(),
        }
    }
}

/// WALL - MONO at the newest knot of the batch.
pub(crate) fn wall_offset(batch: &Batch) -> Offset<Mono, Wall> {
    batch.knots.last().map_or(batch.wall_offset, |knot| knot.mono.offset_to(knot.wall))
}

/// From the end of the last one to the end of the batch's knots, so that every bend of MONO is looked at; over a
/// disruption it would not be linear, so there it starts anew with the batch.
fn segment(clock: &NodeClock, segment_end: &mut Option<Instant<Mono>>, batch: &Batch) -> Option<Segment> {
    clock.last_probe()?;
    let probed = batch.probes.iter().map(|probe| probe.returned);
    let known = batch.knots.iter().map(|knot| knot.mono).chain(probed);
    let (first, to) = (known.clone().min()?, known.max()?);
    let follows = |end: &Instant<Mono>| *end < to && clock.estimate(*end).epoch == clock.estimate(to).epoch;
    let from = segment_end.filter(follows).unwrap_or(first);
    if from >= to {
        return None;
    }
    *segment_end = Some(to);
    Some(clock.segment([from, to], batch.knots.iter().map(|knot| knot.mono)))
}
