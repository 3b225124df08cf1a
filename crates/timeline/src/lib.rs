//! Alignment: event columns and a node's clock in, positions on the reference time line out; and what may be said of
//! the order of two events.

mod align;
mod order;

pub use align::{Aligned, Moments, Placed, align, place};
pub use order::Order;
