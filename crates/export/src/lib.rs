//! Waits on the fleet's one clock as files that other tools open. Pure: values in, bytes out; no I/O, no clock, no store.
//!
//! ```text
//! Wait ──> Trace       a Perfetto trace: tracks, slices, flows from who woke to who was woken      [perfetto]
//!     └──> Speedscope  a speedscope document: a profile per goroutine                              [speedscope]
//! ```
//!
//! Both take waits one by one and give their bytes at once, so that what is held does not grow with the number of waits. The third file,
//! pprof's, holds sums only and is `syncline_insight`'s.

mod perfetto;
mod speedscope;
mod wait;

pub use perfetto::Trace;
pub use speedscope::{Speedscope, Written};
pub use wait::{Moment, Note, Wait, Wake, Who};
