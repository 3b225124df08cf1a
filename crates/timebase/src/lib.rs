//! Words of time.
//!
//! Every stamp belongs to a scale, and the compiler keeps the scales apart: an [`Instant<Mono>`] minus an
//! [`Instant<Reference>`] does not compile; an [`Offset`] is the only way from one scale to another.
//!
//! | scale | clock | who moves it |
//! |---|---|---|
//! | [`Mono`] | `CLOCK_MONOTONIC`, `bpf_ktime_get_ns()` | NTP steers its rate (up to 500 ppm), nobody steps it |
//! | [`Raw`] | `CLOCK_MONOTONIC_RAW` | nobody: the bare oscillator |
//! | [`Wall`] | `CLOCK_REALTIME` | NTP steers its rate, anybody steps it |
//! | [`Reference`] | the region's reference | nobody: an aggregator's oscillator on a fixed anchor |
//!
//! All values are whole nanoseconds in `i64` (292 years either way). Arithmetic saturates: a stamp from outside may be
//! anything, and a saturated value is refused by whoever checks it, while a panic or a wrap would not be.

mod bound;
mod identity;
mod instant;
mod rate;
mod sample;

pub use bound::{Bracket, ErrorBound};
pub use identity::{BootId, NodeName, NodeNameError};
pub use instant::{Instant, Mono, Offset, Raw, Reference, Scale, Span, Wall};
pub use rate::FrequencyError;
pub use sample::{Knot, Probe};
