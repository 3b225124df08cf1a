//! Steps of the wall clock.
//!
//! Linux keeps WALL as MONO plus an offset that only a step changes (`timekeeper.wall_to_monotonic`; slews steer both
//! clocks alike). So two knots show every step between them exactly, to within their brackets.

use syncline_timebase::{Instant, Knot, Mono, Offset, Span, Wall};

/// Someone set the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallStep {
    /// The first knot after it.
    pub at: Instant<Mono>,
    /// By how much it moved.
    pub size: Span,
}

/// A smaller change of WALL - MONO than this is not called a step, whatever the brackets say.
const LEAST_STEP: Span = Span::from_ns(1_000);

/// Follows WALL - MONO from knot to knot.
#[derive(Clone, Debug, Default)]
pub(crate) struct WallSteps {
    last: Option<(Offset<Mono, Wall>, Span)>,
}

impl WallSteps {
    pub(crate) fn observe(&mut self, knot: &Knot) -> Option<WallStep> {
        let offset = knot.mono.offset_to(knot.wall);
        let (before, bracket) = self.last.replace((offset, knot.bracket))?;
        let size = Span::from_ns(offset.ns()) - Span::from_ns(before.ns());
        (size.abs() > LEAST_STEP + bracket + knot.bracket).then_some(WallStep { at: knot.mono, size })
    }

    pub(crate) fn wall_offset(&self) -> Option<Offset<Mono, Wall>> {
        self.last.map(|(offset, _)| offset)
    }
}
