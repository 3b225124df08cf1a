//! Batches come in, are made durable, and are stored.
//!
//! ```text
//! grpc: read -> decode -> spool -> acknowledge
//!                           |
//! writer:                   '-> gather a group -> which are new? -> intent -> clock, rows -> store -> ledger -> cursor
//! ```

mod aside;
#[cfg(test)]
mod contest;
mod group;
pub mod grpc;
pub mod kafka;
mod note;
mod record;
pub mod spooled;
pub mod waiting;
pub(crate) mod writer;
