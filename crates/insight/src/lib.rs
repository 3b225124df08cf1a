//! From finished waits with their stacks to what people look at. Pure: no I/O, no clock, no kernel, no wire.
//!
//! ```text
//! Wait ──> Sites ──> ranked sites: count, time by state, quantiles, who woke      [wait, state, site, sites, wakers]
//!               └──> stacks ──> pprof profile                                     [pprof]
//!                          └──> flame graph                                       [flame]
//! ```

mod call;
mod flame;
mod pprof;
mod site;
mod sites;
mod state;
mod text;
mod wait;
mod wakers;

pub use call::{Build, Call, CallStack, Frame, is_plumbing, plumbing_pattern};
pub use flame::{Caption, flame_svg};
pub use pprof::{Recorded, pprof_gz};
pub use site::Site;
pub use sites::{MAX_SITES, MAX_STACKS, Order, Sites, StackSum, Total};
pub use state::{State, StateTimes};
pub use text::{span, waits};
pub use wait::{Wait, Waker};
pub use wakers::Wakers;
