//! What a machine says of its own wall clock: how far UTC is from it, and within what.
//!
//! Such a claim is somebody else's, and often wrong by more than it says (AWS ClockBound's documentation: chrony's error is "an
//! estimate, not a bound"). It is asked for to be held against what probes measure, and moves nothing.
//!
//! [`kernel`] asks adjtimex(2), [`Chrony`] the daemon's command port. No async; asking blocks for as long as it is told.

mod asking;
mod chrony;
mod kernel;

pub use asking::ask_until;
pub use chrony::{Chrony, ChronyError};
pub use kernel::{kernel, kernel_tai_offset_seconds};

/// UTC - WALL as somebody on the machine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcClaim {
    /// UTC - WALL, ns.
    pub utc_minus_wall_ns: i64,
    /// The truth is no further away than this, ns, if the claim is true.
    pub bound_ns: u64,
}

/// Nanoseconds of seconds that are a number and no more than a century; `None` of others.
fn nanoseconds(seconds: f64) -> Option<i64> {
    (seconds.abs() < 3.2e9).then(|| (seconds * 1e9).round() as i64)
}
