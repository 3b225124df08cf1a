//! Steps of the wall clock.
//!
//! Linux keeps WALL as MONO plus an offset that only a step changes (`timekeeper.wall_to_monotonic`; slews steer both
//! clocks alike). So two knots show every step between them exactly, to within their brackets.

use serde::{Deserialize, Serialize};
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

/// Follows WALL - MONO from step to step. It is constant in between, so that the best read knot since the last step says
/// it best, and one that took long to read hides no step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct WallSteps {
    best: Option<(Offset<Mono, Wall>, Span)>,
    last_step: Option<Instant<Mono>>,
}

impl WallSteps {
    pub(crate) fn observe(&mut self, knot: &Knot) -> Option<WallStep> {
        // Clocks further apart than 64 bits hold say nothing of steps.
        let offset = knot.wall.ns().checked_sub(knot.mono.ns())?;
        let read = (Offset::from_ns(offset), knot.bracket);
        let (before, bracket) = *self.best.get_or_insert(read);
        let size = Span::from_ns(read.0.ns()) - Span::from_ns(before.ns());
        let stepped = size.abs() > LEAST_STEP + bracket + knot.bracket;
        if stepped || knot.bracket <= bracket {
            self.best = Some(read);
        }
        let step = stepped.then_some(WallStep { at: knot.mono, size });
        self.last_step = step.map(|step| step.at).or(self.last_step);
        step
    }

    /// WALL - MONO since the last step.
    pub(crate) fn wall_offset(&self) -> Option<Offset<Mono, Wall>> {
        self.best.map(|(offset, _)| offset)
    }

    /// WALL - MONO and the bracket that it was read in, if `at` is not before the last step.
    pub(crate) fn since_last_step(&self, at: Instant<Mono>) -> Option<(Offset<Mono, Wall>, Span)> {
        self.best.filter(|_| self.last_step.is_none_or(|step| step <= at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_beside_knots_that_took_long() {
        let knot = |tick: i64, wall: i64, bracket: i64| Knot {
            mono: Instant::from_ns(tick * 1_000),
            raw: Instant::from_ns(0),
            wall: Instant::from_ns(tick * 1_000 + wall),
            bracket: Span::from_ns(bracket),
        };
        let mut steps = WallSteps::default();
        let knots =
            [knot(1, 70, 200), knot(2, 6_800_000, 2_000_000), knot(3, 1_006_000, 2_000_000), knot(4, 6_070, 200)];
        let found: Vec<Option<i64>> = knots.iter().map(|knot| steps.observe(knot).map(|step| step.size.ns())).collect();
        assert_eq!(found, [None, Some(6_799_930), Some(-5_794_000), None]);
        let knots = [knot(1, 70, 200), knot(2, 806_000, 2_000_000), knot(3, 6_070, 200)];
        let mut steps = WallSteps::default();
        let found: Vec<Option<i64>> = knots.iter().map(|knot| steps.observe(knot).map(|step| step.size.ns())).collect();
        assert_eq!(found, [None, None, Some(6_000)]);
        assert_eq!(steps.wall_offset(), Some(Offset::from_ns(6_070)));
        let read = Some((Offset::from_ns(6_070), Span::from_ns(200)));
        assert_eq!([2_999, 3_000].map(|mono| steps.since_last_step(Instant::from_ns(mono))), [None, read]);
    }
}
