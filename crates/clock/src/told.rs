//! Disruptions that somebody tells of who knows.

use syncline_timebase::{Instant, Mono};

/// The node's clocks were disrupted once between these two, says somebody who knows: a hypervisor whose marker changed, or an agent
/// that reads clocks more often than it tells of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldDisruption {
    /// Until then they had not been.
    pub since: Instant<Mono>,
    /// By then they had been.
    pub until: Instant<Mono>,
}
