//! The kernel's clocks, and UDP sockets whose packets the kernel stamps.
//!
//! The kernel stamps packets on the wall clock (`SO_TIMESTAMPING`, Documentation/networking/timestamping.rst), which may be
//! stepped; nothing here uses it as such. [`StampMap`] leads from such a stamp to MONO and RAW, or says that it cannot.
//!
//! No async: a [`StampedSocket`] never blocks and has a file descriptor to wait on.

mod map;
mod reading;
mod socket;
mod way;

pub use map::{Placed, StampMap};
pub use reading::{Reading, mono_ns, raw_ns};
pub use socket::{Departed, Received, StampedSocket};
pub use way::Way;
