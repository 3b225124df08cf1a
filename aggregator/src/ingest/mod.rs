//! Batches come in, are made durable, and are stored.
//!
//! ```text
//! grpc:  read -> decode -> spool -> acknowledge
//! kafka: read -> decode -> spool -> commit, once all before it are settled
//!                            |
//! writer:                    '-> gather a group -> claim it -> which are new? -> intent -> clock, rows -> store -> ledger -> cursor
//! ```

mod aside;
pub(crate) mod claims;
pub(crate) mod contest;
mod group;
pub mod grpc;
pub mod kafka;
mod name;
mod note;
mod record;
pub mod spooled;
pub mod waiting;
mod watch;
pub(crate) mod writer;
