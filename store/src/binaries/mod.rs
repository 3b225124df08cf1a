//! Executables that people hand in, and the names of addresses from them.
//!
//! They are kept in the store itself: whoever may write there may hand one in, every aggregator of the store finds it, and it is read
//! again whenever a stack of its build comes that nobody could name.

mod keep;
mod name;

pub use keep::{Binary, MOST_BINARY_BYTES};
pub use name::{ADDRESSES_AT_ONCE, Names};
