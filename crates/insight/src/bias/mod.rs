//! What Go's block profile sees of a run, and what it does not: the profile held against every block of the same run.
//!
//! ```text
//! blocks ─> Truth (by stack, reason, band) ─┐
//! profile ──────────────────────────────────┴─> Comparison of a run ─> medians over runs ─> picture     [truth, compare, spread, plot]
//! ```
//!
//! *Happened* is what was captured; *recorded* are the blocks that the profiler took up; *reported* is what it makes of them, scaled up.
//! [`rule`] has its rule, by which it is *expected* what is recorded.

mod bands;
mod compare;
mod plot;
mod rule;
mod spread;
mod stack;
mod truth;

pub use bands::Bands;
pub use compare::{BandSeen, Comparison, ReasonSeen, compare, is_of_another_rate};
pub use plot::{Plot, PlottedReason, Series, bias_svg};
pub use rule::{can_be_seen, recorded_share};
pub use spread::Spread;
pub use stack::StackKey;
pub use truth::{Amount, Block, Truth};
