//! From waits with their stacks to what people look at. Pure: no I/O, no clock, no kernel, no wire.
//!
//! ```text
//! Wait ──> Sites ──> ranked sites: count, time by state, quantiles, who woke      [wait, nesting, state, sum, site, sites, tally]
//!               └──> stacks ──> pprof profile                                     [pprof]
//!                          └──> flame graph                                       [flame]
//! blocks + Go's own block profile of the same run ──> what it saw of them           [pprof::read, bias]
//! ```

pub mod bias;
mod call;
mod flame;
mod nesting;
mod open;
mod own_reasons;
mod pprof;
mod site;
mod sites;
mod state;
mod sum;
mod tally;
mod text;
mod wait;
mod xml;

pub use call::{Build, Call, CallStack, FOREIGN_PATTERN, Frame, is_foreign, is_plumbing, parks, plumbing_pattern};
pub use flame::{Caption, flame_svg};
pub use nesting::{blocks, blocks_condition, inside, is_in_c, is_inside_expression};
pub use own_reasons::is_own_reason;
pub use pprof::{BlockProfile, Contention, ProfileError, ProfiledStack, Recorded, Tag, pprof_gz, read_block_profile};
pub use site::Site;
pub use sites::{MAX_SITES, MAX_STACKS, Order, Sites, StackSum};
pub use state::{State, StateTimes};
pub use sum::Sum;
pub use tally::Tally;
pub use text::{and_more, span, waits};
pub use wait::{Wait, WaitId, Waker};
