//! Clock estimation: knots and probes of one node in, offset, rate and error bound at any instant out.
//!
//! Pure: it never reads a clock, and the same samples give the same answers to the last bit on every run.
//!
//! Estimation happens against RAW, the bare oscillator, because MONO and WALL are steered and stepped by whoever
//! disciplines the node. Its parts, each in its room:
//!
//! ```text
//! knots  ──► MonoToRaw    where on RAW a MONO stamp lies, and within what
//!        └─► WallSteps    who set the wall clock, and by how much
//! probes ──► Waiting      until knots place them on RAW
//!        └─► Theta        theta = REF - RAW:
//!              ├─ hull    intervals that hold it (hard, budgeted, tight), and its rate
//!              └─ point   the estimate inside them: queueing, routes and theta told apart
//! claims ──► Claim        what the node says of itself, held against that
//! ```
//!
//! [`NodeClock`] is the door: it holds them for one node and one boot.
//!
//! # What the `hard` bound assumes, and nothing else
//! 1. An oscillator is within [`Tolerance::absolute`] of the reference's, and its frequency moves by no more than
//!    [`Tolerance::wander`] within [`Tolerance::wander_window`].
//! 2. A packet takes at least [`Tolerance::path_floor`] each way.
//! 3. The kernel changes the rate of MONO against RAW at most once in half a second (NTP daemons do so once a second at
//!    most), by at most 1,000 ppm.
//! 4. The clocks are not disrupted unseen. A jump of more than a sixteenth of the round trip shows within a few probes,
//!    in both directions. A freeze inside an exchange shows as a round trip too short by a thirty-second (on a path with
//!    much jitter, by an eighth). Neither is of less than 5 us. What shows in none of these ways has to be told
//!    ([`NodeClock::observe_told`]). What lies beyond the last probe is right only if none came after it. Between the last probe by one reference and the first by another ([`NodeClock::handed_over`]) only what
//!    exceeds the bounds shows.
//!
//! It does not assume symmetric paths. A constant asymmetry cannot be observed, only bounded: the interval is as wide
//! as the best round trips allow. The offset given takes the path for as asymmetric as it was at the start, that is not at
//! all; what changes of it since is seen.

mod claim;
mod estimate;
pub mod fusion;
mod hull;
mod mono_raw;
mod node_clock;
mod offset_bounds;
mod placement;
mod point;
mod sanity;
mod segment;
mod snapshot;
mod theta;
mod thinning;
mod told;
mod tolerance;
mod waiting;
mod wall_steps;

pub use claim::{Claim, ClaimVerdict};
pub use estimate::{Estimate, Observed, Refusal, Status};
pub use hull::{Disruption, DisruptionCause};
pub use node_clock::NodeClock;
pub use offset_bounds::{OffsetBounds, OffsetInterval};
pub use placement::Placement;
pub use segment::Segment;
pub use snapshot::SnapshotError;
pub use told::ToldDisruption;
pub use tolerance::Tolerance;
pub use wall_steps::WallStep;
