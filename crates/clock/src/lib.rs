//! Clock estimation: knots and probes of one node in, offset, rate and error bound at any instant out.
//!
//! Pure: it never reads a clock, and the same samples give the same answers to the last bit on every run.
//!
//! Estimation happens against RAW, the bare oscillator, because MONO and WALL are steered and stepped by whoever
//! disciplines the node. Four parts, each in its file:
//!
//! ```text
//! knots  ──► MonoToRaw   where on RAW a MONO stamp lies, and within what
//!        └─► WallSteps   who set the wall clock, and by how much
//! probes ──► Waiting     until knots place them on RAW
//!        └─► Hull        theta = REF - RAW: an interval that holds it, and its rate
//! ```
//!
//! [`NodeClock`] is the door: it holds the four for one node and one boot.
//!
//! # What the `hard` bound assumes, and nothing else
//! 1. An oscillator is within [`Tolerance::absolute`] of the reference's, and its frequency moves by no more than
//!    [`Tolerance::wander`] within [`Tolerance::wander_window`].
//! 2. A packet takes at least [`Tolerance::path_floor`] each way.
//! 3. The kernel changes the rate of MONO against RAW at most once in half a second (NTP daemons do so once a second at
//!    most), by at most 1,000 ppm.
//! 4. The guest is not frozen unseen. A pause shorter than the round trip cannot be told from queueing; a longer one
//!    shows at the next probe, so what lies beyond the last probe is right only if none came after it.
//!
//! It does not assume symmetric paths. A constant asymmetry cannot be observed, only bounded: the interval is as wide
//! as the best round trips allow, and the offset given is its middle.

mod hull;
mod mono_raw;
mod node_clock;
mod sanity;
mod thinning;
mod tolerance;
mod waiting;
mod wall_steps;

pub use hull::{Disruption, DisruptionCause};
pub use node_clock::{Estimate, NodeClock, Observed, Refusal, Status};
pub use tolerance::Tolerance;
pub use wall_steps::WallStep;
