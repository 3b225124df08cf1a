//! An exchange beside what is known before it.

use super::exchange::Sides;
use super::state::Known;
use crate::Tolerance;

/// An exchange, what was expected of it, and whether that can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(super) sides: Sides,
    /// What is known of its end without it; `None` where nothing leads there.
    pub(super) expected: Option<Known>,
    contradicts: bool,
}

impl Checked {
    pub(super) fn new(sides: Sides, expected: Option<Known>, tolerance: &Tolerance) -> Self {
        let contradicts = expected.is_some_and(|expected| {
            let own = sides.with_floor(tolerance.path_floor.ns(), expected.rates.firm);
            expected.bounds.hard.meet(own).is_none()
        });
        Self { sides, expected, contradicts }
    }

    /// Whether theta cannot be where the exchange has it without a jump.
    pub(crate) fn contradicts(&self) -> bool {
        self.contradicts
    }
}
