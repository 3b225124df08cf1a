//! Doubt whether an epoch goes on.

use serde::{Deserialize, Serialize};
use syncline_timebase::{Instant, Raw};

use super::bounds::Bounds;
use super::carried::widened;
use crate::Tolerance;

/// Another epoch may have begun: what exchanges in doubt say without all that came before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Doubt {
    pub(super) from: Instant<Raw>,
    /// At the end of the newest exchange.
    pub(super) bounds: Bounds,
    pub(super) why: Why,
}

/// Where a doubt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    /// Others say so.
    Told,
    /// Tight bounds are apart. So many exchanges since were at odds with neither side.
    Apart(u8),
    /// A round trip is too short: if the clocks were disrupted, then inside the exchange.
    Short,
}

impl Why {
    /// If it has begun, the exchanges in doubt are of it.
    pub(super) fn is_usable(self) -> bool {
        self != Self::Short
    }
}

impl Doubt {
    /// Half the least round trip was taken for `by_ns` more than it is.
    pub(super) fn widened(self, by_ns: i64, tolerance: &Tolerance) -> Self {
        Self { bounds: widened(self.bounds, by_ns, tolerance), ..self }
    }
}
